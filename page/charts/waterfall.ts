import type uPlot from 'uplot';
import { announce } from '../base/announcer.ts';
import { currentColours } from '../base/colours.ts';
import { element } from '../base/element.ts';
import { formatCount } from '../base/format.ts';
import type { OutcomeFilter } from '../rows/outcome-filter.ts';
import { buildPyramid, type Level } from '../rows/pyramid.ts';
import type { Rows } from '../rows/rows.ts';
import { leftAxis, timeAxis } from './axes.ts';
import { drawRows, levelFor, type Picture } from './draw-rows.ts';
import { cursorSync, mouseBindings, navigate, showSelection } from './navigation.ts';
import { type Pause, shadePauses } from './pauses.ts';
import { Plot } from './plot.ts';
import { type Details, Tooltip } from './tooltip.ts';
import type { Range, View } from './view.ts';

export interface WaterfallSpec {
  readonly rows: Rows;
  readonly view: View;
  readonly filter: OutcomeFilter;
  readonly pauses: readonly Pause[];
  /** What a row is, `post` say. */
  readonly noun: string;
  readonly name: string;
  /** The number that stands beside a row. */
  readonly numberOf: (row: number) => number;
  readonly describe: (row: number) => Details;
  /** Of the rows from `first` up to `end`, which a group of `level` has. */
  readonly describeGroup: (first: number, end: number, level: Level, group: number) => Details;
  /** In words, for screen readers. */
  readonly sayRow: (row: number) => string;
  /** Called with the row that is clicked. @default nothing */
  readonly onPick?: (row: number) => void;
}

const ROW_HEIGHT_PX = 22;
const AXES_PX = 42;
const LEAST_PX = 132;
const MOST_PX = 520;
/** Rows beside one that is gone to. */
const NEIGHBOURS = 14;
/** Rows that are as high as a bar can be. */
const LEAST_ROWS = 8;
/** As much of the time axis beside a row that is gone to as the row takes. */
const AROUND = 4;
const LEAST_MS = 2;

/** How far the waterfall of so many rows zooms in. */
export function leastRows(count: number): number {
  return Math.min(count, LEAST_ROWS);
}

/** Bars of rows over time, the first at the top. */
export class Waterfall {
  readonly #spec: WaterfallSpec;
  readonly #plot: Plot;
  readonly #tooltip: Tooltip;
  readonly #all: readonly Level[];
  #levels: readonly Level[];
  #selected: number | undefined;

