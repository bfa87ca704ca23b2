import { gather } from '../../src/gather.ts';
import { FakeClock } from '../support/fake-clock.ts';
import type { Answer, Child, Observation, Result, Schedule } from './schedules.ts';

/** What a generator of schedules has to bring about, or the comparison proves little. */
export const everyKind = [
  'an error or cancellation among the results',
  'children that were never started',
  'own cancellation raised',
  'raised after the outer cancellation',
  'raised an error',
  'raised the outer cancellation',
  'returned',
  'siblings cancelled',
] as const;

type Kind = (typeof everyKind)[number];

export interface Comparison {
  /** Ours, in the parts in which it means to be what asyncio is. */
  readonly actual: unknown;
  readonly expected: unknown;
  readonly kinds: readonly Kind[];
}

/** Runs a schedule through our gather, and holds it to what asyncio did with it. */
export async function compare(schedule: Schedule, answer: Answer | undefined): Promise<Comparison> {
  if (!answer) throw new Error('Expected an answer to each schedule');
  const ours = await observe(schedule);
  const expected = sameAs(schedule, ours, answer);
  const actual = {
    ...('gather' in expected && { gather: answer.taskGroup === null ? ours : { outcome: ours.outcome } }),
    ...('taskGroup' in expected && { taskGroup: ours }),
  };
  return { actual, expected, kinds: kindsOf(schedule, ours) };
}

class Cancelled extends Error {
  override readonly name = 'AbortError';
}

/** Runs a schedule through our gather; a tick is a millisecond of a clock that no time passes on. */
async function observe(schedule: Schedule): Promise<Observation> {
  const { children, returnExceptions, concurrency, cancelAtTick } = schedule;
  const clock = new FakeClock();
  const states: Observation['children'][number][] = children.map(() => 'never started');
  const outer = new AbortController();

  const runChild = (child: Child, index: number, signal: AbortSignal): Promise<number> => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    states[index] = 'in flight';
    const cancelTimer = clock.after(child.delayTicks, () => {
      signal.removeEventListener('abort', onAbort);
      states[index] = 'finished';
      if (child.result === 'value') resolve(index);
      else reject(child.result === 'error' ? new Error(`child ${index} failed`) : new Cancelled());
    });
    const onAbort = (): void => {
      cancelTimer();
      states[index] = 'cancelled';
      clock.after(child.cleanupTicks, () => {
        if (child.onCancel === 'returns') resolve(index);
        else if (child.onCancel === 'raises') reject(new Error(`child ${index} failed to clean up`));
        else reject(signal.reason);
      });
    };
    signal.addEventListener('abort', onAbort, { once: true });
    return promise;
  };

  const options = { returnExceptions, concurrency: concurrency ?? Infinity, signal: outer.signal };
  const gathering = gather(children, runChild, options);
  if (cancelAtTick !== null) clock.after(cancelAtTick, () => outer.abort(new Cancelled()));
  const outcome = await clock.runUntil(
    gathering.then(
      (results): Observation['outcome'] => ({ returned: results.map(describeResult) }),
      (error): Observation['outcome'] => ({ raised: describeReason(error) }),
    ),
  );
  return { outcome, atTick: clock.now(), children: [...states] };
}

function describeResult(result: number | PromiseSettledResult<number>): Result {
  if (typeof result === 'number') return { value: result };
  return result.status === 'fulfilled' ? { value: result.value } : describeReason(result.reason);
}

function describeReason(reason: unknown): Result {
  if (reason instanceof Cancelled) return { cancelled: true };
  return { error: reason instanceof Error ? reason.message : `not an Error: ${String(reason)}` };
}

/**
 * Whether a child answered the outer cancellation with an error of its own. In default mode asyncio raises that
 * error then; ours rejects with the signal's reason, so that a caller can tell what it did itself.
 */
function raisedAfterOuterCancellation({ children }: Schedule, ours: Observation): boolean {
  const wasCancelled = 'raised' in ours.outcome && 'cancelled' in ours.outcome.raised;
  const ownCancellation = children.some(
    ({ result }, index) => result === 'cancelled' && ours.children[index] === 'finished',
  );
  const raised = children.some(
    ({ onCancel }, index) => onCancel === 'raises' && ours.children[index] === 'cancelled',
  );
  return wasCancelled && !ownCancellation && raised;
}

/** What asyncio says of a schedule, in the parts in which ours means to be the same. */
function sameAs(schedule: Schedule, ours: Observation, answer: Answer) {
  // asyncio.gather lets the siblings of a failed child run on and is done before they are. We cancel them and
  // wait, as TaskGroup does: what is raised must be gather's, and who was cancelled and until when, TaskGroup's.
  if (answer.taskGroup === null) return { gather: answer.gather };
  if (raisedAfterOuterCancellation(schedule, ours))
    return { taskGroup: { ...answer.taskGroup, outcome: ours.outcome } };
  return { gather: { outcome: answer.gather.outcome }, taskGroup: answer.taskGroup };
}

function kindsOf(schedule: Schedule, ours: Observation): Kind[] {
  const { outcome, children } = ours;
  const raised = 'raised' in outcome ? outcome.raised : undefined;
  const byChild = schedule.children.some(
    ({ result }, index) => result === 'cancelled' && children[index] === 'finished',
  );
  const kinds: Record<Kind, boolean> = {
    returned: raised === undefined,
    'an error or cancellation among the results':
      'returned' in outcome && outcome.returned.some((result) => !('value' in result)),
    'raised an error': raised !== undefined && 'error' in raised,
    'raised the outer cancellation': raised !== undefined && 'cancelled' in raised && !byChild,
    'own cancellation raised': raised !== undefined && 'cancelled' in raised && byChild,
    'raised after the outer cancellation':
      !schedule.returnExceptions && raisedAfterOuterCancellation(schedule, ours),
    'siblings cancelled': raised !== undefined && 'error' in raised && children.includes('cancelled'),
    'children that were never started': children.includes('never started'),
  };
  return everyKind.filter((kind) => kinds[kind]);
}
