/** A CloudFormation template as JSON, before anything about it is known to be right. */
export interface Template {
  readonly Resources: Readonly<Record<string, Resource>>;
  readonly Conditions?: Readonly<Record<string, unknown>>;
  readonly Outputs?: Readonly<Record<string, unknown>>;
}

interface Resource {
  readonly Type: string;
  readonly Properties?: Properties;
  readonly Condition?: string;
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
}

export type Properties = Readonly<Record<string, unknown>>;

/** One fault: where it is, what was expected there, and what came, in one short line. */
export interface Finding {
  readonly place: string;
  readonly expected: string;
  readonly got: string;
}

/** A list to spread, of one finding, or of none where the template is as expected. */
export function findUnless(holds: boolean, place: string, expected: string, got?: unknown): Finding[] {
  if (holds) return [];
  const text = JSON.stringify(got) ?? 'nothing';
  return [{ place, expected, got: text.length > 120 ? `${text.slice(0, 117)}...` : text }];
}

/** The resources of a type, by their logical ids. */
export function resourcesOf(type: string, { Resources }: Template): [logicalId: string, Properties][] {
  const resources = Object.entries(Resources).filter(([, { Type }]) => Type === type);
  return resources.map(([logicalId, { Properties = {} }]) => [logicalId, Properties]);
}

/** The single intrinsic function that `value` is a call of, such as `['Fn::Sub', '${A}']`. */
export function intrinsic(value: unknown): readonly [name: string, argument: unknown] | undefined {
  if (!isObject(value)) return undefined;
  const [entry, ...others] = Object.entries(value);
  if (entry === undefined || others.length > 0) return undefined;
  return entry[0] === 'Ref' || entry[0].startsWith('Fn::') ? entry : undefined;
}

export function isObject(value: unknown): value is Properties {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What stands under `keys`, or undefined where one of them leads nowhere. */
export function at(value: unknown, ...keys: readonly string[]): unknown {
  return keys.reduce((inner, key) => (isObject(inner) ? inner[key] : undefined), value);
}

/**
 * `value` as one string, with `${LogicalId}` for a Ref and `${LogicalId.Attribute}` for a GetAtt, so that
 * `Fn::Sub`, `Fn::Join` (of an `Fn::Split` too) and a literal that mean the same read the same. Undefined for
 * anything else.
 */
export function asText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  const [name, argument] = intrinsic(value) ?? [];
  if (name === 'Ref' || name === 'Fn::GetAtt') return `\${${[argument].flat().join('.')}}`;
  if (name === 'Fn::Sub') return substituted([argument].flat());
  if (name !== 'Fn::Join' || !Array.isArray(argument)) return undefined;
  const parts = Array.isArray(argument[1]) ? argument[1].map(asText) : splitText(argument[1]);
  return parts?.includes(undefined) ? undefined : parts?.join(String(argument[0]));
}

/** A text with its own variables filled in; those of the template stay. */
function substituted([text, variables]: readonly unknown[]): string | undefined {
  if (typeof text !== 'string') return undefined;
  const values = Object.entries(isObject(variables) ? variables : {});
  return values.reduce(
    (filled, [name, value]) => filled.replaceAll(`\${${name}}`, () => asText(value) ?? ''),
    text,
  );
}

function splitText(value: unknown): (string | undefined)[] | undefined {
  const [name, argument] = intrinsic(value) ?? [];
  const isSplit = name === 'Fn::Split' && Array.isArray(argument);
  return isSplit ? asText(argument[1])?.split(String(argument[0])) : undefined;
}

/** The logical id that a Ref or GetAtt names, or the empty string. */
export function targetOf(value: unknown): string {
  return /^\$\{(\w+)(\.\w+)?\}$/.exec(asText(value) ?? '')?.[1] ?? '';
}
