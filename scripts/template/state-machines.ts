import validate from 'asl-validator';
import { at, logDeliveryActions, may, targetOf } from './access-policies.ts';
import { withConditionsApplied } from './conditions.ts';
import { asText, type Finding, isObject, type Resource, show, type Template } from './template.ts';

type Values = Readonly<Record<string, unknown>>;

/** A placeholder is an Arn or a part of one: what stands for it has to pass for either. */
const SAMPLES: Values = { Partition: 'aws' };
const SAMPLE_ARN = 'arn:aws:lambda:us-east-1:123456789012:function:sample';
const LAMBDA_INVOKE = ':states:::lambda:invoke';

/**
 * Finds state machines whose definition Step Functions would refuse, or whose role may not do what it says: which
 * comes to light only at the deployment, or in the middle of a run.
 */
export function checkStateMachines(declared: Template): Finding[] {
  const template = withConditionsApplied(declared);
  return Object.entries(template.Resources)
    .filter(([, { Type }]) => Type === 'AWS::StepFunctions::StateMachine')
    .flatMap(([logicalId, machine]) => [
      ...checkDefinition(logicalId, machine),
      ...checkTasks(logicalId, machine, template),
      ...checkMaps(logicalId, machine, template),
      ...checkOperation(logicalId, machine, template),
    ]);
}

function checkDefinition(logicalId: string, { Properties = {} }: Resource): Finding[] {
  const path = 'Properties.Definition';
  const { Definition, DefinitionSubstitutions } = Properties;
  const substitutions = isObject(DefinitionSubstitutions) ? DefinitionSubstitutions : {};
  const text = JSON.stringify(Definition ?? null);
  const used = new Set([...text.matchAll(/\$\{(\w+)\}/g)].map(([, name = '']) => name));
  const names = new Set([...used, ...Object.keys(substitutions)]);
  const findings = [...names]
    .filter((name) => !used.has(name) || substitutions[name] === undefined)
    .map((name): Finding => {
      const expected = used.has(name)
        ? 'a substitution for the placeholder'
        : 'a placeholder in the definition';
      return { logicalId, path: `Properties.DefinitionSubstitutions.${name}`, expected, got: 'nothing' };
    });
  const filled = text.replaceAll(/\$\{(\w+)\}/g, (_, name) => String(SAMPLES[name] ?? SAMPLE_ARN));
  const faults = faultsOf(filled);
  if (faults !== '') findings.push({ logicalId, path, expected: 'a definition that is valid', got: faults });
  return findings;
}

// The validator compiles its schemas anew each time: that of one definition is asked for only once.
const known = new Map<string, string>();

function faultsOf(definition: string): string {
  const faults =
    known.get(definition) ??
    validate(JSON.parse(definition), { checkArn: true, checkPaths: true }).errorsText('; ');
  known.set(definition, faults);
  return faults;
}

interface PlacedState {
  readonly path: string;
  readonly state: Values;
}

/** Every state, those of Maps and branches included. */
function statesOf(definition: unknown, path: string): PlacedState[] {
  const states = at(definition, 'States');
  if (!isObject(states)) return [];
  return Object.entries(states).flatMap(([name, state]) => {
    if (!isObject(state)) return [];
    const here = `${path}.States.${name}`;
    return [{ path: here, state }, ...statesOf(state.ItemProcessor, `${here}.ItemProcessor`)];
  });
}

