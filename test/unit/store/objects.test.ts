import { getEventListeners } from 'node:events';
import { describe, expect, test, vi } from 'vitest';
import { parseManifestLocation } from '../../../src/batch/manifest/location.ts';
import { createIdSource, type IdSource } from '../../../src/store/id-source.ts';
import { createObjects } from '../../../src/store/objects.ts';
import { createPlanStore, type PlanStore } from '../../../src/store/plan-store.ts';
import { createRunStore, type RunStore } from '../../../src/store/run-store.ts';
import { eventually } from '../../support/eventually.ts';
import { quiet, watch } from '../../support/manual-mapper.ts';
import {
  cutShort,
  endEarly,
  hold,
  reset,
  type S3Fault,
  slowDown,
  stall,
} from '../../support/misbehaving-s3.ts';
import { outlast } from '../../support/outlast.ts';
import { SkippingClock } from '../../support/skipping-clock.ts';
import { storedDocument } from '../../support/stored-document.ts';
import { FOREVER, MIB, never, rejectionOf, storeErrorOf, storeWorld } from './world.ts';

const world = storeWorld();

/** All that reads S3, on one clock. */
interface Readers {
  readonly clock: SkippingClock;
  /** How many limits there were: one before each answer, and one for each piece of it. */
  readonly limits: () => number;
  readonly runs: RunStore;
  readonly plans: PlanStore;
  readonly ids: IdSource;
  readonly objects: ReturnType<typeof createObjects>;
}

function readers(): Readers {
  const clock = new SkippingClock(1);
  const options = { ...world.optionsOf(world.client), clock };
  const after = vi.spyOn(clock, 'after');
  return {
    clock,
    limits: () => after.mock.calls.filter(([ms]) => ms > 0).length,
    runs: createRunStore(options),
    plans: createPlanStore(options),
    ids: createIdSource(options),
    objects: createObjects(options),
  };
}

type Read = (from: Readers, signal: AbortSignal) => Promise<unknown>;

/** A thousand bytes that every reader takes for what it reads. */
const text = storedDocument('x', { padding: 'x'.repeat(1_000 - storedDocument('x').length) });
const concat = async (chunks: AsyncIterable<Uint8Array> | undefined) =>
  Buffer.concat(await Array.fromAsync(chunks ?? expect.fail('There is none'))).toString();

const EACH_READER: [name: string, key: string, read: Read][] = [
  ['find', 'runs/run.json', ({ runs }, signal) => runs.find('run', signal)],
  ['read', 'runs/run.json', ({ runs }, signal) => runs.read('run', signal)],
  ['stream', 'runs/run.json', ({ runs }, signal) => concat(runs.stream('run', undefined, signal))],
  [
    'stream of outcomes',
    'runs/run.ndjson',
    async ({ runs, objects }, signal) => {
      const location = objects.location('runs/run.ndjson');
      const { etag, bytes } = await objects.head('runs/run.ndjson', signal);
      return concat(runs.stream('run', { location, etag, bytes }, signal));
    },
  ],
  [
    'readPlan',
    'runs/plans/run.jsonl',
    async ({ plans }, signal) => {
      const lines = await plans.readPlan('run', signal);
      return lines && Array.fromAsync(lines);
    },
  ],
  ['readRunManifest', 'runs/run.manifest.json', ({ plans }, signal) => plans.readRunManifest('run', signal)],
  [
    'open',
    'lists/ids.csv',
    async ({ ids }, signal) =>
      concat(await ids.open(parseManifestLocation('s3://results/lists/ids.csv', 'manifest'), signal)),
  ],
];

