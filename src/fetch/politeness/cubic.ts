/**
 * The curve of CUBIC (RFC 9438, 4.2): from below back to a most that was found, quickly at first; then near to it for
 * long; and then past it, slowly at first.
 */
export interface Cubic {
  /** More than 0. */
  readonly most: number;
  /** When the curve begins. */
  readonly fromMs: number;
  /** How long it takes to come to `most`. */
  readonly recoveryMs: number;
  /** How far below `most` the curve begins, as a share of it: from 0 to less than 1. */
  readonly backOff: number;
}

export function cubicAt({ most, fromMs, recoveryMs, backOff }: Cubic, nowMs: number): number {
  return most * (1 + backOff * ((nowMs - fromMs) / recoveryMs - 1) ** 3);
}
