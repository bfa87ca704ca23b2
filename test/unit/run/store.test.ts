import { describe, expect, test, vi } from 'vitest';
import { StoreError } from '../../../src/base/errors.ts';
import type { Id } from '../../../src/batch/ids.ts';
import type { AttemptResult, RequestPost } from '../../../src/fetch/origin/attempt.ts';
import { runBatch } from '../../../src/run/run-batch.ts';
import { createRunStore, type RunStore } from '../../../src/store/run-store.ts';
import { createS3Client } from '../../../src/store/s3.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryClaims } from '../../support/memory-claims.ts';
import {
  accessDenied,
  loseAnswer,
  type MisbehavingS3,
  startMisbehavingS3,
} from '../../support/misbehaving-s3.ts';
import { silentObserver } from '../../support/observer.ts';
import { answer, notFound, originOf, post } from '../../support/scripted-origin.ts';
import { startStore } from '../../support/start-store.ts';

import { lesson, MIB, requestFor, settings } from './world.ts';

describe('with S3', () => {
  async function withS3(
    body: (world: { s3: MisbehavingS3; store: RunStore; stored(): Promise<string[]> }) => Promise<void>,
  ): Promise<void> {
    await using stack = new AsyncDisposableStack();
    const real = stack.adopt(await startStore({ buckets: ['results'] }), (it) => it.close());
    const s3 = stack.adopt(await startMisbehavingS3(real.endpoint), (it) => it.stop());
    const client = stack.adopt(
      createS3Client({
        endpoint: s3.endpoint,
        region: 'us-east-1',
        credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
      }),
      (it) => it.destroy(),
    );
    const stored = async (): Promise<string[]> => {
      const listing = await fetch(`${real.endpoint}/results?list-type=2`);
      return [...(await listing.text()).matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key]) => key ?? '');
    };
    const random = vi.spyOn(Math, 'random').mockReturnValue(0);
    stack.defer(() => random.mockRestore());
    await body({ s3, store: createRunStore({ client, bucket: 'results', prefix: 'runs/' }), stored });
    expect(real.openUploads()).toBe(0);
  }

  /** An origin that answers at once, without a clock. */
  const atOnce = (script: (id: Id) => AttemptResult | Promise<AttemptResult>) => {
    const origin = { requests: 0, inFlight: 0 };
    const requestPost: RequestPost = async (id, _timeoutMs, signal) => {
      origin.requests += 1;
      origin.inFlight += 1;
      try {
        const attempt = await script(id);
        signal.throwIfAborted();
        return attempt;
      } finally {
        origin.inFlight -= 1;
      }
    };
    return { origin, requestPost };
  };
  const portsOf = (store: RunStore, requestPost: RequestPost, clock = new FakeClock()) => ({
    store,
    clock,
    origin: originOf(requestPost),
    random: () => 0,
    observer: silentObserver,
    newWriter: () => 'writer',
    // Of its own: nothing but what is stored holds two deliveries apart.
    claims: new MemoryClaims(),
  });
  const time = { remainingMs: 30_000 };
  const large = (id: Id): AttemptResult => answer(`"${id}${'x'.repeat(MIB / 2)}"`);

  test('a write whose answer was lost is our own, and no replay', async () => {
    await withS3(async ({ s3, store, stored }) => {
      s3.next('PutObject', loseAnswer);
      const clock = new FakeClock();
      const { requestPost } = atOnce(post);
      const run = await runBatch(lesson, settings, portsOf(store, requestPost, clock), time);
      expect(run).toMatchObject({ replayed: false, summary: { fulfilled: 3 } });
      expect(s3.operations).toStrictEqual([
        'GetObject bytes=-65536',
        'PutObject',
        'PutObject',
        'GetObject bytes=-65536',
      ]);
      expect(await stored()).toStrictEqual(['runs/run-1.json']);
      expect(clock.pending).toBe(0);
    });
  });

  test('outcomes whose answer was lost are our own, and get their document', async () => {
    await withS3(async ({ s3, store, stored }) => {
      s3.next('PutObject', loseAnswer);
      const { requestPost } = atOnce(post);
      const run = await runBatch(
        lesson,
        { ...settings, output: 'ndjson' },
        portsOf(store, requestPost),
        time,
      );
      expect(run).toMatchObject({ replayed: false, summary: { fulfilled: 3 } });
      expect(s3.operations).toStrictEqual([
        'GetObject bytes=-65536',
        'HeadObject',
        'PutObject',
        'PutObject',
        'HeadObject',
        'PutObject',
      ]);
      expect(await stored()).toStrictEqual(['runs/run-1.json', 'runs/run-1.ndjson']);
    });
  });

  test('of two deliveries at once, one stores the document, and the other replays it', async () => {
    await withS3(async ({ store, stored }) => {
      const both = Promise.withResolvers<void>();
      const deliver = (startedAfterMs: number, requests: { count: number }) => {
        const clock = new FakeClock();
        clock.advance(startedAfterMs);
        const { requestPost } = atOnce(async (id) => {
          requests.count += 1;
          if (requests.count === 6) both.resolve();
          await both.promise;
          return post(id);
        });
        return runBatch(lesson, settings, portsOf(store, requestPost, clock), time);
      };
      const requests = { count: 0 };
      const [first, second] = await Promise.all([deliver(0, requests), deliver(1, requests)]);
      const [own, replay] = first.replayed ? [second, first] : [first, second];
      expect(own.replayed).toBe(false);
      expect(replay).toStrictEqual({ ...own, replayed: true });
      expect(await stored()).toStrictEqual(['runs/run-1.json']);
    });
  });

  test('of two deliveries of one request in the same millisecond, each knows its own outcomes', async () => {
    await withS3(async ({ store, stored }) => {
      const both = Promise.withResolvers<void>();
      let requests = 0;
      const deliver = (writer: string) => {
        const { requestPost } = atOnce(async (id) => {
          requests += 1;
          if (requests === 6) both.resolve();
          await both.promise;
          return answer(`"${writer}'s ${id}"`);
        });
        const ports = { ...portsOf(store, requestPost), newWriter: () => writer };
        return runBatch(lesson, { ...settings, output: 'ndjson' }, ports, time);
      };
      const [first, second] = await Promise.allSettled([deliver('one'), deliver('another')]);
      const runs = [first, second].flatMap((it) => (it.status === 'fulfilled' ? [it.value] : []));
      // The one that was second is told so, or, where the document was not there yet, fails and may come again.
      expect(runs.filter(({ replayed }) => !replayed)).toHaveLength(1);
      const found =
        (await store.find('run-1', new AbortController().signal)) ?? expect.fail('Nothing is there');
      const chunks = await Array.fromAsync(
        store.stream('run-1', found.outcomes, new AbortController().signal),
      );
      expect(
        new Set(
          Buffer.concat(chunks)
            .toString()
            .match(/one|another/g),
        ).size,
      ).toBe(1);
      expect(await stored()).toStrictEqual(['runs/run-1.json', 'runs/run-1.ndjson']);
    });
  });

  test('a failure in fail-fast mode, after parts were sent, leaves no part behind', async () => {
    await withS3(async ({ s3, store, stored }) => {
      const clock = new FakeClock();
      const { origin, requestPost } = atOnce(async (id) => {
        if (id !== 20) return large(id);
        await s3.asked('UploadPart');
        return notFound;
      });
      const request = requestFor({ ids: [{ from: 1, to: 100 }], returnExceptions: false });
      const running = runBatch(request, settings, portsOf(store, requestPost, clock), time);
      await expect(running).rejects.toMatchObject({ name: 'PostError', id: 20, code: 'NOT_FOUND' });
      expect(s3.operations).toContain('AbortMultipartUpload');
      expect(s3.operations).not.toContain('CompleteMultipartUpload');
      expect([await stored(), origin.inFlight, clock.pending]).toStrictEqual([[], 0, 0]);
    });
  });

  test('a write that fails in the middle stops the fetching', async () => {
    await withS3(async ({ s3, store, stored }) => {
      s3.next('UploadPart', accessDenied);
      const clock = new FakeClock();
      const { origin, requestPost } = atOnce(large);
      const request = requestFor({ ids: [{ from: 1, to: 50_000 }], runId: 'run-1' });
      const running = runBatch(request, settings, portsOf(store, requestPost, clock), time);
      await expect(running).rejects.toStrictEqual(
        new StoreError('s3://results/runs/run-1.json could not be written: AccessDenied'),
      );
      expect(origin.requests).toBeLessThan(200);
      expect([await stored(), origin.inFlight, clock.pending]).toStrictEqual([[], 0, 0]);
    });
  });

  test('the end of the time, while parts are sent, leaves nothing', async () => {
    await withS3(async ({ s3, store, stored }) => {
      const clock = new FakeClock();
      s3.always('CompleteMultipartUpload', ({ gone }) => gone.then(() => {}));
      const { origin, requestPost } = atOnce(large);
      const request = requestFor({ ids: [{ from: 1, to: 14 }], runId: 'run-1' });
      const running = runBatch(request, settings, portsOf(store, requestPost, clock), time);
      const result = expect(running).rejects.toStrictEqual(
        new StoreError(
          "s3://results/runs/run-1.json could not be written before the function's time ran out",
        ),
      );
      await s3.asked('CompleteMultipartUpload');
      clock.advance(29_750);
      await result;
      expect([await stored(), origin.inFlight, clock.pending]).toStrictEqual([[], 0, 0]);
    });
  });
});
