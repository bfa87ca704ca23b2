import { setImmediate } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { createRunStore } from '../../../src/store/run-store.ts';
import { createS3Client } from '../../../src/store/s3.ts';
import { quiet } from '../../support/manual-mapper.ts';
import { hold } from '../../support/misbehaving-s3.ts';
import { FOREVER, failure, never, source, storeErrorOf, storeWorld } from './world.ts';

const world = storeWorld();

describe('the S3 client', () => {
  test('does not wait for an answer longer than 20 s, five times', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      world.s3.always('PutObject', hold(FOREVER));
      const result = storeErrorOf(world.store.write('x', source(10).chunks, never()));
      for (let tries = 1; tries <= 5; tries++) {
        await soon(world.s3.asked('PutObject', tries));
        vi.advanceTimersByTime(19_999);
        await quiet();
        expect(world.s3.operations).toHaveLength(tries);
        vi.advanceTimersByTime(1);
      }
      expect(await soon(result)).toStrictEqual(failure('x', 'written', 'ETIMEDOUT'));
    } finally {
      vi.useRealTimers();
    }
  });

  /** Settles as `promise` does, while the delays between tries go by, which are none. */
  async function soon<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const settle = (): void => {
      settled = true;
    };
    promise.then(settle, settle);
    while (!settled) {
      vi.advanceTimersByTime(0);
      await setImmediate();
    }
    return promise;
  }

  test('says where documents are', () => {
    expect(createRunStore({ client: createS3Client(), bucket: 'b', prefix: '' }).location('r')).toBe(
      's3://b/r.json',
    );
    expect(world.store.location('r')).toBe('s3://results/runs/r.json');
  });
});
