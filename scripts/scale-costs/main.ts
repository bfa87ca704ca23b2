import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fillPlace } from '../fill-place.ts';
import { readOn } from './facts.ts';
import { makeTables, scenarios } from './tables.ts';

const docFile = join(import.meta.dirname, '../../docs/scale.md');

/** docs/scale.md with its tables made anew. Throws where one has no place in it. */
export function render(doc: string): string {
  return Object.entries(makeTables()).reduce(
    (text, [name, table]) =>
      fillPlace(text, `<!-- scale-costs:begin ${name} -->`, '<!-- scale-costs:end -->', table),
    doc,
  );
}

if (import.meta.main) {
  const doc = readFileSync(docFile, 'utf8');
  const current = render(doc);
  if (!process.argv.includes('--check')) writeFileSync(docFile, current);
  else if (doc !== current) {
    console.error('docs/scale.md is not what scripts/scale-costs/ computes: run npm run scale-costs');
    process.exitCode = 1;
  }
  console.log(`docs/scale.md: ${scenarios.length} runs, prices of us-east-1 as of ${readOn}`);
}
