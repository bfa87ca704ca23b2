import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { fileOf, localBucket, projectDirectory } from '../../../local/world/places.ts';
import { removeObject } from '../../support/local-objects.ts';
import { readPartsPage } from '../../support/page-template.ts';
import { runCommand } from '../../support/run-command.ts';

const runId = `scale-test-${process.pid}`;
const runs = `s3://${localBucket}/runs/`;

const scale = (...args: string[]) => runCommand('local/commands/scale.ts', args);

afterAll(() => {
  const keys = ['000000', '000001', '000002'].map((part) => `${runId}.part-${part}.json`);
  for (const key of [...keys, `${runId}.manifest.json`, `plans/${runId}.jsonl`]) removeObject(runs + key);
});

describe.concurrent('npm run scale', () => {
  test('tells of a part that failed, and fetches it, and it alone, when it is asked for the run again', async () => {
    const first = await scale('--ids', '1-30', '--part-size', '10', '--run-id', runId, '--fail-parts', '1');
    expect(first.code).toBe(1);
    expect(first.err).toMatch(
      /^30 posts in 3 parts\n(scale-test-.+: \d of 3 parts, .+ posts, .+ a second\n){2}\n/,
    );
    expect(first.out).toMatch(new RegExp(`^Run ${runId}\\n`));
    expect(first.out).toMatch(/^took +[\d.]+ s, 20 posts fetched, \d+ a second$/m);
    expect(first.err).toContain('The execution failed: 1 of 3 parts have no document (part-000000)');
    expect(first.out).toMatch(/^parts +3: 2 stored, 1 failed, 0 incomplete$/m);
    expect(first.out).toMatch(/^part 0 +failed: posts 0 to 9$/m);
    const second = await scale('--redrive', runId);
    expect(second.code).toBe(0);
    expect(second.out).toMatch(/^fulfilled +30$/m);
    expect(second.out).toMatch(/^took +[\d.]+ s, 10 posts fetched, \d+ a second$/m);
    expect(second.err).toMatch(/: 3 of 3 parts, 10 posts fetched, \d+ a second\n$/);
    const { parts } = JSON.parse(readFileSync(fileOf(`${runs}${runId}.manifest.json`), 'utf8'));
    expect(parts).toHaveLength(3);
    const page = `.local/s3/${localBucket}/runs/${runId}.html`;
    for (const { out } of [first, second]) expect(out).toMatch(new RegExp(`\\nReport in ${page}\\n$`));
    const { run } = readPartsPage(readFileSync(join(projectDirectory, page), 'utf8'));
    // As new as the run manifest.
    expect(run.parts.map(({ status, href }) => [status, href])).toStrictEqual(
      ['000000', '000001', '000002'].map((part) => ['succeeded', `${runId}.part-${part}.html`]),
    );
  });

  test('is refused in one line with exit code 2, before anything runs, where it is not as it should be', async () => {
    const { code, out, err } = await scale('--ids', '1,,2');
    expect([code, out]).toStrictEqual([2, '']);
    expect(err).toMatch(/^Expected ids such as 1,2,7-9, got "1,,2"\. Usage: npm run scale -- [^\n]+\n$/);
  });
});
