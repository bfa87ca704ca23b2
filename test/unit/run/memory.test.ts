import { describe, expect, test } from 'vitest';
import type { Id } from '../../../src/batch/ids.ts';
import { parseUrlTemplate, type UrlTemplate } from '../../../src/fetch/origin/url-template.ts';
import type { Learned } from '../../../src/fetch/politeness/learned.ts';
import { type Finding, OriginMemory, VALID_MS } from '../../../src/fetch/politeness/origin-memory.ts';
import type { OriginShare } from '../../../src/run/fetch-and-store.ts';
import { redriveBatch } from '../../../src/run/redrive.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryClaims } from '../../support/memory-claims.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { silentObserver } from '../../support/observer.ts';
import { nothingLearned } from '../../support/plain-traffic.ts';
import { answer, originOf, post, ScriptedOrigin, type Step } from '../../support/scripted-origin.ts';
import { errorOf, requestFor, runOf, settings } from './world.ts';

const adaptive = { adaptive: true, concurrency: 50 };
const busy = answer('', 503);

/** Learned at the start of the clock, or so many milliseconds after that. */
function found(learned: Partial<Learned>, atMs = 0): Finding {
  return {
    ...nothingLearned,
    ...learned,
    at: new Date(FakeClock.startDate.getTime() + atMs).toISOString(),
  };
}

function memoryWith(learned?: Partial<Learned>, sharers = 1) {
  const clock = new FakeClock();
  const memory = new OriginMemory(clock);
  if (learned) memory.note(found(learned), sharers);
  return { clock, memory };
}

describe('a run', () => {
  const one = requestFor({ ids: [1], runId: 'run-1' });

  test('starts from half of the requests in flight that an earlier one has found', async () => {
    const { run } = await runOf(one, post, { ...memoryWith({ inFlight: 40 }), settings: adaptive });
    expect(run.summary.concurrency).toStrictEqual({ min: 20, max: 20, final: 20 });
    expect(run.summary.learned).toStrictEqual(nothingLearned);
  });

  test('starts anew where none has, where that is long ago, and where nothing is kept', async () => {
    const old = memoryWith({ inFlight: 40 });
    old.clock.advance(VALID_MS + 1);
    for (const given of [memoryWith(), old, {}]) {
      const { run } = await runOf(one, post, { ...given, settings: adaptive });
      expect(run.summary.concurrency).toStrictEqual({ min: 10, max: 10, final: 10 });
    }
  });

  test('never has more in flight than CONCURRENCY, and never more a second than RATE_LIMIT, whatever was found', async () => {
    const { clock, memory } = memoryWith({ inFlight: 400, perSecond: 10_000, told: 10_000 });
    const many = requestFor({ ids: [1, 2, 3, 4, 5, 6], runId: 'run-1' });
    const slow = { adaptive: true, concurrency: 4, ratePerSecond: 10 };
    const { run, origin } = await runOf(many, post, { clock, memory, settings: slow });
    expect([run.summary.concurrency.max, origin.mostInFlight]).toStrictEqual([4, 1]);
    expect(run.summary.durationMs).toBeGreaterThanOrEqual(500);
  });

  test('starts as a part from its share', async () => {
    const share = { partsInFlight: 10, learned: undefined };
    const { run } = await runOf({ ...one, share }, post, {
      ...memoryWith({ inFlight: 400 }),
      settings: adaptive,
    });
    expect(run.summary.concurrency.min).toBe(20);
  });

  test.each([
    ['later', 1, 40],
    ['earlier', -1, 10],
  ])('starts from what it is given, where that is %s than what was kept', async (_, atMs, inFlight) => {
    const share: OriginShare = { partsInFlight: 2, learned: found({ inFlight: 80 * 2 }, atMs) };
    const { run } = await runOf({ ...one, share }, post, {
      ...memoryWith({ inFlight: 40 }),
      settings: adaptive,
    });
    expect(run.summary.concurrency.min).toBe(inFlight);
  });

  test('keeps for the next one what it has found itself, and not what it was given', async () => {
    const { clock, memory } = memoryWith();
    const share: OriginShare = {
      partsInFlight: 1,
      learned: found({ inFlight: 40, perSecond: 0.001, told: 1 }),
    };
    await runOf({ ...one, share }, post, { clock, memory, settings: adaptive });
    expect(memory.recall(1)).toStrictEqual(nothingLearned);
  });

  test('uses nothing that it is given where nothing is kept', async () => {
    const share: OriginShare = { partsInFlight: 1, learned: found({ inFlight: 40 }) };
    const { run } = await runOf({ ...one, share }, post, { settings: adaptive });
    expect(run.summary.concurrency.min).toBe(10);
  });

  const twenty = { ids: [{ from: 1, to: 20 }], runId: 'run-1' };
  /** An origin that has too much to do for the first ten requests. */
  const overloaded = (_: Id, index: number): Step => (index < 10 ? busy : post(_));

  test('leaves what it has found to the next one, at its own time', async () => {
    const { clock, memory } = memoryWith({ inFlight: 30, told: 100 });
    clock.advance(VALID_MS);
    const { run } = await runOf(requestFor(twenty), overloaded, { clock, memory, settings: adaptive });
    const { learned } = run.summary;
    expect(learned.inFlight).toBeLessThan(15);
    clock.advance(VALID_MS - run.summary.durationMs);
    expect(memory.recall(1)).toStrictEqual(learned);
  });

  test('leaves it for parts like itself, where it is one', async () => {
    const { clock, memory } = memoryWith();
    const share = { partsInFlight: 4, learned: undefined };
    const request = { ...requestFor(twenty), share };
    const { run } = await runOf(request, overloaded, { clock, memory, settings: adaptive });
    expect(memory.recall(4)).toStrictEqual(run.summary.learned);
    expect(memory.recall(3)).toStrictEqual(nothingLearned);
  });

  test('leaves it also where it fails', async () => {
    const { clock, memory } = memoryWith();
    const failFast = requestFor({ ...twenty, returnExceptions: false });
    const alone = { ...adaptive, maxAttempts: 1 };
    await errorOf(failFast, () => busy, { clock, memory, settings: alone });
    expect(memory.recall(1).inFlight).toBeGreaterThan(0);
  });
});

