import { parseList } from 'structured-headers';
import type { RateLimitFields } from '../origin/attempt.ts';
import { longest, secondsOf, untilResetMs, valuesOf } from './field-times.ts';

/** A quota as a response tells of it: what it does not tell is undefined. */
export interface Quota {
  /** Requests in a window. */
  readonly limit: number | undefined;
  /** Requests that are left of them. */
  readonly remaining: number | undefined;
  /** How long until it is given again. */
  readonly resetMs: number | undefined;
  readonly windowMs: number | undefined;
}

/** One of the fields of one number: `x-ratelimit-remaining`, also `-remaining-minute` or `-requests-remaining`. */
const PART = /^(.+?limit)-(?:(.+)-)?(limit|remaining|reset-after|reset)(?:-(.+))?$/;
/** Where the name of a quota is that of its window, as Kong has it. */
const WINDOW_MS = new Map([
  ['second', 1_000],
  ['minute', 60_000],
  ['hour', 3_600_000],
  ['day', 86_400_000],
]);

/** Of a quota whose numbers stand in fields of their own, what came in each. */
type Parts = Map<string, string>;
/** What quotas are, by their names or limits. */
type Policies = Map<string, Policy>;
type Policy = Pick<Quota, 'limit' | 'windowMs'> & { isAskedFor?: true };

/**
 * The quotas that the fields of a response tell of: `RateLimit` and `RateLimit-Policy` in the form of any draft of
 * draft-ietf-httpapi-ratelimit-headers, and the fields of one number each, whatever they are called; behind these,
 * policies of which nothing else is told. `date` is when the response came. What cannot be read is left out, or
 * undefined.
 */
export function quotasOf(fields: RateLimitFields, date: Date): readonly Quota[] {
  const policies: Policies = new Map();
  const members: Member[] = [];
  const groups = new Map<string, Parts>();
  for (const [name, field] of Object.entries(fields)) {
    const [, family, before, part, after] = PART.exec(name) ?? [];
    if (part !== undefined) {
      const unit = before ?? after ?? '';
      const key = `${family} ${unit}`;
      groups.set(key, (groups.get(key) ?? new Map([['unit', unit]])).set(part, field));
      if (part === 'limit') addPolicies(policies, field);
    } else if (name.endsWith('-policy')) addPolicies(policies, field);
    else if (name.endsWith('limit')) members.push(...membersOf(field));
  }
  return [
    ...members.map((member) => quotaOf(member, policies, date)),
    ...[...groups.values()].flatMap((parts) => quotasOfParts(parts, policies, date)),
    ...[...policies.values()].filter(isAlone).map(quotaOfPolicy),
  ];
}

/** A member of a structured field: its parameters, and what it is itself as its `name`. */
type Member = ReadonlyMap<string, unknown>;

/** `limit=100, remaining=0, reset=5` */
const DICTIONARY = /^\s*[a-z]+\s*=/i;
const PAIR = /\b(limit|remaining|reset|[qrtw])\s*=\s*"?(-?[\d.]+)/gi;

/** `"default";r=0;t=5` since draft 08, a list; a dictionary of numbers in those before. */
function membersOf(field: string): readonly Member[] {
  if (DICTIONARY.test(field)) return pairsIn(field);
  try {
    return parseList(field).map(([name, parameters]) =>
      new Map<string, unknown>(parameters).set('name', name),
    );
  } catch {
    return pairsIn(field);
  }
}

/** What can be read of a dictionary, or of what is no structured field at all; a name that comes again is the next member's. */
function pairsIn(field: string): readonly Member[] {
  const members = [new Map<string, unknown>()];
  for (const [, name, number] of field.matchAll(PAIR)) {
    const key = String(name).toLowerCase();
    if (members.at(-1)?.has(key)) members.push(new Map());
    members.at(-1)?.set(key, number);
  }
  return members;
}

/** `"default";q=100;w=60` in RateLimit-Policy; `100;w=60` there or in RateLimit-Limit in the drafts before 08. */
function addPolicies(policies: Policies, field: string): void {
  if (!field.includes(';')) return;
  for (const member of membersOf(field)) {
    const limit = amountOf(textOf(member, 'q', 'limit', 'name'));
    const seconds = secondsOf(textOf(member, 'w', 'window'));
    const windowMs = seconds === undefined ? undefined : seconds * 1_000;
    policies.set(textOf(member, 'name', 'limit'), { limit, windowMs });
  }
}

/** What the policy of a quota is, if one is told. */
function policyOf(name: string, policies: Policies): Policy | undefined {
  const policy = policies.get(name);
  if (policy) policy.isAskedFor = true;
  return policy;
}

function isAlone({ limit, windowMs, isAskedFor }: Policy): boolean {
  return limit !== undefined && windowMs !== undefined && !isAskedFor;
}

function quotaOfPolicy({ limit, windowMs }: Policy): Quota {
  return { limit, remaining: undefined, resetMs: undefined, windowMs };
}

function quotaOf(member: Member, policies: Policies, date: Date): Quota {
  const policy = policyOf(textOf(member, 'name', 'limit'), policies);
  return {
    limit: amountOf(textOf(member, 'q', 'limit')) ?? policy?.limit,
    remaining: amountOf(textOf(member, 'r', 'remaining')),
    resetMs: untilResetMs(textOf(member, 't', 'reset'), date),
    windowMs: policy?.windowMs,
  };
}

/** What stands in the first of the parameters that is there. */
function textOf(member: Member, ...keys: readonly string[]): string {
  return String(keys.map((key) => member.get(key)).find((value) => value !== undefined));
}

/** One, or where what remains is a list, as many. */
function quotasOfParts(parts: Parts, policies: Policies, date: Date): readonly Quota[] {
  const limit = String(itemsOf(parts.get('limit'))[0]);
  const { windowMs } = policyOf(limit, policies) ?? {};
  const remaining = itemsOf(parts.get('remaining'));
  const resets = itemsOf(parts.get('reset-after') ?? parts.get('reset')).map((value) =>
    untilResetMs(value, date),
  );
  return remaining.map((value, index) => ({
    limit: amountOf(limit),
    remaining: amountOf(value),
    resetMs: resets.length === remaining.length ? resets[index] : longest(resets),
    windowMs: WINDOW_MS.get(String(parts.get('unit'))) ?? windowMs,
  }));
}

/** The values of a field, of which there is one at least, without their parameters. */
function itemsOf(field = ''): readonly string[] {
  return valuesOf(field).map((value) => value.replace(/\s*;.*/, ''));
}

function amountOf(value: string): number | undefined {
  return /^-?\d+(?:\.\d*)?$/.test(value) ? Number(value) : undefined;
}
