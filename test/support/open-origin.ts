/** Origins of servers that a test starts. Whoever imports this has them closed, and the servers stopped, behind each test. */
import { getEventListeners } from 'node:events';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import type { Id } from '../../src/batch/ids.ts';
import type { AttemptResult } from '../../src/fetch/origin/attempt.ts';
import { openOrigin } from '../../src/fetch/origin/origin.ts';
import { parseUrlTemplate, type UrlTemplate } from '../../src/fetch/origin/url-template.ts';
import { makeCertificate } from './certificate.ts';
import { startHttp2Server } from './http2-server.ts';
import { type RawRequest, startMisbehavingServer } from './misbehaving-server.ts';

export const MAX_BODY_BYTES = 1_000;
export const POST = '{"id": 1}\n';
export const certificate = makeCertificate();

/** What an origin is opened with, settings and ports. */
export type OriginGiven = Partial<Parameters<typeof openOrigin>[0] & Parameters<typeof openOrigin>[1]>;

/** What stops what a test has started: the last first. */
export const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const warnings: Error[] = [];
const onWarning = (warning: Error): void => void warnings.push(warning);
beforeAll(() => void process.on('warning', onWarning));
afterAll(() => {
  process.off('warning', onWarning);
  expect(warnings.filter(({ name }) => name === 'MaxListenersExceededWarning')).toStrictEqual([]);
});

/** Starts a server that does with each request what `onRequest` says, and opens its origin. */
export async function serve(
  onRequest: (request: RawRequest, index: number) => void,
  {
    options = {},
    server = {},
  }: { options?: OriginGiven; server?: Parameters<typeof startMisbehavingServer>[1] } = {},
) {
  const upstream = await startMisbehavingServer(onRequest, server);
  stops.push(upstream.stop);
  return { upstream, ...open(upstream.origin, options) };
}

/** Serves the same bytes to every request. */
export const serveBytes = (bytes: string | Buffer, options: OriginGiven = {}) =>
  serve(({ socket }) => void socket.write(bytes), { options });

/** Starts an HTTP/2 server that does with each stream what `onStream` says, and opens its origin. */
export async function serveHttp2(
  onStream: Parameters<typeof startHttp2Server>[1],
  options: OriginGiven = {},
) {
  const upstream = await startHttp2Server(certificate, onStream);
  stops.push(upstream.stop);
  return { upstream, ...open(upstream.origin, { tls: { ca: certificate.cert }, ...options }) };
}

/** An origin of one connection, closed before its server is stopped. */
export function originAt(origin: string, given: OriginGiven = {}) {
  const all = {
    postUrl: parseUrlTemplate(`${origin}/posts/{id}`) as UrlTemplate,
    connections: 1,
    attemptTimeoutMs: 5_000,
    maxBodyBytes: MAX_BODY_BYTES,
    clock: systemClock,
    ...given,
  };
  const { startRun, close } = openOrigin(all, all);
  let closed: Promise<void> | undefined;
  const closeOnce = () => {
    closed ??= close();
    return closed;
  };
  stops.unshift(closeOnce);
  return { startRun, close: closeOnce };
}

/** Opens an origin, and starts a run. */
export function open(origin: string, given: OriginGiven = {}) {
  const { startRun, close } = originAt(origin, given);
  const { requestPost, unsolicited } = startRun();
  /** With a signal of its own, unless one is given. */
  const get = async (
    id: Id = 1,
    timeoutMs = 5_000,
    given?: AbortSignal,
    onOtherConnection?: boolean,
  ): Promise<unknown> => {
    const signal = given ?? new AbortController().signal;
    const result = await requestPost(id, timeoutMs, signal, onOtherConnection);
    if (!given) expect(getEventListeners(signal, 'abort')).toStrictEqual([]);
    return plain(result);
  };
  return { get, close, unsolicited, requestPost };
}

/** A result as plain values, without what is undefined. */
function plain(result: AttemptResult): unknown {
  if (result.kind === 'failed') return { kind: 'failed', code: result.code };
  const body = result.kind === 'response' && { body: result.body.toString() };
  return Object.fromEntries(
    Object.entries({ ...result, ...body }).filter(([, value]) => value !== undefined),
  );
}

export const response = (status: number, body = '', more: object = {}) => ({
  kind: 'response',
  status,
  ...more,
  body,
});
export const failed = (code: string) => ({ kind: 'failed', code });
export const timedOut = { kind: 'timed-out' };
