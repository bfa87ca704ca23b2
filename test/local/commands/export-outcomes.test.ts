import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { exportOutcomes, type ReadListener } from '../../../local/commands/export-outcomes.ts';
import { listen } from '../../../local/world/listen.ts';
import { localBucket, projectDirectory, storeDirectory } from '../../../local/world/places.ts';
import { removeObject } from '../../support/local-objects.ts';
import { printedLines } from '../../support/printed-lines.ts';
import { runCommand } from '../../support/run-command.ts';
import { read, rejectedLine, sampleLines } from '../../support/run-lines.ts';
import { storedDocument } from '../../support/stored-document.ts';

const runs = join(storeDirectory, localBucket, 'runs');
const id = `export-test-${process.pid}`;
const command = 'local/commands/results.ts';
const folder = mkdtempSync(join(tmpdir(), 'export-outcomes-'));
const results = (args: readonly string[]) => runCommand(command, args, { INIT_CWD: folder });
const printed = printedLines(id, sampleLines);

/** Whether util-linux's `script` is there, which gives a command a terminal. Prints why not; in CI, it is there. */
const hasTerminal = findTerminal();

function findTerminal(): boolean {
  const { error, stdout } = spawnSync('script', ['--version'], { encoding: 'utf8' });
  if (process.env.CI || stdout?.includes('util-linux')) return true;
  console.warn(`A terminal is left out: ${error?.message ?? 'script is not that of util-linux'}`);
  return false;
}

beforeAll(() => {
  mkdirSync(runs, { recursive: true });
  const stored = (lines: readonly string[]) => ({ stored: `"results":[\n${lines.join(',\n')}\n]` });
  writeFileSync(join(runs, `${id}.json`), storedDocument(id, stored(sampleLines)));
  writeFileSync(
    join(runs, `${id}.part-000000.json`),
    storedDocument(`${id}.part-000000`, stored([rejectedLine(0, 1, 'late')])),
  );
  const parts = [0, 1].map((part) => ({
    part,
    runId: `${id}.part-00000${part}`,
    status: 'failed',
    code: 'NO_DOCUMENT',
    firstIndex: part,
    requested: 1,
  }));
  const runManifest = { version: 1, run: { id: `${id}.scaled` }, parts };
  writeFileSync(join(runs, `${id}.scaled.manifest.json`), JSON.stringify(runManifest));
});
afterAll(() => {
  for (const name of ['', '.part-000000', '.scaled.manifest'])
    removeObject(`s3://${localBucket}/runs/${id}${name}.json`);
  rmSync(folder, { recursive: true });
});

