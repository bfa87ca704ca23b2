import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { expect, test } from 'vitest';
import { listen } from '../../../local/world/listen.ts';
import { startStepFunctions } from '../../../local/world/step-functions.ts';
import { eventually } from '../../support/eventually.ts';

test('an execution invokes the functions by their Arns, and runs once by its name and input', async () => {
  await using stack = new AsyncDisposableStack();
  const invoked: unknown[] = [];
  const lambda = await listen(
    createServer(async (request, response) => {
      invoked.push([decodeURIComponent(String(request.url)), JSON.parse(await text(request))]);
      response.writeHead(200, { 'x-amz-function-error': 'Unhandled' }).end('{"errorMessage":"broken"}');
    }),
  );
  stack.defer(() => lambda.close());
  const failures: unknown[] = [];
  const machine = await startStepFunctions({
    lambdaEndpoint: lambda.origin,
    functions: {
      PlanFunctionArn: 'plan:api',
      FetchFunctionArn: 'fetch:api',
      ConcludeFunctionArn: 'conclude:api',
    },
    directory: '/nowhere',
    onFailure: (name, error) => failures.push([name, String(error)]),
  });
  stack.defer(() => machine.close());
  const client = new SFNClient({
    endpoint: machine.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    maxAttempts: 1,
  });
  const start = (input: string) =>
    client
      .send(
        new StartExecutionCommand({
          stateMachineArn: 'arn:aws:states:us-east-1:000000000000:stateMachine:local',
          name: 'run',
          input,
        }),
      )
      .then(
        ({ executionArn }) => executionArn,
        ({ name }) => name,
      );
  const arn = 'arn:aws:states:us-east-1:000000000000:execution:local:run';
  expect(await Promise.all([start('{"ids":[1]}'), start('{"ids":[1]}')])).toStrictEqual([arn, arn]);
  expect(await start('{"ids":[2]}')).toBe('ExecutionAlreadyExists');
  await eventually(() => failures.length === 1);
  expect(await start('{"ids":[1]}')).toBe('ExecutionAlreadyExists');
  expect(failures).toStrictEqual([['run', 'Error: broken']]);
  expect(invoked).toStrictEqual([
    ['/2015-03-31/functions/plan:api/invocations', { input: { ids: [1] }, execution: 'run' }],
  ]);
  const other = await fetch(machine.endpoint, {
    method: 'POST',
    headers: { 'x-amz-target': 'AWSStepFunctions.StopExecution' },
  });
  expect([other.status, await other.json()]).toStrictEqual([
    400,
    {
      __type: 'UnknownOperationException',
      message: 'This stand-in knows StartExecution alone, not AWSStepFunctions.StopExecution',
    },
  ]);
});