describe('a redrive', () => {
  const urlTemplate = settings.postUrl.text;

  /** A run of one post that is worth another try, and a redrive of it, an hour after the clock's start at most. */
  async function redriven(
    summary: object,
    share?: OriginShare,
    { clock, memory } = memoryWith(),
    postUrl = urlTemplate,
  ) {
    const store = new MemoryStore();
    await runOf(requestFor({ ids: [1], runId: 'run-1' }), () => answer('', 500), {
      store,
      settings: { ...adaptive, maxAttempts: 1 },
    });
    const text = store.documents.get('run-1') ?? '';
    const stored = JSON.parse(text).summary;
    store.documents.set(
      'run-1',
      text.replace(/"summary":.*/, `"summary":${JSON.stringify({ ...stored, ...summary })}}`),
    );
    const { requestPost } = new ScriptedOrigin(clock, post);
    const running = redriveBatch(
      { trigger: 'direct', requestId: 'request-2', sourceRunId: 'run-1', share },
      { ...settings, ...adaptive, maxIds: 10, postUrl: parseUrlTemplate(postUrl) as UrlTemplate }, // good templates
      {
        store,
        claims: new MemoryClaims(),
        origin: originOf(requestPost),
        clock,
        random: () => 0,
        observer: silentObserver,
        newWriter: () => 'writer',
        memory,
      },
      { remainingMs: 30_000 },
    );
    const run = await clock.runUntil(running);
    expect(run.run.redriveOf).toBe('run-1');
    return run.summary.concurrency.min;
  }

  const learned = { ...nothingLearned, inFlight: 40 };

  test('starts from what its source has learned', async () => {
    await expect(redriven({ learned })).resolves.toBe(20);
  });

  test.each([
    { learned: undefined },
    { learned: null },
    { learned: nothingLearned },
    { finishedAt: 'today', learned },
  ])('starts anew where the source says nothing of that: %j', async (summary) => {
    await expect(redriven(summary)).resolves.toBe(10);
  });

  test('starts anew where the source has learned it more than an hour ago', async () => {
    const world = memoryWith();
    world.clock.advance(VALID_MS + 1_000);
    await expect(redriven({ learned }, undefined, world)).resolves.toBe(10);
  });

  test('starts anew where posts come from another origin now, whatever it is given', async () => {
    const elsewhere = 'https://example.org/posts/{id}';
    await expect(redriven({ learned }, undefined, undefined, elsewhere)).resolves.toBe(10);
    const share = { partsInFlight: 1, learned: found({ inFlight: 80 }) };
    await expect(redriven({ learned }, share, undefined, elsewhere)).resolves.toBe(10);
    await expect(redriven({ learned }, share, undefined, 'https://example.com/other/{id}')).resolves.not.toBe(
      10,
    );
  });

  test('starts from the later of what its source and what this function has learned', async () => {
    const world = memoryWith({ inFlight: 60 });
    const finishedAt = (ms: number): string => found({}, ms).at;
    await expect(redriven({ learned, finishedAt: finishedAt(-1) }, undefined, world)).resolves.toBe(30);
    await expect(redriven({ learned, finishedAt: finishedAt(1) }, undefined, world)).resolves.toBe(20);
  });

  test('starts as a part from what that part had found, or from its share of what the run has', async () => {
    const at = (ms: number): string => found({}, ms).at;
    const source = { learned, finishedAt: at(0) };
    await expect(redriven(source, { partsInFlight: 10, learned: undefined })).resolves.toBe(20);
    const share = (ms: number) => ({
      partsInFlight: 10,
      learned: { ...nothingLearned, inFlight: 600, at: at(ms) },
    });
    await expect(redriven(source, share(0))).resolves.toBe(30);
    await expect(redriven(source, share(-1))).resolves.toBe(20);
  });
});
