import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

interface Invocation {
  readonly event: unknown;
  readonly requestId: string;
  readonly remainingMs: number;
}

/** What an invocation came to. */
type Answer =
  | { readonly returned: unknown }
  | { readonly thrown: { readonly name: string; readonly message: string } };

/** The bundle dist/handler.js in a process of its own, without a line of src/. */
export interface BundleProcess {
  /** One at a time, as Lambda does it. */
  invoke(event: unknown, requestId: string, remainingMs?: number): Promise<Answer>;
  /** Lets the process go, and waits until it has ended by itself: with code 0, and nothing said on stderr. */
  leave(): Promise<{ readonly code: number | null; readonly stderr: string }>;
  /** Ends the process, if it has not ended. */
  kill(): void;
}

export async function startBundle(env: Readonly<Record<string, string>>): Promise<BundleProcess> {
  const child = fork(import.meta.filename, {
    env: {
      PATH: process.env.PATH,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'local',
      AWS_SECRET_ACCESS_KEY: 'local',
      ...env,
    },
    execArgv: ['--trace-warnings'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  // It is piped.
  const stderr = text(child.stderr as NodeJS.ReadableStream);
  const exit = once(child, 'exit') as Promise<[number | null]>;
  return {
    invoke: async (event, requestId, remainingMs = 60_000) => {
      const invocation: Invocation = { event, requestId, remainingMs };
      child.send(invocation);
      const [answer] = await Promise.race([
        once(child, 'message'),
        exit.then(async ([code]) => {
          throw new Error(`The process has ended with code ${code}: ${await stderr}`);
        }),
      ]);
      return answer as Answer;
    },
    leave: async () => {
      child.disconnect();
      const [code] = await exit;
      return { code, stderr: await stderr };
    },
    kill: () => {
      child.kill('SIGKILL');
    },
  };
}

if (import.meta.main) {
  const { handler } = await import(join(import.meta.dirname, '../../../dist/handler.js'));
  process.on('message', async ({ event, requestId, remainingMs }: Invocation) => {
    const endMs = performance.now() + remainingMs;
    const context = {
      awsRequestId: requestId,
      getRemainingTimeInMillis: () => endMs - performance.now(),
    };
    let answer: Answer;
    try {
      answer = { returned: await handler(event, context) };
    } catch (error) {
      const { name, message } = error as Error;
      answer = { thrown: { name, message } };
    }
    process.send?.(answer);
  });
}
