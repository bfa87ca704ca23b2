import { badInput } from '../base/errors.ts';
import { isRecord } from '../base/is-record.ts';
import { requireShallow } from '../base/nesting.ts';
import { parseEarlierRunId } from '../batch/parse-ids.ts';
import { type Conclusion, conclude } from '../run/parts/conclude.ts';
import { createPageStore } from '../store/page-store.ts';
import { createPlanStore } from '../store/plan-store.ts';
import { createRunStore } from '../store/run-store.ts';
import { tellRefusals } from './refusals.ts';
import { tellStep } from './steps.ts';
import { openTask, type TaskContext } from './task.ts';
import { writePartsPage } from './write-page.ts';

/** Writes the run manifest of a run of many parts: the last task of the state machine, which gives `{"runId"}`. */
export function handler(event: unknown, context: TaskContext): Promise<Conclusion> {
  return tellRefusals(context, () => concludeRun(event, context));
}

async function concludeRun(event: unknown, context: TaskContext): Promise<Conclusion> {
  const { config, s3, endInTime, tellingFailure } = openTask(context);
  requireShallow(event, 'event');
  if (!isRecord(event) || !('runId' in event)) throw badInput('event', 'an object with "runId"', event);
  const runId = parseEarlierRunId(event.runId, 'runId');
  const ports = {
    runs: createRunStore(s3),
    parts: createPlanStore(s3),
    clock: s3.clock,
    random: Math.random,
  };
  const step = {
    name: 'Concluding',
    labels: { runId, requestId: context.awsRequestId },
    start: {},
    describe: ({ location, summary, errors }: Conclusion) => ({
      location,
      ...summary,
      byCode: errors.byCode,
      retryable: errors.retryable,
    }),
  };
  const conclusion = await tellingFailure(runId, () =>
    tellStep(step, config, () =>
      endInTime(`The manifest of ${runId} could not be written`, (outOfTime) =>
        conclude(runId, ports, outOfTime),
      ),
    ),
  );
  const { runs: store, parts: plans, clock } = ports;
  await writePartsPage(runId, config, { store, plans, pages: createPageStore(s3), clock }, context);
  return conclusion;
}
