import { endInTime } from '../base/time-limit.ts';
import { type Problem, problem } from '../document/problem.ts';
import type { RunReport } from '../document/run-head.ts';
import { type FoundResults, type FoundRun, findRun, type ReadPorts, stateOf } from '../reading/find-run.ts';
import { listRuns } from '../reading/list-runs.ts';
import { readOutcomes } from '../reading/read-outcomes.ts';
import type { RunManifestReport } from '../run/parts/run-manifest.ts';
import { resultsIn } from '../store/keys.ts';
import { bareEtag } from '../store/page-store.ts';
import type { PlanStore } from '../store/plan-store.ts';
import type { ResultUrls } from '../store/result-urls.ts';
import type { RunNames } from '../store/run-names.ts';
import type { RunPieces } from '../store/run-pieces.ts';
import type { RunStore } from '../store/run-store.ts';
import { answerPage, type PagePorts, VARIES } from './answer-page.ts';
import type { ApiDialect } from './events/http-request.ts';
import { hasEntityTag, type ReadRequest } from './events/read-request.ts';
import { type ApiReply, apiReply, boundsOf, fittingReply, JSON_TYPE } from './events/reply.ts';

/** What reading needs of the world, replies included. */
export interface AnswerPorts extends ReadPorts, Pick<PagePorts, 'pages' | 'redriver'> {
  readonly store: ReadPorts['store'] & Pick<RunStore, 'read'>;
  readonly plans: ReadPorts['plans'] & Pick<PlanStore, 'placeOf' | 'readRunManifest'>;
  readonly pieces: RunPieces;
  readonly names: RunNames;
  readonly urls: ResultUrls;
}

/** How much of the time that is left may go into looking for outcomes. */
const SHARE_OF_TIME = 0.5;
/** More than a page of outcomes has besides these. */
const AROUND_BYTES = 2_000;

/** Reads what a request asks for, and answers it. Rejects as the modules of reading/ do, also at the end of the time. */
export function answerRead(
  request: ReadRequest,
  dialect: ApiDialect,
  ports: AnswerPorts,
  time: { readonly remainingMs: number },
): Promise<ApiReply> {
  const what = request.kind === 'list' ? 'The list of runs' : ports.store.location(request.runId);
  return endInTime(`${what} could not be read`, time, ports, async (outOfTime) => {
    switch (request.kind) {
      case 'list':
        return apiReply(dialect, 200, JSON_TYPE, JSON.stringify(await listRuns(request, ports, outOfTime)));
      case 'outcomes': {
        const untilMs = ports.clock.now() + SHARE_OF_TIME * time.remainingMs;
        const bounds = { takes: roomIn(dialect), untilMs };
        const { lines, next } = await readOutcomes(request, bounds, ports, outOfTime);
        // The outcomes go in as the text that they are.
        const outcomes = `[${lines.map((line) => `\n${line}`).join(',')}\n]`;
        const rest = next === undefined ? '' : `,"next":${next}`;
        const body = `{"runId":${JSON.stringify(request.runId)},"outcomes":${outcomes}${rest}}\n`;
        return apiReply(dialect, 200, JSON_TYPE, body);
      }
      case 'run': {
        const { runId, ifNoneMatch } = request;
        const found = await findRun(runId, ports, outOfTime);
        const asked = { runId, ifNoneMatch, dialect };
        const page = request.asPage && (await answerPage(asked, found, ports, time, outOfTime));
        return page || replyToRun(asked, found, ports, outOfTime);
      }
    }
  });
}

/** Says of each line whether a reply holds it as well, besides those before. */
function roomIn(dialect: ApiDialect): (line: Buffer) => boolean {
  const { bodyBytes, envelopeBytes } = boundsOf(dialect);
  let bytes = AROUND_BYTES;
  let escapedBytes = AROUND_BYTES;
  return (line) => {
    const text = `,\n${line}`;
    bytes += Buffer.byteLength(text);
    escapedBytes += Buffer.byteLength(JSON.stringify(text));
    return bytes < bodyBytes && escapedBytes < envelopeBytes;
  };
}

