import { idKey } from '../batch/ids.ts';
import type { CountOccurrences } from '../batch/repeats.ts';
import type { FetchPost } from './fetch-post.ts';
import type { FetchRecord } from './outcome.ts';
import type { KeptValue, ValueSpool } from './value-spool.ts';

interface Shared {
  /** How often it will still be asked for. */
  left: number;
  readonly post: Promise<{ readonly record: FetchRecord; readonly value: KeptValue }>;
}

/**
 * Makes a `fetchPost` that fetches a repeated id once, whether its repeats come while it is in flight or long
 * after, and keeps what came until the last of them. Ids that occur once pass through.
 */
export function fetchOnceWith(
  fetchPost: FetchPost,
  countOccurrences: CountOccurrences,
  spool: ValueSpool,
): FetchPost {
  const shared = new Map<string, Shared>();

  const share = (key: string, occurrences: number, post: ReturnType<FetchPost>): ReturnType<FetchPost> => {
    const kept = post.then(async ({ value, ...record }) => ({ record, value: await spool.keep(value) }));
    // Whoever asked for the post has its failure already; the repeats meet it when they come, if they do.
    kept.catch(() => {});
    shared.set(key, { left: occurrences - 1, post: kept });
    return post;
  };

  return (id, signal) => {
    const occurrences = countOccurrences(id);
    if (occurrences === 1) return fetchPost(id, signal);
    const key = idKey(id);
    const found = shared.get(key);
    if (!found) return share(key, occurrences, fetchPost(id, signal));
    found.left -= 1;
    const isLast = found.left === 0;
    if (isLast) shared.delete(key);
    return found.post.then(async ({ record, value }) => {
      const post = { value: await value.read(), ...record };
      if (isLast) value.drop();
      return post;
    });
  };
}
