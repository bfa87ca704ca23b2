import { describe, expect, test } from 'vitest';
import { HandoverError, RunConflictError } from '../../../../src/base/errors.ts';
import { parseBaseForm } from '../../../../src/batch/base-form.ts';
import { acceptParts, type PartsRequest } from '../../../../src/run/parts/accept-parts.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { MemoryClaims } from '../../../support/memory-claims.ts';
import { MemoryStore } from '../../../support/memory-store.ts';
import { settings } from '../world.ts';

const form = (of: object) => parseBaseForm(of, { place: 'body', maxIds: Infinity }) as PartsRequest['form']; // none is a redrive

function requestFor(runId: string, of: object = { ids: [{ from: 1, to: 1_000_000_000 }] }): PartsRequest {
  return { trigger: 'api', runId, isIdempotencyKey: false, requestId: 'api-1', form: form(of) };
}

function accept(
  request: PartsRequest,
  taken: readonly string[] = [],
  { claims = new MemoryClaims(), manifest }: { claims?: MemoryClaims; manifest?: string } = {},
) {
  const names: string[] = [];
  const clock = new FakeClock();
  const accepting = acceptParts(
    request,
    async (name) => {
      names.push(name);
      return !taken.includes(name);
    },
    settings,
    { claims, store: new MemoryStore(), clock, plans: { readRunManifestEnd: async () => manifest } },
    { remainingMs: 10_000 },
  );
  return clock.runUntil(accepting).then((isStarted) => ({ isStarted, names, claims }));
}

describe('an execution', () => {
  const digest = /^[0-9a-f]{32}$/;

  test.each([
    ['nightly', 'nightly'],
    ['a.b~c_d-e', 'a-b-c_d-e'],
    ['x'.repeat(103), 'x'.repeat(40)],
  ])('of the run %s has a name that Step Functions and CloudWatch take', async (runId, start) => {
    const { names } = await accept(requestFor(runId));
    expect(names).toHaveLength(1);
    const [name = ''] = names;
    expect([name.slice(0, start.length + 1), name.slice(start.length + 1)]).toStrictEqual([
      `${start}-`,
      expect.stringMatching(digest),
    ]);
    expect(name).toMatch(/^[A-Za-z0-9_-]{1,77}$/);
  });

  test('has a name of its own for each run, and the same for the same', async () => {
    const runIds = ['a.b', 'a-b', 'a~b', `${'x'.repeat(50)}1`, `${'x'.repeat(50)}2`, 'a.b'];
    const named = await Promise.all(runIds.map((runId) => accept(requestFor(runId))));
    expect(new Set(named.flatMap(({ names }) => names)).size).toBe(5);
  });

  test('that has ended is followed by another, 20 at most', async () => {
    const {
      names: [first = ''],
    } = await accept(requestFor('run'));
    const numbers = Array.from({ length: 20 }, (_, i) => (i === 0 ? first : `${first}-${i + 1}`));
    expect(await accept(requestFor('run'), numbers.slice(0, 2))).toMatchObject({
      isStarted: true,
      names: numbers.slice(0, 3),
    });
    await expect(accept(requestFor('run'), numbers)).rejects.toStrictEqual(
      new HandoverError('The run run has had 20 executions'),
    );
    expect(numbers.map((name) => name.length <= 80)).not.toContain(false);
  });
});

describe('a run that the state machine is to do', () => {
  test('is claimed at once, however many ids it has', async () => {
    const { claims } = await accept(requestFor('run'));
    expect(claims.claimOf('run')).toMatchObject({ state: 'accepted', requested: 1_000_000_000 });
  });

  test('of a manifest is claimed with no number of ids, as that is not known', async () => {
    const { claims } = await accept(requestFor('run', { manifest: 's3://lists/a.csv' }));
    expect(claims.claimOf('run')).toMatchObject({ state: 'accepted', requested: 0 });
  });

  test('is told from another by its ids, or by its manifest', async () => {
    const { claims } = await accept(requestFor('run', { manifest: 's3://lists/a.csv' }));
    expect(
      (await accept(requestFor('run', { manifest: 's3://lists/a.csv' }), [], { claims })).isStarted,
    ).toBe(false);
    const conflict = new RunConflictError('The runId run names an earlier run of other ids');
    for (const other of [{ manifest: 's3://lists/b.csv' }, { manifest: 's3://other/a.csv' }, { ids: [1] }])
      await expect(accept(requestFor('run', other), [], { claims })).rejects.toStrictEqual(conflict);
  });

  test('is not started again where it has its manifest, with a claim or without', async () => {
    const manifest = '"summary":{}}';
    const { claims } = await accept(requestFor('run'));
    expect(await accept(requestFor('run'), [], { claims, manifest })).toMatchObject({
      isStarted: false,
      names: [],
    });
    const none = new MemoryClaims();
    // The new one is still on its way.
    none.write = (_claim, _replaced, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const again = await accept(requestFor('run'), [], { claims: none, manifest });
    expect(again).toMatchObject({ isStarted: false, names: [] });
    await expect(accept(requestFor('run', { ids: [1] }), [], { claims, manifest })).rejects.toThrow(
      RunConflictError,
    );
  });
});
