import uPlot from 'uplot';
import { onTheme } from '../base/theme.ts';

export interface PlotSpec {
  /** What a screen reader says in the place of the picture. */
  readonly name: string;
  /** In CSS pixels. */
  readonly height: number;
  readonly options: Omit<uPlot.Options, 'width' | 'height'>;
  readonly data: uPlot.AlignedData;
}

/** On paper, in CSS pixels: A4 and Letter have some 700 between their margins. */
const PAPER_WIDTH = 680;

const plots = new Set<Plot>();
let isOnPaper = false;

/** Has every plot be as wide as a sheet of paper, or as its place on the screen again. */
export function setOnPaper(onPaper: boolean): void {
  isOnPaper = onPaper;
  for (const plot of plots) plot.fit();
}

/** A chart that keeps to the width of its place and to the theme. */
export class Plot {
  /** The place; the chart is in it. */
  readonly host: HTMLElement;
  readonly chart: uPlot;
  readonly #height: number;
  #isSeen = true;
  #late: (() => void) | undefined;

  /** `host` stands in the document. */
  constructor(host: HTMLElement, { name, height, options, data }: PlotSpec) {
    this.host = host;
    this.#height = height;
    this.chart = new uPlot(
      { legend: { show: false }, padding: [12, 24, 0, 0], ...options, width: this.#width(), height },
      data,
      host,
    );
    const { canvas } = this.chart.ctx;
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', name);
    plots.add(this);
    new ResizeObserver(() => this.fit()).observe(host);
    new IntersectionObserver((entries) => {
      this.#isSeen = entries.at(-1)?.isIntersecting ?? true;
      if (this.#isSeen) this.catchUp();
    }).observe(host);
    onTheme(() => this.chart.redraw(false));
  }

  /** Draws by `draw`; where the chart is out of sight, as soon as it comes into sight. */
  update(draw: () => void): void {
    this.#late = draw;
    if (this.#isSeen || isOnPaper) this.catchUp();
  }

  fit(): void {
    const width = this.#width();
    if (width === this.chart.width) return;
    this.catchUp();
    this.chart.setSize({ width, height: this.#height });
  }

  /** Draws at once what is still to be drawn. */
  catchUp(): void {
    const late = this.#late;
    this.#late = undefined;
    late?.();
  }

  #width(): number {
    return isOnPaper ? PAPER_WIDTH : Math.max(160, Math.floor(this.host.clientWidth));
  }
}
