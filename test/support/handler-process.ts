import { fork } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';

interface Invocation {
  readonly event: unknown;
  readonly requestId: string;
}

/** What an invocation came to: `thrown` is the error as it is printed, with all that it has. */
type Answer = { readonly returned: unknown } | { readonly thrown: string };

/** The handler of src/ in a process of its own, all that it prints kept. */
export interface HandlerProcess {
  /** One at a time, as Lambda does it. */
  invoke(event: unknown, requestId: string): Promise<Answer>;
  /** Lets the process go, waits until it has ended by itself, and gives what it has printed. */
  leave(): Promise<string>;
  /** Ends the process, if it has not ended. */
  kill(): void;
}

export function startHandler(env: Readonly<Record<string, string>>): HandlerProcess {
  const child = fork(import.meta.filename, {
    env: {
      PATH: process.env.PATH,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'local',
      AWS_SECRET_ACCESS_KEY: 'local',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  // They are piped.
  const printed = Promise.all([child.stdout, child.stderr].map((out) => text(out as NodeJS.ReadableStream)));
  const exit = once(child, 'exit');
  return {
    invoke: async (event, requestId) => {
      child.send({ event, requestId } satisfies Invocation);
      const [answer] = await Promise.race([
        once(child, 'message'),
        exit.then(async () => {
          throw new Error(`The process has ended: ${(await printed).join('')}`);
        }),
      ]);
      return answer as Answer;
    },
    leave: async () => {
      child.disconnect();
      await exit;
      return (await printed).join('');
    },
    kill: () => {
      child.kill('SIGKILL');
    },
  };
}

if (import.meta.main) {
  const { handler } = await import('../../src/lambda/fetch.ts');
  process.on('message', async ({ event, requestId }: Invocation) => {
    const context = { awsRequestId: requestId, getRemainingTimeInMillis: () => 60_000 };
    let answer: Answer;
    try {
      answer = { returned: await handler(event, context as Parameters<typeof handler>[1]) };
    } catch (error) {
      answer = { thrown: inspect(error, { depth: 10, showHidden: true }) };
    }
    process.send?.(answer);
  });
}
