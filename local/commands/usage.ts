/** The command line is not as the command's usage says. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The first sentence of what `parseArgs` of node:util throws, as a UsageError; any other error as it is. */
export function asUsageError(error: unknown): unknown {
  return error instanceof TypeError ? new UsageError(error.message.split('. ')[0]) : error;
}

/** The ids of `1,2,7-9,a-slug`. Throws a UsageError that tells what was `expected`. */
export function idsIn(list: string, expected: string): unknown[] {
  return list.split(',').map((item) => {
    const [, from, to] = /^(\d+)-(\d+)$/.exec(item) ?? [];
    if (from !== undefined && to !== undefined) return { from: Number(from), to: Number(to) };
    if (/^\d+$/.test(item)) return Number(item);
    if (/^[\w.~-]+$/.test(item)) return item;
    throw new UsageError(`Expected ${expected}, got ${JSON.stringify(list)}`);
  });
}
