import { createHash } from 'node:crypto';
import { keysOf } from '../../../src/store/keys.ts';
import type { PlanStore } from '../../../src/store/plan-store.ts';

/** A parts store without S3, whose objects lie open. */
export interface PartsInMemory extends PlanStore {
  readonly plans: Map<string, string>;
  readonly manifests: Map<string, string>;
  /** How many manifests were written. */
  readonly writes: () => number;
}

export function partsInMemory(): PartsInMemory {
  const plans = new Map<string, string>();
  const manifests = new Map<string, string>();
  let writes = 0;
  return {
    plans,
    manifests,
    writes: () => writes,
    placeOf: (runId) => ({
      bucket: 'results',
      ...keysOf('runs/', runId),
    }),
    async writePlan(runId, lines) {
      plans.set(runId, [...lines()].join(''));
    },
    async readPlan(runId) {
      const text = plans.get(runId);
      return text === undefined ? undefined : linesOf(text);
    },
    async readPlanEnd(runId) {
      return plans.get(runId)?.trimEnd().split('\n').at(-1);
    },
    async readRunManifest(runId) {
      const text = manifests.get(runId);
      return text === undefined ? undefined : { text, etag: etagOf(text) };
    },
    async readRunManifestEnd(runId) {
      return manifests.get(runId)?.slice(-16_384);
    },
    async readRunManifestEnds(runId) {
      const text = manifests.get(runId);
      if (text === undefined) return undefined;
      return { start: text, end: text, etag: etagOf(text), bytes: Buffer.byteLength(text) };
    },
    async writeRunManifest(runId, text, etag) {
      const earlier = manifests.get(runId);
      if (etag !== (earlier === undefined ? undefined : etagOf(earlier))) return false;
      writes += 1;
      manifests.set(runId, text);
      return true;
    },
  };
}

async function* linesOf(text: string): AsyncGenerator<string> {
  yield* text.trimEnd().split('\n');
}

function etagOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
