import { parseDictionary, parseList } from 'structured-headers';
import { type Attempt, isRetryable, isThrottled, type RateLimitFields } from './attempt.ts';
import { retryAfterMs } from './retry.ts';

type Response = Extract<Attempt, { kind: 'response' }>;

/** Seconds since 1970, and no delay: some servers, GitLab say, send these. */
const MIN_EPOCH_SECONDS = 1_000_000_000;

/**
 * For how many milliseconds from `date` on a response asks that its origin be left alone: by its Retry-After where
 * the status says that another try may succeed (429, 408, 425, 5xx), else by a quota that it says is used up
 * (draft-ietf-httpapi-ratelimit-headers, the form of any of its drafts), whatever the status. Undefined where it
 * asks for nothing, or for something that is none of these.
 */
export function askedPauseMs(response: Response, date: Date): number | undefined {
  const { status, retryAfter, rateLimit } = response;
  const asked = isRetryable(status) ? retryAfterMs(retryAfter, date) : undefined;
  if (asked !== undefined || rateLimit === undefined) return asked;
  const seconds = resetSeconds(rateLimit, isThrottled(status));
  if (seconds === undefined) return undefined;
  return Math.max(0, seconds < MIN_EPOCH_SECONDS ? seconds * 1_000 : seconds * 1_000 - date.getTime());
}

/** When a quota that is used up is given again; where the response throttles, one counts as used up unless it says otherwise. */
function resetSeconds(fields: RateLimitFields, throttled: boolean): number | undefined {
  const usedUp = (remaining: number | undefined): boolean => (remaining ?? (throttled ? 0 : 1)) <= 0;
  const resets = [
    { remaining: toNumber(fields.remaining), reset: toNumber(fields.reset) },
    ...parseLimit(fields.limit),
  ].flatMap(({ remaining, reset }) => (reset !== undefined && usedUp(remaining) ? [reset] : []));
  return resets.length === 0 ? undefined : Math.max(...resets);
}

interface Quota {
  readonly remaining: number | undefined;
  readonly reset: number | undefined;
}

/** `"default";r=0;t=5` since draft 08, a list of policies; `limit=100, remaining=0, reset=5` in those before. */
function parseLimit(field: string | undefined): readonly Quota[] {
  if (field === undefined) return [];
  try {
    if (/\breset=/.test(field)) {
      const quota = parseDictionary(field);
      return [{ remaining: numberOf(quota.get('remaining')?.[0]), reset: numberOf(quota.get('reset')?.[0]) }];
    }
    return parseList(field).map(([, parameters]) => ({
      remaining: numberOf(parameters.get('r')),
      reset: numberOf(parameters.get('t')),
    }));
  } catch {
    // A field that is no structured field is to be ignored (RFC 9651, 4.2).
    return [];
  }
}

function numberOf(item: unknown): number | undefined {
  return typeof item === 'number' ? item : undefined;
}

function toNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
