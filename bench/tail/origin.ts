import type { AttemptResult, RequestPost } from '../../src/fetch/origin/attempt.ts';
import { type LatencyMs, seeded } from '../support/latency.ts';
import type { VirtualClock } from '../support/virtual-clock.ts';

/** The head of an answer; with status 200 it brings the post. */
type Answer = { readonly status: 200 | 429 | 503 } & Pick<
  Extract<AttemptResult, { kind: 'response' }>,
  'retryAfter' | 'rateLimit' | 'date'
>;

/** What an origin does with a request that arrives: it answers with the post, or with a head of its own, or never. */
type Verdict = 'post' | 'hang' | Answer;

/** Decides on a request that arrives, `inFlight` of them with it. Holds the state of one run. */
export type Gate = (nowMs: number, inFlight: number) => Verdict;

/** Makes a gate for each run. */
export type MakeGate = () => Gate;

export const open: MakeGate = () => () => 'post';

/** So many requests a second on average, and `burst` at once; others are turned away with `status`. */
export function tokenBucket(
  perSecond: number,
  burst: number,
  retryAfter?: string,
  status: 429 | 503 = 429,
): MakeGate {
  return () => {
    let tokens = burst;
    let filledMs = 0;
    return (nowMs) => {
      tokens = Math.min(burst, tokens + ((nowMs - filledMs) * perSecond) / 1_000);
      filledMs = nowMs;
      if (tokens < 1) return { status, retryAfter };
      tokens -= 1;
      return 'post';
    };
  };
}

/** So many requests in each window, a second by default, of the origin's clock, which is not ours. */
export function fixedWindow(limit: number, retryAfter?: string, windowMs = 1_000): MakeGate {
  return () => {
    let window = 0;
    let taken = 0;
    return (nowMs) => {
      const current = Math.floor((nowMs + 0.3 * windowMs) / windowMs);
      if (current !== window) taken = 0;
      window = current;
      if (taken === limit) return { status: 429, retryAfter };
      taken += 1;
      return 'post';
    };
  };
}

/** Turns away what is too many at once. */
export function mostInFlight(most: number, status: 429 | 503): MakeGate {
  return () => (_nowMs, inFlight) => (inFlight > most ? { status } : 'post');
}

/** Turns requests away for no reason that a client could do anything about. */
export function atRandom(share: number, seed: number): MakeGate {
  return () => {
    const random = seeded(seed);
    return () => (random() < share ? { status: 429 } : 'post');
  };
}

/** Answers nothing any more that arrives while there is too much. */
export function hangsBeyond(most: number): MakeGate {
  return () => (_nowMs, inFlight) => (inFlight > most ? 'hang' : 'post');
}

/** What an origin saw of one request. */
export interface Request {
  readonly startMs: number;
  /** How long its answer takes. Infinity where there is none. */
  readonly tookMs: number;
  readonly throttled: boolean;
}

export interface Origin {
  readonly requestPost: RequestPost;
  /** In the order in which they came. */
  readonly requests: readonly Request[];
}

const BODY = Buffer.from('{"id":1}');

/** An origin without sockets. What it turns away is answered in half the time of a post. */
export function simulateOrigin(clock: VirtualClock, latencyMs: LatencyMs, gate: Gate): Origin {
  const requests: Request[] = [];
  const asked = new Map<unknown, number>();
  let inFlight = 0;

  const requestPost: RequestPost = (id, timeoutMs, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const request = asked.get(id) ?? 0;
      asked.set(id, request + 1);
      inFlight += 1;
      const verdict = gate(clock.now(), inFlight);
      const throttled = typeof verdict === 'object' && verdict.status !== 200;
      const postMs = verdict === 'hang' ? Infinity : latencyMs(Number(id), request);
      const tookMs = throttled ? postMs / 2 : postMs;
      requests.push({ startMs: clock.now(), tookMs, throttled });
      const end = (): void => {
        inFlight -= 1;
        signal.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        cancel();
        end();
        reject(signal.reason);
      };
      const cancel = clock.afterExactly(Math.min(tookMs, timeoutMs), () => {
        end();
        resolve(tookMs > timeoutMs ? { kind: 'timed-out' } : answer(verdict));
      });
      signal.addEventListener('abort', onAbort, { once: true });
    });

  return { requestPost, requests };
}

function answer(verdict: Verdict): AttemptResult {
  const head = typeof verdict === 'object' ? verdict : ({ status: 200 } as const);
  return { kind: 'response', body: head.status === 200 ? BODY : Buffer.alloc(0), ...head };
}
