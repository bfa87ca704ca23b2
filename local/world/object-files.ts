import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { S3Error } from '../../node_modules/fauxqs/dist/common/errors.js';
// The package exports its server only; the store behind it is what files have to hook into.
import { S3Store } from '../../node_modules/fauxqs/dist/s3/s3Store.js';

type S3Object = ReturnType<S3Store['headObject']>;
type Listed = ReturnType<S3Store['listObjects']>;

/**
 * The store of fauxqs with its objects in plain files, `<root>/<bucket>/<key>`, byte for byte. What a file
 * cannot say (ETag, content type, metadata) stands beside them under `<root>/.headers`. The files are the
 * truth: one that was deleted is gone, one that the user put there is an object. Memory holds no bodies.
 */
export class ObjectFiles extends S3Store {
  readonly #root: string;
  readonly #uploads = new Map<string, string>();

  constructor(root: string) {
    super();
    this.#root = root;
  }

  /** Multipart uploads that were begun and neither completed nor aborted. */
  get openUploads(): number {
    return this.#uploads.size;
  }

  override createBucket(bucket: string): void {
    super.createBucket(bucket);
    const folder = join(this.#root, bucket);
    mkdirSync(folder, { recursive: true });
    for (const key of filesIn(folder)) this.#reread(bucket, key);
  }

  override putObject(...put: Parameters<S3Store['putObject']>): S3Object {
    this.#path(put[0], put[1]);
    return this.#keep(put[0], super.putObject(...put));
  }

  override headObject(bucket: string, key: string): S3Object {
    if (this.hasBucket(bucket)) this.#reread(bucket, key);
    return super.headObject(bucket, key);
  }

  override getObject(bucket: string, key: string): S3Object {
    return { ...this.headObject(bucket, key), body: readFileSync(this.#path(bucket, key)) };
  }

  /** fauxqs sorts keys by the rules of a language, and S3 by their bytes. */
  override listObjects(...[bucket, options = {}]: Parameters<S3Store['listObjects']>): Listed {
    if (!this.hasBucket(bucket)) return super.listObjects(bucket, options);
    const { prefix = '', delimiter, maxKeys = 1_000 } = options;
    const startAfter = options.startAfter ?? options.marker ?? '';
    const found = new Map<string, boolean>();
    for (const key of filesIn(join(this.#root, bucket))) {
      const end = delimiter ? key.indexOf(delimiter, prefix.length) : -1;
      const name = end < 0 ? key : key.slice(0, end + 1);
      if (key.startsWith(prefix) && name > startAfter) found.set(name, end < 0);
    }
    const names = [...found.keys()].sort((one, other) =>
      Buffer.compare(Buffer.from(one), Buffer.from(other)),
    );
    const listed = names.slice(0, maxKeys);
    return {
      objects: listed.filter((name) => found.get(name)).map((key) => this.headObject(bucket, key)),
      commonPrefixes: listed.filter((name) => !found.get(name)),
      isTruncated: names.length > maxKeys,
    };
  }

  override deleteObject(bucket: string, key: string): void {
    super.deleteObject(bucket, key);
    rmSync(this.#path(bucket, key), { force: true });
    rmSync(this.#headersPath(bucket, key), { force: true });
  }

  override createMultipartUpload(...upload: Parameters<S3Store['createMultipartUpload']>): string {
    this.#path(upload[0], upload[1]);
    const uploadId = super.createMultipartUpload(...upload);
    this.#uploads.set(uploadId, upload[0]);
    return uploadId;
  }

  override completeMultipartUpload(...complete: Parameters<S3Store['completeMultipartUpload']>): S3Object {
    const object = super.completeMultipartUpload(...complete);
    const bucket = this.#uploads.get(complete[0]) ?? '';
    this.#uploads.delete(complete[0]);
    return this.#keep(bucket, object);
  }

  override abortMultipartUpload(uploadId: string): void {
    super.abortMultipartUpload(uploadId);
    this.#uploads.delete(uploadId);
  }

  #keep(bucket: string, object: S3Object): S3Object {
    const { body, ...headers } = object;
    this.#write(this.#headersPath(bucket, object.key), JSON.stringify(headers));
    this.#write(this.#path(bucket, object.key), body);
    this.restoreObject(bucket, { ...headers, body: Buffer.alloc(0) });
    return object;
  }

  #reread(bucket: string, key: string): void {
    const path = this.#path(bucket, key);
    const file = statSync(path, { throwIfNoEntry: false });
    if (!file?.isFile()) {
      super.deleteObject(bucket, key);
      return;
    }
    const headers = this.#readHeaders(bucket, key);
    this.restoreObject(bucket, {
      ...(headers?.contentLength === file.size ? headers : describe(key, readFileSync(path))),
      lastModified: file.mtime,
      body: Buffer.alloc(0),
    });
  }

  #readHeaders(bucket: string, key: string): Omit<S3Object, 'body'> | undefined {
    try {
      return JSON.parse(readFileSync(this.#headersPath(bucket, key), 'utf8'));
    } catch {
      return undefined; // a file of the user's own
    }
  }

  // Renamed into place, so that nobody opens half an object, not even after a crash.
  #write(path: string, content: Buffer | string): void {
    const incoming = join(this.#root, '.incoming', randomUUID());
    mkdirSync(dirname(incoming), { recursive: true });
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(incoming, content);
    renameSync(incoming, path);
  }

  #path(bucket: string, key: string): string {
    if (key.split('/').some((segment) => segment === '' || segment === '.' || segment === '..')) {
      throw new S3Error('InvalidArgument', `The key ${key} cannot be a file of its own`, 400);
    }
    return join(this.#root, bucket, key);
  }

  #headersPath(bucket: string, key: string): string {
    return join(this.#root, '.headers', bucket, `${key}.json`);
  }
}

/** The keys of the objects whose files are in a folder. */
function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll(sep, '/'));
}

function describe(key: string, body: Buffer): Omit<S3Object, 'body' | 'lastModified'> {
  return {
    key,
    contentType: key.endsWith('.json') ? 'application/json' : 'application/octet-stream',
    contentLength: body.length,
    etag: `"${createHash('md5').update(body).digest('hex')}"`,
    metadata: {},
  };
}
