import type { InvocationListener } from './invoke.ts';
import { describeDone, keepProgressLine, type Terminal } from './progress.ts';
import { count, shownWhole } from './report.ts';

/** Where it is shown how a run goes on. */
export interface FollowOptions {
  /** Prints that the run has begun, under which id. */
  readonly print: (line: string) => void;
  /** For all that is said while it runs. */
  readonly output: Terminal & { readonly isTTY?: boolean };
}

/** A run that is shown while it goes on. */
export interface FollowedRun extends InvocationListener {
  /** The run is over. */
  stop(): void;
}

/** So many failures are told one by one. */
const TOLD_FAILURES = 20;

/**
 * Shows how a run goes on: its id first, and of a run that is too long to be shown whole, the posts that fail as they
 * do, how far it is, and how long the rest will take.
 */
export function followRun({ print, output }: FollowOptions): FollowedRun {
  let total = 0;
  let answers = 0;
  let firstAtMs = 0;
  let failed = 0;
  const isLong = (): boolean => total > shownWhole;
  const line = keepProgressLine(output, () => {
    if (!isLong() || answers === 0) return undefined;
    // A post that is tried again is answered more than once.
    return describeDone({
      done: Math.min(total, answers),
      total,
      failed,
      ms: performance.now() - firstAtMs,
    });
  });
  return {
    logged({ message, runId, requested, index, id, code }) {
      if (message === 'Run started') {
        total = Number(requested);
        print(`Run ${runId}: ${count(total, 'post')}`);
      } else if (message === 'Post rejected') {
        failed += 1;
        if (!isLong() || failed > TOLD_FAILURES + 1) return;
        if (failed > TOLD_FAILURES) line.say('What else fails is counted, and stands in the results');
        else line.say(`Post ${Number(index) + 1} failed: ${code} (id ${id})`);
      }
    },
    answered(count) {
      if (answers === 0 && count > 0) firstAtMs = performance.now();
      answers = count;
    },
    printed: (text) => line.say(text),
    stop: () => line.stop(),
  };
}