interface Asked {
  readonly runId: string;
  readonly ifNoneMatch: string;
  readonly dialect: ApiDialect;
}

async function replyToRun(
  { runId, ifNoneMatch, dialect }: Asked,
  found: FoundRun,
  ports: AnswerPorts,
  signal: AbortSignal,
): Promise<ApiReply> {
  const { state, startedAt } = stateOf(found);
  if (found.kind === 'under-way') {
    const { progress, retryAfterSeconds } = found;
    const body = JSON.stringify({ runId, state, startedAt, progress });
    return apiReply(dialect, 202, JSON_TYPE, body, { 'retry-after': String(retryAfterSeconds), ...VARIES });
  }
  const etag = `"${bareEtag((found.kind === 'document' ? found.stored : found).etag)}"`;
  if (hasEntityTag(ifNoneMatch, etag)) return apiReply(dialect, 304, undefined, '', { etag, ...VARIES });
  if (found.kind === 'failed') {
    const body = JSON.stringify({ runId, state, startedAt, problem: found.problem });
    return apiReply(dialect, 200, JSON_TYPE, body, { etag, ...VARIES });
  }
  const { report, ...results } = resultsOf(runId, found, ports);
  const start = JSON.stringify({ runId, state, ...results.problem, location: results.location }).slice(0, -1);
  const text = results.bytes < boundsOf(dialect).bodyBytes ? await results.read(signal) : undefined;
  // The text goes in as it is: parsed and serialized, its numbers would not be those that were sent.
  const whole = text && fittingReply(dialect, `${start},${text.slice(1)}`, { etag, ...VARIES });
  if (whole) return whole;
  const resultsUrl = await ports.urls.urlOf(runId, results.object, signal);
  const bodyWith = (errors: object): string =>
    `${start},${JSON.stringify({ resultsUrl, version: 1, ...report, errors, summary: report.summary }).slice(1)}`;
  // The URL is another each time, for which the run is still the same.
  const more = { etag: `W/${etag}`, ...VARIES };
  const { retryableIds: _many, ...fewErrors } = { retryableIds: [], ...report.errors };
  return (
    fittingReply(dialect, bodyWith(report.errors), more) ??
    apiReply(dialect, 200, JSON_TYPE, bodyWith(fewErrors), more)
  );
}

/** What became of a run that has an end, and where all of it is. */
interface Results {
  /** In the order of a reply. */
  readonly report: RunReport | RunManifestReport;
  readonly problem: { readonly problem: Problem } | undefined;
  readonly location: string;
  /** What the URL of the results gives. */
  readonly object: Parameters<ResultUrls['urlOf']>[1];
  /** Of the text with the results in it; infinite where they are not. */
  readonly bytes: number;
  readonly read: (signal: AbortSignal) => Promise<string | undefined>;
}

function resultsOf(runId: string, found: FoundResults, { store, plans }: AnswerPorts): Results {
  if (found.kind === 'document') {
    const { documentBytes, etag: _etag, ...report } = found.stored;
    return {
      report,
      problem: undefined,
      location: store.location(runId),
      object: resultsIn(report.outcomes),
      bytes: report.outcomes ? Infinity : documentBytes,
      read: (signal) => store.read(runId, signal),
    };
  }
  const { run, errors, summary, bytes } = found;
  const { bucket, runManifest } = plans.placeOf(runId);
  const { total, failed } = summary.parts;
  const detail = `${failed} of the ${total} parts of the run ${runId} have no document`;
  return {
    report: { run, errors, summary },
    problem: failed === 0 ? undefined : { problem: problem(500, detail, 'PARTS_FAILED') },
    location: `s3://${bucket}/${runManifest}`,
    object: 'runManifest',
    bytes,
    read: async (signal) => (await plans.readRunManifest(runId, signal))?.text,
  };
}
