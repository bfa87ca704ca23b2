import { keysOf, type StoreOptions } from './keys.ts';
import { createObjects } from './objects.ts';
import { ifThere } from './s3-error.ts';

/** Where the pages of runs are kept, beside their documents. */
export interface PageStore {
  /** `s3://bucket/key` */
  location(runId: string): string;
  /** The page of a run; undefined where there is none. Rejects with StoreError, or with the signal's reason. */
  find(runId: string, signal: AbortSignal): Promise<StoredPage | undefined>;
  /**
   * Writes the page of a run that was read from the object with the ETag `madeOf`: in the place of `earlier`, or of none.
   * Resolves with whether that was still so. Rejects as `find` does.
   */
  write(runId: string, page: NewPage, earlier: StoredPage | undefined, signal: AbortSignal): Promise<boolean>;
  /** The run ids of the parts of a run, and of their redrives, that have pages. Rejects as `find` does. */
  partsWithPages(runId: string, signal: AbortSignal): Promise<ReadonlySet<string>>;
}

interface NewPage {
  readonly html: string;
  /** The ETag of what the page was read from. */
  readonly madeOf: string;
}

export interface StoredPage {
  readonly etag: string;
  /** Undefined of a page that somebody else put there. */
  readonly madeOf: string | undefined;
}

/** Whether a page was made of the object with this ETag. */
export function isMadeOf(page: StoredPage | undefined, etag: string): boolean {
  return page?.madeOf === bareEtag(etag);
}

/** Not every store has it in quotes. */
export function bareEtag(etag: string): string {
  return etag.replaceAll('"', '');
}

/** Metadata of a page. */
const MADE_OF = 'made-of';
const PAGE_ENDING = '.html';

/** Pages in the bucket of the documents. */
export function createPageStore({ prefix, ...options }: StoreOptions): PageStore {
  const objects = createObjects(options);
  const keyOf = (runId: string): string => keysOf(prefix, runId).page;
  return {
    location: (runId) => objects.location(keyOf(runId)),
    async find(runId, signal) {
      const head = await ifThere(objects.head(keyOf(runId), signal), 'NotFound');
      return head && { etag: head.etag, madeOf: head.metadata[MADE_OF] };
    },
    async write(runId, { html, madeOf }, earlier, signal) {
      const attributes = {
        ContentType: 'text/html; charset=utf-8',
        Metadata: { [MADE_OF]: bareEtag(madeOf) },
        ...(earlier ? { IfMatch: earlier.etag } : { IfNoneMatch: '*' }),
      };
      return Boolean(await objects.upload(keyOf(runId), attributes, [Buffer.from(html)], signal));
    },
    async partsWithPages(runId, signal) {
      const found = new Set<string>();
      // A role may list all that is under its prefix, or nothing.
      const start = `${prefix}${runId}.part-`;
      for (let from: object = { StartAfter: start }; ; ) {
        const { keys, next } = await objects.list(prefix, from, signal);
        const own = keys.filter((key) => key.startsWith(start));
        for (const key of own)
          if (key.endsWith(PAGE_ENDING)) found.add(key.slice(prefix.length, -PAGE_ENDING.length));
        if (next === undefined || own.length < keys.length) return found;
        from = { ContinuationToken: next };
      }
    },
  };
}
