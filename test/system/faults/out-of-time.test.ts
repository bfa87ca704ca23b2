import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { StoreError } from '../../../src/base/errors.ts';
import type { Id } from '../../../src/batch/ids.ts';
import { eventually } from '../../support/eventually.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { hold } from '../../support/misbehaving-s3.ts';
import { httpResponse, startMisbehavingServer } from '../../support/misbehaving-server.ts';
import {
  Attempts,
  deadline,
  type Given,
  HEALTHY,
  type Outcome,
  startWorld,
  type World,
  well,
} from './world.ts';

const IDS: readonly Id[] = [1, 2, 'bad', 3, 4];
const REMAINING_MS = 10_000;
const DEADLINE_MS = 7_000;
const GIVE_UP_MS = 9_750;
const LARGE = `"${'x'.repeat(1_000_000)}"`;
const never = hold(new Promise(() => {}));

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterEach(() => world.reset());
afterAll(() => world.close());

/** The test's hands: on the clock, and on what has been asked for so far. */
interface Hands {
  readonly clock: FakeClock;
  /** Resolves once posts have been asked for that often. */
  readonly requested: (count: number) => Promise<void>;
  /** Resolves once just so many attempts are in flight. */
  readonly inFlight: (count: number) => Promise<void>;
  /** Resolves once just so many timers have yet to go off; all attempts share one. */
  readonly pending: (count: number) => Promise<void>;
}

/** Runs the batch while `meanwhile` moves the clock. Healthy posts are `value`; the other has no answer, or `bad`. */
async function runUntilLate(
  meanwhile: (hands: Hands) => Promise<void>,
  { bad, value = HEALTHY, ...given }: Partial<Given> & { bad?: Buffer; value?: string } = {},
) {
  const clock = new FakeClock();
  const upstream = await startMisbehavingServer(({ path, socket }) => {
    if (path !== '/posts/bad') socket.write(httpResponse(200, value));
    else if (bad) socket.write(bad);
  });
  const attempts = new Attempts(clock);
  const inFlight = (count: number): Promise<void> => attempts.inFlight(count);
  const pending = (count: number): Promise<void> => eventually(() => clock.pending === count);
  const settings = { attemptTimeoutMs: 20_000, ...given.settings };
  const running = world.run({
    ids: IDS,
    remainingMs: REMAINING_MS,
    ...given,
    origin: upstream.origin,
    clock,
    attempts,
    settings,
  });
  try {
    const [result] = await Promise.allSettled([
      running,
      meanwhile({ clock, requested: upstream.requested, inFlight, pending }),
    ]);
    if (result.status === 'rejected') throw result.reason;
    return { ran: result.value, requests: upstream.requests.length };
  } finally {
    expect(clock.pending).toBe(0);
    await upstream.idle();
    await upstream.stop();
  }
}

const unasked = (ids: readonly Id[]): Outcome[] => ids.map((id) => deadline(0, null, id));

test('during the look for an earlier document: nothing is fetched, and the document says so', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  world.s3.next('GetObject', hold(promise));
  const { ran, requests } = await runUntilLate(async ({ clock }) => {
    await world.s3.asked('GetObject');
    clock.advance(DEADLINE_MS);
    resolve();
  });
  await world.expectDocument(ran, unasked(IDS));
  expect(requests).toBe(0);
});

test('before the first fetch: nothing is fetched, and the document says so', async () => {
  const { ran, requests } = await runUntilLate(async () => {}, { remainingMs: 3_000 });
  await world.expectDocument(ran, unasked(IDS));
  expect(requests).toBe(0);
});

test('in flight: what has come stands, and the post that has not is over', async () => {
  const { ran } = await runUntilLate(async ({ clock, requested, inFlight }) => {
    await requested(5);
    await inFlight(1);
    clock.advance(DEADLINE_MS);
  });
  await world.expectDocument(ran, deadline(1));
});

test('in the backoff: the post is not asked for again', async () => {
  const { ran, requests } = await runUntilLate(
    async ({ clock, requested, inFlight, pending }) => {
      await requested(5);
      await inFlight(0);
      // The backoff, the renewal of the claim, and giving up.
      await pending(3);
      // All at once, as after a function that was frozen: the backoff itself would have ended in time.
      clock.advance(DEADLINE_MS);
    },
    { bad: httpResponse(500, 'oops'), random: () => 1 },
  );
  await world.expectDocument(ran, deadline(1, 500));
  expect(requests).toBe(5);
});

test('in a backoff that would end past the deadline: the post is over without it', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  world.s3.next('GetObject', hold(promise));
  const { ran } = await runUntilLate(
    async ({ clock }) => {
      await world.s3.asked('GetObject');
      clock.advance(DEADLINE_MS - 50);
      resolve();
    },
    { bad: httpResponse(500, 'oops'), random: () => 1 },
  );
  await world.expectDocument(ran, deadline(1, 500));
});

test('while queued: the posts behind the one in flight are never asked for', async () => {
  const { ran, requests } = await runUntilLate(
    async ({ clock, requested, inFlight }) => {
      await requested(3);
      await inFlight(1);
      clock.advance(DEADLINE_MS);
    },
    { settings: { concurrency: 1 } },
  );
  await world.expectDocument(ran, [well(), well(), deadline(1), ...unasked([3, 4])]);
  expect(requests).toBe(3);
});

test('while queued for a connection: the posts are over, and never sent', async () => {
  const { ran, requests } = await runUntilLate(
    async ({ clock, requested, inFlight }) => {
      await requested(3);
      // Two of them wait for the connection.
      await inFlight(3);
      clock.advance(DEADLINE_MS);
    },
    { connections: 1 },
  );
  await world.expectDocument(ran, [well(), well(), deadline(1), deadline(1, null, 3), deadline(1, null, 4)]);
  expect(requests).toBe(3);
});

test('while a part is written, past the deadline: what has come is stored', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  world.s3.next('UploadPart', hold(promise));
  const ids = [1, 2, 3, 4, 5, 6, 'bad', 7];
  const { ran } = await runUntilLate(
    async ({ clock, requested, inFlight }) => {
      await Promise.all([requested(8), world.s3.asked('UploadPart')]);
      await inFlight(1);
      clock.advance(DEADLINE_MS);
      resolve();
    },
    { ids, value: LARGE },
  );
  await world.expectDocument(
    ran,
    ids.map((id) => (id === 'bad' ? deadline(1) : well(LARGE))),
  );
});

test.each([
  ['the look for an earlier document', 'GetObject', HEALTHY],
  ['the write of a small document', 'PutObject', HEALTHY],
  ['the start of parts', 'CreateMultipartUpload', LARGE],
  ['a part', 'UploadPart', LARGE],
  ['the end of parts', 'CompleteMultipartUpload', LARGE],
] as const)('altogether, in %s: the run gives up, and leaves nothing', async (_name, operation, value) => {
  world.s3.always(operation, never);
  const late = runUntilLate(
    async ({ clock }) => {
      await world.s3.asked(operation);
      clock.advance(GIVE_UP_MS);
    },
    { ids: [1, 2, 3, 4, 5, 6], value },
  );
  const error = await late.catch((it) => it);
  expect(error).toBeInstanceOf(StoreError);
  expect(error.message).toMatch(
    /^s3:\/\/results\/runs\/run-\d+\.json could not be written before the function's time ran out$/,
  );
  expect(await world.stored()).toStrictEqual([]);
  // In the look, its claim may not have been written either.
  if (operation !== 'GetObject')
    expect(await world.claim()).toMatchObject({ state: 'failed', problem: { detail: error.message } });
});
