import { describe, expect, test } from 'vitest';
import { BadInputError, RunConflictError, StoreError, TooLargeError } from '../../../src/base/errors.ts';
import type { Id } from '../../../src/batch/ids.ts';
import { redriveBatch } from '../../../src/run/redrive.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { quiet, watch } from '../../support/manual-mapper.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { olderText } from '../../support/older-text.ts';
import { documentFaults, lineFaults } from '../../support/schemas.ts';
import { answer, notFound, originOf, post, ScriptedOrigin } from '../../support/scripted-origin.ts';

import {
  busy,
  errorOf,
  flaky,
  linesOf,
  noFetch,
  portsOf,
  redriven,
  runFirst,
  type Script,
  settings,
  six,
  textOf,
} from './redrive-world.ts';

/** A run, and so many redrives of it: something is left to be fetched in each. */
async function chainOf(count: number, store: MemoryStore): Promise<void> {
  await runFirst(store, six, () => busy);
  const text = textOf(store, 'run-1');
  for (let number = 1; number <= count; number++) {
    const redriveOf = number === 1 ? 'run-1' : `run-1.redrive-${number - 1}`;
    const requestId = `request-${number}`;
    const run = { ...JSON.parse(text).run, id: `run-1.redrive-${number}`, requestId, redriveOf };
    store.documents.set(run.id, text.replace(/"run":.*/, `"run":${JSON.stringify(run)},`));
  }
}

