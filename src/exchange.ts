import type { Transform } from 'node:stream';
import type { buildConnector, Dispatcher } from 'undici';
import type { Attempt, RateLimitFields } from './attempt.ts';
import type { Connections, RequestHandler } from './connections.ts';
import type { Connector } from './connector.ts';
import { DECODERS } from './decoders.ts';
import { causeOf } from './network-cause.ts';

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** An error's body is of no use; a longer one costs more to read than its connection is worth. */
const MAX_ERROR_BODY_BYTES = 65_536;
const UNSENT = new Error('The attempt had ended before it was sent');

/** One request and its response, by undici's lowest interface: a promise and a stream a post cost a third of the speed. */
export class Exchange implements RequestHandler {
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
    const attempt: Attempt = { kind: 'failed', code: causeOf(error), error };
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

  /** Where the response sends us, if it does; an empty Location sends nowhere. */
  #redirect(): string | undefined {
    return REDIRECTS.has(this.#status) ? this.#header('location') || undefined : undefined;
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
