import type { Task } from './contenders/contender.ts';
import type { Contender, Sample } from './contenders.ts';

/** A round in which a contender failed has no figures, and its others are not shown either. */
export type Outcome = Sample | { readonly failed: string };

/** What every contender took for the same task, by its name: an outcome a round. */
export type Results = ReadonlyMap<string, readonly Outcome[]>;

export interface RoundsOptions {
  readonly title: string;
  readonly rounds: number;
  readonly contenders: readonly Contender[];
  readonly taskOf: (contender: Contender, round: number) => Task;
  readonly signal: AbortSignal;
}

/** Round by round, each contender in turn, one at a time; another one begins each round. */
export async function runRounds(options: RoundsOptions): Promise<Results> {
  const { title, rounds, contenders, taskOf, signal } = options;
  const results = new Map<string, Outcome[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const first = Math.floor((round * contenders.length) / rounds);
    for (const contender of [...contenders.slice(first), ...contenders.slice(0, first)]) {
      const outcome = await attempt(contender, taskOf(contender, round), signal);
      results.get(contender.name)?.push(outcome);
      console.log(`${title}, round ${round + 1}: ${contender.name}: ${briefly(outcome)}`);
    }
  }
  return results;
}

async function attempt(contender: Contender, task: Task, signal: AbortSignal): Promise<Outcome> {
  try {
    return await contender.run(task, signal);
  } catch (error) {
    signal.throwIfAborted();
    return { failed: error instanceof Error ? error.message : String(error) };
  }
}

function briefly(outcome: Outcome): string {
  if ('failed' in outcome) return `failed: ${outcome.failed}`;
  const { posts, seconds, peakRssBytes } = outcome;
  return `${Math.round(posts / seconds)} posts/s, ${seconds.toFixed(2)} s, ${Math.round(peakRssBytes / 1e6)} MB`;
}
