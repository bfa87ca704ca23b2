import { ConfigError, expectation } from '../../base/errors.ts';

const DEFAULT_ORIGIN_CONCURRENCY = '500';
/** As many children as a Map may have at once. */
const MAX_PARTS_IN_FLIGHT = 10_000;

/**
 * How many parts may be fetched at once for the origin to see at most ORIGIN_CONCURRENCY requests in flight, where
 * each part has up to `concurrency`. Throws ConfigError where that is not even one.
 */
export function readPartsInFlight(
  { ORIGIN_CONCURRENCY = DEFAULT_ORIGIN_CONCURRENCY }: Readonly<Record<string, string | undefined>>,
  concurrency: number,
): number {
  const total = Number(ORIGIN_CONCURRENCY);
  if (!/^\d{1,9}$/.test(ORIGIN_CONCURRENCY) || total < concurrency)
    throw new ConfigError(
      expectation(
        'ORIGIN_CONCURRENCY',
        `an integer of at least CONCURRENCY, ${concurrency}`,
        ORIGIN_CONCURRENCY,
      ),
    );
  return Math.min(MAX_PARTS_IN_FLIGHT, Math.floor(total / concurrency));
}
