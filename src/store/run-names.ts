import type { StoreOptions } from './keys.ts';
import { createObjects } from './objects.ts';

/** What is kept under a prefix, by name. */
export interface RunNames {
  /**
   * The names of the objects of runs behind that of the document of `after`, or from the first: of 1,000 objects, in the
   * order of their bytes. Objects that no run has left are passed over. Rejects with StoreError where S3 fails, and with
   * the signal's reason when that aborts.
   */
  page(after: string | undefined, signal: AbortSignal): Promise<NamesPage>;
}

export interface NamesPage {
  /** Keys, without the prefix. */
  readonly names: readonly string[];
  /** The last of them where more may come; undefined of the last page. */
  readonly last: string | undefined;
}

/** The longest run id, and the longest ending of what is derived from one. */
const NAME = /^[A-Za-z0-9._~-]{1,145}\.(?:json|ndjson(?:\.gz)?)$/;
/** The most that S3 gives at once. */
const MAX_KEYS = 1_000;

/** The names in the bucket of the documents. `maxKeys` is how many objects a page has at most. */
export function createRunNames({ prefix, ...options }: StoreOptions, maxKeys = MAX_KEYS): RunNames {
  const objects = createObjects(options);
  return {
    async page(after, signal) {
      const behind = after === undefined ? {} : { StartAfter: `${prefix}${after}.json` };
      for (let from: object = behind; ; ) {
        const { keys, next } = await objects.list(prefix, { MaxKeys: maxKeys, ...from }, signal);
        const names = keys.map((key) => key.slice(prefix.length)).filter((name) => NAME.test(name));
        if (next === undefined) return { names, last: undefined };
        if (names.length > 0) return { names, last: names.at(-1) };
        from = { ContinuationToken: next };
      }
    },
  };
}
