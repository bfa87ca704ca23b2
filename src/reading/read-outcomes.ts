import { NoDocumentError, TooLargeError } from '../base/errors.ts';
import { RunInProgressError } from '../document/claim.ts';
import { firstMemberIn } from '../document/gzip-members.ts';
import { firstLineIn, type LinePlace, type OutcomeLine } from '../document/outcome-line.ts';
import type { ReasonCode } from '../fetch/outcome.ts';
import { type NamedRun, outcomesOf } from '../run/redrive-chain.ts';
import { resultsIn } from '../store/keys.ts';
import type { RunPieces } from '../store/run-pieces.ts';
import { findRun, type ReadPorts } from './find-run.ts';

/** Which outcomes of a run are to be read. */
export interface OutcomesRequest {
  readonly runId: string;
  /** @default either */
  readonly status: OutcomeStatus | undefined;
  /** Of rejected ones. @default any */
  readonly code: ReasonCode | undefined;
  /** The index behind which they are. @default from the first on */
  readonly after: number | undefined;
  /** The most that are read. */
  readonly limit: number;
}

export const OUTCOME_STATUSES = ['fulfilled', 'rejected'] as const;
type OutcomeStatus = (typeof OUTCOME_STATUSES)[number];

export interface OutcomesPage {
  /** As they stand in the document. */
  readonly lines: readonly Buffer[];
  /** The index to go on behind, where there may be more. */
  readonly next: number | undefined;
}

/** What a page is held to besides its `limit`. */
export interface PageBounds {
  /** Whether there is room for a line as well, behind those that were taken before. */
  readonly takes: (line: Buffer) => boolean;
  /** When to stop reading, by the clock, whatever was found by then. */
  readonly untilMs: number;
}

type OutcomesPorts = ReadPorts & { readonly pieces: Pick<RunPieces, 'readPiece'> };

/**
 * Reads outcomes of a stored run, in their order, with one block of its text in memory at a time, and none of what comes
 * long before them. A page that has no room, or takes too much time, ends early, and says where to go on.
 *
 * Rejects with TooLargeError where its first line has no room, with RunInProgressError or NoDocumentError where there are
 * no outcomes (yet), and as `findRun` and `outcomesOf` do.
 */
export async function readOutcomes(
  request: OutcomesRequest,
  { takes, untilMs }: PageBounds,
  ports: OutcomesPorts,
  signal: AbortSignal,
): Promise<OutcomesPage> {
  const { runId, after = -1, limit } = request;
  const run = await findDocument(runId, ports, signal);
  const most = mostThatMatch(request, run);
  const lines: Buffer[] = [];
  let last = after;
  if (most === 0) return { lines, next: undefined };
  const from = await placeBefore(after, run, ports, signal);
  for await (const outcome of outcomesOf(run, ports.store, signal, from)) {
    const { index, line } = outcome;
    if (index <= after) continue;
    if (matches(outcome, request)) {
      if (lines.length === limit) return { lines, next: last };
      if (!takes(line)) {
        if (lines.length > 0) return { lines, next: last };
        throw new TooLargeError(
          `Expected the outcome ${index} of ${runId} to fit into a reply, got ${line.length} bytes: read it by the \`resultsUrl\` of the run, and go on with \`after=${index}\``,
        );
      }
      // A copy: the line is a piece of a block, which is not to be kept for it.
      lines.push(Buffer.from(line));
      last = index;
      if (lines.length === most) break;
    }
    if (ports.clock.now() > untilMs) return { lines, next: index };
  }
  return { lines, next: undefined };
}

async function findDocument(runId: string, ports: ReadPorts, signal: AbortSignal): Promise<NamedRun> {
  const found = await findRun(runId, ports, signal);
  switch (found.kind) {
    case 'document':
      return { runId, stored: found.stored };
    case 'under-way':
      if (found.claim)
        throw new RunInProgressError(found.claim, ports.store.location(runId), ports.clock.date());
      throw inParts(runId);
    case 'run-manifest':
      throw inParts(runId);
    case 'failed':
      throw new NoDocumentError(`The run ${runId} has no outcomes: ${found.problem.detail}`);
  }
}

function inParts(runId: string): NoDocumentError {
  return new NoDocumentError(
    `The run ${runId} has its outcomes in its parts, which have run ids of their own`,
  );
}

/** How many outcomes of the run match, wherever they are. */
function mostThatMatch({ status, code }: OutcomesRequest, { stored }: NamedRun): number {
  const { summary, errors } = stored;
  const rejected = code === undefined ? errors.total : (errors.byCode[code] ?? 0);
  if (status === 'rejected') return rejected;
  if (code !== undefined) return status === 'fulfilled' ? 0 : rejected;
  return status === 'fulfilled' ? summary.fulfilled : summary.requested;
}

function matches({ reason }: OutcomeLine, { status, code }: OutcomesRequest): boolean {
  const isOfStatus = status === undefined || (status === 'rejected') === (reason !== undefined);
  return isOfStatus && (code === undefined || reason?.code === code);
}

/** How a line is looked for in what has the results of a run. */
interface Search {
  /** What is not worth a search: as much is read at once. */
  readonly nearBytes: number;
  /** Enough to have the start of some line, or member, in it. */
  readonly pieceBytes: number;
  /** Where the first of these is, from the start of a piece that stands `start` bytes into all of it. */
  readonly firstIn: (piece: Buffer, start: number) => LinePlace | undefined;
}

const IN_TEXT: Search = { nearBytes: 8 * 1024 * 1024, pieceBytes: 65_536, firstIn: firstLineIn };
/** Lines are many times as long as what is stored of them; and members that cannot be compressed are as long as lines. */
const IN_GZIP: Search = { nearBytes: 262_144, pieceBytes: 6 * 1024 * 1024, firstIn: firstMemberIn };

/**
 * Where a line starts that is not behind the one after `index`, nor long before it; undefined for the start of the text.
 * Halves of the text are looked into for that, since its lines are in order. Of what is compressed, it is the first line
 * of a member.
 */
async function placeBefore(
  index: number,
  { runId, stored }: NamedRun,
  { pieces }: OutcomesPorts,
  signal: AbortSignal,
): Promise<LinePlace | undefined> {
  const { outcomes, documentBytes } = stored;
  const { nearBytes, pieceBytes, firstIn } = resultsIn(outcomes) === 'gzipOutcomes' ? IN_GZIP : IN_TEXT;
  let place: LinePlace | undefined;
  let end = index < 0 ? 0 : (outcomes?.bytes ?? documentBytes);
  for (let start = 0; end - start > nearBytes; start = place?.offset ?? 0) {
    const middle = Math.floor((start + end) / 2);
    const bytes = Math.min(pieceBytes, end - middle);
    const line = firstIn(await pieces.readPiece(runId, outcomes, middle, bytes, signal), middle);
    if (line && line.index <= index + 1) place = { ...line, offset: middle + line.offset };
    // No line starts there: it is one long one, or the errors.
    else end = middle;
  }
  return place;
}
