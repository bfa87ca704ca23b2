import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { documentFaults, lineFaults } from '../../support/schemas.ts';
import { notFound, post } from '../../support/scripted-origin.ts';

import { earlierDocument, errorOf, lesson, noFetch, requestFor, run, runOf, storeWith } from './world.ts';

describe('a batch whose outcomes are an object by themselves', () => {
  const apart = { output: 'ndjson' } as const;
  const outcomesOf = (text: string) => ({
    location: 's3://results/runs/run-1.ndjson',
    bytes: Buffer.byteLength(text),
    etag: '"outcomes"',
  });

  test('has the lines that the document would have, behind the id of the run, and a document that names them, written last', async () => {
    const whole = new MemoryStore();
    await runOf(lesson, (id) => (id === 99999 ? notFound : post(id)), { store: whole });
    const store = new MemoryStore();
    const { run } = await runOf(lesson, (id) => (id === 99999 ? notFound : post(id)), {
      store,
      settings: apart,
    });
    const lines = store.outcomes.get('run-1') ?? '';
    const { results, ...rest } = JSON.parse(whole.documents.get('run-1') ?? '');
    expect(lines).toMatch(/^(\{"runId":"run-1","index":.*\}\n){3}$/);
    const parsed: unknown[] = lines
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(parsed).toStrictEqual(results.map((outcome: object) => ({ runId: 'run-1', ...outcome })));
    expect(parsed.flatMap(lineFaults)).toStrictEqual([]);
    const text = store.documents.get('run-1') ?? '';
    const outcomes = outcomesOf(lines);
    expect(JSON.parse(text)).toStrictEqual({ ...rest, outcomes });
    expect(documentFaults(JSON.parse(text))).toStrictEqual([]);
    expect(text.split('\n')).toHaveLength(6);
    expect(run).toMatchObject({
      runId: 'run-1',
      location: 's3://results/runs/run-1.json',
      outcomes,
    });
    expect(store.asked).toStrictEqual(['find', 'findOutcomes', 'writeOutcomes', 'write']);
  });

  test('of no ids has none', async () => {
    const store = new MemoryStore();
    const { run } = await runOf(requestFor({ ids: [], runId: 'run-1' }), noFetch, { store, settings: apart });
    expect(store.outcomes.get('run-1')).toBe('');
    expect(run.outcomes).toStrictEqual(outcomesOf(''));
  });

  test('is replayed when it is delivered again, whatever the output is to be by then', async () => {
    const store = new MemoryStore();
    const { run: first } = await runOf(lesson, post, { store, settings: apart });
    for (const output of ['json', 'ndjson', 'ndjson.gz'] as const) {
      const { run } = await runOf(lesson, noFetch, { store, settings: { output } });
      expect(run).toStrictEqual({ ...first, replayed: true });
    }
  });

  test('takes the place of outcomes that an earlier delivery left without a document', async () => {
    const store = new MemoryStore();
    store.outcomes.set('run-1', 'what it had\n');
    await runOf(lesson, post, { store, settings: apart });
    expect(store.outcomes.get('run-1')).not.toContain('what it had');
    expect(store.documents.has('run-1')).toBe(true);
  });

  test('is the run of another delivery where that was first, and an error where it is still to end', async () => {
    const { run: other } = await runOf(lesson, post, { settings: apart });
    for (const isDone of [true, false]) {
      const store = new MemoryStore();
      store.writeOutcomes = async (_runId, _format, _unfinished, _writer, chunks) => {
        for await (const _ of chunks);
        const { runId, location, replayed, ...report } = other;
        const run = { ...report.run, requestId: 'of the other' };
        const { outcomes, errors, summary } = report;
        const text = JSON.stringify({ version: 1, run, outcomes, errors, summary }).replace(
          /,(?="(outcomes|errors|summary)":)/g,
          ',\n',
        );
        if (isDone) store.documents.set('run-1', text);
        return undefined;
      };
      const { settled } = await run(lesson, post, { store, settings: apart });
      expect(settled).toMatchObject(
        isDone
          ? { value: { replayed: true, run: { requestId: 'of the other' } } }
          : {
              reason: { code: 'STORE_FAILED', message: expect.stringContaining('another write ran into it') },
            },
      );
    }
  });

  test('is the run of another delivery, too, whose document is there first', async () => {
    const store = storeWith(earlierDocument());
    let asked = 0;
    const find = store.find.bind(store);
    store.find = async (runId) => (asked++ === 0 ? undefined : find(runId));
    const { run } = await runOf(lesson, post, { store, settings: apart });
    expect(run).toMatchObject({ replayed: true, run: { requestId: 'request-0' } });
  });

  test('writes neither object in the default mode where a post fails', async () => {
    const store = new MemoryStore();
    const request = requestFor({ ids: [1, 99999, 3], runId: 'run-1', returnExceptions: false });
    const { error } = await errorOf(request, (id) => (id === 99999 ? notFound : post(id)), {
      store,
      settings: apart,
    });
    expect(error).toMatchObject({ code: 'NOT_FOUND', id: 99999 });
    expect([store.outcomes.size, store.documents.size]).toStrictEqual([0, 0]);
  });

  test('whose time is over between the two writes fails, and leaves its outcomes to the next delivery', async () => {
    const store = new MemoryStore();
    const clock = new FakeClock();
    store.write = async (_runId, _chunks, signal) => {
      signal.throwIfAborted();
      return new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
      );
    };
    const { error } = await errorOf(lesson, post, { store, clock, settings: apart });
    expect(error).toMatchObject({ code: 'STORE_FAILED', message: expect.stringContaining('time ran out') });
    expect(store.outcomes.size).toBe(1);
    const { write, writeOutcomes } = MemoryStore.prototype;
    // The same, where the time was over by the end of the first write.
    store.writeOutcomes = async (...args) => {
      const outcomes = await writeOutcomes.apply(store, args);
      clock.advance(30_000);
      return outcomes;
    };
    expect(await errorOf(lesson, post, { store, clock, settings: apart })).toMatchObject({ error });
    Object.assign(store, { write, writeOutcomes });
    const { run } = await runOf(lesson, post, { store, settings: apart });
    expect(run).toMatchObject({ replayed: false, summary: { fulfilled: 3 } });
  });
});
