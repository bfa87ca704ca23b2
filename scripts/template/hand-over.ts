import { may } from './access-policies.ts';
import type { Finding, Template } from './template.ts';
import { asText, at, findUnless, resourcesOf, targetOf } from './template.ts';

/**
 * Finds what would let a run of the API out of its prefix, or anybody else in: an alias that more than one role may
 * invoke, a function that takes another alias for that of the API, or another prefix for the API's.
 */
export function checkHandOver(template: Template): Finding[] {
  return [
    ...resourcesOf('AWS::Lambda::Alias', template).flatMap(([logicalId]) =>
      checkInvokers(logicalId, template),
    ),
    ...resourcesOf('AWS::StepFunctions::StateMachine', template).flatMap(([logicalId]) =>
      checkStarters(logicalId, template),
    ),
    ...resourcesOf('AWS::Lambda::Function', template).flatMap(([logicalId]) =>
      checkVariables(logicalId, template),
    ),
  ];
}

function checkInvokers(aliasId: string, template: Template): Finding[] {
  const invokers = rolesThatMay('lambda:InvokeFunction', aliasId, template);
  return findUnless(invokers.length === 1, aliasId, 'one role that may invoke it', invokers);
}

/** A machine whose parts are fetched through an alias is started by the role that hands runs over, and by itself. */
function checkStarters(machineId: string, template: Template): Finding[] {
  const machine = template.Resources[machineId]?.Properties ?? {};
  const isForAlias = Object.values(Object(machine.DefinitionSubstitutions)).some((it) =>
    isAlias(it, template),
  );
  if (!isForAlias) return [];
  const own = targetOf(machine.RoleArn);
  const starters = rolesThatMay('states:StartExecution', machineId, template).filter((role) => role !== own);
  return findUnless(starters.length === 1, machineId, 'one other role that may start it', starters);
}

function rolesThatMay(action: string, logicalId: string, template: Template): string[] {
  return resourcesOf('AWS::IAM::Role', template)
    .map(([roleId]) => roleId)
    .filter((roleId) => may(roleId, action, template, (resource) => resource === `\${${logicalId}}`));
}

function isAlias(value: unknown, { Resources }: Template): boolean {
  return Resources[targetOf(value)]?.Type === 'AWS::Lambda::Alias';
}

/** What the variables of a function name is an alias of its own, or one that its role may invoke. */
function checkVariables(functionId: string, template: Template): Finding[] {
  const { FunctionName, Role, Environment } = template.Resources[functionId]?.Properties ?? {};
  const variables = at(Environment, 'Variables');
  const here = `${functionId}.Properties.Environment.Variables`;
  const own = resourcesOf('AWS::Lambda::Alias', template)
    .filter(([, alias]) => targetOf(alias.FunctionName) === functionId)
    .map(([, { Name }]) => `${FUNCTION_ARN}:${asText(FunctionName)}:${asText(Name)}`);
  const aliases = ['ASYNC_FUNCTION', 'ASYNC_TASK_FUNCTION'].flatMap((name) => {
    const value = at(variables, name);
    const isOwn = own.includes(asText(value) ?? '');
    const mayInvoke =
      isAlias(value, template) &&
      may(targetOf(Role), 'lambda:InvokeFunction', template, (resource) => resource === asText(value));
    const holds = value === undefined || isOwn || mayInvoke;
    return findUnless(holds, `${here}.${name}`, 'an alias of its own, or one that it may invoke', value);
  });
  const prefix = at(variables, 'ASYNC_RESULTS_PREFIX');
  const ofOthers = prefixesOfCallers(template);
  return [
    ...aliases,
    ...findUnless(
      own.length === 0 || ofOthers.includes(prefix),
      `${here}.ASYNC_RESULTS_PREFIX`,
      `the prefix of who hands runs over, ${ofOthers.join()}`,
      prefix,
    ),
  ];
}

const FUNCTION_ARN = `arn:\${AWS::Partition}:lambda:\${AWS::Region}:\${AWS::AccountId}:function`;

/** What the functions that hand runs over call the prefix of their runs. */
function prefixesOfCallers(template: Template): unknown[] {
  return resourcesOf('AWS::Lambda::Function', template)
    .map(([, { Environment }]) => at(Environment, 'Variables'))
    .filter((variables) => isAlias(at(variables, 'ASYNC_FUNCTION'), template))
    .map((variables) => at(variables, 'RESULTS_PREFIX'));
}
