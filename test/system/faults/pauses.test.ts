import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Clock } from '../../../src/base/clock.ts';
import type { Id } from '../../../src/batch/ids.ts';
import type { RunSettings } from '../../../src/run/fetch-and-store.ts';
import { httpResponse, startMisbehavingServer } from '../../support/misbehaving-server.ts';
import { SkippingClock } from '../../support/skipping-clock.ts';
import {
  type Answer,
  expectOutcome,
  healthy,
  httpError,
  limited,
  once,
  type Row,
  runWith,
} from './upstream.ts';
import { Attempts, attemptClock, HEALTHY, type Outcome, startWorld, type World, well } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterEach(() => world.reset());
afterAll(() => world.close());

const notAskedFor = (id: Id): Outcome => ({
  attempts: 0,
  httpStatus: null,
  reason: {
    code: 'RATE_LIMITED',
    message: `Post ${id} was not asked for: the origin wants a longer wait than there is time`,
    retryable: true,
  },
});

const rows: readonly Row[] = [
  ['429 without Retry-After, each time', httpResponse(429), limited(429, 2)],
  ['429 without Retry-After, once', once(httpResponse(429)), well(HEALTHY, 2)],
  ['429 with Retry-After 0, once', once(retryAfter(429, '0')), well(HEALTHY, 2)],
  ['429 with Retry-After 0, each time', retryAfter(429, '0'), limited(429, 2)],
  ['429 with a date that has passed, once', once(retryAfter(429, dateIn(-9_000))), well(HEALTHY, 2)],
  ...['soon', '-1', '1e3', 'Mon, 99 Foo 2026 99:99:99 GMT'].map(
    (nonsense): Row => [
      `429 with Retry-After ${nonsense}`,
      once(retryAfter(429, nonsense)),
      well(HEALTHY, 2),
    ],
  ),
  ['401 with Retry-After', retryAfter(401, '1'), httpError(401)],
  ['403 without Retry-After', httpResponse(403), httpError(403)],
  ['403 with nonsense as Retry-After', retryAfter(403, 'soon'), httpError(403)],
  [
    '403 with a time in Retry-After that has passed, once',
    once(retryAfter(403, '1700000000')),
    well(HEALTHY, 2),
  ],
  ['420 with Retry-After 0, each time', retryAfter(420, '0'), limited(420, 2)],
  ['430 with Retry-After 0, once', once(retryAfter(430, '0')), well(HEALTHY, 2)],
  ['403 with some of its quota left', githubs(403, 1, 3_600), httpError(403)],
  [
    '403 with a quota that a cache kept',
    httpResponse(403, '', { ...githubFields(0, 3_600), age: 1 }),
    httpError(403),
  ],
  ['a quota that a cache kept', httpResponse(200, HEALTHY, { ...githubFields(0, 3_600), age: 7 }), well()],
  ['503 without Retry-After', httpResponse(503), httpError(503)],
  ['503 with Retry-After 0, once', once(retryAfter(503, '0')), well(HEALTHY, 2)],
  ['503 with Retry-After 0, each time', retryAfter(503, '0'), limited(503, 2)],
  ['503 with nonsense as Retry-After', retryAfter(503, 'soon'), httpError(503)],
];

test.each<Row>(rows)(
  '%s: the post has its outcome, and the others are untouched',
  async (_name, answer, outcome, more) => {
    await expectOutcome(world, answer, outcome, more);
  },
);

test.each<[string, number, (clock: Clock) => string, number]>([
  ['429 with Retry-After 1', 429, () => '1', 1_000],
  ['429 with an HTTP date', 429, (clock) => dateIn(4_000, clock.date()), 4_000],
  ['503 with Retry-After 2', 503, () => '2', 2_000],
  ['429 with Retry-After 2.0', 429, () => '2.0', 2_000],
  ['429 with Retry-After 1.5', 429, () => '1.5', 2_000],
  ['429 with Retry-After 2, twice', 429, () => '2\r\nretry-after: "2"', 2_000],
  ['429 with a time since 1970', 429, (clock) => String(clock.date().getTime() / 1_000 + 2), 2_000],
  ['403 with Retry-After 1', 403, () => '1', 1_000],
  ['420 with Retry-After 1', 420, () => '1', 1_000],
  ['430 with Retry-After 1.0', 430, () => '1.0', 1_000],
])('%s is asked again when that is over, not sooner or later', async (_name, status, header, waitMs) => {
  const clock = new SkippingClock();
  const askedMs: number[] = [];
  const answer: Answer = (socket, times) => {
    askedMs.push(clock.now());
    socket.write(times === 1 ? retryAfter(status, header(clock)) : healthy);
  };
  await world.expectDocument(await runWith(world, answer, { clock }), well(HEALTHY, 2));
  expect(askedMs).toStrictEqual([0, waitMs]);
});

