/** What differs from run to run, where a test compares whole values. */
import { expect } from 'vitest';

export const anyMs = expect.any(Number);
/** A time as in `2026-11-23T06:00:00.000Z`. */
export const anyTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
