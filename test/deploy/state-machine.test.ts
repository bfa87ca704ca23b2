import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Template } from '../../scripts/template/template.ts';
import { copyService, type Fault, placesIn, type ServiceCopy, seeded } from './packaging.ts';

let service: ServiceCopy;
let prod: Template;

beforeAll(async () => {
  service = await copyService();
  prod = await service.packaged('prod');
}, 120_000);

afterAll(() => service[Symbol.asyncDispose]());

const machine = 'FetchAtScale.Properties';
const map = `${machine}.Definition.States.FetchParts`;
const task = `${map}.ItemProcessor.States.FetchPart`;
/** The tasks that invoke the fetch function. */
const fetches = ['FetchPart', 'RedrivePart'].map(
  (name) => `${map}.ItemProcessor.States.${name}.Parameters.FunctionName`,
);
const machineRole = 'FetchAtScaleRole.Properties.Policies';
const asFound = (path: string): string => path.replaceAll(/\.(\d+)/g, '[$1]');

const machineFaults: readonly Fault[] = [
  {
    fault: 'a transition to no state',
    at: `${machine}.Definition.States.Plan.Next`,
    put: 'FetchPart',
    found: [`${machine}.Definition`],
  },
  {
    fault: 'no definition',
    at: `${machine}.Definition`,
    put: undefined,
    found: ['PlanFunctionArn', 'FetchFunctionArn', 'ConcludeFunctionArn', 'Partition']
      .map((name) => `${machine}.DefinitionSubstitutions.${name}`)
      .concat(`${machine}.Definition`),
  },
  {
    fault: 'a field that a state does not have',
    at: `${map}.MaxConcurrencyPaths`,
    put: '$.plan.partsInFlight',
    found: [`${machine}.Definition`],
  },
  {
    fault: 'a path that is none',
    at: `${map}.ItemReader.Parameters`,
    put: { 'Bucket.$': '$.plan.bucket', 'Key.$': 'plan.key' },
    found: [`${machine}.Definition`],
  },
  {
    fault: 'a placeholder without its substitution',
    at: `${machine}.DefinitionSubstitutions.FetchFunctionArn`,
    put: undefined,
    found: [`${machine}.DefinitionSubstitutions.FetchFunctionArn`, ...fetches],
  },
  {
    fault: 'a substitution without its placeholder',
    at: `${machine}.DefinitionSubstitutions.ApiFunctionArn`,
    put: { 'Fn::GetAtt': ['ApiLambdaFunction', 'Arn'] },
  },
  {
    fault: 'a function that the state machine may not invoke',
    at: `${machine}.DefinitionSubstitutions.FetchFunctionArn`,
    put: { 'Fn::GetAtt': ['ApiLambdaFunction', 'Arn'] },
    found: fetches,
  },
  {
    fault: 'every function of the account',
    at: `${machineRole}.0.PolicyDocument.Statement.0.Resource`,
    put: '*',
    found: [
      asFound(`${machineRole}.0.PolicyDocument.Statement.0.Resource`),
      `${machine}.Definition.States.Plan.Parameters.FunctionName`,
      `${machine}.Definition.States.Conclude.Parameters.FunctionName`,
      ...fetches,
    ],
  },
  {
    fault: 'a task that gives up before its function does',
    at: `${task}.TimeoutSeconds`,
    put: 900,
  },
  { fault: 'a task that is tried once', at: `${task}.Retry`, put: undefined },
  {
    fault: 'retries that come all at once',
    at: `${task}.Retry.0.JitterStrategy`,
    put: undefined,
    found: [`${task}.Retry`],
  },
  ...[
    'Lambda.ClientExecutionTimeoutException',
    'Lambda.ServiceException',
    'Lambda.AWSLambdaException',
    'Lambda.SdkClientException',
    'Lambda.TooManyRequestsException',
    'StoreError',
  ].map((error, i) => ({
    fault: `an end of the task at its first ${error}`,
    at: `${machine}.Definition.States.Plan.Retry.0.ErrorEquals.${i}`,
    put: undefined,
    found: [`${machine}.Definition.States.Plan.Retry`],
  })),
  ...['Lambda.Unknown', 'Runtime.ExitError', 'Runtime.OutOfMemory', 'Sandbox.Timedout', 'States.Timeout'].map(
    (error, i) => ({
      fault: `an end of the task at its first ${error}`,
      at: `${machine}.Definition.States.Conclude.Retry.1.ErrorEquals.${i}`,
      put: undefined,
      found: [`${machine}.Definition.States.Conclude.Retry`],
    }),
  ),
  {
    fault: 'a retrier that does not retry',
    at: `${task}.Retry.1.MaxAttempts`,
    put: 0,
    found: [`${task}.Retry`],
  },
  {
    fault: 'a function out of memory, tried as often as one that is throttled',
    at: `${task}.Retry.1.MaxAttempts`,
    put: 8,
    found: [`${task}.Retry`],
  },
  {
    fault: 'a Map without a limit',
    at: `${map}.MaxConcurrencyPath`,
    put: undefined,
  },
  {
    fault: 'a plan that the state machine may not read',
    at: `${machineRole}.1`,
    put: undefined,
    found: [`${map}.ItemReader`],
  },
  {
    fault: 'results that the state machine may not write',
    at: `${machineRole}.2`,
    put: undefined,
    found: [`${map}.ResultWriter`],
  },
  {
    fault: 'a part of what the log needs',
    at: `${machineRole}.3.PolicyDocument.Statement.0.Action.5`,
    put: undefined,
    found: [`${machine}.LoggingConfiguration`],
  },
  {
    fault: 'no log',
    at: `${machine}.LoggingConfiguration.Level`,
    put: 'OFF',
    found: [`${machine}.LoggingConfiguration`],
  },
  {
    fault: 'parts that the state machine may not run',
    at: 'FetchAtScaleRunsParts',
    put: undefined,
    found: [map, map],
  },
  {
    fault: 'every state machine of the account',
    at: 'FetchAtScaleRunsParts.Properties.PolicyDocument.Statement.0.Resource',
    put: '*',
    found: ['FetchAtScaleRunsParts.Properties.PolicyDocument.Statement[0].Resource', map],
  },
  {
    fault: 'the executions of every state machine',
    at: 'FetchAtScaleRunsParts.Properties.PolicyDocument.Statement.1.Resource',
    put: { 'Fn::Sub': `arn:\${AWS::Partition}:states:\${AWS::Region}:\${AWS::AccountId}:execution:*` },
    found: [map, ...Array(2).fill('FetchAtScaleRunsParts.Properties.PolicyDocument.Statement[1].Resource')],
  },
  { fault: 'an execution that may run twice', at: `${machine}.StateMachineType`, put: 'EXPRESS' },
  {
    fault: 'traces that the role may not write',
    at: `${machine}.TracingConfiguration.Enabled`,
    put: true,
    found: [`${machine}.TracingConfiguration`],
  },
  {
    fault: 'failures that nobody hears of',
    at: 'FetchAtScaleAlarm',
    put: undefined,
    found: ['FetchAtScale'],
  },
  {
    fault: 'an alarm on every state machine',
    at: 'FetchAtScaleAlarm.Properties.Dimensions',
    put: undefined,
    found: ['FetchAtScale'],
  },
  {
    fault: 'an alarm on another state machine',
    at: 'FetchAtScaleAlarm.Properties.Dimensions.0.Value',
    put: { 'Fn::GetAtt': ['FailedRuns', 'Arn'] },
    found: ['FetchAtScale'],
  },
  {
    fault: 'an origin that is to see less than one part',
    at: 'PlanLambdaFunction.Properties.Environment.Variables.ORIGIN_CONCURRENCY',
    put: '49',
  },
  {
    fault: 'all of the bucket for manifests',
    at: 'ConcludeRole.Properties.Policies.1.PolicyDocument.Statement.0.Resource',
    put: { 'Fn::Sub': `\${ResultsBucket.Arn}/*.manifest.json` },
    found: Array(3).fill('ConcludeRole.Properties.Policies[1].PolicyDocument.Statement[0].Resource'),
  },
];

describe('the template check finds, in the state machine', () => {
  it.each(machineFaults)('$fault', ({ at, put, found = [at] }) => {
    expect(placesIn(seeded(prod, at, put))).toStrictEqual([...found].sort());
  });
});
