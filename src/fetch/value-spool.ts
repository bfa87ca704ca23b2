import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface ValueSpoolOptions {
  /** Most bytes kept in memory; what comes after goes to a file. */
  readonly memoryBytes: number;
  /** Where the file is made. @default os.tmpdir(), on Lambda the 512 MB of /tmp */
  readonly directory?: string;
}

/** A value that is kept. */
export interface KeptValue {
  read(): Promise<Buffer>;
  /** Gives its memory free. */
  drop(): void;
}

/**
 * Keeps values until they are needed again: the first in memory, then in one temporary file, so that a batch
 * whose every post is repeated takes no more memory than another. Where the file cannot be written, in memory.
 */
export class ValueSpool {
  readonly #options: ValueSpoolOptions;
  #memoryBytes = 0;
  #fileBytes = 0;
  #file: Promise<FileHandle> | undefined;

  constructor(options: ValueSpoolOptions) {
    this.#options = options;
  }

  async keep(value: Buffer): Promise<KeptValue> {
    if (this.#memoryBytes + value.length <= this.#options.memoryBytes) return this.#keepInMemory(value);
    const position = this.#fileBytes;
    this.#fileBytes += value.length;
    try {
      this.#file ??= openUnlinked(this.#options.directory ?? tmpdir());
      const file = await this.#file;
      const { bytesWritten } = await file.write(value, 0, value.length, position);
      // A disk that runs full takes the first part of a value without an error.
      if (bytesWritten < value.length) return this.#keepInMemory(value);
      return {
        read: async () =>
          (await file.read(Buffer.allocUnsafe(value.length), 0, value.length, position)).buffer,
        drop: () => {},
      };
    } catch {
      return this.#keepInMemory(value);
    }
  }

  /** Gives the file's space free; nothing can be read after. */
  async close(): Promise<void> {
    const file = await this.#file?.catch(() => undefined);
    await file?.close();
  }

  #keepInMemory(value: Buffer): KeptValue {
    this.#memoryBytes += value.length;
    return {
      read: async () => value,
      drop: () => {
        this.#memoryBytes -= value.length;
      },
    };
  }
}

/** A file that is gone as soon as it is closed, however the process ends. */
async function openUnlinked(directory: string): Promise<FileHandle> {
  const folder = await mkdtemp(join(directory, 'batch-fetcher-'));
  const file = await open(join(folder, 'values'), 'w+');
  await rm(folder, { recursive: true });
  return file;
}
