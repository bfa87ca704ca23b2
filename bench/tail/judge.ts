/** Judges a target by the worst of its values: by the largest where `limit` is the most that they may be. */
export type Judge = (target: string, values: readonly number[], limit: number, isMost: boolean) => void;

/** One row of a table that is printed. */
export type Row = Readonly<Record<string, string>>;

export interface Verdict {
  readonly target: string;
  readonly limit: string;
  readonly measured: string;
  readonly result: 'reached' | 'missed';
}

/** A judge, and the verdicts it comes to. */
export function openCourt(): { readonly judge: Judge; readonly verdicts: readonly Verdict[] } {
  const verdicts: Verdict[] = [];
  return {
    verdicts,
    judge(target, values, limit, isMost) {
      const worst = isMost ? Math.max(...values) : Math.min(...values);
      const isReached = isMost ? worst <= limit : worst >= limit;
      verdicts.push({
        target,
        limit: `${isMost ? '≤' : '≥'} ${limit}`,
        measured: worst.toFixed(3),
        result: isReached ? 'reached' : 'missed',
      });
    },
  };
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** The seeds 1 to `count`, one after the other: at once they would hold all of their requests in memory. */
export async function ofSeeds<T>(count: number, run: (seed: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let seed = 1; seed <= count; seed++) results.push(await run(seed));
  return results;
}
