import type { buildConnector, Dispatcher } from 'undici';
import symbols from 'undici/lib/core/symbols.js';
import type { Clock } from '../../base/clock.ts';
import type { AttemptResult } from './attempt.ts';
import { Body } from './body.ts';
import type { Connections, LeastLatency, RequestHandler, Transport } from './connections.ts';
import { type Connector, EXPIRED } from './connector.ts';
import { codingsOf, type Decoded, decode, mostCodedBytes } from './decoders.ts';
import { asksForCalm, causeOf, isRefused } from './network-cause.ts';
import { waitFieldsOf } from './wait-fields.ts';

type QueuedRequest = Dispatcher.DispatchOptions & {
  /** Called each time the request has to wait, with what takes it out of the queue. */
  readonly [symbols.kQueuedAbort]: (leaveQueue: (reason: Error) => void) => void;
};

export interface ExchangeOptions {
  readonly maxBodyBytes: number;
  readonly connector: Connector<buildConnector.Options>;
  readonly connections: Connections;
  /** Whether connections may still take more than one request, as far as the run knows by now. */
  readonly mayReuse: () => boolean;
  readonly leastLatency: LeastLatency;
  readonly clock: Clock;
  /** Called once, unless the exchange is aborted before: with `location`, where the response sends us. */
  readonly onEnd: (attempt: AttemptResult, location?: string) => void;
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** An error's body is of no use; a longer one costs more to read than its connection is worth. */
const MAX_ERROR_BODY_BYTES = 65_536;
/** What a server may send on a connection that it closes, as no request came (RFC 9110, 15.5.9). */
const REQUEST_TIMEOUT = 408;
const NO_BODY = Buffer.alloc(0);
/** How often a request goes to another session, where none looks at it. */
const MOST_RESENT_SHARED = 32;
/** More lines than any server has a use for: each costs as much as a post. */
const MOST_HEADER_LINES = 1_000;
const ENDED = new Error('The attempt has ended');

/**
 * One request and its response, by undici's lowest interface: a promise and a stream a post cost a third of the speed.
 *
 * Over HTTP/1.1 an answer counts once the event loop has polled behind it, and its connection takes no request sooner.
 * On a connection that had been used before, it is sent again on a new one, once, at no cost to anyone, where
 *
 * - it fails before the first byte of an answer, as the connection has ended meanwhile (RFC 9112, 9.3.1; over HTTP/2 as
 *   well),
 * - the answer is a 408, which the server sent because no request came, or
 * - by then the origin has been seen to send what nobody asked for: the answer may be another request's.
 */
export class Exchange implements RequestHandler {
  client: RequestHandler['client'];
  readonly #request: QueuedRequest;
  readonly #options: ExchangeOptions;
  #controller: Dispatcher.DispatchController | undefined;
  /** Takes the request out of undici's queue, if it is in one. */
  #leaveQueue: ((reason: Error) => void) | undefined;
  #transport: Transport | undefined;
  #isReuse = false;
  #resent = 0;
  #sentMs = 0;
  #isTooSoon = false;
  #resending: NodeJS.Immediate | undefined;
  #isWaiting = false;
  #ended = false;
  #hasBegun = false;
  #isThrottled = false;
  #status = 0;
  #headers: Record<string, string | string[] | undefined> = {};
  #body = new Body();
  #codings: readonly string[] | undefined;
  #mostBytes = 0;
  #errorBytes = 0;
  /** The answer, where it has come in full. */
  #complete: AttemptResult | undefined;

  constructor(request: Dispatcher.DispatchOptions, options: ExchangeOptions) {
    this.#request = {
      ...request,
      [symbols.kQueuedAbort]: (leaveQueue) => {
        this.#leaveQueue = leaveQueue;
      },
    };
    this.#options = options;
  }

  /** To be called once. */
  start(): void {
    this.#send(!this.#options.mayReuse());
  }

