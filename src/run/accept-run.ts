import { RunInProgressError } from '../document/claim.ts';
import type { RunHead } from '../document/run-head.ts';
import { acquireClaim, type Claiming } from './acquire-claim.ts';
import type { ClaimPorts, HeldClaim } from './held-claim.ts';

/**
 * Claims the id of a run that another invocation is to do, and then has `handOver` tell that so. Resolves with whether it
 * did: where the run is stored, or a claim of the same run holds, nothing is handed over.
 *
 * Rejects as `acquireClaim` does, but with no RunInProgressError, and with what `handOver` rejects with: the claim says
 * then that the run has failed.
 */
export async function acceptRun(
  run: RunHead,
  claiming: Omit<Claiming<unknown>, 'state'>,
  handOver: () => Promise<void>,
  ports: ClaimPorts,
  signal: AbortSignal,
): Promise<boolean> {
  const held = await acquireUnlessInProgress(run, claiming, ports, signal);
  if (!held) return false;
  try {
    await handOver();
    return true;
  } catch (error) {
    await held.fail(error);
    throw error;
  }
}

async function acquireUnlessInProgress(
  run: RunHead,
  claiming: Omit<Claiming<unknown>, 'state'>,
  ports: ClaimPorts,
  signal: AbortSignal,
): Promise<HeldClaim | undefined> {
  try {
    const acquired = await acquireClaim(run, { ...claiming, state: 'accepted' }, ports, signal);
    return 'held' in acquired ? acquired.held : undefined;
  } catch (error) {
    if (error instanceof RunInProgressError) return undefined;
    throw error;
  }
}
