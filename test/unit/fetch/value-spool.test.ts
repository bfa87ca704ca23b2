import { mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ValueSpool } from '../../../src/fetch/value-spool.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'value-spool-test-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(directory, { recursive: true });
});

const valueNo = (i: number, length = 10) => Buffer.alloc(length, 65 + (i % 26));

describe('ValueSpool', () => {
  test('keeps the first values in memory: they are the same buffers, and there is no file', async () => {
    const spool = new ValueSpool({ memoryBytes: 20, directory: join(directory, 'missing') });
    const values = [valueNo(0), valueNo(1)];
    const kept = await Promise.all(values.map((value) => spool.keep(value)));
    expect(await kept[0]?.read()).toBe(values[0]);
    expect(await kept[1]?.read()).toBe(values[1]);
    await spool.close();
  });

  test('keeps what comes after in a file, and gives each value back as it was', async () => {
    const spool = new ValueSpool({ memoryBytes: 15, directory });
    const values = Array.from({ length: 200 }, (_, i) => valueNo(i, 1 + ((i * 7) % 50)));
    const kept = await Promise.all(values.map((value) => spool.keep(Buffer.from(value))));
    const order = kept.map((_, i) => (i * 77) % kept.length);
    const read = await Promise.all(order.map((i) => kept[i]?.read()));
    expect(read.map(String)).toStrictEqual(order.map((i) => String(values[i])));
    await spool.close();
  });

  test('a value in the file can be read again and again, and dropped', async () => {
    const spool = new ValueSpool({ memoryBytes: 0, directory });
    const value = valueNo(3);
    const kept = await spool.keep(value);
    expect(await kept.read()).toStrictEqual(value);
    expect(await kept.read()).toStrictEqual(value);
    expect(await kept.read()).not.toBe(value);
    expect(kept.drop()).toBeUndefined();
    await spool.close();
  });

  test('an empty value is kept like any other', async () => {
    const spool = new ValueSpool({ memoryBytes: 5, directory });
    await spool.keep(valueNo(0, 5));
    await spool.keep(valueNo(1, 5));
    expect(await (await spool.keep(Buffer.alloc(0))).read()).toStrictEqual(Buffer.alloc(0));
    await spool.close();
  });

  test('memory that was given free is used again', async () => {
    const spool = new ValueSpool({ memoryBytes: 10, directory });
    const first = await spool.keep(valueNo(0));
    const inFile = valueNo(1);
    expect(await (await spool.keep(inFile)).read()).not.toBe(inFile);
    first.drop();
    const inMemory = valueNo(2);
    expect(await (await spool.keep(inMemory)).read()).toBe(inMemory);
    await spool.close();
  });

  test('the file is gone from its directory at once, however the process ends', async () => {
    const spool = new ValueSpool({ memoryBytes: 0, directory });
    const kept = await spool.keep(valueNo(0));
    expect(await readdir(directory)).toStrictEqual([]);
    expect(await kept.read()).toStrictEqual(valueNo(0));
    await spool.close();
    expect(await readdir(directory)).toStrictEqual([]);
  });

  test('the file is made in the directory for temporary files where none is named', async () => {
    vi.stubEnv('TMPDIR', directory);
    const spool = new ValueSpool({ memoryBytes: 0 });
    expect(await (await spool.keep(valueNo(0))).read()).toStrictEqual(valueNo(0));
    await spool.close();
    vi.unstubAllEnvs();
  });

  test('where no file can be made, values stay in memory', async () => {
    const notADirectory = join(directory, 'file');
    await writeFile(notADirectory, '');
    const spool = new ValueSpool({ memoryBytes: 0, directory: notADirectory });
    const values = [valueNo(0), valueNo(1)];
    const kept = await Promise.all(values.map((value) => spool.keep(value)));
    expect(await kept[0]?.read()).toBe(values[0]);
    expect(await kept[1]?.read()).toBe(values[1]);
    kept[1]?.drop();
    await spool.close();
  });

  test('a value that the disk has no room for, or room for a part of, stays in memory', async () => {
    const handle = await open(join(directory, 'probe'), 'w+');
    const write = vi.spyOn(Object.getPrototypeOf(handle), 'write');
    await handle.close();
    const spool = new ValueSpool({ memoryBytes: 0, directory });
    const values = [valueNo(0), valueNo(1), valueNo(2)];
    const [inFile, inPart, refused] = values;
    const kept = [await spool.keep(inFile as Buffer)];
    write.mockResolvedValueOnce({ bytesWritten: 4, buffer: inPart });
    kept.push(await spool.keep(inPart as Buffer));
    write.mockRejectedValueOnce(new Error('ENOSPC'));
    kept.push(await spool.keep(refused as Buffer));
    expect(await Promise.all(kept.map((value) => value.read()))).toStrictEqual(values);
    await spool.close();
  });

  test('without a value in a file there is nothing to close', async () => {
    await expect(new ValueSpool({ memoryBytes: 10 }).close()).resolves.toBeUndefined();
  });
});
