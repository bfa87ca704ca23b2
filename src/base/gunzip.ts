import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';

/**
 * The bytes that gzip was made of, whatever the number of its members, in small pieces: what is packed well takes no more
 * memory than what is not. Throws what `bytes` throws, the reason of `signal` when that aborts, and where `bytes` are not
 * gzip, or not all of it, what `broken` makes of the reason.
 */
export async function* gunzip(
  bytes: AsyncIterable<Uint8Array>,
  broken: (reason: string) => Error,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const unpacked = createGunzip();
  // What fails, fails in the loop below.
  pipeline(bytes, unpacked, { signal }).catch(() => {});
  try {
    yield* unpacked;
  } catch (error) {
    signal.throwIfAborted();
    // An error that is not zlib's is what `bytes` threw.
    if (!(error instanceof Error && 'code' in error && String(error.code).startsWith('Z_'))) throw error;
    throw broken(error.message);
  }
}
