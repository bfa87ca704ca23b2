import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { HandoverError } from '../../../src/base/errors.ts';
import { createHandover, type Handover } from '../../../src/lambda/handover.ts';
import { eventually } from '../../support/eventually.ts';
import { type HandOverStandIn, startHandOverStandIn } from '../../support/lambda-and-step-functions.ts';

const functionArn = 'arn:aws:lambda:us-east-1:123456789012:function:fetch:api';
const machineArn = 'arn:aws:states:us-east-1:123456789012:stateMachine:machine';
const never = new AbortController().signal;

let aws: HandOverStandIn;
let handover: Handover;

beforeAll(async () => {
  aws = await startHandOverStandIn();
});
afterAll(() => aws.close());
beforeEach(() => {
  for (const [name, value] of Object.entries(aws.environment)) vi.stubEnv(name, value);
  // No one waits for the SDK's retries.
  vi.spyOn(Math, 'random').mockReturnValue(0);
  handover = createHandover();
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  aws.reset();
});

test('an event is given to Lambda, for the alias, to be delivered by and by', async () => {
  await handover.invoke(functionArn, '{"é":1}', never);
  await handover.invoke(functionArn, '{}', never);
  expect(aws.invocations).toStrictEqual([
    { functionArn, type: 'Event', event: { é: 1 } },
    { functionArn, type: 'Event', event: {} },
  ]);
});

test('an execution is started, and is the same one where it runs already', async () => {
  expect(await handover.execute(machineArn, 'run', '{"ids":[1]}', never)).toBe(true);
  expect(await handover.execute(machineArn, 'run', '{"ids":[1]}', never)).toBe(true);
  expect([...aws.executions]).toStrictEqual([['run', '{"ids":[1]}']]);
});

test('an execution that has ended, or has another input, is told', async () => {
  await handover.execute(machineArn, 'run', '{"ids":[1]}', never);
  expect(await handover.execute(machineArn, 'run', '{"ids":[2]}', never)).toBe(false);
  aws.ended.add('run');
  expect(await handover.execute(machineArn, 'run', '{"ids":[1]}', never)).toBe(false);
});

test('what passes is tried again', async () => {
  aws.refusals = [
    { status: 429, name: 'TooManyRequestsException' },
    { status: 500, name: 'ServiceException' },
    undefined,
  ];
  await handover.invoke(functionArn, '{}', never);
  expect([aws.requests, aws.invocations.length]).toStrictEqual([3, 1]);
});

test.each([
  ['Lambda', 403, 'AccessDeniedException'],
  ['Lambda', 404, 'ResourceNotFoundException'],
  ['Lambda', 413, 'RequestTooLargeException'],
  ['Lambda', 429, 'TooManyRequestsException'],
  ['Step Functions', 400, 'StateMachineDoesNotExist'],
  ['Step Functions', 400, 'ExecutionLimitExceeded'],
] as const)(
  'what %s refuses with %d %s is a failure that names this, and nothing of a policy',
  async (service, status, name) => {
    aws.refusals = [{ status, name }];
    const handing =
      service === 'Lambda'
        ? handover.invoke(functionArn, '{}', never)
        : handover.execute(machineArn, 'run', '{}', never);
    await expect(handing).rejects.toStrictEqual(
      new HandoverError(`The run could not be handed over: ${service} gave ${name}`),
    );
  },
);

test('an address where nobody is is a failure that says so', async () => {
  vi.stubEnv('AWS_ENDPOINT_URL_LAMBDA', 'http://127.0.0.1:1');
  await expect(createHandover().invoke(functionArn, '{}', never)).rejects.toThrow(
    /^The run could not be handed over: Lambda gave \w* ?ECONNREFUSED$/,
  );
});

test.each(['invoke', 'execute'] as const)('where time is over, %s gives its reason', async (way) => {
  aws.refusals = ['hang'];
  const reason = new Error('no time');
  const stopping = new AbortController();
  const handing =
    way === 'invoke'
      ? handover.invoke(functionArn, '{}', stopping.signal)
      : handover.execute(machineArn, 'run', '{}', stopping.signal);
  const settled = Promise.allSettled([handing]);
  await eventually(() => aws.requests === 1);
  stopping.abort(reason);
  expect(await settled).toStrictEqual([{ status: 'rejected', reason }]);
});
