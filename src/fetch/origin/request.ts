import { onAbort } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { redirectTarget } from './answer/redirect.ts';
import type { AttemptResult } from './attempt.ts';
import { Exchange, type Way } from './exchange.ts';

/** The project and its version in package.json. */
export const USER_AGENT = 'batch-fetcher/0.1.0';
const MAX_REDIRECTS = 3;

export interface RequestWay extends Way {
  /** Scheme, host and port. */
  readonly origin: string;
  /** The header fields of a request that follows no redirect, as `fieldsWith` gives them. */
  readonly fields: string[];
  readonly after: Clock['after'];
}

/**
 * Asks for a path of the origin, and follows redirects within it, at most 3, all within `timeoutMs`. Resolves with
 * whatever came of it; rejects only with the signal's reason, once it has aborted.
 */
export function request(
  path: string,
  timeoutMs: number,
  signal: AbortSignal,
  way: RequestWay,
): Promise<AttemptResult> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    let exchange: Exchange;
    const finish = (result: AttemptResult): void => {
      cancelTimer();
      stopListening();
      resolve(result);
    };
    const stopListening = onAbort(signal, () => {
      stopListening();
      cancelTimer();
      exchange.abort();
      reject(signal.reason);
    });
    const cancelTimer = way.after(timeoutMs, () => {
      exchange.abort();
      finish(exchange.answered() ?? TIMED_OUT);
    });
    const ask = (path: string, headers: string[], redirectsLeft: number): void => {
      exchange = new Exchange({ path, method: 'GET', headers }, way, (result, location) => {
        if (result.kind !== 'response' || location === undefined) return finish(result);
        const target = redirectTarget(location, way.origin, path);
        if ('foreign' in target)
          finish({ ...result, redirect: `a redirect to another origin (${target.foreign})` });
        else if (redirectsLeft === 0) finish({ ...result, redirect: `more than ${MAX_REDIRECTS} redirects` });
        else ask(target.path, DEFAULT_FIELDS, redirectsLeft - 1);
      });
      exchange.start();
    };
    ask(path, way.fields, MAX_REDIRECTS);
  });
}

const TIMED_OUT: AttemptResult = { kind: 'timed-out' };

const DEFAULTS = {
  accept: 'application/json',
  'accept-encoding': 'gzip, br, zstd',
  'user-agent': USER_AGENT,
};
const DEFAULT_FIELDS = fieldsWith({});

/**
 * The default header fields, and others, which replace those of the same name: names and values in turn, which costs
 * undici least.
 */
export function fieldsWith(headers: Readonly<Record<string, string>>): string[] {
  const fields = new Map(Object.entries(DEFAULTS));
  for (const [name, value] of Object.entries(headers)) fields.set(name.toLowerCase(), value);
  return [...fields].flat();
}
