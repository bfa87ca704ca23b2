import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { gzipSync } from 'node:zlib';
import type { Context } from 'aws-lambda';
import { startS3Store } from '../../../local/world/s3.ts';
import { apiFaults } from '../../support/api-description.ts';
import type { Invocation } from './events.ts';

type Handler = (event: unknown, context: Context) => Promise<unknown>;

export interface FuzzWorld {
  /** The environment in which the handlers are to be loaded. */
  readonly env: Readonly<Record<string, string>>;
  /** Invokes a function, and resolves with all that is not as it has to be, whatever the event. */
  faultsOf(
    invocation: Invocation,
    handlers: Readonly<Record<Invocation['name'], Handler>>,
  ): Promise<string[]>;
  close(): Promise<void>;
}

const MAX_ERROR_BYTES = 1_024;
/** Every code that an error of ours has, but for what is wrong inside. */
const CODES = new Set(
  `BAD_INPUT TOO_LARGE UNKNOWN_ROUTE METHOD_NOT_ALLOWED UNSUPPORTED_MEDIA_TYPE RUN_CONFLICT IDEMPOTENCY_KEY_REUSED
   RUN_NOT_FOUND NO_DOCUMENT STORE_FAILED NOT_FOUND NO_DATA HTTP_ERROR BAD_JSON`.split(/\s+/),
);
const POST = /^\/v1\/posts\/(?!\.{1,2}\/)[A-Za-z0-9._~-]{1,128}\/text$/;
const KEY = /^\/results\/runs\/(plans\/)?[A-Za-z0-9._~-]+(\?|$)/;
const MANIFESTS = {
  'posts.csv': 'title,id\nx,1\ny,99\n',
  'bomb.csv.gz': gzipSync(`1,${'"'.repeat(5_000_000)}`),
  'bad.jsonl': `1\n{"from":1,"to":2,"to":3}\n${'['.repeat(3_000)}\n`,
};

/** An origin and a store that know what they were asked for. */
export async function openFuzzWorld(): Promise<FuzzWorld> {
  const home = await mkdtemp(join(tmpdir(), 'batch-fetcher-fuzz-'));
  await mkdir(join(home, 'manifests'));
  for (const [name, content] of Object.entries(MANIFESTS))
    await writeFile(join(home, 'manifests', name), content);
  const store = await startS3Store({ directory: home, buckets: ['results', 'manifests'] });
  let asked: string[] = [];
  const origin = await listen((incoming, response) => {
    const { url = '' } = incoming;
    asked.push(url);
    // Some posts are missing, empty or broken.
    const kind = url.length % 5;
    response.writeHead(kind === 1 ? 404 : 200).end(['{"id":1}', '', '{', '{"id":2}', '[1]'][kind]);
  });
  let keys: string[] = [];
  const s3 = await listen((incoming, response) => {
    const { url = '', method, headers } = incoming;
    keys.push(`${method} ${url}`);
    const outgoing = request(`${store.endpoint}${url}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    void pipeline(incoming, outgoing).catch(() => response.destroy());
  });
  let invocations = 0;

  return {
    env: {
      RESULTS_BUCKET: 'results',
      POST_URL: `${origin.url}/v1/posts/{id}/text`,
      POST_IDS: '1-3',
      MAX_IDS: '200',
      MAX_MANIFEST_BYTES: '4000000',
      MAX_ATTEMPTS: '1',
      API_BASE_PATH: '/api',
      AWS_ENDPOINT_URL_S3: s3.url,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      POWERTOOLS_LOG_LEVEL: 'SILENT',
      POWERTOOLS_METRICS_DISABLED: 'true',
    },

    async faultsOf({ name, json }, handlers) {
      asked = [];
      keys = [];
      invocations += 1;
      const context = { awsRequestId: `request-${invocations}`, getRemainingTimeInMillis: () => 60_000 };
      const faults: string[] = [];
      try {
        // All of a context that the handlers use.
        const event: unknown = JSON.parse(json);
        const reply = await handlers[name](event, context as Context);
        faults.push(...faultsInReply(reply), ...apiFaults(event, reply));
      } catch (error) {
        const { code, message } = error as Error & { code?: string };
        if (!CODES.has(String(code))) faults.push(`It threw ${String(error)}`);
        faults.push(...faultsInText(message));
      }
      for (const path of asked) if (!POST.test(path)) faults.push(`The origin was asked for ${path}`);
      for (const key of keys) if (!isFit(key)) faults.push(`S3 was asked for ${key}`);
      return faults;
    },

    async close() {
      await origin.close();
      await s3.close();
      await store.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}

function faultsInReply(reply: unknown): string[] {
  const { statusCode = 200, body } = reply as { readonly statusCode?: number; readonly body?: string };
  if (statusCode < 400) return [];
  const problem = JSON.parse(String(body));
  const isKnown = statusCode !== 500 && CODES.has(problem.code);
  return [...(isKnown ? [] : [`It replied ${body}`]), ...faultsInText(problem.detail)];
}

function faultsInText(text: string): string[] {
  const bytes = Buffer.byteLength(text);
  return bytes > MAX_ERROR_BYTES ? [`The error has ${bytes} bytes: ${text.slice(0, 200)}`] : [];
}

/** In the bucket of results, what is under the prefix; in others, which manifests may be in, nothing but reads. */
function isFit(key: string): boolean {
  const [method, path = ''] = key.split(' ');
  const [, listed] = /^\/results\/?\?(.*)/.exec(path) ?? [];
  if (listed !== undefined) return method === 'GET' && new URLSearchParams(listed).get('prefix') === 'runs/';
  return path.startsWith('/results/') ? KEY.test(path) : method === 'GET';
}

async function listen(serve: (incoming: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    // A server for TCP has that address.
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close(): Promise<void> {
      server.close();
      server.closeAllConnections();
    },
  };
}
