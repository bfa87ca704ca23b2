import { describe, expect, test } from 'vitest';
import { fromAlb, fromPayloadV1, fromPayloadV2 } from '../../../../src/lambda/events/http-request.ts';
import { prefersAsync } from '../../../../src/lambda/events/prefer.ts';
import { sampleEvent } from '../../../support/sample-events.ts';

const prefers = (prefer: string, method = 'POST'): boolean => {
  const event = sampleEvent<Parameters<typeof fromPayloadV2>[0]>('http-api-post');
  const { headers, ...request } = fromPayloadV2(event);
  return prefersAsync({ ...request, method, headers: new Map([...headers, ['prefer', prefer]]) });
};

test.each([
  'respond-async',
  'Respond-Async',
  ' respond-async\t',
  'respond-async, wait=10',
  'wait=10, respond-async',
  'handling=lenient,respond-async',
  'respond-async;foo=bar',
  'respond-async ; foo ; bar="a;b"',
  'foo; bar="a, b", respond-async',
  String.raw`foo="\", x", respond-async`,
  'foo="", respond-async',
  ', ,respond-async,',
  'respond-async, respond-async=no',
  // "Empty or zero-length values … are equivalent to no value being specified at all" (RFC 7240, 2).
  'respond-async=""',
  'respond-async = ""',
  'respond-async=',
])('%j asks for an answer before the run is done', (prefer) => {
  expect(prefers(prefer)).toBe(true);
});

test.each([
  '',
  'wait=10',
  'respond-asynchronously',
  'x-respond-async',
  'return=respond-async',
  'foo; respond-async',
  'foo="respond-async"',
  'foo="a, respond-async"',
  'foo="a, respond-async',
  String.raw`foo="\", respond-async"`,
  'respond-async=1',
  'respond-async="1"',
  // "If any preference is specified more than once, only the first instance is to be considered."
  'respond-async=no, respond-async',
  'respond async',
])('%j does not', (prefer) => {
  expect(prefers(prefer)).toBe(false);
});

test.each(['GET', 'PUT', 'DELETE'])('nor does a %s', (method) => {
  expect(prefers('respond-async', method)).toBe(false);
});

test('a request without the header does not', () => {
  expect(prefersAsync(fromPayloadV2(sampleEvent('http-api-post')))).toBe(false);
});

test('a long header is read in no time', () => {
  for (const piece of ['"', '\\', ',', ';', '=', ' ', 'respond-async=', '"\\'])
    expect(prefers(piece.repeat(100_000))).toBe(false);
}, 2_000);

describe('of several headers, each counts', () => {
  const fields = { 'content-type': ['application/json'], Prefer: ['wait=10', 'respond-async'] };

  test('of a REST API', () => {
    const event = sampleEvent<Parameters<typeof fromPayloadV1>[0]>('rest-api-post');
    expect(prefersAsync(fromPayloadV1({ ...event, headers: {}, multiValueHeaders: fields }))).toBe(true);
  });

  test('of a load balancer', () => {
    const event = sampleEvent<Parameters<typeof fromAlb>[0]>('alb-post');
    expect(prefersAsync(fromAlb({ ...event, multiValueHeaders: fields }))).toBe(true);
  });

  test('of an HTTP API, which joins them', () => {
    expect(prefers('wait=10,respond-async')).toBe(true);
  });
});
