import { intrinsic, isObject, type Template } from './template.ts';

const dropped = Symbol('dropped');

/**
 * The template as CloudFormation deploys it, where its conditions compare literals: without the resources and the
 * branches of `Fn::If` that they rule out. What depends on a parameter stays as it is.
 */
export function applyConditions(template: Template): Template {
  const resources = Object.entries(template.Resources).flatMap(([logicalId, resource]) => {
    const { Condition, ...others } = resource;
    if (Condition === undefined) return [[logicalId, resource]];
    const isThere = holds(template.Conditions?.[Condition]);
    if (isThere === false) return [];
    return [[logicalId, isThere ? others : resource]];
  });
  // What is dropped stands deeper than what a resource has to have.
  const Resources = apply(Object.fromEntries(resources), template) as Template['Resources'];
  return { ...template, Resources };
}

function apply(value: unknown, template: Template): unknown {
  if (Array.isArray(value))
    return value.map((item) => apply(item, template)).filter((item) => item !== dropped);
  if (!isObject(value)) return value;
  const [name, argument] = intrinsic(value) ?? [];
  if (name === 'Ref' && argument === 'AWS::NoValue') return dropped;
  if (name === 'Fn::If' && Array.isArray(argument)) {
    const [condition, then, otherwise] = argument;
    const isTaken = holds(template.Conditions?.[condition]);
    return isTaken === undefined ? value : apply(isTaken ? then : otherwise, template);
  }
  const entries = Object.entries(value).map(([key, item]) => [key, apply(item, template)]);
  return Object.fromEntries(entries.filter(([, item]) => item !== dropped));
}

/** Whether the condition holds, or undefined where that is not known before the deployment. */
function holds(condition: unknown): boolean | undefined {
  const [name, argument] = intrinsic(condition) ?? [];
  const [left, right]: readonly unknown[] = Array.isArray(argument) ? argument : [];
  const inner = name === 'Fn::Not' ? holds(left) : undefined;
  if (inner !== undefined) return !inner;
  const isDecided = name === 'Fn::Equals' && typeof left === 'string' && typeof right === 'string';
  return isDecided ? left === right : undefined;
}
