import uPlot from 'uplot';
import { type Colours, currentColours } from '../base/colours.ts';
import { element } from '../base/element.ts';
import { formatMs } from '../base/format.ts';
import { leftAxis, timeAxis } from './axes.ts';
import { cursorSync, mouseBindings, navigate, showSelection } from './navigation.ts';
import { type Pause, shadePauses } from './pauses.ts';
import { Plot } from './plot.ts';
import type { View } from './view.ts';

/** A quantity of each bin, drawn as an area of steps. */
interface Area {
  readonly label: string;
  readonly colour: keyof Colours;
  /** Of each bin. */
  readonly values: readonly number[];
}

export interface TimeChartSpec {
  readonly title: string;
  readonly name: string;
  readonly view: View;
  readonly pauses: readonly Pause[];
  readonly widthMs: number;
  /** The last is drawn above the others. */
  readonly areas: readonly Area[];
  readonly format: (value: number) => string;
}

const HEIGHT_PX = 128;

/** Draws quantities over time into `place`, with a heading that says what they are at the cursor. */
export function timeChart(place: HTMLElement, spec: TimeChartSpec): void {
  const { view, areas, widthMs, format, title } = spec;
  const readouts = areas.map(() => element('output', { 'aria-live': 'off' }));
  const at = element('li', { hidden: true });
  const host = element('div', {
    class: 'plot time',
    tabindex: 0,
    role: 'application',
    'aria-roledescription': 'zoomable chart',
    'aria-label': title,
    'aria-describedby': 'keys-of-time',
  });
  place.append(
    element(
      'div',
      { class: 'chart-head' },
      element('h3', {}, title),
      element(
        'ul',
        { class: 'legend' },
        at,
        ...areas.map(({ label, colour }, i) => {
          const dot = element('span', { class: 'dot' });
          dot.style.setProperty('--colour', `var(--${colour})`);
          // One area is what the title says.
          return areas.length === 1
            ? element('li', {}, readouts[i])
            : element('li', {}, dot, label, readouts[i]);
        }),
      ),
    ),
    host,
  );
  const highest = Math.max(1, ...areas.flatMap(({ values }) => values));
  const bins = areas[0]?.values.length ?? 0;
  const starts = Array.from({ length: bins + 1 }, (_, bin) => bin * widthMs);
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  const plot = new Plot(host, {
    name: spec.name,
    height: HEIGHT_PX,
    // The last bin as wide as the others: a step is drawn up to the next value.
    data: [starts, ...areas.map(({ values }) => [...values, values.at(-1) ?? 0])],
    options: {
      scales: {
        x: { time: false, range: () => [view.x.min, view.x.max] },
        // The same wherever one looks, so that heights can be compared.
        y: { range: () => [0, highest * 1.08] },
      },
      series: [
        {},
        ...areas.map(({ colour }) => ({
          scale: 'y',
          stroke: () => currentColours()[colour],
          fill: () => `${currentColours()[colour]}${colour === 'rejected' ? '' : '2e'}`,
          width: 1.5,
          points: { show: false },
          ...(stepped && { paths: stepped }),
        })),
      ],
      axes: [timeAxis(), leftAxis({ space: 28 })],
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false },
        bind: mouseBindings(view),
        sync: cursorSync,
      },
      hooks: {
        drawClear: [(chart) => shadePauses(chart, spec.pauses)],
        setSelect: [(chart) => showSelection(chart, view, false)],
        setCursor: [
          (chart) => {
            const { left = -1 } = chart.cursor;
            const bin = left < 0 ? -1 : Math.floor(chart.posToVal(left, 'x') / widthMs);
            readouts.forEach((readout, i) => {
              const value = areas[i]?.values[bin];
              readout.textContent = value === undefined ? '' : format(value);
            });
            at.hidden = bin < 0 || bin >= bins;
            at.textContent = `at ${formatMs(bin * widthMs)}`;
          },
        ],
      },
    },
  });
  navigate(host, plot.chart, view, 'x');
  view.onChange(() => plot.update(() => plot.chart.batch(() => plot.chart.setScale('x', { ...view.x }))));
}
