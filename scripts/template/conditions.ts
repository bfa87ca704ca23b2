import { intrinsic, isObject, type Template } from './template.ts';

const dropped = Symbol('dropped');

/**
 * The template as CloudFormation deploys it, where its conditions compare literals: without the resources and the
 * branches of `Fn::If` that they rule out. What depends on a parameter stays as it is.
 */
export function withConditionsApplied(template: Template): Template {
  const resources = Object.entries(template.Resources)
    .filter(([, { Condition }]) => Condition === undefined || holds(Condition, template) !== false)
    .map(([logicalId, resource]) => [
      logicalId,
      { ...resource, ...(resource.Properties && { Properties: applied(resource.Properties, template) }) },
    ]);
  return { ...template, Resources: Object.fromEntries(resources) };
}

function applied(value: unknown, template: Template): unknown {
  if (Array.isArray(value))
    return value.map((item) => applied(item, template)).filter((item) => item !== dropped);
  if (!isObject(value)) return value;
  const [name, argument] = intrinsic(value) ?? [];
  if (name === 'Ref' && argument === 'AWS::NoValue') return dropped;
  if (name === 'Fn::If' && Array.isArray(argument)) {
    const [condition, then, otherwise] = argument;
    const isTaken = holds(String(condition), template);
    if (isTaken !== undefined) return applied(isTaken ? then : otherwise, template);
  }
  const entries = Object.entries(value).map(([key, item]) => [key, applied(item, template)]);
  return Object.fromEntries(entries.filter(([, item]) => item !== dropped));
}

/** Whether the condition holds, or undefined where that is not known before the deployment. */
function holds(name: string, template: Template): boolean | undefined {
  return evaluate(template.Conditions?.[name]);
}

function evaluate(expression: unknown): boolean | undefined {
  const [name, argument] = intrinsic(expression) ?? [];
  if (!Array.isArray(argument)) return undefined;
  if (name === 'Fn::Not') {
    const inner = evaluate(argument[0]);
    return inner === undefined ? undefined : !inner;
  }
  if (name !== 'Fn::Equals') return undefined;
  const [left, right]: readonly unknown[] = argument;
  return typeof left === 'string' && typeof right === 'string' ? left === right : undefined;
}