  /** Ends the request, wherever it is, and its connection where it has one; `onEnd` is not called any more. */
  abort(): void {
    this.#ended = true;
    clearImmediate(this.#resending);
    this.#leaveQueue?.(ENDED);
    this.#controller?.abort(ENDED);
    this.#stopWaiting();
  }

  get isOver(): boolean {
    return this.#ended;
  }

  /** The answer, where it has come, or where its status is all of it: an error that is still sending its body. */
  answered(): AttemptResult | undefined {
    if (this.#redirect() !== undefined || this.#isDoubtful()) return undefined;
    return this.#complete ?? (this.#status >= 300 ? this.#response(NO_BODY) : undefined);
  }

  /** Called again where undici sends again what an HTTP/2 server said it has not looked at. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#noteCalm();
    this.#controller = controller;
    this.#transport = this.client?.transport;
    this.#isReuse = this.#on.hasAnswered;
    this.#sentMs = this.#options.clock.now();
  }

  onResponseStarted(): void {
    const { leastLatency, clock } = this.#options;
    const latencyMs = clock.now() - this.#sentMs;
    this.#hasBegun = true;
    this.#on.hasAnswered = true;
    if (this.#isReuse && leastLatency.isTooSoon(latencyMs)) this.#isTooSoon = true;
    else leastLatency.add(latencyMs);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    // 1xx: the response proper is still to come.
    if (status >= 100 && status < 200) return;
    // Not sooner: until then undici may send the request again, on another connection.
    this.#stopWaiting();
    this.#status = status;
    this.#headers = headers;
    const { rawHeaders } = controller;
    if (Array.isArray(rawHeaders) && rawHeaders.length > 2 * MOST_HEADER_LINES) {
      this.#end({ kind: 'failed', code: 'HPE_HEADER_OVERFLOW', isReachable: true }, true);
      return;
    }
    const { maxBodyBytes } = this.#options;
    this.#codings = codingsOf(headers['content-encoding']);
    this.#mostBytes = this.#codings ? mostCodedBytes(maxBodyBytes) : maxBodyBytes;
    // No status of HTTP, for which undici's parser would fail in its own way: what it begins is not read.
    if (status < 100) this.#end(this.#response(NO_BODY), true);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#status >= 300) {
      // Read all the same: an unread body holds its connection.
      this.#errorBytes += chunk.length;
      if (this.#errorBytes > MAX_ERROR_BODY_BYTES) this.#end(this.#response(NO_BODY), true);
    } else if (this.#body.length + chunk.length > this.#mostBytes) this.#end(this.#tooLarge(), true);
    else this.#body.add(chunk);
  }

  onResponseEnd(): void {
    const transport = this.#on;
    if (!transport.isShared) {
      // undici takes a body that ends with its connection for whole even where that was reset.
      const { errored } = transport.socket;
      if (errored) {
        this.#fail(errored);
        return;
      }
      this.client?.rest(transport, this.#options.clock.now() - this.#sentMs);
    }
    const body = this.#body.bytes();
    // A body without a byte is empty, whatever coding it is said to have.
    if (!this.#codings || body.length === 0) this.#receive(this.#response(body));
    else
      void decode(body, this.#codings, this.#options.maxBodyBytes, () => !this.#ended).then((decoded) => {
        if (decoded) this.#receiveDecoded(decoded);
      });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    // What we have ended ourselves.
    if (this.#ended || this.#resending) return;
    // It waited for a connect that was not made for it. Its own time is that of the attempt.
    if ('code' in error && error.code === EXPIRED) {
      this.#resend(false);
      return;
    }
    const transport = this.#transport ?? this.client?.transport;
    const isReachable = this.#isReachable(transport);
    if (transport) transport.hasFailed = true;
    if (transport && !this.#hasBegun && this.#mayResend(transport) && isUnanswered(transport, error))
      this.#resendAlone();
    else this.#fail(error, isReachable);
  }

  /** The connection that it is on: undici starts a request on one alone. */
  get #on(): Transport {
    return this.#transport as Transport;
  }

  #send(isAlone: boolean): void {
    const { connector, connections } = this.#options;
    if (!this.#isWaiting) connector.startWaiting();
    this.#isWaiting = true;
    connections.dispatch(this.#request, this, isAlone);
  }

  /** Over HTTP/2, a session may be full, or go away, more than once. */
  #mayResend({ isShared }: Transport): boolean {
    return this.#resent < (isShared ? MOST_RESENT_SHARED : 1);
  }

  #resendAlone(): void {
    this.#resent += 1;
    // Over HTTP/2, which tells answers apart, all that wait are to share the new connection.
    this.#resend(!this.#options.connector.mayShare);
  }

