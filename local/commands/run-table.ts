import { styleText } from 'node:util';
import type { RunManifest } from '../../src/run/parts/run-manifest.ts';
import { count, describeCodes } from './report.ts';

/**
 * What a run of parts came to, a line a figure, and a line for each of the first ten parts that failed. `fetched` is how
 * many of its posts were fetched in this time; unless it says otherwise, all of them.
 */
export function tableOf(
  runId: string,
  { parts, errors, summary }: RunManifest,
  tookMs: number,
  fetched: number = summary.requested,
): string {
  const byCode = describeCodes(errors);
  const bounds = (name: 'p50' | 'p90' | 'p99'): string => {
    const { min, max } = summary.latencyMs[name] ?? {};
    return min === undefined || max === undefined ? '–' : min === max ? `${min}` : `${min}–${max}`;
  };
  const failed = parts.filter(({ status }) => status === 'failed');
  const rows: readonly (readonly [string, string])[] = [
    ['run', runId],
    [
      'parts',
      `${count(summary.parts.total)}: ${count(summary.parts.stored)} stored, ${count(summary.parts.failed)} failed, ${count(summary.parts.incomplete)} incomplete`,
    ],
    ['posts', count(summary.requested)],
    ['fulfilled', count(summary.fulfilled)],
    [
      'rejected',
      `${count(summary.rejected)}${byCode.length > 0 ? ` (${byCode.join(', ')}; ${count(errors.retryable)} worth another try)` : ''}`,
    ],
    ['in failed parts', count(summary.failed)],
    ['attempts', count(summary.attempts)],
    ['latency', `p50 ${bounds('p50')}, p90 ${bounds('p90')}, p99 ${bounds('p99')} ms over the parts`],
    ['slowest', `${summary.latencyMs.max ?? '–'} ms`],
    [
      'took',
      tookMs === 0
        ? '–'
        : `${(tookMs / 1000).toFixed(1)} s, ${count(fetched, 'post')} fetched, ${count(Math.round(fetched / (tookMs / 1000)))} a second`,
    ],
    ['complete', summary.complete ? 'yes' : 'no'],
    ...failed
      .slice(0, 10)
      .map(
        ({ part, firstIndex, requested }) =>
          [
            `part ${part}`,
            styleText('red', `failed: posts ${firstIndex} to ${firstIndex + requested - 1}`),
          ] as const,
      ),
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, value]) => `${styleText('bold', label.padEnd(width))}  ${value}`).join('\n');
}
