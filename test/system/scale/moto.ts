import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { devNull } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { text } from 'node:stream/consumers';
import type { Definition } from '../../../local/world/interpret.ts';

/** How an execution ended. */
export interface Ended {
  readonly status: 'SUCCEEDED' | 'FAILED' | 'RUNNING';
  readonly output: unknown;
  readonly error: string | null;
  readonly cause: string | null;
  /** The names of the states that were entered, in order; without those of the items. */
  readonly states: readonly string[];
  /** Whether the Map failed, and was caught. */
  readonly mapFailed: boolean;
  /** Seconds from a failure to the next try, as the definition has them, in the order of the failures. */
  readonly waits: readonly number[];
}

/** moto's interpreter of state machines, in a process of Python. */
export interface Moto {
  /** One at a time. */
  execute(name: string, input: unknown): Promise<Ended>;
  /** Lets the process go, and resolves with its exit code and what it said on stderr when it has ended. */
  leave(): Promise<{ readonly code: number | null; readonly stderr: string }>;
}

export interface MotoOptions {
  /** The virtual environment that moto is installed in. */
  readonly environment: string;
  readonly definition: Definition;
  /** On 127.0.0.1, where the tasks find Lambda and S3. */
  readonly port: number;
}

/** What an execution that hangs may still have. */
const LEAVE_MS = 5_000;

export function startMoto({ environment, definition, port }: MotoOptions): Moto {
  const python = spawn(
    join(environment, 'bin/python'),
    ['-I', join(import.meta.dirname, 'moto_interpreter.py')],
    {
      // What stands in the home directory is nothing to it.
      env: {
        MOTO_PORT: `${port}`,
        NO_PROXY: '*',
        AWS_CONFIG_FILE: devNull,
        AWS_SHARED_CREDENTIALS_FILE: devNull,
      },
      stdio: 'pipe',
    },
  );
  const exit = once(python, 'exit') as Promise<[number | null]>;
  const stderr = text(python.stderr);
  const answers = createInterface({ input: python.stdout })[Symbol.asyncIterator]();
  // What an early end leaves unread is said by the exit.
  python.stdin.on('error', () => undefined).write(`${JSON.stringify(definition)}\n`);
  return {
    execute: async (name, input) => {
      python.stdin.write(`${JSON.stringify({ name, input })}\n`);
      const { value, done } = await answers.next();
      if (done) throw new Error(`moto has ended: ${await stderr}`);
      return JSON.parse(value);
    },
    leave: async () => {
      python.stdin.end();
      const late = setTimeout(() => python.kill('SIGKILL'), LEAVE_MS);
      const [code] = await exit;
      clearTimeout(late);
      return { code, stderr: await stderr };
    },
  };
}
