import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RateLimitFields } from '../src/attempt.ts';
import { askedPauseMs } from '../src/quota.ts';

const DATE = new Date('2026-11-23T06:00:00.000Z');

/** The pause that a response asks for. */
function askedBy(
  status: number,
  fields: Partial<RateLimitFields> & { readonly retryAfter?: string },
): number | undefined {
  const { retryAfter, limit, remaining, reset } = fields;
  const hasRateLimit = limit !== undefined || remaining !== undefined || reset !== undefined;
  return askedPauseMs(
    {
      kind: 'response',
      status,
      body: Buffer.alloc(0),
      retryAfter,
      ...(hasRateLimit && { rateLimit: { limit, remaining, reset } }),
    },
    DATE,
  );
}

describe('Retry-After', () => {
  test.each([408, 425, 429, 500, 503, 599])('is a pause where HTTP %i may pass', (status) => {
    expect(askedBy(status, { retryAfter: '3' })).toBe(3_000);
  });

  test.each([200, 204, 301, 400, 404, 410])(
    'is none with HTTP %i, which another try does not change',
    (status) => {
      expect(askedBy(status, { retryAfter: '3' })).toBeUndefined();
    },
  );

  test('may be a date', () => {
    expect(askedBy(429, { retryAfter: 'Mon, 23 Nov 2026 06:00:05 GMT' })).toBe(5_000);
  });

  test('goes before a quota', () => {
    expect(askedBy(429, { retryAfter: '3', limit: '"a";r=0;t=60', remaining: '0', reset: '60' })).toBe(3_000);
    expect(askedBy(429, { retryAfter: '0', remaining: '0', reset: '60' })).toBe(0);
  });

  test('that cannot be read leaves the say to the quota', () => {
    expect(askedBy(429, { retryAfter: 'soon', reset: '60' })).toBe(60_000);
  });

  test('that a success has leaves the say to the quota', () => {
    expect(askedBy(200, { retryAfter: '3', remaining: '0', reset: '60' })).toBe(60_000);
  });
});

describe('a response without any of these fields', () => {
  test.each([200, 404, 429, 503])('asks for no pause: HTTP %i', (status) => {
    expect(askedBy(status, {})).toBeUndefined();
  });
});

describe('a quota', () => {
  test.each<[name: string, fields: Partial<RateLimitFields>]>([
    ['RateLimit-Remaining and RateLimit-Reset', { remaining: '0', reset: '5' }],
    ['a dictionary, up to draft 07', { limit: 'limit=100, remaining=0, reset=5' }],
    ['the same in any order, with policies', { limit: 'reset=5, limit=10;w=1;burst=20, remaining=0' }],
    ['a list of policies, from draft 08 on', { limit: '"default";r=0;t=5' }],
    ['one whose name is a token', { limit: 'default;r=0;t=5' }],
    ['one with more parameters', { limit: '"default";pk=:Y2F0:;t=5;r=0;q' }],
    ['one below nothing', { limit: '"default";r=-3;t=5' }],
  ])('that is used up is a pause until it is given again: %s', (_name, fields) => {
    expect([200, 404, 429, 500, 503].map((status) => askedBy(status, fields))).toStrictEqual(
      Array(5).fill(5_000),
    );
  });

  test.each<[name: string, fields: Partial<RateLimitFields>]>([
    ['fields', { remaining: '1', reset: '5' }],
    ['a dictionary', { limit: 'limit=100, remaining=99, reset=5' }],
    ['a list', { limit: '"default";r=1;t=5' }],
  ])('that is not used up is none, even where the response throttles: %s', (_name, fields) => {
    expect([askedBy(200, fields), askedBy(429, fields)]).toStrictEqual([undefined, undefined]);
  });

  test.each<[name: string, fields: Partial<RateLimitFields>]>([
    ['RateLimit-Reset', { reset: '5' }],
    ['RateLimit-Remaining that cannot be read', { remaining: 'none', reset: '5' }],
    ['a dictionary', { limit: 'limit=100, reset=5' }],
    ['a list', { limit: '"default";t=5' }],
  ])(
    'of which it is not said whether it is used up, is where the response throttles: %s',
    (_name, fields) => {
      expect([200, 404, 500, 429, 503].map((status) => askedBy(status, fields))).toStrictEqual([
        undefined,
        undefined,
        undefined,
        5_000,
        5_000,
      ]);
    },
  );

  test('of several that are used up, the one counts that takes longest', () => {
    expect(askedBy(200, { limit: '"second";r=0;t=1, "hour";r=0;t=900, "day";r=5;t=9000' })).toBe(900_000);
    expect(askedBy(200, { limit: '"second";r=0;t=1', remaining: '0', reset: '7' })).toBe(7_000);
  });

  test('may be given again in parts of a second', () => {
    expect(askedBy(200, { limit: '"default";r=0;t=1.5' })).toBe(1_500);
  });

  test('may be given again at a time since 1970, as some servers have it', () => {
    const inFive = String(DATE.getTime() / 1_000 + 5);
    expect(askedBy(200, { remaining: '0', reset: inFive })).toBe(5_000);
    expect(askedBy(200, { limit: `"default";r=0;t=${inFive}` })).toBe(5_000);
    expect(askedBy(200, { remaining: '0', reset: String(DATE.getTime() / 1_000 - 5) })).toBe(0);
  });

  test('may be given again after longer than a number can hold', () => {
    expect(askedBy(200, { remaining: '0', reset: '9'.repeat(400) })).toBe(Infinity);
  });

  test.each<[name: string, fields: Partial<RateLimitFields>]>([
    ['no time', { remaining: '0' }],
    ['a time that is no number', { remaining: '0', reset: 'soon' }],
    ['a fraction where there is none', { remaining: '0', reset: '1.5' }],
    ['a dictionary of no numbers', { limit: 'limit=100, remaining=0, reset=soon' }],
    ['a dictionary of lists', { limit: 'remaining=(0), reset=(5)' }],
    ['a policy without a time', { limit: '"default";r=0' }],
    ['a date for a time', { limit: '"default";r=0;t=@5' }],
    ['no structured field', { limit: 'none left; wait a bit' }],
    ['no dictionary', { limit: 'remaining=0, reset=5,' }],
    ['an integer that is too long', { limit: '"default";r=0;t=1234567890123456' }],
    ['nothing', { limit: '' }],
  ])('that makes no sense asks for nothing: %s', (_name, fields) => {
    expect([askedBy(200, fields), askedBy(429, fields)]).toStrictEqual([undefined, undefined]);
  });

  test('whatever the fields hold, it is a time of at least 0, or nothing', () => {
    const text = fc.oneof(
      fc.constant(undefined),
      fc.string(),
      fc.string({ unit: fc.constantFrom(...'":%@;=?,()*.- \t019abrtreset=') }),
      fc.nat().map(String),
      fc.tuple(fc.integer(), fc.integer()).map(([r, t]) => `"a";r=${r};t=${t}`),
      fc.tuple(fc.integer(), fc.integer()).map(([r, t]) => `limit=1, remaining=${r}, reset=${t}`),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(200, 404, 429, 500, 503),
        fc.record({ retryAfter: text, limit: text, remaining: text, reset: text }),
        (status, { retryAfter, ...rateLimit }) => {
          const asked = askedPauseMs(
            { kind: 'response', status, body: Buffer.alloc(0), retryAfter, rateLimit },
            DATE,
          );
          if (asked !== undefined) expect(asked).toBeGreaterThanOrEqual(0);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
