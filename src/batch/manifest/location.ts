import { badInput } from '../../base/errors.ts';
import { shortenInside } from '../../base/excerpt.ts';

/** An object in S3 that lists ids, and how it does so, by the ending of its key. */
export interface ManifestLocation {
  readonly bucket: string;
  readonly key: string;
  /** `s3://bucket/key` as messages show it: as it was given, shortened in the middle where it is long. */
  readonly url: string;
  readonly format: 'json' | 'jsonl' | 'csv';
  readonly gzip: boolean;
}

const LOCATION =
  /^s3:\/\/(?<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/(?<key>[^\p{Cc}\p{Cs}]+\.(?<ending>json|jsonl|ndjson|csv)(?<gz>\.gz)?)$/u;
const MAX_KEY_BYTES = 1_024;
const LOCATION_EXPECTED = `s3://bucket/key, with a key that ends in .json, .jsonl, .ndjson or .csv, or in one of these and .gz, and has at most ${MAX_KEY_BYTES} bytes`;

/** Checks the `manifest` of an event. Throws BadInputError. */
export function parseManifestLocation(value: unknown, path: string): ManifestLocation {
  const { bucket, key, ending, gz } = LOCATION.exec(typeof value === 'string' ? value : '')?.groups ?? {};
  if (typeof value !== 'string' || !bucket || !key || Buffer.byteLength(key) > MAX_KEY_BYTES)
    throw badInput(path, LOCATION_EXPECTED, value);
  const format = ending === 'json' || ending === 'csv' ? ending : 'jsonl';
  return { bucket, key, url: shortenInside(value), format, gzip: gz !== undefined };
}
