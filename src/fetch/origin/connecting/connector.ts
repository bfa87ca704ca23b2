import type { Socket } from 'node:net';
import type { Clock } from '../../../base/clock.ts';
import type { Resolved } from './addresses.ts';

type Callback = (...result: [error: null, socket: Socket] | [error: Error, socket: null]) => void;

export interface ConnectorOptions<Target> {
  /** Finds the addresses of a target, in the order in which they are to be tried, and calls back, once. */
  readonly resolve: (target: Target, callback: Resolved) => void;
  /**
   * Starts a connection to one of them and returns its socket at once. Calls back later, once: with the socket when it
   * is ready for requests, or with the error that it was destroyed with.
   */
  readonly open: (target: Target, address: string, callback: Callback) => Socket;
  readonly isTls: boolean;
  /** How long a connection may take until it is ready. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** The code of a connect that took too long for its request. Requests that wait for it by then may have time left. */
export const EXPIRED = 'CONNECT_EXPIRED';

/** The Connection Attempt Delay that RFC 8305, 8, recommends. */
const NEXT_ADDRESS_MS = 250;

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
   * Connects, and calls back once. Fails with the code EXPIRED after `timeoutMs`, and as soon as no request waits:
   * at once, not a tick later, so that no request that comes in between is taken along.
   *
   * Of several addresses, the next is tried where one has failed or is not there after 250 ms, without giving that up:
   * the first to be ready is taken (RFC 8305, 5). Where requests may share the connection, they all wait for it: if it
   * is not there after a quarter of the time, it gets one spare beside it. It fails only when all have, with the error
   * of the first.
   */
  readonly connect = (target: Target, callback: Callback): void => {
    if (this.#waiting === 0) {
      callback(unwanted(), null);
      return;
    }
    const { resolve, open, timeoutMs, clock } = this.#options;
    const startMs = clock.now();
    const sockets: Socket[] = [];
    let untried: readonly string[] = [];
    let spare: string | undefined;
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
    const expire = (): void => end(firstError ?? expired(timeoutMs), null);
    const settle: Callback = (error, socket) => {
      if (!this.#underWay.has(cancel)) return;
      if (error === null) {
        this.#mayShare = 'alpnProtocol' in socket && socket.alpnProtocol === 'h2';
        end(null, socket);
        return;
      }
      firstError ??= error;
      failures += 1;
      if (untried.length > 0) tryNext();
      else if (failures === sockets.length) end(firstError, null);
    };
    const tryNext = (): void => {
      const [address, ...others] = untried;
      untried = others;
      start(address as string);
    };
    const addSpare = (): void => {
      const address = spare as string;
      spare = undefined;
      start(address);
    };
    const start = (address: string): void => {
      sockets.push(open(target, address, settle));
      const leftMs = startMs + timeoutMs - clock.now();
      cancelTimer();
      if (untried.length > 0) cancelTimer = clock.after(Math.min(NEXT_ADDRESS_MS, leftMs), tryNext);
      else if (spare !== undefined)
        cancelTimer = clock.after(Math.max(0, leftMs - timeoutMs + Math.ceil(timeoutMs / 4)), addSpare);
      else cancelTimer = clock.after(leftMs, expire);
    };

    this.#underWay.add(cancel);
    let cancelTimer = clock.after(timeoutMs, expire);
    resolve(target, (error, addresses) => {
      if (!this.#underWay.has(cancel)) return;
      if (error) return end(error, null);
      if (this.#mayShare) spare = addresses[0];
      untried = addresses;
      tryNext();
    });
  };
}

function unwanted(): Error {
  return new Error('No request needs the connection any more');
}

function expired(timeoutMs: number): Error {
  return Object.assign(new Error(`No connection within ${timeoutMs} ms`), { code: EXPIRED });
}
