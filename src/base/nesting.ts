import { BadInputError } from './errors.ts';

/** Many times the depth of any event: whatever looks into one deeper may come to the end of its stack. */
export const MAX_NESTING = 64;

/** The error of JSON in which more than `MAX_NESTING` arrays and objects stand one in the other. */
export function nestedTooDeep(place: string): BadInputError {
  return new BadInputError(`Expected \`${place}\` to be nested at most ${MAX_NESTING} deep, got more`);
}

/** Throws the BadInputError of a value, JSON that is parsed already, that is nested more than 64 deep. */
export function requireShallow(value: unknown, place: string): void {
  if (isDeeperThan(MAX_NESTING, value)) throw nestedTooDeep(place);
}

function isDeeperThan(levels: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  const inner: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  return inner.some((one) => isDeeperThan(levels - 1, one));
}
