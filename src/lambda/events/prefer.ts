import type { ApiRequest } from './http-request.ts';

/** To its end, or to that of the field: whatever comes is matched once. */
const QUOTED = /"(?:\\.|[^"\\])*(?:"|\\?$)/gs;
/** A value that is empty is as good as none. */
const RESPOND_ASYNC = /^respond-async\s*(?:=\s*(?:"")?)?$/i;
const NAME = /^[^=\s]*/;

/**
 * Whether a POST asks to be answered before its run is done, by the preference `respond-async` (RFC 7240), among
 * others, with parameters, in whichever of several headers. Of a preference that comes twice, the first counts.
 */
export function prefersAsync({ method, headers }: ApiRequest): boolean {
  const value = headers.get('prefer');
  if (method !== 'POST' || value === undefined) return false;
  const preferences = value
    // A comma or semicolon in quotes is a part of a value.
    .replaceAll(QUOTED, (quoted) => (quoted === '""' ? quoted : '"…"'))
    .split(',')
    .map((preference) => preference.split(';', 1).join().trim());
  const first = preferences.find((it) => NAME.exec(it)?.[0].toLowerCase() === 'respond-async');
  return first !== undefined && RESPOND_ASYNC.test(first);
}
