import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { listen } from '../../../local/world/listen.ts';
import { localBucket, storeDirectory } from '../../../local/world/places.ts';
import { removeObject } from '../../support/local-objects.ts';
import { runCommand } from '../../support/run-command.ts';

const start = (args: readonly string[], env?: NodeJS.ProcessEnv) =>
  runCommand('local/commands/start.ts', args, env);

/** Removes the document that a command says it stored. */
function removeStored(out: string): void {
  removeObject(/^Stored as (.+)$/m.exec(out)?.[1] ?? expect.fail(out));
}

describe('npm start', { timeout: 60_000 }, () => {
  test('finds every number but the missing one, tells the id and the length of the run first, and what fails', async () => {
    const { code, out, err } = await start(['100-140,99999,100000']);
    expect(code).toBe(0);
    expect(out).toMatch(
      /^100-140,99999,100000\nserverless .+\nPosts come from a stub, which has every post but 99999 .+\nRun [\w-]+: 43 posts\n\nPost 1: /,
    );
    expect(out).toContain('43 posts in ');
    expect(out).toContain(': 42 fulfilled, 1 rejected (NOT_FOUND 1), 43 attempts\n');
    expect(err).toContain('Post 42 failed: NOT_FOUND (id 99999)\n');
    expect(out).toContain(`/${/^Run (.+):/m.exec(out)?.[1]}.json\n`);
    removeStored(out);
  });

  test.each([
    ['DEBUG', ['INFO Run started', 'DEBUG Post rejected', 'INFO Run ended', 'INFO Report written']],
    ['WARN', []],
  ])(
    'shows the log from %s on, beside the document',
    async (POWERTOOLS_LOG_LEVEL, messages) => {
      const { code, out, err } = await start(['1,99999', '--json'], { POWERTOOLS_LOG_LEVEL });
      const { run } = JSON.parse(out) as { run: { id: string } };
      const [first, ...log] = err.trimEnd().split('\n');
      expect([code, first]).toStrictEqual([0, `Run ${run.id}: 2 posts`]);
      const records = log.map((line) => JSON.parse(line) as { level: string; message: string });
      expect(records.map(({ level, message }) => `${level} ${message}`)).toStrictEqual(messages);
      removeObject(`s3://${localBucket}/runs/${run.id}.json`);
    },
    60_000,
  );

  test('shows a value without a title as it came, from an origin to which no proxy leads', async () => {
    const value = '{"views":9007199254740993,"price":1.10,"a":1,"a":2,"7":null}';
    const server = createServer((_request, response) => response.end(value));
    const { origin, close } = await listen(server);
    const env = { POST_URL: `${origin}/{id}`, HTTP_PROXY: 'http://127.0.0.1:9' };
    const { out, err } = await start(['1'], env);
    await close();
    expect(err).toBe(
      'HTTP_PROXY is passed over: the function connects to the origin, and to S3, by itself\n',
    );
    expect(out).toContain(`\nPosts come from ${origin}, as POST_URL says\n`);
    expect(out).toContain(`\nPost 1: ${value}\n`);
    removeStored(out);
  });

  test('takes an event of the folder that the user is in before one of the project', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'batch-fetcher-caller-'));
    mkdirSync(join(folder, 'events'));
    writeFileSync(join(folder, 'mine.json'), '{"ids":[7]}');
    writeFileSync(join(folder, 'events/lesson-1.json'), '{"ids":[8,9]}');
    const outputs = [];
    for (const name of ['mine.json', 'events/lesson-1.json', 'events/direct.json']) {
      const { out } = await start([name], { INIT_CWD: folder });
      outputs.push(out);
      removeStored(out);
    }
    expect(outputs.map((out) => /^Run .+: (.+)$/m.exec(out)?.[1])).toStrictEqual([
      '1 post',
      '2 posts',
      '3 posts',
    ]);
    expect(outputs[0]).toContain(`\n       in ${relative(folder, storeDirectory)}/`);
    const none = await start(['absent.json'], { INIT_CWD: folder });
    expect([none.code, none.err]).toStrictEqual([
      2,
      expect.stringContaining(`no such file or directory, open '${join(folder, 'absent.json')}'`),
    ]);
    rmSync(folder, { recursive: true });
  });
});
