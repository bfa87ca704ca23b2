/** The built function in a process of its own, warm from run to run: tells its memory and sockets when asked. */
import { readdirSync, readlinkSync } from 'node:fs';
import { invokeBuilt } from '../support/built-function.ts';

export interface Held {
  readonly heapBytes: number;
  readonly rssBytes: number;
  readonly sockets: number;
}

function held(): Held {
  // Twice: what finalizers let go of in the first is collected in the second.
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heapBytes: heapUsed + external, rssBytes: rss, sockets: countSockets() };
}

function countSockets(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      // It was the one that the list was read with.
      return false;
    }
  }).length;
}

process.on('unhandledRejection', (error) => {
  throw error;
});
process.on(
  'message',
  async ({ event, requestId }: { readonly event?: unknown; readonly requestId: string }) => {
    process.send?.(event === undefined ? held() : await invokeBuilt(event, requestId));
  },
);
process.send?.('ready');
