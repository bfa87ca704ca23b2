import { expect, test } from 'vitest';
import { type RedrivenRun, redriveCommand } from '../../../src/report/redrive-command.ts';

const functionArn = 'arn:aws:lambda:eu-west-1:123456789012:function:batch-fetcher-prod-fetch';
const ofOne: RedrivenRun = { runId: 'nightly', isOfParts: false, isOfApi: false };

test.each<[string, Partial<RedrivenRun>, string | undefined, string]>([
  ['a run on this machine', {}, undefined, 'npm run redrive -- nightly'],
  ['a run whose id a shell would take for more', { runId: '~a' }, undefined, "npm run redrive -- '~a'"],
  ['a run whose id looks like an option', { runId: '-a' }, undefined, 'npm run redrive -- -- -a'],
  [
    'a run of parts whose id looks like an option',
    { runId: '-a', isOfParts: true },
    undefined,
    'npm run scale -- --redrive=-a',
  ],
  [
    'a run of a deployed function',
    {},
    functionArn,
    `aws lambda invoke --function-name ${functionArn} --cli-binary-format raw-in-base64-out --payload '{"redrive":"nightly"}' reply.json`,
  ],
  ['a run of the API', { isOfApi: true }, functionArn, 'GET /v1/batches?redrive=nightly'],
  ['a run of parts on this machine', { isOfParts: true }, undefined, 'npm run scale -- --redrive nightly'],
  [
    'a deployed run of parts',
    { isOfParts: true },
    functionArn,
    `aws stepfunctions start-execution --state-machine-arn <FetchAtScaleArn> --input '{"redrive":"nightly"}'`,
  ],
  [
    'a part, with its run,',
    { runId: 'nightly.part-000001.redrive-2', isOfApi: true },
    undefined,
    'npm run scale -- --redrive nightly',
  ],
])('%s is redriven by its own command', (_, run, arn, command) => {
  expect(redriveCommand({ ...ofOne, ...run }, { functionArn: arn, apiBasePath: '/v1' })).toBe(command);
});
