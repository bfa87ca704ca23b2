import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** What a function answered, or the error that it ended with, as Lambda has it. */
export type Answer =
  | { readonly returned: unknown }
  | { readonly failed: { readonly errorType: string; readonly errorMessage: string } };

/** The built functions of dist/ in a process of their own, without a line of src/. */
export interface BuiltFunctions {
  /** `name` is the function's in serverless.yml. Several may run at once. */
  invoke(name: string, event: unknown): Promise<Answer>;
  /** Lets the process go, and resolves with its exit code when it has ended by itself. */
  leave(): Promise<number | null>;
}

interface Invocation {
  readonly id: number;
  readonly name: string;
  readonly event: unknown;
}

export function startBuiltFunctions(env: Readonly<Record<string, string>>): BuiltFunctions {
  const child = fork(import.meta.filename, {
    env: {
      PATH: process.env.PATH,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'local',
      AWS_SECRET_ACCESS_KEY: 'local',
      POWERTOOLS_LOG_LEVEL: 'SILENT',
      POWERTOOLS_METRICS_DISABLED: 'true',
      ...env,
    },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const exit = once(child, 'exit') as Promise<[number | null]>;
  const waiting = new Map<number, (answer: Answer) => void>();
  let invocations = 0;
  child.on('message', ({ id, answer }: { id: number; answer: Answer }) => {
    waiting.get(id)?.(answer);
    waiting.delete(id);
  });
  return {
    invoke: (name, event) => {
      const id = ++invocations;
      const { promise, resolve } = Promise.withResolvers<Answer>();
      waiting.set(id, resolve);
      child.send({ id, name, event } satisfies Invocation);
      return promise;
    },
    leave: async () => {
      child.disconnect();
      const [code] = await exit;
      return code;
    },
  };
}

/** The files of dist/ by the names in serverless.yml. */
const FILES: Readonly<Record<string, string>> = {
  plan: 'plan.js',
  fetch: 'handler.js',
  conclude: 'conclude.js',
};

if (import.meta.main) {
  process.on('message', async ({ id, name, event }: Invocation) => {
    const { handler } = await import(join(import.meta.dirname, '../../../dist', FILES[name] ?? ''));
    const context = { awsRequestId: `request-${id}`, getRemainingTimeInMillis: () => 60_000 };
    let answer: Answer;
    try {
      answer = { returned: await handler(event, context) };
    } catch (error) {
      const { name: errorType, message: errorMessage } = error as Error;
      answer = { failed: { errorType, errorMessage } };
    }
    process.send?.({ id, answer });
  });
}
