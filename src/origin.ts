import type { Transform } from 'node:stream';
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
} from 'node:zlib';
import type { buildConnector, Dispatcher } from 'undici';
import connectorOf from 'undici/lib/core/connect.js';
import type { Attempt, RateLimitFields, RequestPost } from './attempt.ts';
import { type Clock, sharedAfter } from './clock.ts';
import { Connections, type RequestHandler } from './connections.ts';
import { Connector, type ConnectorOptions } from './connector.ts';
import { onAbort } from './on-abort.ts';
import type { UrlTemplate } from './url-template.ts';

export interface OriginOptions {
  readonly postUrl: UrlTemplate;
  /** Most connections, and so most requests in flight over HTTP/1.1. */
  readonly connections: number;
  readonly attemptTimeoutMs: number;
  /** Most bytes of a body after decompression. */
  readonly maxBodyBytes: number;
  readonly clock: Clock;
  /** More options for the TLS sockets: a CA, say. @default {} */
  readonly tls?: { readonly ca?: string };
  /**
   * More header fields, such as credentials. They replace the default ones of the same name, and are not sent with the
   * request that follows a redirect.
   * @default {}
   */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The server that the posts come from, and the connections to it, which outlive a run. */
export interface Origin {
  readonly requestPost: RequestPost;
  /** Ends the idle connections, and the others when they are done. */
  close(): Promise<void>;
}

/** The project and its version in package.json. */
export const USER_AGENT = 'batch-fetcher/0.1.0';
const MAX_REDIRECTS = 3;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** An error's body is of no use; a longer one costs more to read than its connection is worth. */
const MAX_ERROR_BODY_BYTES = 65_536;

/**
 * Opens connections to the origin of `postUrl` as they are needed: HTTP/2 where TLS offers it, else HTTP/1.1 with
 * keep-alive. Bodies are decompressed. Redirects are followed, at most 3, within the origin alone.
 */
export function openOrigin(options: OriginOptions): Origin {
  const {
    postUrl: url,
    connections,
    attemptTimeoutMs,
    maxBodyBytes,
    clock,
    tls = {},
    headers = {},
  } = options;
  const connector = new Connector({
    // It returns its socket, though its type does not say so. Its own timeout is left out: it is a second late.
    open: connectorOf({ ...tls, timeout: 0 }) as ConnectorOptions<buildConnector.Options>['open'],
    isTls: url.origin.startsWith('https:'),
    // Later than the attempt that asks for the connection: that has then timed out, and has not failed.
    timeoutMs: attemptTimeoutMs + 1,
    clock,
  });
  const open = (connections: number, streams: { maxConcurrentStreams?: number } = {}): Connections =>
    new Connections(url.origin, {
      connections,
      connect: connector.connect,
      // The attempt has a clock of its own, which counts connecting and the body as well.
      headersTimeout: 0,
      bodyTimeout: 0,
      // Ending a stream tells nothing of its connection, which many share: one that has died is found out by this.
      h2Options: { pingInterval: attemptTimeoutMs, ...streams },
    });
  const shared = open(connections);
  /** For the requests that share no connection where the others do. */
  const unshared = open(Math.ceil(connections / 10), { maxConcurrentStreams: 1 });
  const firstFields = fieldsWith(headers);
  const after = sharedAfter(clock);

  const requestPost: RequestPost = (id, timeoutMs, signal, onOtherConnection = false) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      let exchange: Exchange;
      const finish = (attempt: Attempt): void => {
        cancelTimer();
        stopListening();
        resolve(attempt);
      };
      const stopListening = onAbort(signal, () => {
        stopListening();
        cancelTimer();
        exchange.abort();
        reject(signal.reason);
      });
      const cancelTimer = after(timeoutMs, () => {
        exchange.abort();
        finish(exchange.answered() ?? TIMED_OUT);
      });

      // Over HTTP/1.1 no request shares a connection.
      const pool = onOtherConnection && connector.mayShare ? unshared : shared;
      const request = (path: string, fields: string[], redirectsLeft: number): void => {
        exchange = new Exchange(
          { path, method: 'GET', headers: fields },
          maxBodyBytes,
          connector,
          pool,
          (attempt, location) => {
            if (attempt.kind !== 'response' || location === undefined) return finish(attempt);
            const target = URL.parse(location, url.origin + path);
            if (target?.origin !== url.origin)
              finish({ ...attempt, redirect: `a redirect to another origin (${nameOf(target)})` });
            else if (redirectsLeft === 0)
              finish({ ...attempt, redirect: `more than ${MAX_REDIRECTS} redirects` });
            else request(target.pathname + target.search, DEFAULT_FIELDS, redirectsLeft - 1);
          },
        );
        exchange.start();
      };
      request(url.pathOf(id), firstFields, MAX_REDIRECTS);
    });

  return {
    requestPost,
    async close() {
      await Promise.all([shared.close(), unshared.close()]);
    },
  };
}

