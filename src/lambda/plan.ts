import { badInput } from '../base/errors.ts';
import { isRecord } from '../base/is-record.ts';
import { parseRunId } from '../batch/parse-ids.ts';
import { loadIds } from '../run/load-ids.ts';
import { type Plan, type PlanPorts, plan } from '../run/parts/plan.ts';
import { createHandedOverIds, isStoredIds } from '../store/handed-over-ids.ts';
import { createIdSource } from '../store/id-source.ts';
import { createPlanStore } from '../store/plan-store.ts';
import { parsePlanInput } from './events/plan-input.ts';
import { tellRefusals } from './refusals.ts';
import { tellStep } from './steps.ts';
import { openTask, type Task, type TaskContext } from './task.ts';

/** Cuts a run of any length into parts: the first task of the state machine, which gives `{"input", "execution"}`. */
export function handler(event: unknown, context: TaskContext): Promise<Plan> {
  return tellRefusals(context, () => planRun(event, context));
}

async function planRun(event: unknown, context: TaskContext): Promise<Plan> {
  const task = openTask(context);
  const { config, s3, endInTime } = task;
  if (!isRecord(event) || !('input' in event) || !('execution' in event))
    throw badInput('event', 'an object with "input" and "execution"', event);
  const { input, execution } = event;
  return task.tellingFailure(Object(input).runId, async () => {
    const given = task.isOfApi ? await withStoredIds(input, task) : input;
    const request = parsePlanInput(given, execution, config.maxIds);
    const idSource = createIdSource(s3);
    const ports: PlanPorts = {
      store: createPlanStore(s3),
      readIds: (location, signal) => loadIds(location, idSource, config, signal),
    };
    const { runId, partSize, form } = request;
    const step = {
      name: 'Planning',
      labels: { runId, requestId: context.awsRequestId },
      start: { kind: form.kind, partSize },
      describe: ({ runId: _, bucket, key, mapResultsPrefix: _prefix, ...plan }: Plan) => ({
        location: `s3://${bucket}/${key}`,
        ...plan,
      }),
    };
    return tellStep(step, config, () =>
      endInTime(`The parts of ${runId} could not be written`, (outOfTime) =>
        plan(request, config, ports, outOfTime),
      ),
    );
  });
}

/** What the API asks for, with its ids, where these were too long to be handed over. */
async function withStoredIds(input: unknown, { s3, endInTime }: Task): Promise<unknown> {
  if (!isRecord(input) || !isStoredIds(input.ids)) return input;
  const { ids: stored, runId } = input;
  const name = parseRunId(runId, 'runId');
  const ids = await endInTime(`The ids of ${name} could not be read`, (outOfTime) =>
    createHandedOverIds(s3).read(name, stored, outOfTime),
  );
  return { ...input, ids };
}
