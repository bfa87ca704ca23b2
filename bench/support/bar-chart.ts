import { round, svg, text, WIDTH } from './svg.ts';

export interface Bar {
  readonly name: string;
  readonly value: number;
  /** The spread, as a thin line over the end of the bar. */
  readonly least: number;
  readonly most: number;
  readonly isOurs?: boolean;
}

export interface BarPanel {
  readonly title: string;
  readonly format: (value: number) => string;
  readonly bars: readonly Bar[];
  /** A value that all are to be seen against. */
  readonly mark?: { readonly name: string; readonly value: number };
}

const LEFT = 264;
const RIGHT = 84;
const ROW = 22;
const TITLE = 44;
const GAP = 22;

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 13px }
  .paper { fill: #ffffff } .ours { fill: #0969da } .theirs { fill: #b7bfc8 }
  line { stroke: #1f2328; stroke-width: 1 } .mark { stroke: #bc4c00; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .paper { fill: #0d1117 } .ours { fill: #58a6ff } .theirs { fill: #57606a }
    line { stroke: #f0f6fc } .mark { stroke: #f0883e }
  }`;

/** Draws panels of horizontal bars, one below the other, each on a scale of its own that begins at 0. */
export function barChart(description: string, panels: readonly BarPanel[]): string {
  let height = 0;
  const drawn = panels.map((panel) => {
    const lines = draw(panel, height);
    height += heightOf(panel);
    return lines;
  });
  return svg(description, height, STYLE, drawn.flat());
}

function heightOf({ bars }: BarPanel): number {
  return TITLE + bars.length * ROW + GAP;
}

function draw({ title, format, bars, mark }: BarPanel, offset: number): string[] {
  const most = Math.max(...bars.map((bar) => bar.most), mark?.value ?? 0);
  const x = (value: number): number => LEFT + (value / most) * (WIDTH - LEFT - RIGHT);
  const bottom = offset + TITLE + bars.length * ROW;
  return [
    text(16, offset + 26, title, 'start', 'title'),
    ...bars.flatMap(({ name, value, least, most, isOurs = false }, index) => {
      const top = offset + TITLE + index * ROW;
      const middle = top + ROW / 2;
      return [
        text(LEFT - 8, middle + 4, name, 'end'),
        `<rect class="${isOurs ? 'ours' : 'theirs'}" x="${LEFT}" y="${round(top + 3)}" width="${round(x(value) - LEFT)}" height="${ROW - 6}"/>`,
        `<line x1="${round(x(least))}" y1="${round(middle)}" x2="${round(x(most))}" y2="${round(middle)}"/>`,
        text(Math.max(x(value), x(most)) + 6, middle + 4, format(value), 'start'),
      ];
    }),
    ...(mark
      ? [
          `<line class="mark" x1="${round(x(mark.value))}" y1="${offset + TITLE - 4}" x2="${round(x(mark.value))}" y2="${bottom}"/>`,
          text(x(mark.value), bottom + 12, mark.name, 'middle'),
        ]
      : []),
  ];
}
