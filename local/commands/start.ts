import { existsSync, readFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { projectDirectory } from '../world/places.ts';
import { callerDirectory, parseIdsArgument, runCommand, UsageError } from './command.ts';
import type { Invocation } from './invoke.ts';
import { lessonPrograms, parseArgument, runAndShow, usage } from './run-and-show.ts';

await runCommand(usage, async () => {
  const { what = 'events/direct.json', json } = parseArgument();
  const invocation = what.endsWith('.json') ? fromEvent(what) : fromIds(what);
  await runAndShow(invocation, { what, title: lessonPrograms[what] ?? what, json });
});

function fromIds(list: string): Invocation {
  const ids = parseIdsArgument(list, 'ids such as 1,2,7-9 or an event file');
  return { functionName: 'fetch', input: ['-d', JSON.stringify({ ids })] };
}

/** A request goes to the function behind the API. */
function fromEvent(name: string): Invocation {
  const path = pathOf(name);
  let event: unknown;
  try {
    event = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const why = error instanceof Error ? error.message : error;
    throw new UsageError(`Expected ${name} to be an event in JSON: ${why}`);
  }
  const isRequest = typeof event === 'object' && event !== null && 'requestContext' in event;
  return { functionName: isRequest ? 'api' : 'fetch', input: ['-p', relative(projectDirectory, path)] };
}

/** A file of the folder that the user is in, or of the project, as the sample events are. */
function pathOf(name: string): string {
  const own = resolve(callerDirectory, name);
  const sample = resolve(projectDirectory, name);
  return !existsSync(own) && existsSync(sample) ? sample : own;
}
