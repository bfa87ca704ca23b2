import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';

const projectDir = join(import.meta.dirname, '../..');
const budgetFile = join(projectDir, 'bundle-budget.json');
/** What the function's own sources are called among the packages. */
const OWN = 'src';
/** So that a patch release is no reason to write the budget anew. */
const SLACK = 1.02;
const SLACK_BYTES = 256;

/** Bytes of code, in all and by package, without source maps. */
export interface Sizes {
  readonly total: number;
  readonly packages: Readonly<Record<string, number>>;
}

/** What a build put into its code. `total` has what the bundler adds as well. */
export function sizesOf({ outputs }: Metafile): Sizes {
  const packages: Record<string, number> = {};
  let total = 0;
  for (const [path, { bytes, inputs }] of Object.entries(outputs)) {
    if (!path.endsWith('.js')) continue;
    total += bytes;
    for (const [input, { bytesInOutput }] of Object.entries(inputs)) {
      const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/.exec(input)?.[1] ?? OWN;
      packages[name] = (packages[name] ?? 0) + bytesInOutput;
    }
  }
  const bySize = Object.entries(packages).sort(([, a], [, b]) => b - a);
  return { total, packages: Object.fromEntries(bySize) };
}

/** What has outgrown the budget, a line each; empty where nothing has. A package that is not in it has none. */
export function overBudget(sizes: Sizes, budget: Sizes): string[] {
  return [
    ['total', sizes.total, budget.total] as const,
    ...Object.entries(sizes.packages).map(
      ([name, bytes]) => [name, bytes, budget.packages[name] ?? 0] as const,
    ),
  ]
    .filter(([, bytes, allowed]) => allowed === 0 || bytes > allowed * SLACK + SLACK_BYTES)
    .map(([name, bytes, allowed]) => `${name}: ${bytes} bytes, expected at most ${allowed}`);
}

if (import.meta.main) {
  const sizes = sizesOf(JSON.parse(readFileSync(join(projectDir, 'dist/meta.json'), 'utf8')));
  if (process.argv.includes('--update')) writeFileSync(budgetFile, `${JSON.stringify(sizes, null, 2)}\n`);
  const faults = overBudget(sizes, JSON.parse(readFileSync(budgetFile, 'utf8')));
  const packages = Object.entries(sizes.packages);
  const largest = packages.slice(0, 5).map(([name, bytes]) => `${name} ${Math.ceil(bytes / 1_024)}`);
  console.log(
    `bundle: ${Math.ceil(sizes.total / 1_024)} KB of ${packages.length} packages (${largest.join(', ')}, …)`,
  );
  if (faults.length > 0) {
    console.error(`The bundle has outgrown bundle-budget.json:\n  ${faults.join('\n  ')}`);
    console.error('Where that is worth it: npm run check-bundle -- --update');
    process.exitCode = 1;
  }
}
