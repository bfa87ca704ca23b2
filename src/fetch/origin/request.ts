import { onAbort } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { redirectTarget } from './answer/redirect.ts';
import type { AttemptResult } from './attempt.ts';
import { Exchange, type ExchangeOwner, type Way } from './exchange.ts';

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
    const asking = new Asking(path, way, (result) => {
      cancelTimer();
      stopListening();
      resolve(result);
    });
    const stopListening = onAbort(signal, () => {
      stopListening();
      cancelTimer();
      asking.abort();
      reject(signal.reason);
    });
    const cancelTimer = way.after(timeoutMs, () => asking.timeOut());
    asking.start();
  });
}

const TIMED_OUT: AttemptResult = { kind: 'timed-out' };

/** A request, and those that follow its redirects. */
class Asking implements ExchangeOwner {
  readonly #way: RequestWay;
  readonly #finish: (result: AttemptResult) => void;
  #path: string;
  #redirects = 0;
  #exchange: Exchange;

  constructor(path: string, way: RequestWay, finish: (result: AttemptResult) => void) {
    this.#way = way;
    this.#finish = finish;
    this.#path = path;
    this.#exchange = new Exchange(path, way.fields, way, this);
  }

  start(): void {
    this.#exchange.start();
  }

  abort(): void {
    this.#exchange.abort();
  }

  timeOut(): void {
    this.#exchange.abort();
    this.#finish(this.#exchange.answered() ?? TIMED_OUT);
  }

  onEnd(result: AttemptResult, location?: string): void {
    if (result.kind !== 'response' || location === undefined) {
      this.#finish(result);
      return;
    }
    const target = redirectTarget(location, this.#way.origin, this.#path);
    if ('foreign' in target)
      this.#finish({ ...result, redirect: `a redirect to another origin (${target.foreign})` });
    else if (this.#redirects === MAX_REDIRECTS)
      this.#finish({ ...result, redirect: `more than ${MAX_REDIRECTS} redirects` });
    else {
      this.#redirects += 1;
      this.#path = target.path;
      this.#exchange = new Exchange(target.path, DEFAULT_FIELDS, this.#way, this);
      this.#exchange.start();
    }
  }
}

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
