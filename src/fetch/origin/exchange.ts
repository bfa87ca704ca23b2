import type { buildConnector, Dispatcher } from 'undici';
import symbols from 'undici/lib/core/symbols.js';
import type { Clock } from '../../base/clock.ts';
import { Incoming } from './answer/incoming.ts';
import type { Headers } from './answer/wait-fields.ts';
import type { AttemptResult, AttemptSettings } from './attempt.ts';
import type { RequestHandler, Transport } from './connecting/connection.ts';
import type { Connections } from './connecting/connections.ts';
import { type Connector, EXPIRED } from './connecting/connector.ts';
import type { LeastLatency } from './connecting/least-latency.ts';
import { asksForCalm, causeOf, isRefused } from './connecting/network-cause.ts';

/**
 * A class, as V8 may come to put what an object literal makes into the old generation at once. There each would hold on
 * to its exchange, and all that this has met, long after its end.
 */
class QueuedRequest implements Dispatcher.DispatchOptions {
  readonly path: string;
  readonly method = 'GET';
  readonly headers: string[];
  // No request shares a connection of HTTP/1.1: there is none to look for that the head of an answer has held up.
  readonly blocking = false;
  /** Takes the request out of undici's queue, if it is in one. */
  leaveQueue: ((reason: Error) => void) | undefined;
  /** Called each time the request has to wait. */
  readonly [symbols.kQueuedAbort] = (leaveQueue: (reason: Error) => void): void => {
    this.leaveQueue = leaveQueue;
  };

  constructor(path: string, headers: string[]) {
    this.path = path;
    this.headers = headers;
  }
}

/** What the requests of a run share on their way to the origin. */
export interface Way extends Pick<AttemptSettings, 'maxBodyBytes'> {
  readonly connector: Connector<buildConnector.Options>;
  readonly connections: Connections;
  /** Whether connections may still take more than one request, as far as the run knows by now. */
  readonly mayReuse: () => boolean;
  readonly leastLatency: LeastLatency;
  readonly clock: Clock;
}

/** Who an exchange is made for. */
export interface ExchangeOwner {
  /** Called once, unless the exchange is aborted before: with `location`, where the response sends us. */
  onEnd(result: AttemptResult, location?: string): void;
}

/** What a server may send on a connection that it closes, as no request came (RFC 9110, 15.5.9). */
const REQUEST_TIMEOUT = 408;
/** How often a request goes to another session of HTTP/2: one may be full, or go away, more than once. */
const MOST_RESENT_SHARED = 32;
/** More lines than any server has a use for: each of them takes time. */
const MOST_HEADER_LINES = 1_000;
const ENDED = new Error('The attempt has ended');

/**
 * One request and its response, by undici's lowest interface. docs/adr/0004-undici-dispatch.md says why.
 *
 * Over HTTP/1.1 an answer counts once the event loop has polled behind it, and its connection takes no request sooner.
 * A request on a connection that had been used before is sent again on a new one, once, where
 *
 * - it fails before the first byte of an answer, as the connection has ended meanwhile (RFC 9112, 9.3.1; over HTTP/2 as
 *   well),
 * - the answer is a 408, which the server sent because no request came,
 * - the answer came too soon to be this request's, or
 * - by then the origin has been seen to send what nobody asked for.
 */
export class Exchange implements RequestHandler {
  client: RequestHandler['client'];
  readonly #request: QueuedRequest;
  readonly #way: Way;
  readonly #owner: ExchangeOwner;
  #controller: Dispatcher.DispatchController | undefined;
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
  #incoming: Incoming;
  /** The answer, where it has come in full. */
  #complete: AttemptResult | undefined;

  constructor(path: string, headers: string[], way: Way, owner: ExchangeOwner) {
    this.#request = new QueuedRequest(path, headers);
    this.#way = way;
    this.#owner = owner;
    this.#incoming = new Incoming(way.maxBodyBytes);
  }

  /** To be called once. */
  start(): void {
    this.#send(!this.#way.mayReuse());
  }

