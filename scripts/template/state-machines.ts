import validate from 'asl-validator';
import { logDeliveryActions, may } from './access-policies.ts';
import type { Finding, Properties, Template } from './template.ts';
import { asText, at, findUnless, isObject, resourcesOf, targetOf } from './template.ts';

/** How an invocation can fail that may well succeed the next time; each of our tasks is idempotent. */
const passing = [
  'Lambda.ClientExecutionTimeoutException',
  'Lambda.ServiceException',
  'Lambda.AWSLambdaException',
  'Lambda.SdkClientException',
  'Lambda.TooManyRequestsException',
  'StoreError',
  'ConfigUnavailableError',
];
/** How a function can end without an answer, which it may do each time: to be tried again, but fewer times. */
const unanswered = [
  'Lambda.Unknown',
  'Runtime.ExitError',
  'Runtime.OutOfMemory',
  'Sandbox.Timedout',
  'States.Timeout',
];

/** Whether the role allows an action on a resource: on this one, or one with this end, from a `:` or `/` on. */
type MayOn = (action: string, resource: string) => boolean;

/**
 * Finds state machines whose definition Step Functions would refuse, or whose role may not do what it says: which
 * comes to light only at the deployment, or in the middle of a run.
 */
export function checkStateMachines(template: Template): Finding[] {
  return resourcesOf('AWS::StepFunctions::StateMachine', template).flatMap(([logicalId, machine]) => {
    const mayOn: MayOn = (action, meant) =>
      may(targetOf(machine.RoleArn), action, template, (resource) =>
        /^[:/]/.test(meant) ? resource.endsWith(meant) : resource === meant,
      );
    const states = statesOf(machine.Definition, `${logicalId}.Properties.Definition`);
    return [
      ...checkDefinition(machine, logicalId),
      ...states.flatMap(([place, state]) => {
        const isDistributed = at(state, 'ItemProcessor', 'ProcessorConfig', 'Mode') === 'DISTRIBUTED';
        if (isDistributed) return checkMap(state, place, logicalId, mayOn);
        const placeholder = String(at(state, 'Parameters', 'FunctionName')).slice(2, -1);
        const arn = at(machine.DefinitionSubstitutions, placeholder);
        return state.Type === 'Task' ? checkTask(state, place, arn, template, mayOn) : [];
      }),
      ...checkOperation(machine, logicalId, template, mayOn),
    ];
  });
}

/** What cfn-lint does not know of a definition: where transitions lead, what a path is, what is substituted. */
function checkDefinition(machine: Properties, logicalId: string): Finding[] {
  const { Definition, DefinitionSubstitutions: substitutions } = machine;
  const text = JSON.stringify(Definition ?? {});
  const used = [...text.matchAll(/\$\{(\w+)\}/g)].map(([, name = '']) => name);
  const names = new Set([...used, ...Object.keys(isObject(substitutions) ? substitutions : {})]);
  const faults = faultsOf(text);
  return [
    ...[...names].flatMap((name) => {
      const isMatched = used.includes(name) && at(substitutions, name) !== undefined;
      const place = `${logicalId}.Properties.DefinitionSubstitutions.${name}`;
      return findUnless(isMatched, place, 'a placeholder and its substitution');
    }),
    ...findUnless(faults === '', `${logicalId}.Properties.Definition`, 'a valid definition', faults),
  ];
}

/** Faults by definition: the validator compiles its schemas anew each time. */
const known = new Map<string, string>();

function faultsOf(definition: string): string {
  // A placeholder is an Arn or a part of one: what stands for it has to pass for either.
  const filled = definition
    .replaceAll(/\$\{Partition\}/g, 'aws')
    .replaceAll(/\$\{\w+\}/g, 'arn:aws:lambda:us-east-1:123456789012:function:sample');
  const faults =
    known.get(filled) ?? validate(JSON.parse(filled), { checkArn: true, checkPaths: true }).errorsText('; ');
  known.set(filled, faults);
  return faults;
}

/** Every state, those of Maps included. */
function statesOf(definition: unknown, path: string): [place: string, state: Properties][] {
  const states = at(definition, 'States');
  return Object.entries(isObject(states) ? states : {}).flatMap(([name, state]) => {
    const place = `${path}.States.${name}`;
    const inner = statesOf(at(state, 'ItemProcessor'), `${place}.ItemProcessor`);
    return isObject(state) ? [[place, state], ...inner] : inner;
  });
}