describe('a redrive', () => {
  test('fetches what is retryable, and writes it into a whole document among what the run had', async () => {
    const store = new MemoryStore();
    await runFirst(store, six, flaky);
    const { run, requested } = await redriven('run-1', (id) => answer(`{"id":${id},"again":true}`), {
      store,
    });

    expect(requested).toStrictEqual([2, 4]);
    const before = linesOf(store, 'run-1');
    const again = (index: number, id: number) =>
      `{"index":${index},"id":${id},"status":"fulfilled","httpStatus":200,"attempts":1,"startedMs":0,"durationMs":10,"waitedMs":0,"value":{"id":${id},"again":true}}`;
    expect(linesOf(store, 'run-1.redrive-1')).toStrictEqual(before.with(1, again(1, 2)).with(3, again(3, 4)));
    expect(before[0]).toContain('"views":9007199254740993,"price":1.10');

    const text = textOf(store, 'run-1.redrive-1');
    expect(documentFaults(JSON.parse(text))).toStrictEqual([]);
    expect(run).toMatchObject({
      runId: 'run-1.redrive-1',
      location: 's3://results/runs/run-1.redrive-1.json',
      replayed: false,
      run: { id: 'run-1.redrive-1', requestId: 'request-2', requested: 6, redriveOf: 'run-1' },
      errors: { total: 1, byCode: { NOT_FOUND: 1 }, retryableIds: [] },
      summary: { requested: 6, fulfilled: 5, rejected: 1, attempts: 6, complete: true },
    });
    expect(run.run.idsSha256).toBe(JSON.parse(textOf(store, 'run-1')).run.idsSha256);
  });

  test('makes a run whole whose time had run out', async () => {
    const store = new MemoryStore();
    const ids = Array.from({ length: 40 }, (_, i) => i + 1);
    const first = await runFirst(store, ids, (id) => ({ ...post(id), tookMs: 1_000 }), {
      remainingMs: 4_500,
    });
    expect(first.summary).toMatchObject({ fulfilled: 15, complete: false });
    const { run, requested } = await redriven('run-1', post, { store });
    expect(requested).toStrictEqual(ids.slice(15));
    expect(run.summary).toMatchObject({ requested: 40, fulfilled: 40, rejected: 0, complete: true });
    const results = JSON.parse(textOf(store, run.runId)).results as { id: Id; index: number }[];
    expect(results.map(({ id, index }) => [index, id])).toStrictEqual(ids.map((id, index) => [index, id]));
  });

  test('takes up the latest of the run and its redrives, whichever is named', async () => {
    const store = new MemoryStore();
    await runFirst(store, six, flaky);
    const twoAgain: Script = (id) => (id === 2 ? post(id) : busy);
    await redriven('run-1', twoAgain, { store }, 'request-2');
    const second = await redriven('run-1', () => busy, { store }, 'request-3');
    expect([second.run.runId, second.run.run.redriveOf, second.requested]).toStrictEqual([
      'run-1.redrive-2',
      'run-1.redrive-1',
      [4],
    ]);
    const third = await redriven('run-1.redrive-1', post, { store }, 'request-4');
    expect([third.run.runId, third.run.run.redriveOf, third.requested]).toStrictEqual([
      'run-1.redrive-3',
      'run-1.redrive-2',
      [4],
    ]);
    expect(third.run.summary).toMatchObject({ fulfilled: 5, complete: true });
  });

  test.each([0, 1, 2, 3, 7, 8, 60, 1_000])('finds the latest of %d without a look at each', async (count) => {
    const store = new MemoryStore();
    await chainOf(count, store);
    store.asked.length = 0;
    const { run } = await redriven('run-1', post, { store }, 'request-of-another');
    expect(run.runId).toBe(`run-1.redrive-${count + 1}`);
    // The run itself, the steps there and back, and the last but one.
    const most = 2 * Math.log2(count + 1) + 4;
    expect(store.asked.filter((it) => it === 'find').length).toBeLessThanOrEqual(most);
  });

  test('goes on from the redrive that is named', async () => {
    const store = new MemoryStore();
    await chainOf(60, store);
    const { run } = await redriven('run-1.redrive-47', post, { store }, 'request-of-another');
    expect(run.runId).toBe('run-1.redrive-61');
  });

  test.each(['run-1', 'run-1.redrive-59', 'run-1.redrive-60'])(
    'that is delivered twice, and another in between, fetches once: of %s',
    async (runId) => {
      const store = new MemoryStore();
      await chainOf(60, store);
      for (const number of [59, 60]) {
        const { run } = await redriven('run-1', noFetch, { store }, `request-${number}`);
        expect(run).toMatchObject({ runId: `run-1.redrive-${number}`, replayed: true });
      }
      const { run } = await redriven(runId, post, { store }, 'request-of-another');
      expect(run.runId).toBe('run-1.redrive-61');
    },
  );

  test('of a run with nothing to fetch again is the run as it is', async () => {
    const store = new MemoryStore();
    await runFirst(store, six, (id) => (id === 5 ? notFound : post(id)));
    const { run } = await redriven('run-1', noFetch, { store });
    expect(run).toMatchObject({ runId: 'run-1', replayed: true });
    expect([...store.documents.keys()]).toStrictEqual(['run-1']);
  });

  test('that is delivered twice fetches once', async () => {
    const store = new MemoryStore();
    await runFirst(store, six, flaky);
    // Something is left to be fetched, and is not by the second delivery.
    const first = await redriven('run-1', () => busy, { store });
    // By the name of what the first wrote as well.
    for (const runId of ['run-1', 'run-1.redrive-1']) {
      const second = await redriven(runId, noFetch, { store });
      expect(second.run).toStrictEqual({ ...first.run, replayed: true });
    }
  });

  test('fetches a post that the batch names twice once, and puts it into both places', async () => {
    const store = new MemoryStore();
    await runFirst(store, [2, 1, '2', 2], flaky);
    const { run, requested } = await redriven('run-1', post, { store });
    expect(requested).toStrictEqual([2]);
    expect(JSON.parse(textOf(store, run.runId)).results).toMatchObject([
      { id: 2, value: { id: 2 } },
      { id: 1, value: { id: 1 } },
      { id: '2', value: { id: 2 } },
      { id: 2, value: { id: 2 } },
    ]);
    expect(run.summary).toMatchObject({ requested: 4, fulfilled: 4, attempts: 2 });
  });

  test('that runs out of time keeps what it has, and the outcomes that it could not better', async () => {
    const store = new MemoryStore();
    const ids = Array.from({ length: 20 }, (_, i) => i + 1);
    await runFirst(store, ids, () => busy);
    const { run, requested } = await redriven('run-1', (id) => ({ ...post(id), tookMs: 1_000 }), {
      store,
      remainingMs: 3_500,
    });
    // Two rounds of five were answered, a third was under way.
    expect(requested).toHaveLength(15);
    expect(run.summary).toMatchObject({ fulfilled: 10, rejected: 10, complete: false });
    expect(run.errors.byCode).toStrictEqual({ DEADLINE: 5, HTTP_ERROR: 5 });
    expect(linesOf(store, run.runId).slice(15).join(',\n')).toBe(
      linesOf(store, 'run-1').slice(15).join(',\n'),
    );
  });

  test('fetches ahead of what it copies, however far apart the posts stand', async () => {
    const store = new MemoryStore();
    const ids = Array.from({ length: 300 }, (_, i) => i);
    const isFlaky = (id: Id): boolean => Number(id) % 100 === 99;
    await runFirst(store, ids, (id) => (isFlaky(id) ? busy : post(id)));
    const { promise: allAsked, resolve } = Promise.withResolvers<void>();
    let asked = 0;
    // None is answered before all have been asked for.
    const { run } = await redriven(
      'run-1',
      async (id) => {
        if (++asked === 3) resolve();
        await allAsked;
        return post(id);
      },
      { store },
    );
    expect(run.summary.fulfilled).toBe(300);
  });

  test('takes outcomes that are an object by themselves, and writes either kind', async () => {
    const whole = new MemoryStore();
    await runFirst(whole, six, flaky);
    await redriven('run-1', post, { store: whole });
    const expected = linesOf(whole, 'run-1.redrive-1');

    const store = new MemoryStore();
    await runFirst(store, six, flaky, { output: 'ndjson' });
    const apart = await redriven('run-1', (id) => (id === 2 ? post(id) : busy), {
      store,
      settings: { output: 'ndjson' },
    });
    const left = store.outcomes.get('run-1')?.split('\n')[3]?.replace('"runId":"run-1",', '');
    const apartLines = expected
      .with(3, left ?? '')
      .map((line) => line.replace('{', '{"runId":"run-1.redrive-1",'));
    expect(store.outcomes.get('run-1.redrive-1')?.split('\n')).toStrictEqual([...apartLines, '']);
    expect(apart.run.outcomes?.location).toBe('s3://results/runs/run-1.redrive-1.ndjson');
    const joined = await redriven('run-1', post, { store }, 'request-3');
    expect(joined.requested).toStrictEqual([4]);
    expect(linesOf(store, 'run-1.redrive-2')).toStrictEqual(expected);
    expect(joined.run.outcomes).toBeUndefined();
  });

  test.each(['json', 'ndjson'] as const)(
    'takes over the lines of an older run as they are: they say neither what was waited nor of which run they are (%s)',
    async (output) => {
      const store = new MemoryStore();
      await runFirst(store, six, flaky, { output });
      for (const texts of [store.documents, store.outcomes])
        for (const [runId, text] of texts) texts.set(runId, olderText(text));
      const before =
        output === 'json' ? linesOf(store, 'run-1') : (store.outcomes.get('run-1') ?? '').trim().split('\n');
      expect(before.join()).not.toMatch(/waitedMs|runId/);

      const { run } = await redriven('run-1', (id) => (id === 2 ? post(id) : busy), { store });
      const fetched = (index: number) =>
        expect.stringContaining(`{"index":${index},"id":${index + 1},"status"`);
      const lines = linesOf(store, 'run-1.redrive-1');
      expect(lines).toStrictEqual(before.with(1, fetched(1)).with(3, fetched(3)));
      expect(lines.map((line) => line.includes('"waitedMs":0,'))).toStrictEqual(
        six.map((id) => id === 2 || id === 4),
      );
      expect(documentFaults(JSON.parse(textOf(store, 'run-1.redrive-1')))).toStrictEqual([]);
      expect(run.summary).toMatchObject({ fulfilled: 4, rejected: 2, attempts: 6, pauses: [] });

      await redriven('run-1', post, { store, settings: { output: 'ndjson' } }, 'request-3');
      const apart = store.outcomes.get('run-1.redrive-2')?.split('\n') ?? [];
      expect(apart[0]).toBe(before[0]?.replace('{', '{"runId":"run-1.redrive-2",'));
      expect(apart.slice(0, -1).flatMap((line) => lineFaults(JSON.parse(line)))).toStrictEqual([]);
    },
  );

  test('of outcomes of which one is of another run is a conflict', async () => {
    const store = new MemoryStore();
    await runFirst(store, six, flaky, { output: 'ndjson' });
    store.outcomes.set(
      'run-1',
      (store.outcomes.get('run-1') ?? '').replace(/"run-1"(?=,"index":3)/, '"run-2"'),
    );
    await expect(errorOf('run-1', noFetch, { store })).resolves.toMatchObject({
      error: new RunConflictError(
        's3://results/runs/run-1.ndjson is not as it was written: its outcome 3 cannot be read',
      ),
    });
    expect(store.documents.size).toBe(1);
  });

  test('of a run in the default mode ends with its first failure, and writes nothing', async () => {
    const store = new MemoryStore();
    await runFirst(store, six, flaky);
    const text = textOf(store, 'run-1').replace('"returnExceptions":true', '"returnExceptions":false');
    store.documents.set('run-1', text);
    const { error } = await errorOf('run-1', () => busy, { store });
    expect(error).toMatchObject({ name: 'PostError', code: 'HTTP_ERROR', id: 2 });
    expect([...store.documents.keys()]).toStrictEqual(['run-1']);
  });

  test('is heard of by its observer', async () => {
    const store = new MemoryStore();
    await runFirst(store, six, flaky);
    const heard: string[] = [];
    const observer = {
      runStarted: ({ id }: { id: string }) => heard.push(`started ${id}`),
      postRejected: (index: number) => heard.push(`rejected ${index}`),
      runEnded: ({ run }: { run: { id: string } }) => heard.push(`ended ${run.id}`),
      runReplayed: ({ run }: { run: { id: string } }) => heard.push(`replayed ${run.id}`),
      runInProgress: ({ id }: { id: string }) => heard.push(`in progress ${id}`),
      runFailed: ({ id }: { id: string }) => heard.push(`failed ${id}`),
    };
    await redriven('run-1', post, { store, observer });
    await redriven('run-1', noFetch, { store, observer });
    expect(heard).toStrictEqual([
      'started run-1.redrive-1',
      'rejected 4',
      'ended run-1.redrive-1',
      'replayed run-1.redrive-1',
    ]);
  });
});

