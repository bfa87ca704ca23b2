import type { OutcomesObject } from '../document/run-head.ts';
import type { ObjectsOptions } from './objects.ts';

/** What a store of runs is made of. */
export interface StoreOptions extends ObjectsOptions {
  /** What every key starts with. */
  readonly prefix: string;
}

/** The keys of all that is kept of a run. No run id holds a slash: what stands in folders is no document's. */
export interface RunKeys {
  readonly document: string;
  /** Of the outcomes that are an object by themselves. */
  readonly outcomes: string;
  /** The same, compressed. */
  readonly gzipOutcomes: string;
  /** Of the page that shows the run, or its parts. */
  readonly page: string;
  /** Of the claim of the run, which says how far it is. */
  readonly progress: string;
  /** Of the parts of a run, one a line. */
  readonly plan: string;
  readonly runManifest: string;
  /** What the keys start with under which Step Functions writes what it has to say of the parts. */
  readonly mapResultsPrefix: string;
}

export function keysOf(prefix: string, runId: string): RunKeys {
  return {
    document: `${prefix}${runId}.json`,
    outcomes: `${prefix}${runId}.ndjson`,
    gzipOutcomes: `${prefix}${runId}.ndjson.gz`,
    page: `${prefix}${runId}.html`,
    progress: `${prefix}${runId}.progress.json`,
    plan: `${prefix}plans/${runId}.jsonl`,
    runManifest: `${prefix}${runId}.manifest.json`,
    mapResultsPrefix: `${prefix}map-results/${runId}`,
  };
}

/** What has the results of a run: its document, or the object that this names. */
export function resultsIn(
  outcomes: Pick<OutcomesObject, 'location'> | undefined,
): 'document' | 'outcomes' | 'gzipOutcomes' {
  if (!outcomes) return 'document';
  return outcomes.location.endsWith('.gz') ? 'gzipOutcomes' : 'outcomes';
}

/** The key of ids that were too long to be handed over with their run, by their hash. */
export function handedOverKey(prefix: string, runId: string, sha256: string): string {
  return `${prefix}handed-over/${runId}.${sha256}.json`;
}
