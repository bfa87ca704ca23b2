/** As many loops as connections, each with `dispatch` of undici: no promise and no stream a post. */
import { type Dispatcher, Pool } from 'undici';
import type { FetchAll, FetchedPost } from './contender.ts';

export const fetchAll: FetchAll = ({ origin, path, posts, concurrency }) =>
  new Promise((resolve, reject) => {
    const pool = new Pool(origin, { connections: concurrency });
    const fetched = new Array<FetchedPost>(posts);
    let next = 1;
    let ended = 0;
    const start = (): void => {
      if (next > posts) return;
      const id = next++;
      const exchange = new Exchange((body) => {
        fetched[id - 1] = JSON.parse(body);
        ended += 1;
        if (ended === posts) resolve(fetched);
        else start();
      }, reject);
      pool.dispatch({ path: path + id, method: 'GET' }, exchange);
    };
    for (let loops = 0; loops < concurrency; loops++) start();
  });

class Exchange implements Dispatcher.DispatchHandler {
  readonly #onBody: (body: string) => void;
  readonly #onError: (error: Error) => void;
  readonly #chunks: Buffer[] = [];

  constructor(onBody: (body: string) => void, onError: (error: Error) => void) {
    this.#onBody = onBody;
    this.#onError = onError;
  }

  // undici takes no handler without it.
  onRequestStart(): void {}

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    if (status !== 200) this.#onError(new Error(`Expected HTTP 200, got ${status}`));
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    this.#onBody(Buffer.concat(this.#chunks).toString());
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#onError(error);
  }
}