describe.concurrent('npm run results --format', { timeout: 60_000 }, () => {
  test('--out is a file of the folder that the user is in', async () => {
    expect(await results([id, '--format', 'ndjson', '--out', 'run.ndjson'])).toStrictEqual({
      code: 0,
      out: '10 outcomes in run.ndjson\n',
      err: '',
    });
    expect(readFileSync(join(folder, 'run.ndjson'), 'utf8')).toBe(printed);
  });

  test.each(['csv', 'parquet'])('%s is the same into a pipe and into a file', async (format) => {
    const file = join(folder, `same.${format}`);
    await results([id, '--format', format, '--out', file]);
    const child = spawn(process.execPath, [command, id, '--format', format], { cwd: projectDirectory });
    expect((await buffer(child.stdout)).equals(readFileSync(file))).toBe(true);
  });

  test('--failed has those alone that failed', async () => {
    const { out } = await results([id, '--failed', '--format', 'csv']);
    expect(out.split('\r\n').map((row) => row.slice(0, 14))).toStrictEqual([
      'index,id,statu',
      '8,-1,rejected,',
      '9,007,rejected',
      '',
    ]);
  });

  test('counts posts through the parts of a run, and writes what there is where one is missing', async () => {
    expect(await results([`${id}.scaled`, '--format', 'ndjson', '--out', 'scaled.ndjson'])).toStrictEqual({
      code: 1,
      out: '1 outcome in scaled.ndjson\n',
      err: `Posts 1 to 1 are missing: ${id}.part-000001 has no document\n`,
    });
    expect(readFileSync(join(folder, 'scaled.ndjson'), 'utf8')).toBe(
      printedLines(`${id}.part-000000`, [rejectedLine(0, 1, 'late')]),
    );
  });

  test('a run that there is not leaves the file as it was', async () => {
    const file = join(folder, 'kept.csv');
    writeFileSync(file, 'before');
    const { code, err } = await results(['no-such-run', '--format', 'csv', '--out', file]);
    expect([code, err.slice(0, 46)]).toStrictEqual([1, 'Expected the id of a run, got no-such-run: the']);
    expect(readFileSync(file, 'utf8')).toBe('before');
  });

  test('a disk that takes no more leaves no half file', async () => {
    const out = join(folder, 'large.ndjson');
    const script = `ulimit -f 8; exec "$0" "$@"`;
    const args = [process.execPath, command, id, '--format', 'ndjson', '--out', out];
    const { status, stderr } = spawnSync('sh', ['-c', script, ...args], {
      cwd: projectDirectory,
      encoding: 'utf8',
    });
    expect([status, stderr]).toStrictEqual([1, `Cannot write to ${out}: file too large\n`]);
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(folder).filter((name) => name.startsWith('large'))).toStrictEqual([]);
  });

  test.skipIf(!existsSync('/dev/full'))('standard output that takes no more is told in one line', () => {
    const args = [process.execPath, command, id, '--format', 'csv'];
    const child = spawnSync('sh', ['-c', 'exec "$0" "$@" > /dev/full', ...args], {
      cwd: projectDirectory,
      encoding: 'utf8',
    });
    expect([child.status, child.stderr]).toStrictEqual([
      1,
      'Cannot write to standard output: no space left on device\n',
    ]);
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    '%s leaves no half file, and ends it by that signal',
    async (signal) => {
      // A store that never answers.
      const { origin, close } = await listen(createServer(() => reached.resolve()));
      const reached = Promise.withResolvers<void>();
      const out = join(folder, `${signal}.csv`);
      writeFileSync(out, 'before');
      const child = spawn(
        process.execPath,
        [command, 'a', '--bucket', 'b', '--format', 'csv', '--out', out],
        {
          cwd: projectDirectory,
          env: {
            ...process.env,
            AWS_ENDPOINT_URL_S3: origin,
            AWS_REGION: 'x',
            AWS_ACCESS_KEY_ID: 'x',
            AWS_SECRET_ACCESS_KEY: 'x',
          },
        },
      );
      const exit = once(child, 'exit');
      await reached.promise;
      expect(existsSync(`${out}.${child.pid}.part`)).toBe(true);
      child.kill(signal);
      expect(await exit).toStrictEqual([null, signal]);
      expect(readdirSync(folder).filter((name) => name.startsWith(signal))).toStrictEqual([`${signal}.csv`]);
      expect(readFileSync(out, 'utf8')).toBe('before');
      await close();
    },
  );

  test('a reader that has enough ends it without an error', async () => {
    const child = spawn(process.execPath, [command, id, '--format', 'parquet'], {
      cwd: projectDirectory,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    const [err, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    expect([code, err]).toStrictEqual([0, '']);
  });

  test.skipIf(!hasTerminal)('Parquet is not for a terminal', async () => {
    const line = `${process.execPath} ${command} ${id} --format parquet`;
    const child = spawn('script', ['-qec', line, '/dev/null'], { cwd: projectDirectory });
    const [out, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    expect(code).toBe(2);
    expect(out).toMatch(/^Expected --out <file> or a pipe for parquet, .+\. Usage: npm run results/);
  });
});

describe('a terminal', () => {
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  /** What is shown of an export, a step after each of its outcomes. */
  async function shown(isTTY: boolean): Promise<string[]> {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    vi.spyOn(console, 'log').mockReturnValue();
    vi.spyOn(console, 'error').mockReturnValue();
    const written: string[] = [];
    const write = (line: string) => written.push(line.replace('\r\u001b[K', '<erase>'));
    const reading = async function* ({ found, said }: ReadListener) {
      vi.advanceTimersByTime(1_000);
      found(10);
      said('This is known');
      for await (const line of read(sampleLines)) {
        yield line;
        vi.advanceTimersByTime(100);
      }
    };
    const options = {
      failed: false,
      format: 'csv',
      out: join(folder, 'shown.csv'),
      progress: { write, isTTY },
    } as const;
    await exportOutcomes(reading, options, new AbortController().signal);
    return written;
  }

  test('shows how far an export is, and what is said above that', async () => {
    const written = await shown(true);
    const bar = (done: number) =>
      '█'.repeat(Math.floor(3.2 * done)) + '░'.repeat(32 - Math.floor(3.2 * done));
    expect(written.slice(0, 3)).toStrictEqual([
      '<erase>',
      'This is known\n',
      `<erase>${bar(1)} 1 of 10 posts, 1 a second, 10 s left`,
    ]);
    expect(written.slice(-3)).toStrictEqual([
      `<erase>${bar(9)} 9 of 10 posts, 1 failed, 5 a second, 1 s left`,
      `<erase>${bar(10)} 10 of 10 posts, 2 failed, 5 a second, 0 s left`,
      '<erase>',
    ]);
  });

  test('alone is shown that: a log is not', async () => {
    expect(await shown(false)).toStrictEqual([]);
    expect(console.error).toHaveBeenCalledWith('This is known');
  });
});
