/** What every contender of bench/peers/main.ts is given: posts 1 to `posts`, each at `origin + path + id`. */
export interface Task {
  readonly origin: string;
  /** Ends with a slash. */
  readonly path: string;
  readonly posts: number;
  /** Most requests in flight, and most connections. */
  readonly concurrency: number;
}

/**
 * Fetches all posts of a task and parses each. Resolves when it holds them all; rejects unless all of them came.
 * What it resolves with is counted afterwards, when the clock has stopped.
 */
export type FetchAll = (task: Task) => Promise<Iterable<FetchedPost> | AsyncIterable<FetchedPost>>;

export interface FetchedPost {
  readonly id: number;
}

/** What a contender's process tells of itself. */
export interface Report {
  /** From the call to the last post. */
  readonly seconds: number;
  /** Of all threads, user and system, in that time. */
  readonly cpuSeconds: number;
  /** Of the whole life of the process. */
  readonly peakRssBytes: number;
  /** When it was called, by the time of day: all before is start-up. */
  readonly calledAtMs: number;
  readonly count: number;
  readonly sumOfIds: number;
}

export function ids({ posts }: Task): number[] {
  return Array.from({ length: posts }, (_, index) => index + 1);
}
