import { contextOf, loadBuilt } from '../../local/world/functions.ts';

const handler = await loadBuilt('handler');

/** Invokes the built function in this process, whose environment is the function's, with the longest time there is. */
export function invokeBuilt(event: unknown, requestId: string = crypto.randomUUID()): Promise<unknown> {
  return handler(event, contextOf(requestId));
}
