import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fillPlace } from '../fill-place.ts';
import { readOn } from './facts.ts';
import { makeOperationsTables, makeTables, scenarios } from './tables.ts';

const docs = join(import.meta.dirname, '../../docs');
/** The pages with tables that are computed. */
const pages = { 'scale.md': makeTables, 'operations.md': makeOperationsTables };

/** A page, docs/scale.md by default, with its tables made anew. Throws where one has no place in it. */
export function render(
  doc: string,
  makeTablesOf: () => Readonly<Record<string, string>> = makeTables,
): string {
  return Object.entries(makeTablesOf()).reduce(
    (text, [name, table]) =>
      fillPlace(text, `<!-- scale-costs:begin ${name} -->`, '<!-- scale-costs:end -->', table),
    doc,
  );
}

if (import.meta.main) {
  for (const [page, makeTablesOf] of Object.entries(pages)) {
    const file = join(docs, page);
    const doc = readFileSync(file, 'utf8');
    const current = render(doc, makeTablesOf);
    if (!process.argv.includes('--check')) writeFileSync(file, current);
    else if (doc !== current) {
      console.error(`docs/${page} is not what scripts/scale-costs/ computes: run npm run scale-costs`);
      process.exitCode = 1;
    }
  }
  console.log(`docs/scale.md: ${scenarios.length} runs, prices of us-east-1 as of ${readOn}`);
}