describe.each(EACH_READER)('%s', (_, key, read) => {
  const failure = (why: string) => ({
    code: 'STORE_FAILED',
    message: `s3://results/${key} could not be read: ${why}`,
  });

  test('asks again for a body that breaks off, or ends before its end, as for an answer', async () => {
    await world.put(key, text);
    const whole = await read(readers(), never());
    world.s3.behave();
    world.s3.next('GetObject', cutShort, slowDown, endEarly, reset);
    expect(await read(readers(), never())).toStrictEqual(whole);
    expect(world.counts().GetObject).toBe(5);
  });

  test.each<[string, S3Fault]>([
    ['breaks off', cutShort],
    ['ends before its end', endEarly],
  ])('gives up on a body that %s after 60 s', async (_, fault) => {
    await world.put(key, text);
    world.s3.always('GetObject', fault);
    const from = readers();
    const error = storeErrorOf(read(from, never()));
    expect(await outlast(error, from.clock)).toStrictEqual(failure('ECONNRESET'));
    expect(world.counts().GetObject).toBeGreaterThan(10);
  });

  test('asks again for a body of which nothing comes for a third of the time, or 20 s', async () => {
    await world.put(key, text);
    const whole = await read(readers(), never());
    world.s3.behave();
    world.s3.next('GetObject', stall, stall);
    const stalled = readers();
    const reading = read(stalled, never());
    for (const [i, silenceMs] of [20_000, 40_000 / 3].entries()) {
      await stallOf(stalled, i + 1);
      stalled.clock.advance(silenceMs - 1);
      await quiet();
      expect(world.counts().GetObject).toBe(i + 1);
      stalled.clock.advance(1.001);
    }
    expect(await reading).toStrictEqual(whole);
    expect([world.counts().GetObject, stalled.clock.pending]).toStrictEqual([3, 0]);
    await eventually(() => world.s3.open === 0);
  });

  test('gives up after 60 s, and leaves neither a timer nor a connection', async () => {
    await world.put(key, text);
    world.s3.always('GetObject', stall);
    const stalled = readers();
    const signal = never();
    const reading = rejectionOf(read(stalled, signal));
    for (const tries of [1, 2, 3]) {
      await stallOf(stalled, tries);
      stalled.clock.advance(20_000);
    }
    const why = 'S3 did not send all of it in time';
    expect(await reading).toMatchObject({ ...failure(why), cause: { name: 'BrokenAnswer', message: why } });
    expect([world.counts().GetObject, stalled.clock.pending]).toStrictEqual([3, 0]);
    expect(getEventListeners(signal, 'abort')).toStrictEqual([]);
    await eventually(() => world.s3.open === 0);
  });

  test.each<[string, S3Fault, number]>([
    ['before the answer', hold(FOREVER), 1],
    ['in the middle of a body', stall, 3],
  ])('ends with the reason of its signal %s, and leaves nothing', async (_, fault, limits) => {
    await world.put(key, text);
    world.s3.always('GetObject', fault);
    const stopped = readers();
    const stopping = new AbortController();
    const reading = rejectionOf(read(stopped, stopping.signal));
    await world.s3.asked('GetObject');
    await eventually(() => stopped.limits() >= limits + (world.counts().HeadObject ?? 0));
    const reason = new Error('enough');
    stopping.abort(reason);
    expect(await reading).toBe(reason);
    expect([world.counts().GetObject, stopped.clock.pending]).toStrictEqual([1, 0]);
    expect(getEventListeners(stopping.signal, 'abort')).toStrictEqual([]);
    await eventually(() => world.s3.open === 0);
  });
});

/** Resolves once half of an answer has come, so often, and the rest is waited for. */
async function stallOf({ limits }: Readers, tries: number): Promise<void> {
  await eventually(() => limits() === 3 * tries + (world.counts().HeadObject ?? 0));
}