const TIMED_OUT: Attempt = { kind: 'timed-out' };
const UNSENT = new Error('The attempt had ended before it was sent');

const DEFAULTS = {
  accept: 'application/json',
  'accept-encoding': 'gzip, br, zstd',
  'user-agent': USER_AGENT,
};
const DEFAULT_FIELDS = fieldsWith({});

/** The header fields of a request: names and values in turn, which costs undici least. */
function fieldsWith(headers: Readonly<Record<string, string>>): string[] {
  const fields = new Map(Object.entries(DEFAULTS));
  for (const [name, value] of Object.entries(headers)) fields.set(name.toLowerCase(), value);
  return [...fields].flat();
}

/** One request and its response, by undici's lowest interface: a promise and a stream a post cost a third of the speed. */
class Exchange implements RequestHandler {
  connection: RequestHandler['connection'];
  readonly #request: Dispatcher.DispatchOptions;
  readonly #maxBodyBytes: number;
  readonly #connector: Connector<buildConnector.Options>;
  readonly #connections: Connections;
  readonly #onEnd: (attempt: Attempt, location?: string) => void;
  readonly #chunks: Buffer[] = [];
  #controller: Dispatcher.DispatchController | undefined;
  #isWaiting = false;
  #ended = false;
  #status = 0;
  #headers: Record<string, string | string[] | undefined> = {};
  #decoder: Transform | undefined;
  #bytes = 0;

  constructor(
    request: Dispatcher.DispatchOptions,
    maxBodyBytes: number,
    connector: Connector<buildConnector.Options>,
    connections: Connections,
    onEnd: (attempt: Attempt, location?: string) => void,
  ) {
    this.#request = request;
    this.#maxBodyBytes = maxBodyBytes;
    this.#connector = connector;
    this.#connections = connections;
    this.#onEnd = onEnd;
  }

  /** To be called once. */
  start(): void {
    this.#connector.startWaiting();
    this.#isWaiting = true;
    this.#connections.dispatch(this.#request, this);
  }

  /** Ends the request, wherever it is, and its connection where it has one; `onEnd` is not called any more. */
  abort(): void {
    this.#ended = true;
    this.#decoder?.destroy();
    this.#controller?.abort(new Error('The attempt has ended'));
    // undici takes nothing out of its queue: when this one's turn comes, it is refused, instead of connected for.
    this.#request.path = '';
    this.#stopWaiting();
  }

