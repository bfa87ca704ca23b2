import { keptText } from '../../../base/kept-text.ts';

/** Where a redirect leads to within the origin (path and query), or what it leads to, if it is not followed. */
type RedirectTarget = { readonly path: string } | { readonly foreign: string };

/** More than most names have, and little enough for a message that has room for an id as well. */
const MAX_NAME_CHARS = 100;
const BEYOND_ASCII = /[\u0080-\u00ff]/g;

/**
 * Where a redirect leads to that answered a request for `path` of `origin`, as fetch has it (WHATWG URL). `location`
 * has a byte of the header field in each character. Those beyond ASCII are percent-encoded as they are, UTF-8 or not;
 * what is percent-encoded stays so. Credentials and the fragment are dropped.
 */
export function redirectTarget(location: string, origin: string, path: string): RedirectTarget {
  const target = URL.parse(location.replace(BEYOND_ASCII, percentEncoded), origin + path);
  // A blob has the origin of its maker.
  if (target?.origin !== origin || target.protocol === 'blob:') return { foreign: nameOf(target) };
  return { path: target.pathname + target.search };
}

function percentEncoded(byte: string): string {
  return `%${byte.charCodeAt(0).toString(16).toUpperCase()}`;
}

/** For a message: an origin, or the scheme of a URL that has none. */
function nameOf(target: URL | null): string {
  if (!target) return 'no URL';
  return keptText(/^https?:$/.test(target.protocol) ? target.origin : target.protocol, MAX_NAME_CHARS);
}
