import { isRecord } from './is-record.ts';

/** Tells whether a value that was read is what it should be. */
export type Shape = (value: unknown) => boolean;

export const isText = (value: unknown): value is string => typeof value === 'string';
export const isFlag = (value: unknown): value is boolean => typeof value === 'boolean';
/** An integer from 0. */
export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
/** A number, or null where there was none. */
export const isNumberOrNull: Shape = (value) => value === null || Number.isFinite(value);

export function isListOf<T>(isItem: Shape): (value: unknown) => value is readonly T[] {
  return (value): value is readonly T[] => Array.isArray(value) && value.every((item) => isItem(item));
}

/** An object whose fields, whatever they are called, are all so. */
export function isMapOf(isItem: Shape): Shape {
  return (value) => isRecord(value) && Object.values(value).every(isItem);
}

/** An object with these fields at least: one that a later version adds is passed over. */
export function isRecordOf<T>(fields: { readonly [K in keyof T]-?: Shape }): (value: unknown) => value is T {
  const shapes = Object.entries<Shape>(fields);
  return (value): value is T => isRecord(value) && shapes.every(([name, isField]) => isField(value[name]));
}
