/** A CloudFormation template as JSON, before anything about it is known to be right. */
export interface Template {
  readonly Resources: Readonly<Record<string, Resource>>;
  readonly Outputs?: Readonly<Record<string, unknown>>;
  readonly Parameters?: Readonly<Record<string, unknown>>;
  readonly Conditions?: Readonly<Record<string, unknown>>;
}

export interface Resource {
  readonly Type: string;
  readonly Properties?: Readonly<Record<string, unknown>>;
  readonly DependsOn?: string | readonly string[];
  readonly Condition?: string;
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
}

/** One fault: where it is, what was expected there, and what came. */
export interface Finding {
  readonly logicalId: string;
  readonly path: string;
  readonly expected: string;
  readonly got: string;
}

/** The single intrinsic function that `value` is a call of, such as `['Fn::Sub', '${A}']`. */
export function intrinsic(value: unknown): readonly [name: string, argument: unknown] | undefined {
  if (!isObject(value)) return undefined;
  const [entry, ...others] = Object.entries(value);
  if (entry === undefined || others.length > 0) return undefined;
  return entry[0] === 'Ref' || entry[0] === 'Condition' || entry[0].startsWith('Fn::') ? entry : undefined;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What `[logicalId, attribute]` an `Fn::GetAtt` names, in either of its forms. */
export function getAttTarget(argument: unknown): readonly [logicalId: string, attribute: string] | undefined {
  const [logicalId, ...attribute] =
    typeof argument === 'string' ? argument.split('.') : Array.isArray(argument) ? argument : [];
  if (typeof logicalId !== 'string' || attribute.length === 0) return undefined;
  return attribute.every((part) => typeof part === 'string') ? [logicalId, attribute.join('.')] : undefined;
}

/**
 * `value` as one string, with `${LogicalId}` for a Ref and `${LogicalId.Attribute}` for a GetAtt, so that
 * `Fn::Sub`, `Fn::Join` (of an `Fn::Split` too) and a literal that mean the same read the same. Undefined for
 * anything else.
 */
export function asText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  const [name, argument] = intrinsic(value) ?? [];
  if (name === 'Ref') return `\${${String(argument)}}`;
  if (name === 'Fn::GetAtt') {
    const target = getAttTarget(argument);
    return target === undefined ? undefined : `\${${target.join('.')}}`;
  }
  if (name === 'Fn::Sub' && typeof argument === 'string') return argument;
  if (name === 'Fn::Join' && Array.isArray(argument)) {
    const parts = Array.isArray(argument[1]) ? argument[1].map(asText) : splitText(argument[1]);
    return parts?.includes(undefined) ? undefined : parts?.join(String(argument[0]));
  }
  return undefined;
}

function splitText(value: unknown): (string | undefined)[] | undefined {
  const [name, argument] = intrinsic(value) ?? [];
  return name === 'Fn::Split' && Array.isArray(argument)
    ? asText(argument[1])?.split(String(argument[0]))
    : undefined;
}

/** A value in one short line, for a finding. */
export function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
