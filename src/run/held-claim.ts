import { follow } from '../base/abort.ts';
import type { Clock } from '../base/clock.ts';
import { BEAT_MS, type Claim, type Figures, failed, RunInProgressError, renewed } from '../document/claim.ts';
import { problemOf } from '../document/problem.ts';
import type { ClaimStore, StoredClaim } from '../store/claim-store.ts';
import type { RunStore } from '../store/run-store.ts';

/** What claiming a run needs of the world. */
export interface ClaimPorts {
  readonly claims: ClaimStore;
  readonly store: Pick<RunStore, 'location'>;
  readonly clock: Clock;
}

/** A constant: a signal that is given no reason makes an error of its own, with a stack. */
const LATE = 'The next renewal is due';

/** A claim that is this run's, as far as it knows. */
export class HeldClaim {
  readonly #ports: ClaimPorts;
  #last: StoredClaim;

  constructor(last: StoredClaim, ports: ClaimPorts) {
    this.#last = last;
    this.#ports = ports;
  }

  /**
   * Renews the claim of a running run. Rejects with RunInProgressError where the run was taken over; that it could not
   * be renewed for another reason, or not before the next time is due, is passed over.
   */
  async renew(figures: Figures, signal: AbortSignal): Promise<void> {
    const { clock } = this.#ports;
    using limit = follow(signal);
    const cancel = clock.after(BEAT_MS, () => limit.abort(LATE));
    try {
      await this.#replace(renewed(this.#last.claim, figures, clock.date()), limit.signal);
    } catch (error) {
      if (error instanceof RunInProgressError) throw error;
    } finally {
      cancel();
    }
  }

  /** Ends the claim of a run that fails with this error, if there is time for that. Never rejects. */
  async fail(error: unknown): Promise<void> {
    const { claims, clock } = this.#ports;
    const claim = failed(this.#last.claim, problemOf(error), clock.date());
    await claims.lastly((signal) => this.#replace(claim, signal));
  }

  async #replace(claim: Claim, signal: AbortSignal): Promise<void> {
    const { claims, store, clock } = this.#ports;
    let etag = await claims.write(claim, this.#last.etag, signal);
    if (etag === undefined) {
      const found = await claims.read(claim.runId, signal);
      if (found && !this.#isOwn(found.claim))
        throw new RunInProgressError(found.claim, store.location(claim.runId), clock.date());
      etag = await claims.write(claim, found?.etag, signal);
    }
    if (etag !== undefined) this.#last = { claim, etag };
  }

  /** Whether a claim is one that this run wrote later than the last of which it has heard. */
  #isOwn({ requestId, startedAt, beatAt }: Claim): boolean {
    const { claim: last } = this.#last;
    return requestId === last.requestId && startedAt === last.startedAt && beatAt > last.beatAt;
  }
}
