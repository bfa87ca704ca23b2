import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const directory = join(import.meta.dirname, '../../events');

/** The names of the sample events in events/, or in a folder of it. */
export function sampleNames(folder = ''): string[] {
  return readdirSync(join(directory, folder))
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length));
}

/** A sample event, `http-api-post` or `bad/sqs` say; a new one each time. The type is what the file is known to hold. */
export function sampleEvent<T = unknown>(name: string): T {
  return JSON.parse(readFileSync(join(directory, `${name}.json`), 'utf8')) as T;
}