describe('a read', () => {
  const key = 'runs/run.json';

  test('goes on as long as something comes now and then, for 60 s', async () => {
    await world.put(key, text);
    const { clock, limits, objects } = readers();
    const more = Array.from({ length: 500 }, () => Promise.withResolvers<void>());
    world.s3.next('GetObject', async ({ forward, answerUpTo, gone }) => {
      const answer = (await forward()) ?? expect.fail('The client has gone');
      for (const [i, { promise }] of more.entries()) {
        await Promise.race([promise, gone]);
        await answerUpTo(i + 1, answer);
      }
    });
    const reading = storeErrorOf(objects.get(key, never()));
    const state = watch(reading);
    for (const [i, { resolve }] of more.entries()) {
      resolve();
      // The limit of the answer, that of its body, and one for each piece of this.
      await eventually(() => state.settled || limits() === i + 3);
      if (state.settled) break;
      clock.advance(Math.max(200, 0.3 * (60_000 - clock.now())));
    }
    expect(await reading).toMatchObject({
      message: `s3://results/${key} could not be read: S3 did not send all of it in time`,
    });
    expect([clock.now() >= 60_000, world.counts()]).toStrictEqual([true, { GetObject: 1 }]);
  });

  test.each(['get', 'head'] as const)('whose answer never comes ends after 60 s: %s', async (method) => {
    const operation = method === 'get' ? 'GetObject' : 'HeadObject';
    world.s3.always(operation, hold(FOREVER));
    const { clock, objects } = readers();
    const reading = storeErrorOf(objects[method]('x', never()));
    for (const tries of [1, 2, 3]) {
      await world.s3.asked(operation, tries);
      clock.advance(20_000);
    }
    expect(await reading).toStrictEqual({
      code: 'STORE_FAILED',
      message: 's3://results/x could not be read: S3 did not answer in time',
    });
    expect([world.counts(), clock.pending]).toStrictEqual([{ [operation]: 3 }, 0]);
  });

  test('of bytes that are not those that were sent is made again', async () => {
    const chunks = [Buffer.from('aaa')];
    const { objects } = readers();
    await objects.upload('sum', {}, chunks, never());
    world.s3.next('GetObject', async ({ forward, answer }) => {
      const whole = (await forward()) ?? expect.fail('The client has gone');
      answer({ ...whole, body: Buffer.from('bbb') });
    });
    expect((await objects.get('sum', never())).bytes.toString()).toBe('aaa');
    expect(world.counts().GetObject).toBe(2);
  });

  test('of other bytes each time says so', async () => {
    const { clock, objects } = readers();
    await objects.upload('sum', {}, [Buffer.from('aaa')], never());
    world.s3.always('GetObject', async ({ forward, answer }) => {
      const whole = await forward();
      if (whole) answer({ ...whole, body: Buffer.from('bbb') });
    });
    expect(await outlast(storeErrorOf(objects.get('sum', never())), clock)).toMatchObject({
      message: 's3://results/sum could not be read: what came does not have the checksum that was announced',
    });
  });

  test('of a range of what is empty gives what is empty, and a stream of it ends at once', async () => {
    await world.put('empty', '');
    const { objects } = readers();
    const empty = await objects.get('empty', never());
    expect(empty.totalBytes).toBe(0);
    expect(await objects.get('empty', never(), { Range: 'bytes=-5' })).toStrictEqual(empty);
    const blocks = await objects.stream('empty', never());
    expect(await blocks.next()).toStrictEqual({ done: true, value: undefined });
  });
});

describe('a stream', () => {
  test('gives up on any block as on the first', async () => {
    await world.put('long', Buffer.alloc(5 * MIB, 'x'));
    const { clock, objects } = readers();
    const blocks = await objects.stream('long', never());
    await blocks.next();
    world.s3.always('GetObject', hold(FOREVER));
    const reading = rejectionOf(blocks.next());
    for (const tries of [2, 3, 4]) {
      await world.s3.asked('GetObject', tries);
      clock.advance(20_000);
    }
    expect(await reading).toMatchObject({
      message: 's3://results/long could not be read: S3 did not answer in time',
    });
    expect((await blocks.next()).done).toBe(true);
  });

  test('costs a reader nothing who takes his time', async () => {
    await world.put('long', Buffer.alloc(5 * MIB, 'x'));
    const { clock, objects } = readers();
    const signal = never();
    const blocks = await objects.stream('long', signal);
    expect((await blocks.next()).value?.length).toBe(4 * MIB);
    clock.advance(900_000);
    expect([clock.pending, getEventListeners(signal, 'abort'), world.s3.open]).toStrictEqual([0, [], 0]);
    expect((await blocks.next()).value?.length).toBe(MIB);
  });

  test('is for who expects it only where the object is the same', async () => {
    await world.put('long', 'x');
    const { objects } = readers();
    expect(await storeErrorOf(objects.stream('long', never(), '"another"'))).toStrictEqual({
      code: 'STORE_FAILED',
      message: 's3://results/long could not be read: it was replaced in the meantime',
    });
  });
});