describe('of two redrives at once', () => {
  /** A store in which another delivery writes the redrive while this one fetches. */
  async function overtaken(byWhat: (text: string) => string): Promise<MemoryStore> {
    const store = new MemoryStore();
    await runFirst(store, six, flaky);
    await redriven('run-1', post, { store }, 'request-of-the-other');
    const text = byWhat(textOf(store, 'run-1.redrive-1'));
    store.documents.delete('run-1.redrive-1');
    const write = store.write.bind(store);
    store.write = async (runId, chunks, signal) => {
      store.documents.set(runId, text);
      return write(runId, chunks, signal);
    };
    return store;
  }

  test('the second replays what the first wrote', async () => {
    const store = await overtaken((text) => text);
    const { run } = await redriven('run-1', post, { store });
    expect(run).toMatchObject({
      runId: 'run-1.redrive-1',
      replayed: true,
      run: { requestId: 'request-of-the-other' },
    });
  });

  test('the second fails where what the first wrote is something else', async () => {
    const store = await overtaken((text) => text.replace('"redriveOf":"run-1"', '"redriveOf":"run-2"'));
    const { error } = await errorOf('run-1', post, { store });
    expect(error).toStrictEqual(
      new RunConflictError('The runId run-1.redrive-1 names a run that is no redrive of run-1'),
    );
  });

  test('the second fails where what the first wrote has gone', async () => {
    const store = await overtaken((text) => text);
    const find = store.find.bind(store);
    store.find = async (runId) => (runId === 'run-1' ? find(runId) : undefined);
    const { error } = await errorOf('run-1', post, { store });
    expect(error).toBeInstanceOf(StoreError);
  });
});

