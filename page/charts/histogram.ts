import type uPlot from 'uplot';
import { currentColours } from '../base/colours.ts';
import { formatMs } from '../base/format.ts';
import { axis, leftAxis } from './axes.ts';
import { Plot } from './plot.ts';

export interface HistogramSpec {
  readonly name: string;
  /** Of bins on a log scale; see PostColumns. */
  readonly counts: readonly number[];
  /** Marked by lines. */
  readonly marks: readonly { readonly label: string; readonly ms: number }[];
  /** Called with the bin at the cursor, or undefined. */
  readonly onBin: (bin: number | undefined) => void;
}

const BINS_PER_DECADE = 20;
const HEIGHT_PX = 240;
/** Bins left empty on each side. */
const MARGIN_BINS = 2;
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

/** The limits of a bin, in ms. */
export function binLimits(bin: number): readonly [from: number, to: number] {
  return [10 ** (bin / BINS_PER_DECADE), 10 ** ((bin + 1) / BINS_PER_DECADE)];
}

/** Draws how often something took how long, on a log scale. */
export function histogram(host: HTMLElement, { name, counts, marks, onBin }: HistogramSpec): void {
  const first = Math.max(0, counts.findIndex((count) => count > 0) - MARGIN_BINS);
  const end =
    Math.max(
      first,
      counts.findLastIndex((count) => count > 0),
    ) +
    1 +
    MARGIN_BINS;
  const [least] = binLimits(first);
  const [most] = binLimits(end);
  const highest = Math.max(1, ...counts);
  new Plot(host, {
    name,
    height: HEIGHT_PX,
    data: [
      [least, most],
      [0, highest],
    ],
    options: {
      padding: [44, 24, 0, 0],
      scales: {
        x: { time: false, distr: 3, range: () => [least, most] },
        y: { range: () => [0, highest * 1.04] },
      },
      series: [{}, { paths: () => null, points: { show: false } }],
      axes: [
        axis({
          scale: 'x',
          size: 30,
          grid: { show: false },
          splits: (u) => decimalMarks(least, most, u.width),
          filter: (_, splits) => splits,
          values: (_, splits) => splits.map((ms) => (ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s`)),
        }),
        leftAxis({ space: 36 }),
      ],
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      hooks: {
        draw: [
          (chart) => {
            drawBars(chart, counts, first);
            drawMarks(chart, marks);
          },
        ],
        setCursor: [
          (chart) => {
            const { left = -1 } = chart.cursor;
            onBin(left < 0 ? undefined : Math.floor(Math.log10(chart.posToVal(left, 'x')) * BINS_PER_DECADE));
          },
        ],
      },
    },
  });
}

/** 1, 2 and 5 of each power of ten; where these would stand too close, 1 alone. */
function decimalMarks(least: number, most: number, width: number): number[] {
  const decades = Math.log10(most / least);
  const digits = width / decades > 220 ? [1, 2, 5] : [1];
  const marks: number[] = [];
  for (let power = Math.floor(Math.log10(least)); 10 ** power <= most; power += 1) {
    for (const digit of digits) {
      const mark = digit * 10 ** power;
      if (mark >= least * 0.999 && mark <= most * 1.001) marks.push(mark);
    }
  }
  return marks;
}

function drawBars(chart: uPlot, counts: readonly number[], first: number): void {
  const { ctx, bbox } = chart;
  const bottom = bbox.top + bbox.height;
  ctx.save();
  ctx.fillStyle = currentColours().accent;
  for (let bin = first; bin < counts.length; bin += 1) {
    const count = counts[bin] ?? 0;
    if (count === 0) continue;
    const [from, to] = binLimits(bin).map((ms) => Math.round(chart.valToPos(ms, 'x', true)));
    // What is rare among many is seen, too.
    const height = Math.max(Math.round(bottom - chart.valToPos(count, 'y', true)), ratioOf(chart));
    ctx.fillRect(from ?? 0, bottom - height, Math.max(1, (to ?? 0) - (from ?? 0) - ratioOf(chart)), height);
  }
  ctx.restore();
}

/** Labels that would stand on each other stand in two lines. */
function drawMarks(chart: uPlot, marks: HistogramSpec['marks']): void {
  const { ctx, bbox } = chart;
  const ratio = ratioOf(chart);
  const { ink, surface } = currentColours();
  ctx.save();
  ctx.font = `600 ${12 * ratio}px ${FONT}`;
  ctx.textAlign = 'left';
  ctx.textBaseline = 'alphabetic';
  ctx.lineWidth = 1.5 * ratio;
  const ends = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { label, ms } of marks) {
    const x = Math.round(chart.valToPos(ms, 'x', true));
    const text = `${label} ${formatMs(ms)}`;
    const { width } = ctx.measureText(text);
    const start = Math.min(Math.max(x - width / 2, bbox.left), bbox.left + bbox.width - width);
    const line = Math.max(
      0,
      ends.findIndex((taken) => taken < start),
    );
    ends[line] = start + width + 8 * ratio;
    const baseline = bbox.top - (6 + line * 13) * ratio;
    ctx.setLineDash([]);
    ctx.strokeStyle = surface;
    ctx.beginPath();
    ctx.moveTo(x + 1.5 * ratio, bbox.top);
    ctx.lineTo(x + 1.5 * ratio, bbox.top + bbox.height);
    ctx.stroke();
    ctx.setLineDash([5 * ratio, 3 * ratio]);
    ctx.strokeStyle = ink;
    ctx.beginPath();
    ctx.moveTo(x, baseline + 3 * ratio);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillStyle = ink;
    ctx.fillText(text, start, baseline);
  }
  ctx.restore();
}

function ratioOf({ ctx, width }: uPlot): number {
  return ctx.canvas.width / width;
}
