import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

/**
 * The options that make Node behave on a large machine as in the deployed `fetch` function: serverless.yml's own
 * NODE_OPTIONS, and the heap limit that Node gives itself there, half of the memory: the function's, or another.
 */
export function nodeOptions(memoryMb?: number): string {
  const text = readFileSync(join(import.meta.dirname, '../../serverless.yml'), 'utf8');
  // CloudFormation's own tags, `!Ref` say, mean nothing here.
  const { provider, functions } = parse(text, { logLevel: 'silent' });
  return `${provider.environment.NODE_OPTIONS} --max-old-space-size=${(memoryMb ?? functions.fetch.memorySize) / 2}`;
}