  /** `host` stands in the document. */
  constructor(host: HTMLElement, spec: WaterfallSpec) {
    this.#spec = spec;
    this.#all = buildPyramid(spec.rows);
    this.#levels = this.#all;
    const { view, filter, rows } = spec;
    const height = Math.min(Math.max(rows.count * ROW_HEIGHT_PX + AXES_PX, LEAST_PX), MOST_PX);
    this.#plot = new Plot(host, {
      name: spec.name,
      height,
      data: [
        [0, rows.lastMs],
        [0, rows.count],
      ],
      options: {
        scales: {
          x: { time: false, range: () => [view.x.min, view.x.max] },
          y: { dir: -1, range: () => [view.y.min, view.y.max] },
        },
        series: [{}, { scale: 'y', paths: () => null, points: { show: false } }],
        axes: [
          timeAxis(),
          leftAxis({ splits: rowMarks, values: (_, marks) => marks.map((at) => this.#mark(at - 0.5)) }),
        ],
        cursor: {
          points: { show: false },
          drag: { x: true, y: true, uni: 24, setScale: false },
          bind: mouseBindings(view),
          sync: cursorSync,
        },
        hooks: {
          drawClear: [(chart) => shadePauses(chart, spec.pauses)],
          draw: [() => this.#draw()],
          setSelect: [(chart) => showSelection(chart, view, true)],
          setCursor: [() => this.#hover()],
        },
      },
    });
    this.#tooltip = new Tooltip(host);
    navigate(host, this.#plot.chart, view, 'xy');
    host.addEventListener('keydown', (event) => this.#step(event));
    host.addEventListener('blur', () => this.#tooltip.hide());
    this.#plot.chart.over.addEventListener('click', (event) => {
      const row = this.#rowAt(event.offsetY);
      if (row !== undefined && !this.#level()) this.#pick(row);
    });
    view.onChange(() => {
      this.#tooltip.hide();
      this.#redraw();
    });
    filter.onChange(() => {
      this.#levels = filter.chosen ? buildPyramid(rows, filter.chosen) : this.#all;
      this.#redraw();
    });
  }

  /** Shows a row with what stands around it, marks it, and says what it is. */
  #goTo(row: number): void {
    const { rows, view, sayRow, describe } = this.#spec;
    const [from, to] = timesOf(rows, row, view.x);
    this.#selected = row;
    const around = Math.max((to - from) * AROUND, LEAST_MS);
    const isIn = row >= view.y.min && row + 1 <= view.y.max && from >= view.x.min && to <= view.x.max;
    if (this.#level() || !isIn) {
      view.show({
        x: { min: from - around, max: to + around },
        y: { min: row - NEIGHBOURS, max: row + NEIGHBOURS + 1 },
      });
    }
    this.#redraw();
    announce(sayRow(row));
    // Behind the frame in which the view changes, which hides what is shown.
    requestAnimationFrame(() => {
      const { chart } = this.#plot;
      this.#plot.catchUp();
      const left = chart.over.offsetLeft + clamp(chart.valToPos(from, 'x'), 0, chart.over.clientWidth);
      const top = chart.over.offsetTop + chart.valToPos(row + 1, 'y');
      this.#tooltip.show(describe(row), left, top);
    });
  }

  /** The same for whoever stands elsewhere on the page: the waterfall comes into sight, and gets the keys. */
  bringTo(row: number): void {
    this.#goTo(row);
    const { host } = this.#plot;
    host.scrollIntoView({ block: 'center' });
    host.focus({ preventScroll: true });
  }

  /** The row that is marked. */
  get selected(): number | undefined {
    return this.#selected;
  }

  #redraw(): void {
    const { chart } = this.#plot;
    const { view } = this.#spec;
    this.#plot.update(() =>
      chart.batch(() => {
        chart.setScale('x', { ...view.x });
        chart.setScale('y', { ...view.y });
      }),
    );
  }

  #draw(): void {
    const { ctx, bbox, pxRatio } = withRatio(this.#plot);
    const { view, rows, filter } = this.#spec;
    const picture: Picture = { rows, all: this.#all, levels: this.#levels, chosen: filter.chosen };
    const frame = {
      context: ctx,
      left: bbox.left,
      top: bbox.top,
      width: bbox.width,
      height: bbox.height,
      ratio: pxRatio,
      x: view.x,
      y: view.y,
    };
    if (this.#selected !== undefined) {
      const pitch = bbox.height / (view.y.max - view.y.min);
      const top = bbox.top + (this.#selected - view.y.min) * pitch;
      const height = Math.max(pitch, 2 * pxRatio);
      if (top + height > bbox.top && top < bbox.top + bbox.height) {
        const from = Math.max(top, bbox.top);
        ctx.fillStyle = currentColours().selected;
        ctx.fillRect(bbox.left, from, bbox.width, Math.min(top + height, bbox.top + bbox.height) - from);
      }
    }
    drawRows(frame, picture);
  }

  #mark(row: number): string {
    const { rows, numberOf } = this.#spec;
    return Number.isInteger(row) && row < rows.count ? formatCount(numberOf(row)) : '';
  }

  /** The level that is drawn from; undefined where every row is drawn. */
  #level(): Level | undefined {
    const { view } = this.#spec;
    return levelFor(this.#all, view.y.max - view.y.min, this.#plot.chart.over.clientHeight);
  }

  #rowAt(top: number): number | undefined {
    const row = Math.floor(this.#plot.chart.posToVal(top, 'y'));
    return row >= 0 && row < this.#spec.rows.count ? row : undefined;
  }

  #hover(): void {
    const { chart } = this.#plot;
    const { left = -1, top = -1 } = chart.cursor;
    // Without an event of its own, the cursor is that of another chart.
    const isOwn = chart.cursor.event?.target === chart.over;
    const row = isOwn && left >= 0 && top >= 0 ? this.#rowAt(top) : undefined;
    if (row === undefined) {
      this.#tooltip.hide();
      return;
    }
    const level = this.#level();
    const at = [left + chart.over.offsetLeft, top + chart.over.offsetTop] as const;
    this.#tooltip.show(level ? this.#describeGroupOf(row, level) : this.#spec.describe(row), ...at);
  }

  #describeGroupOf(row: number, level: Level): Details {
    const group = Math.floor(row / level.each);
    const end = Math.min((group + 1) * level.each, this.#spec.rows.count);
    return this.#spec.describeGroup(group * level.each, end, level, group);
  }

  #pick(row: number): void {
    this.#selected = row;
    this.#redraw();
    this.#spec.onPick?.(row);
  }

  /** From row to row by keys: the next and the previous one, and those that failed. */
  #step(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { n: 1, j: 1, p: -1, k: -1, f: 1, F: -1 }[event.key];
    if (by === undefined) {
      if (event.key === 'Escape') this.#tooltip.hide();
      if (event.key === 'Enter' && this.#selected !== undefined) this.#spec.onPick?.(this.#selected);
      return;
    }
    const { rows, noun } = this.#spec;
    const isFailure = event.key.toLowerCase() === 'f';
    const first = by > 0 ? -1 : rows.count;
    let row = (this.#selected ?? first) + by;
    while (isFailure && row >= 0 && row < rows.count && rows.outcome[row] === 0) row += by;
    event.preventDefault();
    if (row < 0 || row >= rows.count) announce(`No ${isFailure ? 'failed ' : 'further '}${noun} that way.`);
    else this.#goTo(row);
  }
}

/** At the middle of rows. */
const rowMarks: uPlot.Axis.Splits = (_, _axis, min, max, step) => {
  const marks: number[] = [];
  for (let row = Math.ceil((min - 0.5) / step) * step; row + 0.5 <= max; row += step) marks.push(row + 0.5);
  return marks;
};

/** Of a row without times, all that is shown. */
function timesOf({ startMs, endMs }: Rows, row: number, { min, max }: Range): readonly [number, number] {
  const [from = min, to = max] = [startMs[row], endMs[row]];
  return Number.isNaN(from) ? [min, max] : [from, to];
}

function withRatio({ chart }: Plot) {
  const { ctx, bbox, width } = chart;
  return { ctx, bbox, pxRatio: ctx.canvas.width / width };
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}

/** Where a waterfall is drawn: it takes the focus, and the keys. */
export function waterfallHost(name: string, help: string): HTMLElement {
  return element('div', {
    class: 'plot waterfall',
    tabindex: 0,
    role: 'application',
    'aria-roledescription': 'zoomable chart',
    'aria-label': name,
    'aria-describedby': help,
  });
}