  /** Not within undici's own callback, where a session that fails is still being taken down. */
  #resend(isAlone: boolean): void {
    this.#hasBegun = false;
    this.#status = 0;
    this.#headers = {};
    this.#body = new Body();
    this.#errorBytes = 0;
    this.#complete = undefined;
    this.#controller = undefined;
    this.#isReuse = false;
    this.#isTooSoon = false;
    this.#leaveQueue = undefined;
    this.#resending = setImmediate(() => {
      this.#resending = undefined;
      this.#noteCalm();
      this.#transport = undefined;
      this.#send(isAlone);
    });
  }

  #receiveDecoded(decoded: Decoded): void {
    switch (decoded.kind) {
      case 'decoded':
        this.#receive(this.#response(decoded.body));
        break;
      case 'too-large':
        this.#receive(this.#tooLarge());
        break;
      case 'unknown-coding':
        this.#receive({ ...decoded, status: this.#status, ...waitFieldsOf(this.#headers) });
        break;
      case 'broken':
        this.#fail(decoded.error);
    }
  }

  /** Takes the answer, which is whole. */
  #receive(complete: AttemptResult): void {
    if (this.#on.isShared) this.#end(complete);
    else {
      this.#complete = complete;
      this.#options.connections.afterPoll(() => this.#end(complete));
    }
  }

  #fail(error: Error, isReachable?: boolean): void {
    if (this.#status >= 300) {
      this.#end(this.#response(NO_BODY), true);
      return;
    }
    const hasStatus = this.#status > 0;
    this.#noteCalm();
    const isThrottled = this.#isThrottled || asksForCalm(error);
    this.#end(
      {
        kind: 'failed',
        code: causeOf(error, hasStatus),
        isReachable: hasStatus || isReachable,
        ...(isThrottled && { isThrottled }),
      },
      true,
    );
  }

  /**
   * Whether a failure shows that the origin can be reached, or cannot: for a connection that brought no answer, once;
   * undefined where it shows nothing.
   */
  #isReachable(transport: Transport | undefined): boolean | undefined {
    if (!transport) return false;
    return transport.hasAnswered || transport.hasFailed ? undefined : false;
  }

  #noteCalm(): void {
    this.#isThrottled ||= this.#transport?.wantsCalm === true;
  }

  /** Whether what came on a connection that had been used before may be the answer to another request. */
  #isDoubtful(): boolean {
    if (!this.#isReuse || this.#on.isShared) return false;
    return this.#isTooSoon || this.#status === REQUEST_TIMEOUT || !this.#options.mayReuse();
  }

  #end(attempt: AttemptResult, abort = false): void {
    if (this.#ended) return;
    if (this.#isDoubtful()) {
      const { socket } = this.#on;
      const controller = this.#controller;
      this.#resendAlone();
      if (abort) controller?.abort(ENDED);
      // The answer proper may be on its way still.
      else socket.destroy();
      return;
    }
    this.#ended = true;
    if (abort) this.abort();
    this.#stopWaiting();
    this.#options.onEnd(attempt, this.#redirect());
  }

  #stopWaiting(): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#options.connector.stopWaiting();
  }

  /** Where the response sends us, if it does; an empty Location sends nowhere. */
  #redirect(): string | undefined {
    return REDIRECTS.has(this.#status) ? this.#header('location') || undefined : undefined;
  }

  #response(body: Buffer): AttemptResult {
    return {
      kind: 'response',
      status: this.#status,
      body,
      ...waitFieldsOf(this.#headers),
      ...(this.#isThrottled && { isThrottled: true }),
    };
  }

  #tooLarge(): AttemptResult {
    return { kind: 'too-large', status: this.#status, ...waitFieldsOf(this.#headers) };
  }

  #header(name: string): string | undefined {
    const value = this.#headers[name];
    return Array.isArray(value) ? value[0] : value;
  }
}

/**
 * Whether a request that failed was not looked at, as the server says, or failed with a connection that had been used
 * before, and not by itself on one that is shared.
 */
function isUnanswered(transport: Transport, error: Error & { code?: unknown }): boolean {
  if (asksForCalm(error)) return false;
  if (transport.isShared && isRefused(error)) return true;
  const { hasAnswered, isGone, socket } = transport;
  return hasAnswered && (isGone || socket.destroyed || error.code !== 'ERR_HTTP2_STREAM_ERROR');
}