  /** Ends the request, wherever it is, and its connection where it has one; its owner is not called any more. */
  abort(): void {
    this.#ended = true;
    clearImmediate(this.#resending);
    this.#request.leaveQueue?.(ENDED);
    this.#controller?.abort(ENDED);
    this.#stopWaiting();
  }

  get isOver(): boolean {
    return this.#ended;
  }

  /** The answer, where it has come, or where its status is all of it: an error that is still sending its body. */
  answered(): AttemptResult | undefined {
    if (this.#incoming.location !== undefined || this.#isDoubtful()) return undefined;
    const result = this.#complete ?? (this.#incoming.isError ? this.#incoming.response() : undefined);
    return result && this.#tell(result);
  }

  /** Called again where undici sends again what an HTTP/2 server said it has not looked at. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#noteCalm();
    this.#controller = controller;
    this.#transport = this.client?.transport;
    this.#isReuse = this.#on.hasAnswered;
    this.#sentMs = this.#way.clock.now();
  }

  onResponseStarted(): void {
    const { leastLatency, clock } = this.#way;
    const latencyMs = clock.now() - this.#sentMs;
    this.#hasBegun = true;
    this.#on.hasAnswered = true;
    if (this.#isReuse && leastLatency.isTooSoon(latencyMs)) this.#isTooSoon = true;
    else leastLatency.add(latencyMs);
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
    // 1xx: the response proper is still to come.
    if (status >= 100 && status < 200) return;
    // Not sooner: until then undici may send the request again, on another connection.
    this.#stopWaiting();
    this.#incoming.begin(status, headers);
    const { rawHeaders } = controller;
    if (Array.isArray(rawHeaders) && rawHeaders.length > 2 * MOST_HEADER_LINES)
      this.#end({ kind: 'failed', code: 'HPE_HEADER_OVERFLOW', isReachable: true }, true);
    // No status of HTTP, for which undici's parser would fail in its own way: what it begins is not read.
    else if (status < 100) this.#end(this.#incoming.response(), true);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const result = this.#incoming.add(chunk);
    if (result) this.#end(result, true);
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
      this.client?.rest(transport, this.#sentMs);
    }
    const result = this.#incoming.end(this);
    if (!(result instanceof Promise)) this.#receive(result);
    else
      result.then(
        (decoded) => decoded && this.#receive(decoded),
        (error: Error) => this.#fail(error),
      );
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    // The exchange has ended the request itself.
    if (this.#ended || this.#resending) return;
    // The request waited for a connect that was made for another. Its own time is that of the attempt.
    if ('code' in error && error.code === EXPIRED) {
      this.#resend(false);
      return;
    }
    const transport = this.#transport ?? this.client?.transport;
    // That the origin cannot be reached is told once a connection.
    const isReachable = transport?.hasAnswered || transport?.hasFailed ? undefined : false;
    if (transport) transport.hasFailed = true;
    const mostResent = transport?.isShared ? MOST_RESENT_SHARED : 1;
    const mayResend = !this.#hasBegun && this.#resent < mostResent && isUnanswered(transport, error);
    if (mayResend) this.#resendAlone();
    else this.#fail(error, isReachable);
  }

  /** The connection that the request is on: undici starts a request on one alone. */
  get #on(): Transport {
    return this.#transport as Transport;
  }

  #send(isAlone: boolean): void {
    const { connector, connections } = this.#way;
    if (!this.#isWaiting) connector.startWaiting();
    this.#isWaiting = true;
    connections.dispatch(this.#request, this, isAlone);
  }

  #resendAlone(): void {
    this.#resent += 1;
    // Over HTTP/2, which tells answers apart, all that wait are to share the new connection.
    this.#resend(!this.#way.connector.mayShare);
  }

  /** Not within undici's own callback, where a session that fails is still being taken down. */
  #resend(isAlone: boolean): void {
    this.#hasBegun = false;
    this.#incoming = new Incoming(this.#way.maxBodyBytes);
    this.#complete = undefined;
    this.#controller = undefined;
    this.#isReuse = false;
    this.#isTooSoon = false;
    this.#request.leaveQueue = undefined;
    this.#resending = setImmediate(() => {
      this.#resending = undefined;
      this.#noteCalm();
      this.#transport = undefined;
      this.#send(isAlone);
    });
  }

  /** Takes the answer, which is whole. */
  #receive(complete: AttemptResult): void {
    if (this.#on.isShared) this.#end(complete);
    else {
      this.#complete = complete;
      this.#way.connections.afterPoll(this);
    }
  }

  /** Lets the answer count, which has come in full. */
  polled(): void {
    this.#end(this.#complete as AttemptResult);
  }

  #fail(error: Error, isReachable?: boolean): void {
    const { isError, status } = this.#incoming;
    if (isError) this.#end(this.#incoming.response(), true);
    else {
      this.#noteCalm();
      this.#isThrottled ||= asksForCalm(error);
      const code = causeOf(error, status > 0);
      this.#end({ kind: 'failed', code, isReachable: status > 0 || isReachable }, true);
    }
  }

  #noteCalm(): void {
    this.#isThrottled ||= this.#transport?.wantsCalm === true;
  }

  /** Whether what came on a connection that had been used before may be the answer to another request. */
  #isDoubtful(): boolean {
    if (!this.#isReuse || this.#on.isShared) return false;
    return this.#isTooSoon || this.#incoming.status === REQUEST_TIMEOUT || !this.#way.mayReuse();
  }

  /** With `abort`, whatever stands behind the result is not read. */
  #end(result: AttemptResult, abort = false): void {
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
    this.#owner.onEnd(this.#tell(result), this.#incoming.location);
  }

  /** A result, which tells as well of what HTTP/2 has said. */
  #tell(result: AttemptResult): AttemptResult {
    const tells = this.#isThrottled && (result.kind === 'response' || result.kind === 'failed');
    return tells ? { ...result, isThrottled: true } : result;
  }

  #stopWaiting(): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#way.connector.stopWaiting();
  }
}

/**
 * Whether a request that failed was not looked at, as the server says, or failed with a connection that had been used
 * before, and not by itself on one that is shared.
 */
function isUnanswered(transport: Transport | undefined, error: Error & { code?: unknown }): boolean {
  if (!transport || asksForCalm(error)) return false;
  if (transport.isShared && isRefused(error)) return true;
  const { hasAnswered, isGone, socket } = transport;
  return hasAnswered && (isGone || socket.destroyed || error.code !== 'ERR_HTTP2_STREAM_ERROR');
}
