import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { localBucket, projectDirectory } from '../../../local/world/places.ts';
import { removeObject } from '../../support/local-objects.ts';
import { readRunPage } from '../../support/page-template.ts';
import { runCommand } from '../../support/run-command.ts';

const start = (...args: string[]) => runCommand('local/commands/start.ts', args);

describe.concurrent('npm start', () => {
  test('shows the lesson’s third program and its document, and runs anew each time', async () => {
    const locations = [];
    for (const _ of ['first', 'second']) {
      const { code, out } = await start();
      expect(code).toBe(0);
      expect(out).toMatch(/^Post 1: .+\nPost 2 failed: No data for post 99999\nPost 3: .+\n\n3 posts in /m);
      expect(out).toMatch(/^\{"version":1,\n"run":/m);
      expect(out).not.toContain('replayed');
      const location = /^Stored as (.+)\n +in .+$/m.exec(out)?.[1] ?? '';
      const [document = '', report = ''] = out.trimEnd().split('\n').slice(-2);
      const folder = `.local/s3/${localBucket}/runs`;
      const runId = location.slice(location.lastIndexOf('/') + 1, -'.json'.length);
      expect([document, report]).toStrictEqual([
        `Document in ${folder}/${runId}.json`,
        `Report in ${folder}/${runId}.html`,
      ]);
      const page = readFileSync(join(projectDirectory, folder, `${runId}.html`), 'utf8');
      expect(readRunPage(page).run).toMatchObject({ location, shown: 3, redrive: null });
      locations.push(location);
    }
    expect(locations[0]).not.toBe(locations[1]);
    for (const location of locations) removeObject(location);
  }, 60_000);

  test('shows what README.md says that it shows', async () => {
    const readme = readFileSync(join(projectDirectory, 'README.md'), 'utf8');
    const [, shown = ''] = /`npm start` runs .+ and shows:\n\n```\n(.+?)```/s.exec(readme) ?? [];
    const linesOf = (text: string): string[] =>
      text
        .replaceAll(/\b[0-9a-f]{8}-(?:…|[0-9a-f-]{27})/g, '<runId>')
        .replaceAll(/\d+ ms/g, '<duration>')
        .split('\n')
        .filter((line) => line !== '' && line !== '…');
    const { out } = await start();
    const expected = linesOf(shown);
    expect(expected).toContain('Report in .local/s3/batch-fetcher-local/runs/<runId>.html');
    expect(linesOf(out).filter((line) => expected.includes(line))).toStrictEqual(expected);
    removeObject(/^Stored as (.+)$/m.exec(out)?.[1] ?? '');
  }, 60_000);

  test('without a report names the document alone', async () => {
    const { code, out } = await runCommand('local/commands/start.ts', ['2'], { REPORT: 'off' });
    const [last = ''] = out.trimEnd().split('\n').slice(-1);
    const runId = /^Document in .+\/(.+)\.json$/.exec(last)?.[1] ?? '';
    expect([code, runId]).toStrictEqual([0, expect.stringMatching(/./)]);
    removeObject(`s3://${localBucket}/runs/${runId}.json`);
  }, 60_000);

  test('--json prints the stored document and nothing else', async () => {
    const { code, out } = await start('2,1', '--json');
    const document = JSON.parse(out) as { run: { id: string }; results: { id: number }[] };
    expect([code, document.results.map(({ id }) => id)]).toStrictEqual([0, [2, 1]]);
    removeObject(`s3://${localBucket}/runs/${document.run.id}.json`);
  }, 60_000);

  test('a run that fails says why in one line and exits with 1', async () => {
    const { code, out, err } = await start('events/fail-fast.json', '--json');
    expect([code, out]).toStrictEqual([1, '']);
    expect(err).toContain('The run failed: No data for post 99999\n');
  }, 60_000);

  test.each([
    [['1,,2'], 'Expected ids such as 1,2,7-9 or an event file, got "1,,2".'],
    [['9-7'], 'Expected ids such as 1,2,7-9 or an event file, got "9-7".'],
    [['1', '2'], 'Expected one argument, got 1 and 2.'],
    [['events/absent.json'], 'Expected events/absent.json to be an event in JSON: ENOENT'],
    [['--nope'], "Unknown option '--nope'."],
  ])('%j is refused in one line with exit code 2, before anything runs', async (args, message) => {
    const { code, out, err } = await start(...args);
    expect([code, out]).toStrictEqual([2, '']);
    expect(err).toMatch(/^[^\n]+ Usage: npm start -- [^\n]+\n$/);
    expect(err).toContain(message);
  });

  test.each([
    [[], 'Expected the id of a run, got none.'],
    [['a', 'b'], 'Expected one argument, got a and b.'],
  ])('npm run redrive refuses %j in the same way', async (args, message) => {
    const { code, out, err } = await runCommand('local/commands/redrive.ts', args);
    expect([code, out]).toStrictEqual([2, '']);
    expect(err).toMatch(/^[^\n]+ Usage: npm start -- [^\n]+\n$/);
    expect(err).toContain(message);
  });
});
