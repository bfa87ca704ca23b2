import type uPlot from 'uplot';
import { pauseShade } from '../base/colours.ts';

/** When nothing was sent, as the origin had asked for it. */
export interface Pause {
  readonly startedMs: number;
  readonly durationMs: number;
}

/** Shades pauses behind what a chart draws. */
export function shadePauses(chart: uPlot, pauses: readonly Pause[]): void {
  const { ctx, bbox } = chart;
  if (pauses.length === 0) return;
  ctx.save();
  ctx.fillStyle = pauseShade(ctx);
  for (const { startedMs, durationMs } of pauses) {
    const from = Math.max(bbox.left, chart.valToPos(startedMs, 'x', true));
    const to = Math.min(bbox.left + bbox.width, chart.valToPos(startedMs + durationMs, 'x', true));
    if (to > from) ctx.fillRect(from, bbox.top, Math.max(1, to - from), bbox.height);
  }
  ctx.restore();
}
