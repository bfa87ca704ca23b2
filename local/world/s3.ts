import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BuildAppOptions, buildApp } from 'fauxqs';
import { S3Error } from '../../node_modules/fauxqs/dist/common/errors.js';
import { ObjectFiles } from './object-files.ts';
import { holdToS3 } from './strict-s3.ts';

/** A running S3-compatible store. */
export interface S3Store {
  /** `http://127.0.0.1:<port>` */
  readonly endpoint: string;
  /** The variables that have an AWS client use the store, its region and some credentials included. */
  readonly environment: Readonly<Record<string, string>>;
  /** Multipart uploads that were begun and neither completed nor aborted. */
  openUploads(): number;
  /** Resolves when the port is free again; connections are cut. Files in a given directory stay. */
  close(): Promise<void>;
}

/** The variables that have an AWS client use a store on this machine. */
export function environmentOf(endpoint: string): Readonly<Record<string, string>> {
  return {
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_EC2_METADATA_DISABLED: 'true',
  };
}

export interface S3StoreOptions {
  /** Where objects stand as plain files, `<directory>/<bucket>/<key>`. @default a temporary one, removed at close */
  readonly directory?: string;
  /** Buckets that exist from the start. */
  readonly buckets: readonly string[];
}

// The largest object that S3 takes in one PutObject.
const maxPutBytes = 5 * 1024 ** 3;

/**
 * Serves S3 from files: fauxqs, held to what S3 does where fauxqs is lax (see strict-s3.ts). What an earlier
 * store left in `directory`, or what the user put there, is served too.
 */
export async function startS3Store({ directory, buckets }: S3StoreOptions): Promise<S3Store> {
  const root = directory ?? mkdtempSync(join(tmpdir(), 'batch-fetcher-s3-'));
  const store = new ObjectFiles(root);
  for (const bucket of buckets) store.createBucket(bucket);

  const app = buildApp({
    logger: false,
    // buildApp makes the queues and topics that are left out, though its type wants them.
    stores: { s3Store: store } as unknown as NonNullable<BuildAppOptions['stores']>,
  });
  // The parser that fauxqs installs keeps to its limit of 11 MiB.
  app.removeContentTypeParser('*');
  app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: maxPutBytes }, (_request, body, done) =>
    done(null, body),
  );
  // Synchronous, as fauxqs' own handlers are: nothing can come between the check and the write.
  app.addHook('preHandler', (request, reply, done) => {
    try {
      holdToS3(request, store);
      done();
    } catch (error) {
      if (!(error instanceof S3Error)) throw error;
      reply.code(error.statusCode).type('application/xml').send(error.toXml());
    }
  });

  const endpoint = await app.listen({ host: '127.0.0.1', port: 0 });
  return {
    endpoint,
    environment: environmentOf(endpoint),
    openUploads: () => store.openUploads,
    close: async () => {
      await app.close();
      if (directory === undefined) rmSync(root, { recursive: true, force: true });
    },
  };
}
