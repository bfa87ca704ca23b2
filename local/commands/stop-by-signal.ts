import { CommandFailedError } from './command.ts';

const endings = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/**
 * Has a signal that would end this process abort `stopping` instead, so that what is under way can be cleared up. The
 * process ends by it when what this returns is disposed of, or by the next one.
 */
export function stopBySignal(stopping: AbortController): Disposable {
  let received: NodeJS.Signals | undefined;
  const stop = (signal: NodeJS.Signals): void => {
    received = signal;
    for (const ending of endings) process.off(ending, stop);
    stopping.abort(new CommandFailedError(`Stopped by ${signal}`));
  };
  for (const ending of endings) process.on(ending, stop);
  return {
    [Symbol.dispose]: () => {
      for (const ending of endings) process.off(ending, stop);
      if (received) process.kill(process.pid, received);
    },
  };
}
