import { follow } from '../base/abort.ts';
import { sleep } from '../base/clock.ts';
import { BEAT_MS, RunInProgressError } from '../document/claim.ts';
import type { RunHead } from '../document/run-head.ts';
import { acquireClaim, type Claiming } from './acquire-claim.ts';
import type { ClaimPorts, HeldClaim } from './held-claim.ts';
import { Progress } from './progress.ts';
import { isPartRunId } from './redrive-chain.ts';
import type { Run } from './replay.ts';

/** A constant: a signal that is given no reason makes an error of its own, with a stack. */
const ENDED = 'The run has ended';

/**
 * Does a run that has claimed its id, unless it is stored, and renews the claim while it does. Settles as `work` does,
 * whose signal aborts as soon as the run is found to be taken over; rejects as `acquireClaim` does before. A run that
 * fails ends its claim. A part of a run is done without any.
 *
 * Once it has settled, nothing of it goes on.
 */
export async function runUnderClaim(
  run: RunHead,
  claiming: Omit<Claiming, 'state'>,
  ports: ClaimPorts,
  signal: AbortSignal,
  work: (signal: AbortSignal, progress: Progress) => Promise<Run>,
): Promise<Run> {
  const progress = new Progress(ports.clock, run.requested);
  // Step Functions starts each part once.
  if (isPartRunId(run.id)) return (await claiming.findStored()) ?? (await work(signal, progress));
  const acquired = await acquireClaim(run, { ...claiming, state: 'running' }, ports, signal);
  if ('stored' in acquired) return acquired.stored;
  const { held } = acquired;
  using working = follow(signal);
  using beating = follow(signal);
  const beats = renewNowAndThen(held, progress, ports, beating.signal).catch((error: unknown) =>
    working.abort(error),
  );
  const endBeats = (): Promise<void> => {
    beating.abort(ENDED);
    return beats;
  };
  try {
    const done = await work(working.signal, progress);
    await endBeats();
    return done;
  } catch (error) {
    await endBeats();
    // The claim of a run that was taken over is another's.
    if (!(error instanceof RunInProgressError)) await held.fail(error);
    throw error;
  }
}

/** Rejects with RunInProgressError when the run was taken over, and with the signal's reason when that aborts. */
async function renewNowAndThen(
  held: HeldClaim,
  progress: Progress,
  { clock }: ClaimPorts,
  signal: AbortSignal,
): Promise<never> {
  for (let beatMs = clock.now(); ; ) {
    await sleep(clock, Math.max(0, beatMs + BEAT_MS - clock.now()), signal);
    beatMs = clock.now();
    await held.renew(progress.figures(), signal);
  }
}
