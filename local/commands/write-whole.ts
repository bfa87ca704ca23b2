import { realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { getSystemErrorMessage } from 'node:util';
import { CommandFailedError, UsageError } from './command.ts';

/**
 * Writes a file as its chunks come, beside its name until it is whole: what fails leaves nothing behind, and a file that
 * is there as it was, which is replaced else. A link stays one.
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
  const file = there ? await realpath(path) : path;
  const draft = `${file}.${process.pid}.part`;
  try {
    await writeFile(draft, chunks, { flag: 'wx', signal, flush: true, ...(there && { mode: there.mode }) });
    await rename(draft, file);
  } catch (error) {
    // What could not be made is not there to be removed, and may be no path at all.
    await rm(draft, { force: true }).catch(() => {});
    signal.throwIfAborted();
    throw isSystemError(error) ? cannotWrite(path, error) : error;
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
