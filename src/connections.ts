import type { Dispatcher } from 'undici';
import Client from 'undici/lib/dispatcher/client.js';
import Pool from 'undici/lib/dispatcher/pool.js';

/** What undici tells of a request. */
export interface RequestHandler extends Dispatcher.DispatchHandler {
  /** The connection that the request went to, once it did. */
  connection?: Connection | undefined;
}

/**
 * The connections to an origin: an undici Pool, but that a connection which has just become free takes the next request
 * at once. To the Pool it is busy until the event loop has turned: for a request that comes sooner it opens another one,
 * up to `connections` however few are in flight, or has it wait in a queue. docs/adr/0004-undici-dispatch.md has figures.
 */
export class Connections {
  readonly #pool: Pool;
  /** Requests that wait in the Pool's queue: none goes before them. */
  #queued = 0;
  #freed: Connection | undefined;

  constructor(origin: string, options: Pool.Options) {
    const onDispatch = (): void => {
      this.#queued -= 1;
    };
    this.#pool = new Pool(origin, {
      ...options,
      factory: (url, options) => new Connection(url, options, onDispatch),
    });
  }

  dispatch(request: Dispatcher.DispatchOptions, handler: RequestHandler): void {
    const freed = this.#freed;
    this.#freed = undefined;
    const isFree = freed?.isIdle && this.#queued === 0;
    this.#queued += 1;
    (isFree ? freed : this.#pool).dispatch(request, handler);
  }

  /** To be called when a request has been answered in full. */
  answered({ connection }: RequestHandler): void {
    this.#freed = connection;
  }

  /** Ends the idle connections, and the others when they are done. */
  close(): Promise<void> {
    return this.#pool.close();
  }
}

class Connection extends Client {
  readonly #onDispatch: () => void;

  constructor(url: URL, options: Client.Options, onDispatch: () => void) {
    super(url, options);
    this.#onDispatch = onDispatch;
  }

  /** Whether it would send a request at once. The Pool closes one that has failed to connect again. */
  get isIdle(): boolean {
    return !this.closed && this.stats.size === 0;
  }

  override dispatch(request: Dispatcher.DispatchOptions, handler: RequestHandler): boolean {
    this.#onDispatch();
    handler.connection = this;
    return super.dispatch(request, handler);
  }
}
