import { createServer, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { listen } from './listen.ts';

/** A running stand-in for JSONPlaceholder. */
export interface PostsStub {
  /** Its origin, `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** How many requests have arrived so far. */
  requests(): number;
  /** Resolves when the port is free again; idle and busy connections are cut. */
  close(): Promise<void>;
}

export interface PostsStubOptions {
  /** @default 0, any free port */
  readonly port?: number;
  /** Milliseconds that the answer for a path takes. @default 5–60 ms, always the same for the same path */
  readonly latencyMs?: (path: string) => number;
}

/** The one post that the stub does not have: the lesson's. */
export const missingPost = 99_999;

/**
 * Serves `GET /posts/1`, `/posts/2` and so on as JSONPlaceholder does (pretty-printed JSON, keep-alive, gzip on
 * request, 404 with `{}` for what is not there), with texts of our own, and without end: of these, `missingPost` alone
 * is not there.
 */
export async function startPostsStub({
  port = 0,
  latencyMs = steadyLatencyMs,
}: PostsStubOptions = {}): Promise<PostsStub> {
  let requests = 0;
  const server = createServer(async (request, response) => {
    requests += 1;
    const path = (request.url ?? '/').replace(/\?.*/, '');
    const wait = latencyMs(path);
    if (wait > 0) await sleep(wait);
    const gzip = /\bgzip\b/.test(String(request.headers['accept-encoding']));
    if (request.method !== 'GET') {
      response.setHeader('allow', 'GET');
      answer(response, 405, {}, gzip);
      return;
    }
    const id = Number(/^\/posts\/([1-9]\d{0,15})$/.exec(path)?.[1] ?? missingPost);
    if (id === missingPost || !Number.isSafeInteger(id)) answer(response, 404, {}, gzip);
    else answer(response, 200, post(id), gzip);
  });
  const { origin, close } = await listen(server, port);
  return { url: origin, requests: () => requests, close };
}

function answer(response: ServerResponse, status: number, value: object, gzip: boolean): void {
  const json = Buffer.from(JSON.stringify(value, null, 2));
  const body = gzip ? gzipSync(json) : json;
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': body.length,
    vary: 'accept-encoding',
    ...(gzip && { 'content-encoding': 'gzip' }),
  });
  response.end(body);
}

/** Spread by a hash, so that posts finish in another order than they are asked for, the same one each time. */
function steadyLatencyMs(path: string): number {
  let hash = 0;
  for (const character of path) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 9973;
  return 5 + (hash % 56);
}

const scenes = [
  ['An early train to', 'The carriage smelled of coffee and wet coats.'],
  ['Two rainy days in', 'We counted umbrellas and lost count at sixty.'],
  ['A quiet street in', 'A cat kept the only shop, and kept it well.'],
  ['The fish market of', 'By nine the ice was bare and the gulls were bored.'],
  ['Learning to bake in', 'The first loaf was a brick; the third was bread.'],
  ['A letter from', 'It took nine days and had three stamps too many.'],
  ['The last tram in', 'The driver waited, since nobody else would come.'],
  ['Morning light over', 'For ten minutes every roof was made of copper.'],
  ['A bookshop in', 'The poetry stood by the stove, where it was warm.'],
  ['What we found in', 'Mostly sand, one brass key, and a reason to stay.'],
] as const;
const places = [
  'Lisbon',
  'Tromsø',
  'Kyoto',
  'Valparaíso',
  'Ljubljana',
  'Galway',
  'Wrocław',
  'Oaxaca',
  'Tartu',
  'Bergen',
];

function post(id: number): { userId: number; id: number; title: string; body: string } {
  const row = Math.floor((id - 1) / 10);
  const column = (id - 1) % 10;
  // The place moves on with row and column, so that neighbours differ in both words; a hundred titles are all different.
  const [scene, sentence] = scenes[column] ?? scenes[0];
  const place = places[(row + column) % 10] ?? '';
  const year = Math.ceil(id / 100);
  return {
    userId: row + 1,
    id,
    title: `${scene} ${place}${year > 1 ? `, year ${year}` : ''}`,
    body: `${sentence}\nWe would go back to ${place} tomorrow.`,
  };
}
