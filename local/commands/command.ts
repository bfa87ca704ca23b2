import { type ParseArgsConfig, parseArgs } from 'node:util';
import { BadInputError } from '../../src/base/errors.ts';
import type { IdList } from '../../src/batch/ids.ts';
import { parseIdsText } from '../../src/batch/parse-ids.ts';

/** The command line is not as the command's usage says. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The command did not do what it was asked for, and its message says why. */
export class CommandFailedError extends Error {
  override readonly name = 'CommandFailedError';
}

/** The folder that the user is in: npm runs commands in that of the project. */
export const callerDirectory: string = process.env.INIT_CWD ?? process.cwd();

/**
 * Runs a command. Prints why it fails in one line: for the command line with the first line of the usage and exit code
 * 2, else with 1. Asked for help, it prints the usage and does nothing else.
 */
export async function runCommand(usage: string, command: () => Promise<void>): Promise<void> {
  const options = { help: { type: 'boolean', short: 'h' } } as const;
  if (parseArgs({ options, strict: false }).values.help) {
    console.log(`Usage: ${usage}`);
    return;
  }
  try {
    await command();
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`${error.message}. Usage: ${usage.split('\n')[0]}`);
      process.exitCode = 2;
    } else if (error instanceof CommandFailedError) {
      console.error(error.message);
      process.exitCode = 1;
    } else throw error;
  }
}

/** Ends the process where nobody reads what it prints any more, as behind `| head`. */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
}

/** The options of the command line, and what else is there, as `parseArgs` of node:util has it. Throws UsageError. */
export function parseCommandLine<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    // Its first sentence says what is wrong, and the others what to do about files that begin with a dash.
    throw error instanceof TypeError ? new UsageError(error.message.split('. ')[0]) : error;
  }
}

/** The ids of `1,2,7-9,a-slug`. Throws a UsageError that tells what was `expected`. */
export function parseIdsArgument(list: string, expected: string): IdList {
  try {
    // The function knows how many it takes.
    return parseIdsText(list, 'ids', Number.POSITIVE_INFINITY);
  } catch (error) {
    if (!(error instanceof BadInputError)) throw error;
    throw new UsageError(`Expected ${expected}, got ${JSON.stringify(list)}`);
  }
}
