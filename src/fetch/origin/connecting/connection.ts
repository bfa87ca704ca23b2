import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { buildConnector, Dispatcher } from 'undici';
import Client from 'undici/lib/dispatcher/client.js';
import type { Clock } from '../../../base/clock.ts';
import { asksForCalm, isUnsolicited } from './network-cause.ts';

/** One connection to the origin, from when it is ready to its end. */
export interface Transport {
  readonly socket: Socket;
  /** Whether requests share the connection, as over HTTP/2. */
  readonly isShared: boolean;
  /** Whether an answer has begun: whatever request comes then is on a reused connection. */
  hasAnswered: boolean;
  /** Whether a request has failed. */
  hasFailed: boolean;
  /** Whether the connection takes no request any more: it has ended, or is ending. */
  isGone: boolean;
  /** Whether the server ended the connection because it was asked too much. */
  wantsCalm: boolean;
  /**
   * Until when, by the clock, no second request is taken; undefined until the first is answered, and -Infinity when the
   * rest is over.
   */
  restsUntilMs: number | undefined;
}

/** What undici tells of a request, and what is told to it. */
export interface RequestHandler extends Dispatcher.DispatchHandler {
  /** Which client has the request, once one has. */
  client?: Connection | undefined;
  /** Whether nobody waits for the request any more. */
  readonly isOver?: boolean;
  /** The first byte of an answer has come. */
  onResponseStarted?(): void;
}

type Dispatch = (request: Dispatcher.DispatchOptions, handler: RequestHandler) => void;

export interface ConnectionOptions extends Client.Options {
  readonly connect: buildConnector.connector;
  readonly clock: Clock;
  /** Called for each answer that nobody asked for. */
  readonly onUnsolicited: () => void;
}

/**
 * How long a new connection rests behind its first answer: as long as that took, within these bounds. A server that
 * answers what nobody has asked, or closes the connection after all, mostly does so within milliseconds: to wait once
 * costs a run less than one wrong post.
 */
const [LEAST_REST_MS, MOST_REST_MS] = [10, 20];

/** A client of undici's that tells of its connection: one at a time, and another when that has ended. */
export class Connection extends Client {
  readonly #url: URL;
  readonly #clock: Clock;
  /** Where the requests go that came while the connection rested, if it is closed by then. */
  readonly #dispatchElsewhere: Dispatch;
  #transport: Transport | undefined;
  /** Requests that came while the connection rests. */
  readonly #held: Parameters<Connection['dispatch']>[] = [];
  #cancelRelease: (() => void) | undefined;

  constructor(
    url: URL,
    { clock, onUnsolicited, connect, ...options }: ConnectionOptions,
    dispatchElsewhere: Dispatch,
  ) {
    const note = (socket: Socket): void => {
      this.#transport = {
        socket,
        isShared: 'alpnProtocol' in socket && socket.alpnProtocol === 'h2',
        hasAnswered: false,
        hasFailed: false,
        isGone: false,
        wantsCalm: false,
        restsUntilMs: undefined,
      };
    };
    super(url, {
      ...options,
      connect: (target, callback) =>
        connect(target, (...result) => {
          if (result[0] === null) note(result[1]);
          callback(...result);
        }),
    });
    this.#url = url;
    this.#clock = clock;
    this.#dispatchElsewhere = dispatchElsewhere;
    this.on('disconnect', (_origin, _targets, error) => {
      const transport = this.#transport;
      this.#transport = undefined;
      if (!transport) return;
      transport.isGone = true;
      transport.wantsCalm = asksForCalm(error);
      if (!transport.isShared && !transport.hasFailed && isUnsolicited(error)) onUnsolicited();
      this.#release();
    });
  }

  /** The connection that there is now. */
  get transport(): Transport | undefined {
    return this.#transport;
  }

  /** Has a connection rest behind the first answer, which has ended, to a request that was sent at `sentMs`. */
  rest(transport: Transport, sentMs: number): void {
    if (transport.restsUntilMs !== undefined) return;
    const now = this.#clock.now();
    transport.restsUntilMs = now + Math.min(Math.max(now - sentMs, LEAST_REST_MS), MOST_REST_MS);
  }

  override dispatch(request: Dispatcher.DispatchOptions, handler: RequestHandler): boolean {
    handler.client = this;
    const leftMs = this.#restLeftMs();
    if (leftMs <= 0 && this.#held.length === 0) return super.dispatch(request, handler);
    this.#held.push([request, handler]);
    // Before undici writes to a connection that was idle, it lets the event loop poll.
    this.#cancelRelease ??= this.#clock.after(leftMs, () => this.#release());
    return false;
  }

  #restLeftMs(): number {
    const transport = this.#transport;
    const untilMs = transport?.restsUntilMs ?? -Infinity;
    if (!transport || untilMs === -Infinity) return 0;
    const leftMs = untilMs - this.#clock.now();
    if (leftMs <= 0) transport.restsUntilMs = -Infinity;
    return leftMs;
  }

  #release(): void {
    this.#cancelRelease?.();
    this.#cancelRelease = undefined;
    const held = this.#held.splice(0);
    for (const [request, handler] of held) {
      if (handler.isOver) continue;
      if (this.closed) this.#dispatchElsewhere(request, handler);
      else super.dispatch(request, handler);
    }
    if (held.length > 0 && this.stats.size === 0)
      EventEmitter.prototype.emit.call(this, 'drain', this.#url, [this]);
  }
}
