import type { Dispatcher } from 'undici';
import Pool from 'undici/lib/dispatcher/pool.js';
import { Connection, type ConnectionOptions, type RequestHandler } from './connection.ts';

export interface ConnectionsOptions extends ConnectionOptions {
  /** Most connections, but for those of single requests. */
  readonly connections: number;
}

/** What waits for the event loop to have polled. */
interface Polled {
  polled(): void;
}

/**
 * The connections to an origin: undici's Pool, but for how a connection is reused. docs/adr/0004-undici-dispatch.md
 * says why.
 *
 * - A new connection rests for 10 to 20 ms behind its first answer before it takes a second request.
 * - Bytes that come when no request is in flight end their connection, and are told of.
 * - A request can have a connection of its own, which takes no other.
 */
export class Connections {
  readonly #url: URL;
  readonly #options: ConnectionsOptions;
  #pool: Pool;
  #behindPoll: Polled[] = [];

  constructor(origin: string, options: ConnectionsOptions) {
    this.#url = new URL(origin);
    this.#options = options;
    this.#pool = this.#openPool();
  }

  /** Ends the connections that there are, those in use behind their answers: no request goes on one of them any more. */
  renew(): void {
    void this.#pool.close();
    this.#pool = this.#openPool();
  }

  /** Sends a request; with `isAlone`, on a new connection, which ends behind the answer. */
  dispatch(request: Dispatcher.DispatchOptions, handler: RequestHandler, isAlone = false): void {
    if (!isAlone) {
      this.#pool.dispatch(request, handler);
      return;
    }
    const connection = new Connection(this.#url, this.#options, this.#dispatchAgain);
    connection.dispatch({ ...request, reset: true }, handler);
    void connection.close();
  }

  /** Calls `polled` once the event loop has polled, and with it read what stands behind the last answers by now. */
  afterPoll(answer: Polled): void {
    if (this.#behindPoll.push(answer) > 1) return;
    // The first immediate comes before the next poll, the second behind it.
    setImmediate(() => {
      const answers = this.#behindPoll;
      this.#behindPoll = [];
      setImmediate(() => {
        for (const answer of answers) answer.polled();
      });
    });
  }

  /** Ends the idle connections, and the others when they are done. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  /** For what waited for a connection that was to end by then. */
  readonly #dispatchAgain: Connections['dispatch'] = (request, handler) => this.dispatch(request, handler);

  #openPool(): Pool {
    const { connections, connect } = this.#options;
    return new Pool(this.#url, {
      connections,
      connect,
      factory: (url) => new Connection(url, this.#options, this.#dispatchAgain),
    });
  }
}
