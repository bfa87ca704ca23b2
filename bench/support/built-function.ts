import { join } from 'node:path';

const bundle: typeof import('../../src/lambda/fetch.ts') = await import(
  join(import.meta.dirname, '../../dist/handler.js')
);

/** Invokes the built function in this process, whose environment is the function's, with the longest time there is. */
export function invokeBuilt(event: unknown, requestId: string = crypto.randomUUID()) {
  // All that the function uses of its context.
  const context = { awsRequestId: requestId, getRemainingTimeInMillis: () => 900_000 } as never;
  return bundle.handler(event, context);
}
