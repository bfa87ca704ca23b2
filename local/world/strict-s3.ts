import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { S3Error } from '../../node_modules/fauxqs/dist/common/errors.js';
import { computeChecksum } from '../../node_modules/fauxqs/dist/s3/checksum.js';
import { decodeAwsChunked } from '../../node_modules/fauxqs/dist/s3/chunkedEncoding.js';
import type { S3Store } from '../../node_modules/fauxqs/dist/s3/s3Store.js';

interface S3Request {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly params: unknown;
  readonly query: unknown;
  body: unknown;
}

/**
 * Makes fauxqs as strict as S3 for one request, before its handler runs: preconditions of writes, checksums,
 * trailers and suffix ranges. What could only be answered wrongly is refused.
 *
 * Throws an S3Error that is the answer; else the request is left as the handler needs it.
 */
export function holdToS3(request: S3Request, store: S3Store): void {
  const { method, headers } = request;
  const { bucket = '', '*': key = '' } = request.params as Record<string, string>; // fauxqs' routes
  const query = request.query as Record<string, string>;
  if (key === '') {
    if ('uploads' in query)
      throw new S3Error('NotImplemented', 'Multipart uploads cannot be listed here', 501);
    return;
  }
  if (method === 'GET') {
    fitSuffixRange(headers, bucket, key, store);
    return;
  }
  const isPart = 'partNumber' in query;
  if (method === 'PUT' && !('x-amz-copy-source' in headers))
    request.body = verifiedBody(headers, request.body);
  if ((method === 'PUT' && !isPart) || (method === 'POST' && 'uploadId' in query)) {
    checkPrecondition(headers, bucket, key, store);
  }
}

function checkPrecondition(headers: IncomingHttpHeaders, bucket: string, key: string, store: S3Store): void {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  if (ifNoneMatch !== undefined && (ifNoneMatch !== '*' || ifMatch !== undefined)) {
    throw new S3Error('NotImplemented', 'Writes know If-Match, or If-None-Match: *, here', 501);
  }
  const object = find(bucket, key, store);
  if (ifMatch !== undefined && !object) {
    throw new S3Error('NoSuchKey', 'The specified key does not exist.', 404);
  }
  if (ifNoneMatch === '*' ? object : ifMatch !== undefined && unquoted(object?.etag) !== unquoted(ifMatch)) {
    throw new S3Error(
      'PreconditionFailed',
      'At least one of the pre-conditions you specified did not hold',
      412,
    );
  }
}

function unquoted(etag: string | undefined): string | undefined {
  return etag?.replaceAll('"', '');
}

// fauxqs answers 416 where S3 sends the whole of an object that is shorter than the suffix.
function fitSuffixRange(headers: IncomingHttpHeaders, bucket: string, key: string, store: S3Store): void {
  const suffix = /^bytes=-(\d+)$/.exec(headers.range ?? '')?.[1];
  const size = find(bucket, key, store)?.contentLength;
  if (suffix !== undefined && size !== undefined && Number(suffix) > size) headers.range = `bytes=-${size}`;
}

function find(bucket: string, key: string, store: S3Store) {
  try {
    return store.headObject(bucket, key);
  } catch (error) {
    if (error instanceof S3Error && error.statusCode === 404) return undefined;
    throw error;
  }
}

/** The body without its aws-chunked framing, once every checksum in its headers or trailers holds. */
function verifiedBody(headers: IncomingHttpHeaders, received: unknown): Buffer {
  let body = Buffer.isBuffer(received) ? received : Buffer.alloc(0); // no parser runs on an empty body
  if (headers['content-encoding']?.includes('aws-chunked')) {
    const decoded = decodeAwsChunked(body);
    body = decoded.body;
    Object.assign(headers, decoded.trailers);
    // What is left is the object's own, which fauxqs would drop with the framing.
    headers['content-encoding'] = headers['content-encoding']
      .split(',')
      .map((coding) => coding.trim())
      .filter((coding) => coding !== 'aws-chunked')
      .join(',');
    if (body.length !== Number(headers['x-amz-decoded-content-length'])) {
      throw new S3Error(
        'IncompleteBody',
        'The body is not as long as X-Amz-Decoded-Content-Length says',
        400,
      );
    }
    for (const name of String(headers['x-amz-trailer'] ?? '')
      .split(',')
      .filter(Boolean)) {
      if (!(name.trim() in decoded.trailers)) {
        throw new S3Error('MalformedTrailerError', `The announced trailer ${name} is missing`, 400);
      }
    }
  }
  for (const [name, value] of Object.entries(headers)) {
    const actual = checksum(name, body);
    if (actual !== undefined && actual !== value) {
      throw new S3Error('BadDigest', `The ${name} you specified did not match the calculated checksum`, 400);
    }
  }
  return body;
}

function checksum(header: string, body: Buffer): string | undefined {
  switch (header) {
    case 'content-md5':
      return createHash('md5').update(body).digest('base64');
    case 'x-amz-checksum-crc32':
      return computeChecksum('CRC32', body);
    case 'x-amz-checksum-sha1':
      return computeChecksum('SHA1', body);
    case 'x-amz-checksum-sha256':
      return computeChecksum('SHA256', body);
    case 'x-amz-checksum-crc32c':
    case 'x-amz-checksum-crc64nvme':
      throw new S3Error('NotImplemented', `${header} cannot be verified here`, 501);
    default:
      return undefined;
  }
}
