import type { Socket } from 'node:net';
import type { Clock } from './clock.ts';

type Callback = (...result: [error: null, socket: Socket] | [error: Error, socket: null]) => void;

export interface ConnectorOptions<Target> {
  /**
   * Starts a connection and returns its socket at once. Calls back later, once: with the socket when it is ready for
   * requests, or with the error that it was destroyed with.
   */
  readonly open: (target: Target, callback: Callback) => Socket;
  readonly isTls: boolean;
  /** How long a connection may take until it is ready. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/**
 * Opens connections for as long as requests wait for an answer, which may need one: whoever sends requests says how
 * many do.
 */
export class Connector<Target> {
  readonly #options: ConnectorOptions<Target>;
  /** What ends the connects under way, each by itself. */
  readonly #underWay = new Set<() => void>();
  #waiting = 0;
  #mayShare: boolean;

  constructor(options: ConnectorOptions<Target>) {
    this.#options = options;
    // HTTP/2 is only spoken over TLS here, and only the first handshake tells.
    this.#mayShare = options.isTls;
  }

  /** Whether requests may share a connection, as over HTTP/2: the last connection says, and before the first, TLS. */
  get mayShare(): boolean {
    return this.#mayShare;
  }

  /** One more request waits. To be called before it is sent, as it may need a connection at once. */
  startWaiting(): void {
    this.#waiting++;
  }

  /** One request waits no more. If it was the last, the connects that are under way fail before this returns. */
  stopWaiting(): void {
    if (--this.#waiting > 0) return;
    for (const cancel of this.#underWay) cancel();
  }

  /**
   * Connects, and calls back once. Fails with the code ETIMEDOUT after `timeoutMs`, and as soon as no request waits:
   * at once, not a tick later, so that no request that comes in between is taken along.
   *
   * Where requests may share the connection, they all wait for it: if it is not there after a quarter of the time, it
   * gets one spare beside it, and the first to be ready is taken (RFC 8305, 5 staggers connects so). It fails only
   * when both have, with the error of the first.
   */
  readonly connect = (target: Target, callback: Callback): void => {
    if (this.#waiting === 0) {
      callback(unwanted(), null);
      return;
    }
    const { open, timeoutMs, clock } = this.#options;
    const sockets: Socket[] = [];
    let firstError: Error | undefined;
    let failures = 0;
    const end: Callback = (...result) => {
      cancelTimer();
      this.#underWay.delete(cancel);
      const [error, taken] = result;
      // With an error, which their callbacks wait for.
      for (const socket of sockets) if (socket !== taken) socket.destroy(error ?? unwanted());
      callback(...result);
    };
    const cancel = (): void => end(unwanted(), null);
    const expire = (): void => end(firstError ?? timedOut(timeoutMs), null);
    const start = (): void => {
      const socket = open(target, (error, socket) => {
        if (!this.#underWay.has(cancel)) return;
        if (error === null) {
          this.#mayShare = 'alpnProtocol' in socket && socket.alpnProtocol === 'h2';
          end(null, socket);
        } else {
          firstError ??= error;
          if (++failures === sockets.length) end(firstError, null);
        }
      });
      sockets.push(socket);
    };
    const addSpare = (): void => {
      cancelTimer = clock.after(timeoutMs - spareAfterMs, expire);
      start();
    };

    start();
    this.#underWay.add(cancel);
    const spareAfterMs = Math.ceil(timeoutMs / 4);
    let cancelTimer = this.#mayShare ? clock.after(spareAfterMs, addSpare) : clock.after(timeoutMs, expire);
  };
}

function unwanted(): Error {
  return new Error('No request needs the connection any more');
}

function timedOut(timeoutMs: number): Error {
  return Object.assign(new Error(`No connection within ${timeoutMs} ms`), { code: 'ETIMEDOUT' });
}
