import { realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { getSystemErrorMessage } from 'node:util';
import { CommandFailedError, UsageError } from './command.ts';

/**
 * Writes a file as its chunks come, as `replaceWhole` does.
 *
 * Rejects with UsageError where something else has the name, with CommandFailedError where the system does not let it be
 * written, with what `chunks` throws, and with the signal's reason when that aborts.
 */
export async function writeWhole(
  path: string,
  chunks: AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  if (there && !there.isFile()) throw new UsageError(`Expected ${path} to be a file`);
  try {
    await replaceWhole(path, chunks, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw isSystemError(error) ? cannotWrite(path, error) : error;
  }
}

/**
 * Writes a file beside its name until it is whole: what fails leaves nothing behind, and a file that is there as it was,
 * which is replaced else. A link stays one, and the mode of the file. Rejects with what the system says, and as `content`
 * and `signal` do.
 */
export async function replaceWhole(
  path: string,
  content: string | AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  const isFile = there?.isFile();
  const file = isFile ? await realpath(path) : path;
  const draft = `${file}.${process.pid}.part`;
  try {
    await writeFile(draft, content, {
      flag: 'wx',
      signal,
      flush: true,
      ...(isFile && { mode: there?.mode }),
    });
    await rename(draft, file);
  } catch (error) {
    // What could not be made is not there to be removed, and may be no path at all.
    await rm(draft, { force: true }).catch(() => {});
    throw error;
  }
}

interface SystemError extends Error {
  readonly errno: number;
  /** `ENOSPC`, say. */
  readonly code: string;
}

/** Whether the operating system refused something. */
export function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && 'errno' in error && typeof error.errno === 'number' && 'syscall' in error;
}

/** `what` is a file, or whatever else it was to be written to. */
export function cannotWrite(what: string, error: SystemError): CommandFailedError {
  return new CommandFailedError(`Cannot write to ${what}: ${getSystemErrorMessage(error.errno)}`, {
    cause: error,
  });
}