test.each<[string, Buffer, Outcome]>([
  ['429 with Retry-After 3600', retryAfter(429, '3600'), limited(429, 1)],
  ['429 with a Retry-After beyond all numbers', retryAfter(429, '9'.repeat(400)), limited(429, 1)],
  ['429 with a date in an hour', retryAfter(429, dateIn(3_600_000)), limited(429, 1)],
  ['503 with Retry-After 3600', retryAfter(503, '3600'), limited(503, 1)],
  ['403 with Retry-After 3600', retryAfter(403, '3600'), limited(403, 1)],
  ["GitHub's 403", githubs(403, 0, 3_600), limited(403, 1)],
  ["GitHub's 503", githubs(503, 0, 3_600), limited(503, 1)],
  ['200 and nothing left for an hour', githubs(200, 0, 3_600), well()],
  ['429 and a quota that is given again in an hour', quota(429, '"hourly";r=0;t=3600'), limited(429, 1)],
  ['200 and a quota that is given again in an hour', quota(200, 'remaining=0, reset=3600'), well()],
])(
  '%s ends the run: what is in flight comes, and nothing else is asked for',
  async (_name, answer, outcome) => {
    const held: Socket[] = [];
    const upstream = await startMisbehavingServer(({ path, socket }) => {
      if (path !== '/posts/bad') return void held.push(socket);
      socket.write(answer);
    });
    const attempts = new Attempts(attemptClock());
    const running = world.run({ origin: upstream.origin, attempts });
    await upstream.requested(3);
    await attempts.inFlight(2);
    // What a pause that is over would let through has gone out by now.
    await upstream.taken();
    await setImmediate();
    for (const socket of held) socket.write(healthy);
    const ran = await running;
    await upstream.stop();
    expect(upstream.requests).toHaveLength(3);
    await world.expectDocument(ran, [well(), well(), outcome, notAskedFor(3), notAskedFor(4)]);
  },
);

test('a quota that is used up holds the others back until it is given again', async () => {
  const clock = new SkippingClock();
  const askedMs: number[] = [];
  const upstream = await startMisbehavingServer(({ socket }, index) => {
    askedMs.push(clock.now());
    socket.write(index === 0 ? quota(200, '"burst";r=0;t=3, "daily";r=12;t=40000') : healthy);
  });
  const ran = await world.run({
    origin: upstream.origin,
    ids: [1, 2, 3],
    settings: { concurrency: 1 },
    clock,
  });
  await upstream.stop();
  await world.expectDocument(ran, [well(), well(), well()]);
  const [firstMs = 0, secondMs = 0] = askedMs;
  expect(secondMs - firstMs).toBe(3_000);
});

/** Whose fields come with answers that bring the post, of which so many are left. */
type Tells = (left: number) => number | undefined;

/** An origin that takes 50 in each 3 s from a first request on, and then answers 403. */
async function fetchFromGithub(tells: Tells, posts: number, settings: Partial<RunSettings>) {
  const clock = new SkippingClock();
  const ids = Array.from({ length: posts }, (_, index) => index + 1);
  const startsMs: number[] = [];
  const attempts = new Map<string, number>();
  let [taken, refused] = [0, 0];
  const upstream = await startMisbehavingServer(({ path, socket }) => {
    const now = clock.date().getTime();
    const startMs = startsMs.at(-1) ?? -Infinity;
    if (now >= startMs + 3_000) {
      startsMs.push(now);
      taken = 0;
    }
    const resetMs = (startsMs.at(-1) ?? 0) + 3_000;
    attempts.set(path, (attempts.get(path) ?? 0) + 1);
    const fields = (left: number) => ({
      'x-ratelimit-limit': 50,
      'x-ratelimit-remaining': left,
      'x-ratelimit-reset': Math.ceil(resetMs / 1_000),
    });
    if (taken < 50) {
      taken += 1;
      const left = tells(50 - taken);
      socket.write(httpResponse(200, HEALTHY, left === undefined ? {} : fields(left)));
    } else {
      refused += 1;
      socket.write(httpResponse(403, 'slow down', fields(0)));
    }
  });
  const ran = await world.run({
    origin: upstream.origin,
    ids,
    settings: { retryBudgetPercent: 20, attemptTimeoutMs: 12_000, ...settings },
    clock,
  });
  await upstream.stop();
  await world.expectDocument(
    ran,
    ids.map((id) => well(HEALTHY, attempts.get(`/posts/${id}`))),
  );
  return { windows: startsMs.length, refused };
}

test.each<[string, Tells, Partial<RunSettings>, number, number]>([
  // 48 or 49 of 50 in each window, and no pause.
  ['with what is left beside each', (left) => left, { adaptive: true, concurrency: 10 }, 3, 0],
  ['without a word before', () => undefined, { adaptive: true, concurrency: 10 }, 3, 10],
  ['with too little beside each', () => 9, { adaptive: true, concurrency: 10 }, 4, 10],
  ['with what is left, at a fixed concurrency', (left) => left, { concurrency: 50 }, 2, 50],
  ['without a word, at a fixed concurrency', () => undefined, { concurrency: 50 }, 2, 50],
])('an origin that takes 50 in each 3 s, and then answers 403, gets all of 100, %s', async (...row) => {
  const [, tells, settings, windows, refused] = row;
  const ran = await fetchFromGithub(tells, 100, settings);
  expect(ran.windows).toBeLessThanOrEqual(windows);
  expect(ran.refused).toBeLessThanOrEqual(refused);
});

function retryAfter(status: number, value: string): Buffer {
  return httpResponse(status, 'wait', { 'retry-after': value });
}

/** The fields of GitHub's quota, of which so much is left until so many seconds from now. */
function githubFields(remaining: number, seconds: number): Readonly<Record<string, number>> {
  return {
    'x-ratelimit-limit': 60,
    'x-ratelimit-remaining': remaining,
    'x-ratelimit-reset': Math.ceil(Date.now() / 1_000) + seconds,
  };
}

function githubs(status: number, remaining: number, seconds: number): Buffer {
  return httpResponse(status, HEALTHY, githubFields(remaining, seconds));
}

function quota(status: number, limit: string): Buffer {
  return httpResponse(status, HEALTHY, { ratelimit: limit });
}

function dateIn(ms: number, from = new Date()): string {
  return new Date(from.getTime() + ms).toUTCString();
}
