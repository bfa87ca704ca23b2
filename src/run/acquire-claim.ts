import { follow } from '../base/abort.ts';
import { StoreError } from '../base/errors.ts';
import { type Claim, claimOf, holds, RunInProgressError } from '../document/claim.ts';
import type { RunHead } from '../document/run-head.ts';
import { type ClaimPorts, HeldClaim } from './held-claim.ts';
import type { Run } from './replay.ts';

/** How a run claims its id; `Stored` is what is found where there is no more to be done. */
export interface Claiming<Stored = Run> {
  /** What the claim says of the run. */
  readonly state: 'accepted' | 'running';
  /** The run that is stored under the id; rejects where it is another. */
  readonly findStored: () => Promise<Stored | undefined>;
  /** Whether that was asked for just now, and there was none. @default false */
  readonly hasLooked?: boolean;
  /** Throws where a claim on the id is that of another run. */
  readonly requireSame: (claim: Claim) => void;
  /** Whether this is the run for which the id was accepted. @default false */
  readonly isHandedOver?: boolean | undefined;
}

/** The run that is stored, or else the claim on its id. */
type Acquired<Stored> = { readonly stored: Stored } | { readonly held: HeldClaim };

/** How often a claim may change while it is taken over. */
const TRIES = 3;
/** A constant: a signal that is given no reason makes an error of its own, with a stack. */
const NOT_NEEDED = 'The run needs no claim';

/**
 * Claims the id of a run, side by side with the look for its document, which outweighs every claim.
 *
 * A claim that is there gives way where it has lapsed, where its run failed, to a run whose Lambda request wrote it in an
 * earlier try, and, as long as it is accepted, to the run that was handed over. Rejects where another one holds:
 * with what `requireSame` throws, or with RunInProgressError. Rejects with StoreError where S3 fails, with whatever
 * `findStored` rejects with, and with the signal's reason when that aborts.
 */
export async function acquireClaim<Stored = Run>(
  run: RunHead,
  claiming: Claiming<Stored>,
  ports: ClaimPorts,
  signal: AbortSignal,
): Promise<Acquired<Stored>> {
  const { claims, clock } = ports;
  const claim = claimOf(run, claiming.state, clock.date());
  using writing = follow(signal);
  const written = claims.write(claim, undefined, writing.signal);
  const settled = Promise.allSettled([written]);
  let stored: Stored | undefined;
  try {
    stored = claiming.hasLooked ? undefined : await claiming.findStored();
  } catch (error) {
    // A claim that is on its way may yet be written, and would hold off the next try.
    const [{ value: etag }] = (await settled) as [{ readonly value?: string | undefined }];
    if (etag !== undefined) await new HeldClaim({ claim, etag }, ports).fail(error);
    throw error;
  }
  if (stored) {
    writing.abort(NOT_NEEDED);
    await settled;
    return { stored };
  }
  const etag = await written;
  if (etag !== undefined) return { held: new HeldClaim({ claim, etag }, ports) };
  return takeOver(run, claiming, ports, signal);
}

async function takeOver<Stored>(
  run: RunHead,
  claiming: Claiming<Stored>,
  ports: ClaimPorts,
  signal: AbortSignal,
): Promise<Acquired<Stored>> {
  const { claims, clock } = ports;
  for (let tries = 1; tries <= TRIES; tries++) {
    const found = await claims.read(run.id, signal);
    // In this order: the document of a run that has just ended is there before its claim is read.
    const stored = await claiming.findStored();
    if (stored) return { stored };
    if (found) requireFree(found.claim, run, claiming, ports);
    const claim = claimOf(run, claiming.state, clock.date());
    const etag = await claims.write(claim, found?.etag, signal);
    if (etag !== undefined) return { held: new HeldClaim({ claim, etag }, ports) };
  }
  throw new StoreError(`The run ${run.id} could not be claimed: its claim changed ${TRIES} times`);
}

function requireFree(
  claim: Claim,
  { id, requestId }: RunHead,
  { state, requireSame, isHandedOver = false }: Claiming<unknown>,
  { store, clock }: ClaimPorts,
): void {
  const now = clock.date();
  // Of what is handed over, an earlier try may be under way elsewhere.
  const isEarlierTry = claim.requestId === requestId && state === 'running';
  const isForThisOne = isHandedOver && claim.state === 'accepted';
  if (!holds(claim, now) || isEarlierTry) return;
  requireSame(claim);
  if (isForThisOne) return;
  throw new RunInProgressError(claim, store.location(id), now);
}
