import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Clock } from '../../../src/base/clock.ts';
import {
  httpResponse,
  type MisbehavingServer,
  type RawRequest,
  startMisbehavingServer,
} from '../../support/misbehaving-server.ts';
import type { SkippingClock } from '../../support/skipping-clock.ts';
import {
  ATTEMPT_TIMEOUT_MS,
  Attempts,
  attemptClock,
  type Given,
  HEALTHY,
  type Outcome,
  type World,
} from './world.ts';

/** What the post at fault is answered with each time: bytes, or what is done with its socket. */
export type Answer =
  | Buffer
  | string
  | ((socket: Socket, times: number, request: RawRequest, clock: Clock) => void);

interface More {
  /** Where its attempts have no end and it has not timed out all the same. */
  readonly hangs?: true;
  /** How many answers that nobody asked for the run is to have seen. @default 0 */
  readonly unsolicited?: number;
}

export type Row = [name: string, answer: Answer, outcome: Outcome, more?: More];

/** The answer of a post that is well. */
export const healthy = httpResponse(200, HEALTHY);

/** Serves healthy posts, and the one at fault as `answer` says, by the clock of the attempts. */
async function serve(answer: Answer, clock: Clock) {
  let times = 0;
  return startMisbehavingServer((request) => {
    const { path, socket } = request;
    if (path !== '/posts/bad') socket.write(healthy);
    else if (typeof answer === 'function') answer(socket, ++times, request, clock);
    else socket.write(answer);
  });
}

/** Runs the batch, and expects this outcome of the post that is answered so, and the others to be untouched. */
export async function expectOutcome(
  world: World,
  answer: Answer,
  outcome: Outcome,
  { hangs, unsolicited = 0 }: More = {},
): Promise<void> {
  const hasTimedOut = 'reason' in outcome && outcome.reason.code === 'TIMEOUT';
  const ran = await runWith(world, answer, { unsolicited }, hangs || hasTimedOut ? outcome.attempts : 0);
  await world.expectDocument(ran, outcome);
}

/** Runs the batch, one post of which is answered so; that often its attempts have no end. */
export async function runWith(world: World, answer: Answer, more: Partial<Given> = {}, hangs = 0) {
  const clock = attemptClock();
  const attempts = new Attempts(clock);
  const upstream = await serve(answer, clock);
  const running = world.run({ origin: upstream.origin, attempts, ...more });
  try {
    const asked = (attempt: number) => upstream.requested(5 + attempt);
    const [ran] = await Promise.all([running, timeOut(upstream, { clock, attempts, asked, times: hangs })]);
    await upstream.idle();
    return ran;
  } finally {
    await upstream.stop();
    // One that failed a test is not to run into the next.
    await Promise.allSettled([running]);
  }
}

interface Hanging {
  readonly clock: SkippingClock;
  readonly attempts: Attempts;
  /** Resolves once the server has got what comes of an attempt. */
  readonly asked: (attempt: number) => Promise<void>;
  readonly times: number;
  /** How many hang at once. @default 1 */
  readonly count?: number;
}

/** An attempt may have had to wait for so long for a connection that rests behind its first answer. */
const REST_MS = 10;

/** Lets attempts time out when they are the only ones left, and what the server has sent has come; not sooner. */
export async function timeOut(
  upstream: MisbehavingServer,
  { clock, attempts, asked, times, count = 1 }: Hanging,
) {
  for (let attempt = 0; attempt < times; attempt++) {
    await asked(attempt);
    await attempts.inFlight(count);
    await upstream.taken();
    for (let tenth = 1; tenth < 10; tenth++) {
      clock.advance(ATTEMPT_TIMEOUT_MS / 10);
      await upstream.taken();
    }
    clock.advance(ATTEMPT_TIMEOUT_MS / 10 - REST_MS - 1);
    await setImmediate();
    expect(attempts.count).toBe(count);
    clock.advance(REST_MS + 1);
    await attempts.inFlight(0);
  }
}

/** Misbehaves the first time, and is healthy the second. */
export const once =
  (first: Buffer): Answer =>
  (socket, times) =>
    socket.write(times === 1 ? first : healthy);
const bad = (
  httpStatus: number,
  code: 'HTTP_ERROR' | 'RATE_LIMITED',
  message: string,
  retryable: boolean,
  attempts: number,
): Outcome => ({ attempts, httpStatus, reason: { code, message: `Post bad ${message}`, retryable } });
export const httpError = (status: number, rest = ''): Outcome =>
  bad(status, 'HTTP_ERROR', `answered HTTP ${status}${rest}`, isRetried(status), isRetried(status) ? 2 : 1);
const isRetried = (status: number): boolean => status >= 500 || status < 100;
export const limited = (status: number, attempts: number): Outcome =>
  bad(status, 'RATE_LIMITED', `was rate limited: HTTP ${status}`, true, attempts);