describe('nothing is fetched, and the error says why,', () => {
  test('where there is no such run', async () => {
    const { error } = await errorOf('run-7', noFetch, { store: new MemoryStore() });
    expect(error).toStrictEqual(
      new BadInputError(
        'Expected `redrive` to name a run, got "run-7", of which there is no s3://results/runs/run-7.json',
      ),
    );
  });

  test('where the run is longer than a batch may be', async () => {
    const store = new MemoryStore();
    await runFirst(store, six, flaky);
    const { error } = await errorOf('run-1', noFetch, { store, settings: { maxIds: 5 } });
    expect(error).toStrictEqual(
      new TooLargeError('Expected `redrive` to name a run of at most 5 ids (MAX_IDS), got run-1, of 6'),
    );
  });

  test('where the name of the redrive would be no run id', async () => {
    const store = new MemoryStore();
    await runFirst(store, six, flaky);
    const long = 'r'.repeat(120);
    store.documents.set(long, textOf(store, 'run-1'));
    const { error } = await errorOf(long, noFetch, { store });
    expect(error).toBeInstanceOf(BadInputError);
    expect(String(error)).toContain('Expected `run.id` to be 1 to 128 characters');
  });

  test.each<[what: string, change: (text: string) => string]>([
    ['of the same ids', (text) => text],
    [
      'of other ids that says that it is one',
      (text) => text.replace(/"idsSha256":"../, '"redriveOf":"run-1",$&zz'),
    ],
    [
      'of the same ids that is a redrive of another one',
      (text) => text.replace('"trigger"', '"redriveOf":"run-2",$&'),
    ],
  ])('where another run has the name of the redrive: one %s', async (_, change) => {
    const store = new MemoryStore();
    await runFirst(store, six, flaky);
    store.documents.set('run-1.redrive-1', change(textOf(store, 'run-1')));
    const { error } = await errorOf('run-1', noFetch, { store });
    expect(error).toStrictEqual(
      new RunConflictError('The runId run-1.redrive-1 names a run that is no redrive of run-1'),
    );
  });

  test.each([1, 4])('where a run of the same ids has that of redrive %d', async (number) => {
    const store = new MemoryStore();
    await chainOf(number - 1, store);
    store.documents.set(`run-1.redrive-${number}`, textOf(store, 'run-1'));
    const { error } = await errorOf('run-1', noFetch, { store }, 'request-of-another');
    const earlier = number === 1 ? 'run-1' : `run-1.redrive-${number - 1}`;
    expect(error).toStrictEqual(
      new RunConflictError(`The runId run-1.redrive-${number} names a run that is no redrive of ${earlier}`),
    );
  });

  test('where the look for a redrive fails', async () => {
    const store = new MemoryStore();
    await runFirst(store, six, flaky);
    const failed = new StoreError('It could not be read');
    const { find } = store;
    store.find = async (runId) => {
      if (runId !== 'run-1') throw failed;
      return find.call(store, runId);
    };
    expect((await errorOf('run-1', noFetch, { store })).error).toBe(failed);
  });

  test.each([
    [
      'has an outcome that is none',
      (text: string) => text.replace('{"index":3,', '{"index":7,'),
      'is not as it was written: its outcome 3 cannot be read',
    ],
    [
      'has outcomes of other ids',
      (text: string) => text.replace('"id":6,', '"id":7,'),
      'is not as it was written: its outcomes are not of its ids',
    ],
  ])('where the document %s', async (_, damaged, expected) => {
    const store = new MemoryStore();
    await runFirst(store, six, flaky);
    store.documents.set('run-1', damaged(textOf(store, 'run-1')));
    const { error } = await errorOf('run-1', noFetch, { store });
    expect(error).toStrictEqual(new RunConflictError(`s3://results/runs/run-1.json ${expected}`));
  });
});

test('a document that cannot be read on ends the redrive, and what it was fetching', async () => {
  const store = new MemoryStore();
  const ids = Array.from({ length: 50 }, (_, i) => i);
  await runFirst(store, ids, (id) => (Number(id) % 2 === 0 ? post(id) : busy));
  const lost = new StoreError('s3://results/runs/run-1.json could not be read: ECONNRESET');
  let reads = 0;
  const { stream } = store;
  store.stream = async function* (...given) {
    for await (const block of stream.apply(store, given)) {
      // The second reading is that which copies.
      yield reads++ === 0 ? block : block.subarray(0, block.length / 2);
    }
    if (reads > 1) throw lost;
  };
  const { error, requested } = await errorOf('run-1', post, { store });
  expect(error).toBe(lost);
  expect(requested.length).toBeLessThan(25);
  expect([...store.documents.keys()]).toStrictEqual(['run-1']);
});

test.each(['reading', 'fetching'] as const)(
  'a write that fails ends reading and fetching, and the redrive ends once both have: %s first',
  async (first) => {
    const store = new MemoryStore();
    await runFirst(store, six, flaky);
    const [readingEnds, fetchingEnds] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    /** Settles when the signal aborts, and `cleanedUp` after that. */
    const holdOn = async (signal: AbortSignal, cleanedUp: Promise<void>): Promise<never> => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      await cleanedUp;
      throw signal.reason;
    };
    const stream = store.stream.bind(store);
    let reads = 0;
    store.stream = async function* (runId, outcomes, signal) {
      reads += 1;
      // The first reading is for the ids.
      if (reads === 1) yield* stream(runId, outcomes, signal);
      else await holdOn(signal, readingEnds.promise);
    };
    const thrown = new StoreError(
      's3://results/runs/run-1.redrive-1.json could not be written: AccessDenied',
    );
    store.write = async (_runId, chunks) => {
      chunks[Symbol.asyncIterator]()
        .next()
        .catch(() => {});
      await quiet();
      throw thrown;
    };
    const clock = new FakeClock();
    const running = redriveBatch(
      { trigger: 'direct', requestId: 'request-2', sourceRunId: 'run-1' },
      settings,
      {
        ...portsOf(clock, new ScriptedOrigin(clock, post)),
        origin: originOf((_id, _timeoutMs, signal) => holdOn(signal, fetchingEnds.promise)),
        store,
      },
      { remainingMs: 30_000 },
    );
    const state = watch(running);
    const settledAfter = async (step?: PromiseWithResolvers<void>): Promise<boolean> => {
      step?.resolve();
      await quiet();
      await quiet();
      return state.settled;
    };
    expect([await settledAfter(), reads]).toStrictEqual([false, 2]);
    const [one, other] = first === 'reading' ? [readingEnds, fetchingEnds] : [fetchingEnds, readingEnds];
    expect(await settledAfter(one)).toBe(false);
    other.resolve();
    await expect(running).rejects.toBe(thrown);
    expect(clock.pending).toBe(0);
  },
);
