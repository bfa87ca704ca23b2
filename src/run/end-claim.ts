import { BatchFetcherError, ConfigUnavailableError, StoreError } from '../base/errors.ts';
import { type ClaimPorts, HeldClaim } from './held-claim.ts';

/**
 * Ends the claim with which a run was accepted, if it was, and nobody has begun it, as it fails for good before it has a
 * claim of its own. After an error that may pass, somebody tries again: does nothing. Never rejects.
 */
export async function endAcceptedClaim(runId: string, error: unknown, ports: ClaimPorts): Promise<void> {
  const mayPass = error instanceof StoreError || error instanceof ConfigUnavailableError;
  if (!(error instanceof BatchFetcherError) || mayPass) return;
  await ports.claims.lastly(async (signal) => {
    const found = await ports.claims.read(runId, signal);
    if (found?.claim.state === 'accepted') await new HeldClaim(found, ports).fail(error);
  });
}
