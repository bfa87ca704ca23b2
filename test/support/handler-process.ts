import { fork } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { contextOf, type Handler } from '../../local/world/functions.ts';

interface Invocation {
  readonly event: unknown;
  readonly requestId: string;
  readonly remainingMs: number;
}

/** What an invocation came to. */
type Answer =
  | { readonly returned: unknown }
  | { readonly thrown: { readonly name: string; readonly message: string }; readonly printed: string };

/** What a process came to that ended by itself: its exit code, and all that it printed. */
interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A handler in a process of its own. */
export interface HandlerProcess {
  /**
   * One at a time, as Lambda does it. `printed` is an error as it is printed with all that it has.
   *
   * `remainingMs` is the time that the function has. @default 60_000
   */
  invoke(event: unknown, requestId: string, remainingMs?: number): Promise<Answer>;
  /** Lets the process go, and waits until it has ended by itself. */
  leave(): Promise<Ended>;
  /** Ends the process, if it has not ended. */
  kill(): void;
}

/** Starts the module at `file`, which exports a `handler`, with this environment and no other. */
export function startHandler(file: string, env: Readonly<Record<string, string>>): HandlerProcess {
  const child = fork(import.meta.filename, [file], {
    env: { PATH: process.env.PATH, ...env },
    execArgv: ['--trace-warnings'],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  // They are piped.
  const printed = Promise.all([child.stdout, child.stderr].map((out) => text(out as NodeJS.ReadableStream)));
  const exit = once(child, 'exit') as Promise<[number | null]>;
  const ended = async (): Promise<Ended> => {
    const [[code], [stdout = '', stderr = '']] = await Promise.all([exit, printed]);
    return { code, stdout, stderr };
  };
  return {
    async invoke(event, requestId, remainingMs = 60_000) {
      child.send({ event, requestId, remainingMs } satisfies Invocation);
      const [answer] = await Promise.race([
        once(child, 'message'),
        ended().then(({ code, stdout, stderr }) => {
          throw new Error(`The process has ended with code ${code}: ${stdout}${stderr}`);
        }),
      ]);
      if ('returned' in answer) await requireDescribed(event, answer.returned);
      return answer as Answer;
    },
    leave() {
      child.disconnect();
      return ended();
    },
    kill: () => {
      child.kill('SIGKILL');
    },
  };
}

/** Rejects where a reply of the API is not as its description says. */
async function requireDescribed(event: unknown, reply: unknown): Promise<void> {
  // Not loaded by the process of the handler.
  const { apiFaults } = await import('./api-description.ts');
  const faults = apiFaults(event, reply);
  if (faults.length > 0) throw new Error(faults.join('\n'));
}

if (import.meta.main) {
  const { handler }: { readonly handler: Handler } = await import(process.argv[2] ?? '');
  process.on('message', async ({ event, requestId, remainingMs }: Invocation) => {
    let answer: Answer;
    try {
      answer = { returned: await handler(event, contextOf(requestId, remainingMs)) };
    } catch (error) {
      const { name, message } = error as Error;
      answer = { thrown: { name, message }, printed: inspect(error, { depth: 10, showHidden: true }) };
    }
    process.send?.(answer);
  });
}
