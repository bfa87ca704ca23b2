import { describe, expect, test } from 'vitest';
import { BadInputError, TooLargeError } from '../../../src/base/errors.ts';
import { parseManifestLocation } from '../../../src/batch/manifest/location.ts';
import { loadIds } from '../../../src/run/load-ids.ts';
import type { IdSource } from '../../../src/store/id-source.ts';

const never = new AbortController().signal;
const limits = { maxIds: 10, maxManifestBytes: 1_000, resultsBucket: 'results' };
const location = parseManifestLocation('s3://bucket/ids.csv', 'manifest');

function storeOf(text: string, opened: unknown[] = []): IdSource {
  return {
    async open(...args) {
      opened.push(...args);
      return (async function* () {
        yield Buffer.from(text);
      })();
    },
  };
}

describe('the ids of a manifest', () => {
  test('are those of the same list in an event', async () => {
    expect(await loadIds(location, storeOf('id\n1\na\n'), limits, never)).toStrictEqual([1, 'a']);
    expect(await loadIds(location, storeOf('1\n2\n3\n4\n5\n6\n7\n8\n'), limits, never)).toStrictEqual([
      { from: 1, to: 8 },
    ]);
  });

  test('are as many as any batch may have', async () => {
    const opened: unknown[] = [];
    await expect(
      loadIds(location, storeOf('1\n2\n3\n', opened), { ...limits, maxIds: 2 }, never),
    ).rejects.toThrow(
      new TooLargeError('Expected `s3://bucket/ids.csv` to hold at most 2 ids (MAX_IDS), got more by line 3'),
    );
    expect(opened).toStrictEqual([location, expect.objectContaining({ aborted: true })]);
  });

  test('are never read from the bucket of the results', async () => {
    const opened: unknown[] = [];
    for (const key of ['runs/payroll.json', 'manifests/ids.csv']) {
      const stored = parseManifestLocation(`s3://results/${key}`, 'manifest');
      await expect(
        loadIds(stored, storeOf('1\n', opened), { ...limits, maxIds: 10 }, never),
      ).rejects.toStrictEqual(
        new BadInputError(
          `Expected \`s3://results/${key}\` to be in another bucket than the results, which no manifest is read from`,
        ),
      );
    }
    expect(opened).toStrictEqual([]);
  });

  test('are read for as long as the signal says', async () => {
    const stopping = new AbortController();
    const failure = new Error('Enough');
    const store: IdSource = {
      open: async (_location, signal) => {
        stopping.abort(failure);
        throw signal.reason;
      },
    };
    await expect(loadIds(location, store, limits, stopping.signal)).rejects.toBe(failure);
  });
});
