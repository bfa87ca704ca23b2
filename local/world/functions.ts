import { join } from 'node:path';
import type { Context } from 'aws-lambda';
import { projectDirectory } from './places.ts';

export type Handler = (event: unknown, context: Context) => Promise<unknown>;

/** Milliseconds of the longest time that a function may have. */
const LONGEST_MS = 900_000;

/** What an invocation is told of itself, as far as the functions ask. Its time runs from now. */
export function contextOf(awsRequestId: string, timeMs = LONGEST_MS): Context {
  const endMs = performance.now() + timeMs;
  const getRemainingTimeInMillis = (): number => Math.round(endMs - performance.now());
  return { awsRequestId, getRemainingTimeInMillis } as Context; // all that the functions use
}

/**
 * The handler of a built function, `handler`, `plan` or `conclude`. Another `instance` is another environment of Lambda,
 * with its own connections and its own limiter.
 */
export async function loadBuilt(name: string, instance = 0): Promise<Handler> {
  const file = join(projectDirectory, `dist/${name}.js`);
  const { handler }: { readonly handler: Handler } = await import(`${file}?instance=${instance}`);
  return handler;
}
