import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CommandFailedError, UsageError } from '../../../local/commands/command.ts';
import { writeWhole } from '../../../local/commands/write-whole.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'write-whole-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function* chunks(...texts: readonly (string | Error)[]): AsyncGenerator<Buffer> {
  for (const text of texts) {
    if (text instanceof Error) throw text;
    yield Buffer.from(text);
  }
}
const never = new AbortController().signal;

describe('a file that is written whole', () => {
  test('has its name once all of it is there', async () => {
    const file = join(folder, 'run.csv');
    const seen: (readonly string[])[] = [];
    const looking = (async function* () {
      yield Buffer.from('a');
      seen.push(readdirSync(folder));
      yield Buffer.from('b');
    })();
    await writeWhole(file, looking, never);
    expect(seen).toStrictEqual([[`run.csv.${process.pid}.part`]]);
    expect([readdirSync(folder), readFileSync(file, 'utf8')]).toStrictEqual([['run.csv'], 'ab']);
  });

  test('replaces one that is there, and has its mode', async () => {
    const file = join(folder, 'run.csv');
    writeFileSync(file, 'before');
    chmodSync(file, 0o600);
    await writeWhole(file, chunks('after'), never);
    expect([readFileSync(file, 'utf8'), statSync(file).mode & 0o777]).toStrictEqual(['after', 0o600]);
  });

  test('is what a link points to, which stays a link', async () => {
    const file = join(folder, 'run.csv');
    mkdirSync(join(folder, 'there'));
    writeFileSync(join(folder, 'there/real.csv'), 'before');
    symlinkSync('there/real.csv', file);
    await writeWhole(file, chunks('after'), never);
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(folder, 'there/real.csv'), 'utf8')).toBe('after');
  });

  test('leaves what was there as it was, and nothing else, where its chunks fail', async () => {
    const file = join(folder, 'run.csv');
    writeFileSync(file, 'before');
    const error = new Error('S3 is down');
    await expect(writeWhole(file, chunks('after', error), never)).rejects.toBe(error);
    expect([readdirSync(folder), readFileSync(file, 'utf8')]).toStrictEqual([['run.csv'], 'before']);
  });

  test('is given up with the reason of the signal', async () => {
    const stopping = new AbortController();
    const reason = new Error('enough');
    const endless = (async function* () {
      yield Buffer.from('a');
      stopping.abort(reason);
      yield Buffer.from('b');
    })();
    await expect(writeWhole(join(folder, 'run.csv'), endless, stopping.signal)).rejects.toBe(reason);
    expect(readdirSync(folder)).toStrictEqual([]);
  });

  test('says why it cannot be written', async () => {
    const file = join(folder, 'missing/run.csv');
    await expect(writeWhole(file, chunks('a'), never)).rejects.toThrow(
      new CommandFailedError(`Cannot write to ${file}: no such file or directory`),
    );
    const inFile = join(process.execPath, 'run.csv');
    await expect(writeWhole(inFile, chunks('a'), never)).rejects.toThrow(
      new CommandFailedError(`Cannot write to ${inFile}: not a directory`),
    );
  });

  test.each(['.', '/dev/null'])('is no folder or device: %s', async (path) => {
    const name = path === '.' ? folder : path;
    await expect(writeWhole(name, chunks('a'), never)).rejects.toThrow(
      new UsageError(`Expected ${name} to be a file`),
    );
    expect(existsSync(name)).toBe(true);
  });
});
