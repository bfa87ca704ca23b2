import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { DirectReply } from '../../src/lambda/events/reply.ts';
import { projectDirectory } from '../world/places.ts';
import { CommandFailedError } from './command.ts';

/** One `serverless invoke local`. */
export interface Invocation {
  readonly functionName: 'fetch' | 'api';
  /** The event, by its file or in JSON. */
  readonly input: readonly [option: '-p' | '-d', value: string];
}

/** What an invocation may answer: a direct reply, an HTTP response, or the error that the function threw. */
export type LocalReply = Partial<DirectReply> & {
  readonly statusCode?: number;
  readonly body?: unknown;
  readonly errorMessage?: string;
  readonly errorType?: string;
};

/** The arguments of `serverless`. */
export function argumentsOf({ functionName, input }: Invocation): string[] {
  return ['invoke', 'local', '-f', functionName, '--stage', 'local', ...input];
}

/** Resolves with the function's reply, whatever that says. Rejects with CommandFailedError where there is none. */
export async function invokeLocal(invocation: Invocation): Promise<LocalReply> {
  const cli = join(projectDirectory, 'node_modules/serverless/bin/serverless.js');
  const child = spawn(process.execPath, [cli, ...argumentsOf(invocation)], {
    cwd: projectDirectory,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const output = await text(child.stdout);
  // The function's own log lines come first; the reply is the object that opens on a line of its own.
  const opening = `\n${output}`.lastIndexOf('\n{\n');
  if (opening === -1) throw runFailed(output.replace(/^Error:\s*/, '').trim() || 'serverless gave no reply');
  return JSON.parse(output.slice(opening));
}

export function runFailed(why: string): CommandFailedError {
  return new CommandFailedError(`The run failed: ${why}`);
}
