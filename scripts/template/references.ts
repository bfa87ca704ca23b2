import { resourceSchema } from './spec.ts';
import { type Finding, getAttTarget, intrinsic, isObject, show, type Template } from './template.ts';

const pseudoParameters = new Set([
  'AWS::AccountId',
  'AWS::NoValue',
  'AWS::NotificationARNs',
  'AWS::Partition',
  'AWS::Region',
  'AWS::StackId',
  'AWS::StackName',
  'AWS::URLSuffix',
]);

interface Reference {
  readonly path: string;
  readonly kind: 'Ref' | 'Fn::GetAtt' | 'DependsOn' | 'Condition';
  readonly target: string;
  readonly attribute?: string;
}

/** Finds references to what the template does not have, and resources that wait for each other. */
export function checkReferences(template: Template): Finding[] {
  const findings: Finding[] = [];
  const waitsFor = new Map<string, readonly string[]>();

  for (const [logicalId, resource] of Object.entries(template.Resources)) {
    const references = [
      ...dependencies(resource.DependsOn),
      ...condition(resource.Condition),
      ...referencesIn(resource.Properties, 'Properties'),
    ];
    findings.push(...references.flatMap((found) => missing(logicalId, found, template)));
    waitsFor.set(
      logicalId,
      references.map(({ target }) => target),
    );
  }
  for (const [name, expression] of Object.entries(template.Conditions ?? {})) {
    const references = referencesIn(expression, 'Conditions');
    findings.push(...references.flatMap((found) => missing(name, found, template)));
  }
  for (const [name, output] of Object.entries(template.Outputs ?? {})) {
    const references = referencesIn(output, 'Outputs');
    findings.push(...references.flatMap((found) => missing(name, found, template)));
    if (!isObject(output) || output.Value === undefined) {
      findings.push({ logicalId: name, path: 'Outputs.Value', expected: 'a value', got: show(output) });
    }
  }
  return [...findings, ...cycles(waitsFor)];
}

function dependencies(dependsOn: string | readonly string[] | undefined): Reference[] {
  return [dependsOn ?? []].flat().map((target) => ({ path: 'DependsOn', kind: 'DependsOn', target }));
}

function condition(name: string | undefined, path = 'Condition'): Reference[] {
  return name === undefined ? [] : [{ path, kind: 'Condition', target: name }];
}

function referencesIn(value: unknown, path: string): Reference[] {
  if (Array.isArray(value)) return value.flatMap((item, i) => referencesIn(item, `${path}[${i}]`));
  if (!isObject(value)) return [];
  const [name, argument] = intrinsic(value) ?? [];
  if (name === 'Ref') return [{ path, kind: 'Ref', target: String(argument) }];
  if (name === 'Fn::GetAtt') {
    const [target, attribute] = getAttTarget(argument) ?? [String(argument), ''];
    return [{ path, kind: 'Fn::GetAtt', target, attribute }];
  }
  if (name === 'Fn::Sub') return referencesInSub(argument, path);
  if (name === 'Fn::If' && Array.isArray(argument)) {
    return [...condition(String(argument[0]), path), ...referencesIn(argument.slice(1), path)];
  }
  return Object.entries(value).flatMap(([key, item]) => referencesIn(item, `${path}.${key}`));
}

function referencesInSub(argument: unknown, path: string): Reference[] {
  const [text, variables]: readonly unknown[] = Array.isArray(argument) ? argument : [argument, {}];
  const own = isObject(variables) ? variables : {};
  const references = [...String(text).matchAll(/\$\{([^!}][^}]*)\}/g)]
    .map(([, name = '']) => name.trim())
    .filter((name) => !Object.hasOwn(own, name))
    .map((name): Reference => {
      const [target = '', ...attribute] = name.split('.');
      return attribute.length === 0
        ? { path, kind: 'Ref', target }
        : { path, kind: 'Fn::GetAtt', target, attribute: attribute.join('.') };
    });
  return [...references, ...referencesIn(own, path)];
}

function missing(logicalId: string, reference: Reference, template: Template): Finding[] {
  const { path, kind, target, attribute } = reference;
  const resource = template.Resources[target];
  if (kind === 'Condition') {
    if (template.Conditions?.[target] !== undefined) return [];
    return [{ logicalId, path, expected: 'a condition of the template', got: target }];
  }
  if (kind === 'Ref' && (pseudoParameters.has(target) || template.Parameters?.[target] !== undefined))
    return [];
  if (resource === undefined) {
    return [{ logicalId, path, expected: `a resource of the template for ${kind}`, got: target }];
  }
  if (attribute === undefined) return [];
  const known = resourceSchema(resource.Type)?.attributes;
  if (known === undefined || Object.hasOwn(known, attribute)) return [];
  const expected = `an attribute of ${resource.Type} (${Object.keys(known).join(', ') || 'it has none'})`;
  return [{ logicalId, path, expected, got: `${target}.${attribute}` }];
}

function cycles(waitsFor: ReadonlyMap<string, readonly string[]>): Finding[] {
  const findings: Finding[] = [];
  const done = new Set<string>();
  const visit = (logicalId: string, trail: readonly string[]): void => {
    if (trail.includes(logicalId)) {
      const circle = [...trail.slice(trail.indexOf(logicalId)), logicalId].join(' -> ');
      findings.push({ logicalId, path: '', expected: 'no circular dependency', got: circle });
      return;
    }
    if (done.has(logicalId)) return;
    for (const target of waitsFor.get(logicalId) ?? []) visit(target, [...trail, logicalId]);
    done.add(logicalId);
  };
  for (const logicalId of waitsFor.keys()) visit(logicalId, []);
  return findings;
}