  /** The answer, where the status is all of it: an error that is still sending its body. */
  answered(): Attempt | undefined {
    return this.#status >= 300 && this.#redirect() === undefined ? this.#response() : undefined;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // It was aborted while it waited for its connection, which this leaves to the next request.
    if (this.#ended) throw UNSENT;
    this.#controller = controller;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    // 1xx: the response proper is still to come.
    if (status < 200) return;
    // Not sooner: until then undici may send the request again, on another connection.
    this.#stopWaiting();
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#status >= 300) {
      // Read all the same: an unread body holds its connection.
      this.#bytes += chunk.length;
      if (this.#bytes > MAX_ERROR_BODY_BYTES) this.#end(this.#response(), true);
      return;
    }
    // Only now: a body without a byte is empty, whatever encoding it is said to have.
    this.#decoder ??= this.#startDecoder(controller);
    if (!this.#decoder) this.#add(chunk);
    else if (!this.#decoder.write(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    if (this.#decoder) this.#decoder.end();
    else this.#end(this.#response());
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#fail(error);
  }

  /** undici's `interceptors.decompress()` fails for an empty body, and costs a response that needs none of it. */
  #startDecoder(controller: Dispatcher.DispatchController): Transform | undefined {
    const decoder = DECODERS.get(this.#header('content-encoding')?.toLowerCase() ?? '')?.();
    return decoder
      ?.on('data', (chunk: Buffer) => this.#add(chunk))
      .on('drain', () => controller.resume())
      .on('end', () => this.#end(this.#response()))
      .on('error', (error) => this.#fail(error));
  }

  #add(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#maxBodyBytes) this.#end({ kind: 'too-large', status: this.#status }, true);
    else this.#chunks.push(chunk);
  }

  #fail(error: Error): void {
    const attempt: Attempt = { kind: 'failed', code: systemCode(error), error };
    this.#end(this.#status >= 300 ? this.#response() : attempt, true);
  }

  #end(attempt: Attempt, abort = false): void {
    if (this.#ended) return;
    this.#ended = true;
    if (abort) this.abort();
    else this.#connections.answered(this);
    this.#stopWaiting();
    this.#onEnd(attempt, this.#redirect());
  }

  #stopWaiting(): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#connector.stopWaiting();
  }

  /** Where the response sends us, if it does. */
  #redirect(): string | undefined {
    return REDIRECTS.has(this.#status) ? this.#header('location') : undefined;
  }

  #response(): Attempt {
    const [first, ...rest] = this.#chunks;
    const rateLimit = this.#rateLimit();
    return {
      kind: 'response',
      status: this.#status,
      body: first && rest.length === 0 ? first : Buffer.concat(this.#chunks),
      retryAfter: this.#header('retry-after'),
      ...(rateLimit && { rateLimit }),
    };
  }

  #rateLimit(): RateLimitFields | undefined {
    const limit = this.#headers.ratelimit;
    const remaining = this.#header('ratelimit-remaining');
    const reset = this.#header('ratelimit-reset');
    if (limit === undefined && remaining === undefined && reset === undefined) return undefined;
    // A list that came in several lines is one list (RFC 9110, 5.3).
    return { limit: Array.isArray(limit) ? limit.join(', ') : limit, remaining, reset };
  }

  #header(name: string): string | undefined {
    const value = this.#headers[name];
    return Array.isArray(value) ? value[0] : value;
  }
}

const DECODERS = new Map<string, () => Transform>([
  ['gzip', () => createGunzip()],
  ['x-gzip', () => createGunzip()],
  ['br', () => createBrotliDecompress()],
  // A window of at most 8 MB, which RFC 9659 has clients support: a larger one is memory for the asking.
  ['zstd', () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 23 } })],
  ['deflate', () => createInflate()],
]);

/** For a message: an origin, or the scheme of a URL that has none. */
function nameOf(target: URL | null): string {
  if (!target) return 'no URL';
  return target.origin === 'null' ? target.protocol : target.origin;
}

/** The libraries' own codes for what other clients report by the system's. */
const SYSTEM_CODES: Readonly<Record<string, string>> = {
  UND_ERR_SOCKET: 'ECONNRESET',
  UND_ERR_INFO: 'ECONNRESET',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'ECONNRESET',
  ERR_HTTP2_STREAM_ERROR: 'ECONNRESET',
  ERR_HTTP2_SESSION_ERROR: 'ECONNRESET',
  // A compressed body that ends too early.
  Z_BUF_ERROR: 'ECONNRESET',
  HTTPParserError: 'EPROTO',
  UND_ERR_CONNECT_TIMEOUT: 'ETIMEDOUT',
  UND_ERR_HEADERS_OVERFLOW: 'HPE_HEADER_OVERFLOW',
};

function systemCode(error: Error & { code?: unknown }): string {
  const code = typeof error.code === 'string' ? error.code : error.name;
  return SYSTEM_CODES[code] ?? code;
}
