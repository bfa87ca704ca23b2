import { badInput } from '../../base/errors.ts';
import { isRecord } from '../../base/is-record.ts';
import { requireShallow } from '../../base/nesting.ts';
import { isFlag, isRecordOf, isText, type Shape } from '../../base/shapes.ts';
import type { IdList } from '../../batch/ids.ts';
import { isIdList, parseEarlierRunId } from '../../batch/parse-ids.ts';
import { isStoredIds, type StoredIds } from '../../store/handed-over-ids.ts';

/** A run that the API has accepted, as the function is told that is to do it. */
export type HandedOver = HandedOverBatch | HandedOverRedrive;

interface HandedOverRun {
  readonly runId: string;
  /** Whom the API let in, where it knows. */
  readonly caller?: string | undefined;
}

export interface HandedOverBatch extends HandedOverRun {
  readonly ids: IdList | StoredIds;
  readonly returnExceptions: boolean;
}

interface HandedOverRedrive extends HandedOverRun {
  /** The run, or a redrive of it, whose next redrive is accepted as `runId`. */
  readonly redrive: string;
}

const KEY = 'handedOver';

/** An event that hands a run over, not yet checked further. */
export type HandOverEvent = Readonly<Record<typeof KEY, unknown>>;

/** The text of the event that hands a run over. */
export function handOverEvent(run: HandedOver): string {
  return JSON.stringify({ [KEY]: run });
}

/** Whether an event hands a run over, which is to be taken from the API alone. */
export function isHandOver(event: unknown): event is HandOverEvent {
  return isRecord(event) && Object.keys(event).join() === KEY;
}

/** The run that `handOverEvent` was given. Throws BadInputError. */
export function parseHandOver(event: HandOverEvent): HandedOver {
  requireShallow(event, 'event');
  const run = event[KEY];
  if (!isBatch(run) && !isRedrive(run)) throw badInput(KEY, 'a run as the API hands it over', run);
  parseEarlierRunId(run.runId, `${KEY}.runId`);
  return run;
}

const isTextOrNothing: Shape = (value) => value === undefined || isText(value);

const isBatch = isRecordOf<HandedOverBatch>({
  runId: isText,
  caller: isTextOrNothing,
  ids: (value) => isIdList(value) || isStoredIds(value),
  returnExceptions: isFlag,
});

const isRedrive = isRecordOf<HandedOverRedrive>({ runId: isText, caller: isTextOrNothing, redrive: isText });