function checkTask(
  task: Properties,
  place: string,
  arn: unknown,
  template: Template,
  mayOn: MayOn,
): Finding[] {
  const { TimeoutSeconds, Retry } = task;
  const isInvocable = mayOn('lambda:InvokeFunction', String(asText(arn)));
  // Else the state gives up on an invocation that goes on, and starts a second one beside it.
  const { Type, Properties } = template.Resources[targetOf(arn)] ?? {};
  const functionId = Type === 'AWS::Lambda::Alias' ? targetOf(Properties?.FunctionName) : targetOf(arn);
  const timeout = Number(template.Resources[functionId]?.Properties?.Timeout ?? 0);
  const outlasts = Number(TimeoutSeconds ?? 0) > timeout;
  return [
    ...findUnless(
      isInvocable,
      `${place}.Parameters.FunctionName`,
      'a function that the role may invoke',
      arn,
    ),
    ...findUnless(outlasts, `${place}.TimeoutSeconds`, `more than ${timeout} s`, TimeoutSeconds),
    ...checkRetry([Retry ?? []].flat(), `${place}.Retry`),
  ];
}

function checkRetry(retriers: readonly unknown[], place: string): Finding[] {
  const hasJitter = retriers.every((retrier) => at(retrier, 'JitterStrategy') === 'FULL');
  const timesOf = (error: string): number => {
    // The first that knows the error is the one that counts.
    const retrier = retriers.find((it) => [at(it, 'ErrorEquals')].flat().includes(error));
    // 3 is the default.
    return retrier === undefined ? 0 : Number(at(retrier, 'MaxAttempts') ?? 3);
  };
  const lost = [...passing, ...unanswered].filter((error) => timesOf(error) === 0);
  const fewest = Math.min(...passing.map(timesOf));
  const tooOften = unanswered.filter((error) => timesOf(error) >= fewest);
  return [
    ...findUnless(hasJitter, place, 'retries with full jitter', retriers),
    ...findUnless(lost.length === 0, place, 'a retry of each error that may pass', lost),
    ...findUnless(lost.length > 0 || tooOften.length === 0, place, `fewer than ${fewest} retries`, tooOften),
  ];
}

function checkMap(state: Properties, place: string, logicalId: string, mayOn: MayOn): Finding[] {
  const needed = [
    [place, 'states:StartExecution', `\${${logicalId}}`],
    [place, 'states:DescribeExecution', `:execution:\${${logicalId}.Name}:*`],
    [`${place}.ItemReader`, 's3:GetObject', '/plans/*'],
    [`${place}.ResultWriter`, 's3:PutObject', '/map-results/*'],
  ] as const;
  // 0, the default, is no limit: the origin would see 10,000 parts at once.
  const limit = state.MaxConcurrencyPath ?? state.MaxConcurrency ?? 0;
  return [
    ...needed.flatMap(([here, action, resource]) =>
      findUnless(mayOn(action, resource), here, `${action} in the role`),
    ),
    ...findUnless(limit !== 0, `${place}.MaxConcurrencyPath`, 'a limit'),
  ];
}

function checkOperation(machine: Properties, logicalId: string, template: Template, mayOn: MayOn): Finding[] {
  const { StateMachineType: type, LoggingConfiguration, TracingConfiguration } = machine;
  const here = `${logicalId}.Properties`;
  const level = at(LoggingConfiguration, 'Level') ?? 'OFF';
  const denied = logDeliveryActions.filter((action) => !mayOn(action, '*'));
  const isTraced = at(TracingConfiguration, 'Enabled') === true;
  const mayTrace = mayOn('xray:PutTraceSegments', '*');
  const isWatched = resourcesOf('AWS::CloudWatch::Alarm', template).some(
    ([, { MetricName, Dimensions }]) =>
      MetricName === 'ExecutionsFailed' && JSON.stringify([Dimensions]).includes(`{"Ref":"${logicalId}"}`),
  );
  return [
    ...findUnless(type === 'STANDARD', `${here}.StateMachineType`, 'STANDARD', type),
    ...findUnless(level !== 'OFF', `${here}.LoggingConfiguration`, 'a log', level),
    ...findUnless(denied.length === 0, `${here}.LoggingConfiguration`, `${denied.join(', ')} in the role`),
    ...findUnless(isTraced === mayTrace, `${here}.TracingConfiguration`, 'as the role may', isTraced),
    ...findUnless(isWatched, logicalId, 'an alarm on ExecutionsFailed'),
  ];
}
