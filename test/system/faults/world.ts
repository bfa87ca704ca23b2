import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { globalAgent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { expect } from 'vitest';
import type { S3Store } from '../../../local/world/s3.ts';
import type { Clock } from '../../../src/base/clock.ts';
import { batchOf } from '../../../src/batch/base-form.ts';
import type { Id } from '../../../src/batch/ids.ts';
import type { Claim } from '../../../src/document/claim.ts';
import type { RequestPost, RunOrigin } from '../../../src/fetch/origin/attempt.ts';
import { openOrigin } from '../../../src/fetch/origin/origin.ts';
import { parseUrlTemplate, type UrlTemplate } from '../../../src/fetch/origin/url-template.ts';
import type { Reason } from '../../../src/fetch/outcome.ts';
import type { RunSettings } from '../../../src/run/fetch-and-store.ts';
import type { Run } from '../../../src/run/replay.ts';
import type { RunRequest } from '../../../src/run/run-batch.ts';
import { runBatch } from '../../../src/run/run-batch.ts';
import { createClaimStore } from '../../../src/store/claim-store.ts';
import { createRunStore } from '../../../src/store/run-store.ts';
import { createS3Client } from '../../../src/store/s3.ts';
import { anyMs, anyTime } from '../../support/any.ts';
import { timelessLines } from '../../support/document-lines.ts';
import { unhandledRejectionsIn } from '../../support/manual-mapper.ts';
import { type MisbehavingS3, startMisbehavingS3 } from '../../support/misbehaving-s3.ts';
import { silentObserver } from '../../support/observer.ts';
import { anyTraffic, plainTraffic } from '../../support/plain-traffic.ts';
import { documentFaults } from '../../support/schemas.ts';
import { SkippingClock } from '../../support/skipping-clock.ts';
import { startStore } from '../../support/start-store.ts';

/** By the clock of the attempts, which a test moves. */
export const ATTEMPT_TIMEOUT_MS = 10_000;
export const MAX_BODY_BYTES = 1_048_576;
/** Most that a batch waits, besides what its attempts last, by its clock. */
const MOST_WAIT_MS = 4_000;
/** A batch that takes longer hangs, however busy the machine is. */
const MOST_MS = 15_000;
/** How long sockets may take until they are gone, of the time that this process gets. */
const MOST_CPU_MS = 2_000;
const BUCKET = 'results';
const CLAIM_ENDING = '.progress.json';
const IDS: readonly Id[] = [1, 2, 'bad', 3, 4];

/** What the posts beside the one at fault are. */
export const HEALTHY = '{"healthy":true}';

/** What is to become of a post: its line in the document without its place and its times. */
export type Outcome =
  | { readonly attempts: number; readonly value: string; readonly hedged?: true }
  | { readonly attempts: number; readonly httpStatus: number | null; readonly reason: Reason };

export const well = (value = HEALTHY, attempts = 1): Outcome => ({ attempts, value });
export const timedOut = (id: Id = 'bad'): Outcome => ({
  attempts: 2,
  httpStatus: null,
  reason: {
    code: 'TIMEOUT',
    message: `Post ${id} did not come within ${ATTEMPT_TIMEOUT_MS} ms`,
    retryable: true,
  },
});
export const network = (cause: string, id: Id = 'bad'): Outcome => ({
  attempts: 2,
  httpStatus: null,
  reason: { code: 'NETWORK', message: `Post ${id} could not be fetched: ${cause}`, retryable: true, cause },
});
export const deadline = (attempts: number, httpStatus: number | null = null, id: Id = 'bad'): Outcome => ({
  attempts,
  httpStatus,
  reason: {
    code: 'DEADLINE',
    message: `The function's time ran out before post ${id} was fetched`,
    retryable: true,
  },
});

/** For attempts that time out when the test says so; shorter waits, which are none of theirs, are over at once. */
export const attemptClock = (): SkippingClock => new SkippingClock(1_000);

/** The attempts of a batch, counted, and the clock that limits them. */
export class Attempts {
  readonly clock: Clock;
  readonly #waiting = new Set<() => void>();
  #count = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** How many are in flight. */
  get count(): number {
    return this.#count;
  }

  /** Resolves once just so many are in flight. */
  inFlight(count: number): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (this.#count !== count) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }

  /** Counts those that `requestPost` makes. */
  of(requestPost: RequestPost): RequestPost {
    return async (...request) => {
      this.#change(1);
      try {
        return await requestPost(...request);
      } finally {
        this.#change(-1);
      }
    };
  }

  #change(by: number): void {
    this.#count += by;
    for (const check of this.#waiting) check();
  }
}

/** How a batch is run; what is left out is as in the other tests here. */
export interface Given {
  readonly origin: string;
  readonly ids?: readonly Id[];
  readonly settings?: Partial<RunSettings>;
  /** @default as many as the concurrency */
  readonly connections?: number;
  /** By default waits are over at once, and add up to little. */
  readonly clock?: Clock;
  /** Their time stands still unless the test moves it: none times out that has what it needs. */
  readonly attempts?: Attempts;
  readonly random?: () => number;
  readonly remainingMs?: number;
  readonly ca?: string;
  /** How many answers that nobody asked for the run is to have seen. @default 0 */
  readonly unsolicited?: number;
}

/** A batch that ran. */
interface Ran {
  readonly run: Run;
  readonly given: Given;
}

export interface World {
  readonly s3: MisbehavingS3;
  /** Of the store of the run that was started last. It stands still unless a test moves it. */
  readonly s3Clock: SkippingClock;
  /**
   * Runs a batch through the pipeline, with a real origin and a real store, and holds it to what every batch is
   * held to: it is bounded in time, rejects nothing unseen, and once the origin is closed, nothing of it is left.
   */
  run(given: Given): Promise<Ran>;
  /** Holds the stored document to these outcomes, one an id; by default those of healthy posts, and `bad`. */
  expectDocument(ran: Ran, bad: Outcome | readonly Outcome[]): Promise<void>;
  /** The keys of what is stored, but for claims. */
  stored(): Promise<readonly string[]>;
  /** The claim of the run that was started last. */
  claim(): Promise<Claim>;
  /** Ends a test: S3 behaves again, and is empty. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

export async function startWorld(): Promise<World> {
  const home = await mkdtemp(join(tmpdir(), 'batch-fetcher-faults-'));
  const store: S3Store = await startStore({ directory: home, buckets: [BUCKET] });
  const s3 = await startMisbehavingS3(store.endpoint);
  const runs = join(home, BUCKET, 'runs');
  const stored = async (): Promise<string[]> =>
    (await readdir(runs).catch(() => []))
      .filter((name) => !name.endsWith(CLAIM_ENDING))
      .map((name) => `runs/${name}`);
  let count = 0;
  let s3Clock = new SkippingClock(1);

  return {
    s3,
    get s3Clock() {
      return s3Clock;
    },
    stored,
    claim: async () => JSON.parse(await readFile(join(runs, `run-${count}${CLAIM_ENDING}`), 'utf8')),
    async run(given) {
      const runId = `run-${++count}`;
      let settled: PromiseSettledResult<Run> | undefined;
      s3Clock = new SkippingClock(1);
      const before = await resources();
      const startedMs = performance.now();
      const rejections = await unhandledRejectionsIn(async () => {
        [settled] = await Promise.allSettled([runOnce(s3.endpoint, s3Clock, runId, given)]);
      });
      expect(performance.now() - startedMs).toBeLessThan(MOST_MS);
      expect(rejections).toStrictEqual([]);
      await expectNoneBut(before);
      expect(store.openUploads()).toBe(0);
      if (settled?.status !== 'fulfilled') throw settled?.reason;
      return { run: settled.value, given };
    },
    async expectDocument({ run, given }, bad) {
      const { ids = IDS } = given;
      const outcomes = Array.isArray(bad) ? bad : ids.map((id) => (id === 'bad' ? bad : well()));
      const text = await readFile(join(runs, `${run.runId}.json`), 'utf8');
      expect(timelessLines(text)).toStrictEqual(ids.map((id, i) => line(i, id, outcomes[i])));
      const document = JSON.parse(text);
      expect(documentFaults(document)).toStrictEqual([]);
      const { results, ...report } = document;
      expect(results).toHaveLength(ids.length);
      const expected = reportOf(run.runId, given, ids, outcomes);
      expect(report).toStrictEqual({ version: 1, ...expected });
      const location = `s3://${BUCKET}/runs/${run.runId}.json`;
      expect(run).toStrictEqual({ ...expected, runId: run.runId, location, replayed: false });
    },
    async reset() {
      s3.behave();
      await rm(runs, { recursive: true, force: true });
    },
    async close() {
      await s3.stop();
      globalAgent.destroy();
      await store.close();
      await rm(home, { recursive: true });
    },
  };
}

async function runOnce(endpoint: string, s3Clock: SkippingClock, runId: string, given: Given): Promise<Run> {
  const { origin: url, ids = IDS, random = () => 0, remainingMs = 30_000, ca } = given;
  const { attempts = new Attempts(attemptClock()) } = given;
  const timers = new Set<object>();
  const skipping = new SkippingClock();
  const clock = counted(given.clock ?? skipping, timers);
  const settings: RunSettings = {
    // The origin of a server, and so a good template.
    ...plainTraffic,
    postUrl: parseUrlTemplate(`${url}/posts/{id}`) as UrlTemplate,
    concurrency: 3,
    maxAttempts: 2,
    attemptTimeoutMs: ATTEMPT_TIMEOUT_MS,
    maxBodyBytes: MAX_BODY_BYTES,
    writeReserveMs: 3_000,
    ...given.settings,
  };
  const { connections = settings.concurrency } = given;
  const origin = openOrigin(
    { ...settings, connections, ...(ca !== undefined && { tls: { ca } }) },
    { clock: counted(attempts.clock, timers) },
  );
  const client = createS3Client({
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
  const request = requestFor(ids, runId);
  const place = { client, bucket: BUCKET, prefix: 'runs/' };
  const store = createRunStore({ ...place, clock: s3Clock, random: () => 0 });
  const claims = createClaimStore({ ...place, clock: s3Clock, random: () => 0 });
  const observedOrigin: RunOrigin = {
    startRun() {
      const { requestPost, unsolicited } = origin.startRun();
      return { requestPost: attempts.of(requestPost), unsolicited };
    },
  };
  const ports = {
    store,
    origin: observedOrigin,
    clock,
    random,
    observer: silentObserver,
    newWriter: () => 'writer',
    claims,
  };
  try {
    return await runBatch(request, settings, ports, { remainingMs });
  } finally {
    const timersLeft = timers.size;
    await origin.close();
    client.destroy();
    expect([timersLeft, s3Clock.pending]).toStrictEqual([0, 0]);
    expect(skipping.now()).toBeLessThan(MOST_WAIT_MS);
  }
}

/** A clock that keeps the timers that have yet to go off in `timers`: the test runner has timers of its own. */
function counted(clock: Clock, timers: Set<object>): Clock {
  return {
    now: () => clock.now(),
    date: () => clock.date(),
    after(ms, callback) {
      const timer = {};
      timers.add(timer);
      const cancel = clock.after(ms, () => {
        timers.delete(timer);
        callback();
      });
      return () => {
        timers.delete(timer);
        cancel();
      };
    },
  };
}

function requestFor(ids: readonly Id[], runId: string): RunRequest {
  return {
    trigger: 'direct',
    batch: batchOf(ids, true),
    runId,
    isIdempotencyKey: false,
    requestId: 'request-1',
  };
}

/** How many there are of each kind of what keeps a process: sockets, servers, timers; and of its listeners. */
async function resources(): Promise<Map<string, number>> {
  // Those of the proxy before the store.
  globalAgent.destroy();
  await setImmediate();
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo())
    if (kind !== 'Immediate') counts.set(kind, (counts.get(kind) ?? 0) + 1);
  for (const name of process.eventNames())
    counts.set(`on ${String(name)}`, process.listenerCount(name as NodeJS.Signals));
  return counts;
}

/** Waits until there is no more than there was; a socket that was closed takes a turn or two to be gone. */
async function expectNoneBut(before: ReadonlyMap<string, number>): Promise<void> {
  for (const start = process.cpuUsage(); ; ) {
    const left = [...(await resources())].filter(([kind, count]) => count > (before.get(kind) ?? 0));
    if (left.length === 0) return;
    const { user, system } = process.cpuUsage(start);
    if (user + system > MOST_CPU_MS * 1_000) expect(left).toStrictEqual([]);
  }
}

function line(index: number, id: Id, outcome: Outcome | undefined): string {
  if (!outcome) return expect.fail(`Expected an outcome of ids[${index}]`);
  const { attempts } = outcome;
  const isGood = 'value' in outcome;
  const [status, httpStatus] = isGood ? ['fulfilled', 200] : ['rejected', outcome.httpStatus];
  const ms = attempts === 0 ? null : 0;
  const hedged = isGood && outcome.hedged && { hedged: true };
  const head = {
    index,
    id,
    status,
    httpStatus,
    attempts,
    startedMs: ms,
    durationMs: ms,
    waitedMs: ms,
    ...hedged,
  };
  const rest = isGood ? `"value":${outcome.value}` : `"reason":${JSON.stringify(outcome.reason)}`;
  return `${JSON.stringify(head).slice(0, -1)},${rest}}`;
}

/** Whether time ran out before the post was fetched. */
function isLeft(outcome: Outcome): boolean {
  if (!('reason' in outcome)) return false;
  const { code } = outcome.reason;
  return code === 'DEADLINE' || (code === 'RATE_LIMITED' && outcome.attempts === 0);
}

/** What a document says besides the results, reckoned from them. */
function reportOf(runId: string, given: Given, ids: readonly Id[], outcomes: readonly Outcome[]) {
  const failures = outcomes.flatMap((outcome, index) =>
    'reason' in outcome ? [{ index, id: ids[index], ...outcome.reason }] : [],
  );
  const byCode: Record<string, number> = {};
  for (const { code } of failures) byCode[code] = (byCode[code] ?? 0) + 1;
  const ms = outcomes.some(({ attempts }) => attempts > 0) ? anyMs : null;
  return {
    run: {
      id: runId,
      trigger: 'direct',
      requestId: 'request-1',
      startedAt: anyTime,
      urlTemplate: `${given.origin}/posts/{id}`,
      returnExceptions: true,
      requested: ids.length,
      idsSha256: requestFor(ids, runId).batch.idsSha256,
    },
    errors: {
      total: failures.length,
      byCode,
      first: failures.slice(0, 10).map(({ index, id, code, message }) => ({ index, id, code, message })),
      retryableIds: failures.filter(({ retryable }) => retryable).map(({ id }) => id),
    },
    summary: {
      finishedAt: anyTime,
      durationMs: anyMs,
      requested: ids.length,
      fulfilled: ids.length - failures.length,
      rejected: failures.length,
      attempts: outcomes.reduce((sum, { attempts }) => sum + attempts, 0),
      complete: outcomes.every((each) => !isLeft(each)),
      latencyMs: { p50: ms, p90: ms, p99: ms, max: ms },
      ...anyTraffic(outcomes.reduce((sum, { attempts }) => sum + Math.max(0, attempts - 1), 0)),
      ...(given.unsolicited && { unsolicited: given.unsolicited }),
      hedges: outcomes.filter((each) => 'hedged' in each).length,
      hedgesWon: outcomes.filter((each) => 'hedged' in each).length,
    },
  };
}
