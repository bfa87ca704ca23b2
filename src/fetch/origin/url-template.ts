import type { Id } from '../../batch/ids.ts';

/** Where the posts are: one origin, and the path of each post on it. */
export interface UrlTemplate {
  readonly text: string;
  /** Scheme, host and port. */
  readonly origin: string;
  /** Path and query for an id, percent-encoded. */
  readonly pathOf: (id: Id) => string;
}

/** Stands for `{id}` while the template is parsed; nothing in it is encoded or normalized. */
const STAND_IN = 'id0f9c2c61';

/**
 * Reads a template such as `https://example.com/posts/{id}` or `…/posts?id={id}&lang=en`.
 * The id becomes one path segment or query value, or a part of one: it can never change host, path or query.
 * Undefined where the text is no http(s) URL without credentials and fragment, with `{id}` in its path or query alone.
 */
export function parseUrlTemplate(text: string): UrlTemplate | undefined {
  const url = URL.parse(text.replaceAll('{id}', STAND_IN));
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.hash) return undefined;
  const parts = (url.pathname + url.search).split(STAND_IN);
  if (parts.length === 1 || parts.length !== text.split('{id}').length) return undefined;
  const pathOf = (id: Id): string => parts.join(typeof id === 'number' ? String(id) : encodeURIComponent(id));
  return { text, origin: url.origin, pathOf };
}