function checkTasks(logicalId: string, { Properties = {} }: Resource, template: Template): Finding[] {
  const { Definition, DefinitionSubstitutions, RoleArn } = Properties;
  const roleId = targetOf(RoleArn);
  return statesOf(Definition, 'Properties.Definition')
    .filter(({ state }) => state.Type === 'Task' && String(state.Resource).endsWith(LAMBDA_INVOKE))
    .flatMap(({ path, state }) => {
      const findings: Finding[] = [];
      const placeholder = /^\$\{(\w+)\}$/.exec(String(at(state, 'Parameters', 'FunctionName')))?.[1] ?? '';
      const arn = at(DefinitionSubstitutions, placeholder);
      const functionId = targetOf(arn);
      if (!may(roleId, 'lambda:InvokeFunction', template, (resource) => resource === asText(arn))) {
        findings.push({
          logicalId,
          path: `${path}.Parameters.FunctionName`,
          expected: `a function that ${roleId} may invoke`,
          got: show(arn),
        });
      }
      // Else the state gives up on an invocation that goes on, and starts a second one beside it.
      const timeout = Number(template.Resources[functionId]?.Properties?.Timeout);
      if (Number(state.TimeoutSeconds ?? 0) <= timeout) {
        const expected = `more than the ${timeout} s of ${functionId}`;
        findings.push({
          logicalId,
          path: `${path}.TimeoutSeconds`,
          expected,
          got: show(state.TimeoutSeconds),
        });
      }
      const retriers = Array.isArray(state.Retry) ? state.Retry : [];
      if (retriers.length === 0 || !retriers.every((retrier) => at(retrier, 'JitterStrategy') === 'FULL')) {
        findings.push({
          logicalId,
          path: `${path}.Retry`,
          expected: 'retries with full jitter',
          got: show(state.Retry),
        });
      }
      return findings;
    });
}

function checkMaps(logicalId: string, { Properties = {} }: Resource, template: Template): Finding[] {
  const roleId = targetOf(Properties.RoleArn);
  return statesOf(Properties.Definition, 'Properties.Definition')
    .filter(({ state }) => at(state, 'ItemProcessor', 'ProcessorConfig', 'Mode') === 'DISTRIBUTED')
    .flatMap(({ path, state }) => {
      const executions = `:execution:\${${logicalId}.Name}`;
      const needed: readonly (readonly [string, string, (resource: string) => boolean])[] = [
        ['states:StartExecution', path, (resource) => resource === `\${${logicalId}}`],
        ['states:DescribeExecution', path, (resource) => resource.endsWith(`${executions}:*`)],
        ['s3:GetObject', `${path}.ItemReader`, (resource) => resource.endsWith('/plans/*')],
        ['s3:PutObject', `${path}.ResultWriter`, (resource) => resource.endsWith('/map-results/*')],
      ];
      const denied = needed
        .filter(([action, , isMeant]) => !may(roleId, action, template, isMeant))
        .map(([action, at]) => ({ logicalId, path: at, expected: `${action} in ${roleId}`, got: 'nothing' }));
      // 0, the default, is no limit: the origin would see 10,000 parts at once.
      const limit = state.MaxConcurrencyPath ?? state.MaxConcurrency ?? 0;
      return limit === 0
        ? [...denied, { logicalId, path: `${path}.MaxConcurrencyPath`, expected: 'a limit', got: 'nothing' }]
        : denied;
    });
}

function checkOperation(logicalId: string, { Properties = {} }: Resource, template: Template): Finding[] {
  const { StateMachineType, LoggingConfiguration, TracingConfiguration, RoleArn } = Properties;
  const roleId = targetOf(RoleArn);
  const findings: Finding[] = [];
  const add = (path: string, expected: string, got: unknown): void => {
    findings.push({ logicalId, path, expected, got: show(got) });
  };
  if (StateMachineType !== 'STANDARD') add('Properties.StateMachineType', 'STANDARD', StateMachineType);
  const level = at(LoggingConfiguration, 'Level');
  if (level === undefined || level === 'OFF') add('Properties.LoggingConfiguration', 'a log', level);
  const missing = logDeliveryActions.filter((action) => !may(roleId, action, template, (to) => to === '*'));
  if (missing.length > 0)
    add('Properties.LoggingConfiguration', `${missing.join(', ')} in ${roleId}`, undefined);
  const isTraced = at(TracingConfiguration, 'Enabled') === true;
  if (isTraced !== may(roleId, 'xray:PutTraceSegments', template, (to) => to === '*'))
    add(
      'Properties.TracingConfiguration',
      `traces, and xray:PutTraceSegments in ${roleId}, or neither`,
      isTraced,
    );
  const isWatched = Object.values(template.Resources).some(
    ({ Type, Properties: alarm }) =>
      Type === 'AWS::CloudWatch::Alarm' &&
      alarm?.MetricName === 'ExecutionsFailed' &&
      JSON.stringify(alarm.Dimensions).includes(JSON.stringify({ Ref: logicalId })),
  );
  if (!isWatched) add('', 'an alarm on ExecutionsFailed', undefined);
  return findings;
}
