import type uPlot from 'uplot';
import { currentColours } from '../base/colours.ts';
import { formatCount, formatTimeMark } from '../base/format.ts';

const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

/** Distances of marks, in ms: decimal up to half a minute, and then as clocks have them. */
const TIME_STEPS = [
  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000,
  30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000,
];

const COUNT_STEPS = Array.from({ length: 10 }, (_, power) =>
  [1, 2, 5].map((digit) => digit * 10 ** power),
).flat();

/** How every axis is drawn, in the colours of the theme. */
export function axis(more: uPlot.Axis): uPlot.Axis {
  return {
    font: FONT,
    stroke: () => currentColours().muted,
    grid: { stroke: () => currentColours().grid, width: 1 },
    ticks: { show: false },
    border: { show: false },
    gap: 8,
    ...more,
  };
}

/** Time from the start of a run, in ms. */
export function timeAxis(): uPlot.Axis {
  return axis({
    scale: 'x',
    space: 72,
    size: 30,
    incrs: TIME_STEPS,
    values: (_, marks, _axis, _space, step) => marks.map((ms) => formatTimeMark(ms, step)),
  });
}

/** The left axis of charts that stand above each other, all of one width. */
export function leftAxis(more: uPlot.Axis = {}): uPlot.Axis {
  return axis({
    scale: 'y',
    side: 3,
    size: (u) => (u.width < 500 ? 46 : 64),
    incrs: COUNT_STEPS,
    values: (_, marks) => marks.map(formatCount),
    ...more,
  });
}
