import { round, svg, text, WIDTH } from './svg.ts';

interface Curve {
  readonly name: string;
  readonly colour: 'blue' | 'orange' | 'green' | 'grey';
  readonly dashed?: boolean;
  /** In the order of x. A y of Infinity is left out. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Panel {
  readonly title: string;
  readonly yLabel: string;
  readonly curves: readonly Curve[];
}

const PANEL_HEIGHT = 230;
const PLOT = { left: 64, right: 16, top: 52, bottom: 12 };
const FOOT = 44;

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 13px }
  .paper { fill: #ffffff } .grid { stroke: #d1d9e0 }
  path { fill: none; stroke-width: 2; stroke-linejoin: round }
  .blue { stroke: #0969da } .orange { stroke: #bc4c00 } .green { stroke: #1a7f37 } .grey { stroke: #6e7781 }
  .dashed { stroke-dasharray: 6 4 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .paper { fill: #0d1117 } .grid { stroke: #3d444d }
    .blue { stroke: #58a6ff } .orange { stroke: #f0883e } .green { stroke: #3fb950 } .grey { stroke: #9198a1 }
  }`;

/** Draws panels of curves, one below the other, over one axis of seconds. */
export function lineChart(description: string, panels: readonly Panel[]): string {
  const maxX = Math.max(
    ...panels.flatMap(({ curves }) => curves.flatMap(({ points }) => points.map(([x]) => x))),
  );
  const x = scale(maxX, PLOT.left, WIDTH - PLOT.right);
  const height = panels.length * PANEL_HEIGHT + FOOT;
  const bottom = height - FOOT;
  const seconds = x.ticks.map((tick) => text(x.at(tick), bottom + 8, String(tick), 'middle'));
  return svg(description, height, STYLE, [
    ...panels.flatMap((panel, index) => draw(panel, index * PANEL_HEIGHT, x)),
    ...seconds,
    text((PLOT.left + WIDTH - PLOT.right) / 2, bottom + 26, 'seconds since the run started', 'middle'),
  ]);
}

function draw({ title, yLabel, curves }: Panel, offset: number, x: Scale): string[] {
  const maxY = Math.max(...curves.flatMap(({ points }) => points.map(([, y]) => y).filter(Number.isFinite)));
  const bottom = offset + PANEL_HEIGHT - PLOT.bottom;
  const y = scale(maxY, bottom, offset + PLOT.top);
  const middle = (bottom + offset + PLOT.top) / 2;
  const lines = [
    text(PLOT.left, offset + 20, title, 'start', 'title'),
    `<text transform="translate(14 ${middle}) rotate(-90)" text-anchor="middle">${yLabel}</text>`,
    ...x.ticks.map((tick) => line(x.at(tick), offset + PLOT.top, x.at(tick), bottom)),
    ...y.ticks.flatMap((tick) => [
      line(PLOT.left, y.at(tick), WIDTH - PLOT.right, y.at(tick)),
      text(PLOT.left - 6, y.at(tick) + 4, tick.toLocaleString('en-US'), 'end'),
    ]),
  ];
  let left = PLOT.left;
  for (const { name, colour, dashed, points } of curves) {
    const style = dashed ? `${colour} dashed` : colour;
    const drawn = points
      .filter(([, value]) => Number.isFinite(value))
      .map(([at, value]) => `${round(x.at(at))} ${round(y.at(value))}`);
    lines.push(
      `<path class="${style}" d="M${drawn.join('L')}"/>`,
      `<path class="${style}" d="M${left} ${offset + 36}h24"/>`,
      text(left + 30, offset + 40, name, 'start'),
    );
    left += 54 + name.length * 6.6;
  }
  return lines;
}

interface Scale {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

/** Puts 0 to `max` between two places, with at most seven ticks at round numbers. */
function scale(max: number, from: number, to: number): Scale {
  const power = 10 ** Math.floor(Math.log10(max / 6));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= max / 6) as number);
  const ticks = Array.from({ length: Math.floor(max / step) + 1 }, (_, index) => index * step);
  return { at: (value) => from + (value / max) * (to - from), ticks };
}

function line(x1: number, y1: number, x2: number, y2: number): string {
  return `<line class="grid" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`;
}
