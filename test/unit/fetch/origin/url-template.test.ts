import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseUrlTemplate } from '../../../../src/fetch/origin/url-template.ts';

test.each([
  ['https://example.com/posts/{id}', 'https://example.com', '/posts/7'],
  ['http://127.0.0.1:8080/posts/{id}', 'http://127.0.0.1:8080', '/posts/7'],
  ['http://[::1]:8080/{id}', 'http://[::1]:8080', '/7'],
  ['HTTPS://Example.COM:443/Posts/{id}', 'https://example.com', '/Posts/7'],
  ['https://example.com/posts?id={id}&lang=en', 'https://example.com', '/posts?id=7&lang=en'],
  ['https://example.com/{id}/posts/{id}.json?v={id}', 'https://example.com', '/7/posts/7.json?v=7'],
  ['https://example.com/a/../posts/{id}', 'https://example.com', '/posts/7'],
  ['https://example.com/grüße/{id}', 'https://example.com', '/gr%C3%BC%C3%9Fe/7'],
])('%s is an origin and a path for each id', (text, origin, path) => {
  const template = parseUrlTemplate(text);
  expect(template).toStrictEqual({ text, origin, pathOf: expect.any(Function) });
  expect([template?.pathOf(7), template?.pathOf('7')]).toStrictEqual([path, path]);
});

test.each([
  '',
  '{id}',
  '/posts/{id}',
  'example.com/posts/{id}',
  'ftp://example.com/{id}',
  'file:///posts/{id}',
  'javascript:{id}',
  'https:///{id}:x',
  'https://example.com/posts',
  'https://example.com/posts/{ID}',
  'https://example.com/posts/%7Bid%7D',
  'https://{id}.example.com/posts',
  'https://{id}.example.com/posts/{id}',
  'https://example.com:{id}/posts/{id}',
  'https://{id}:secret@example.com/posts/{id}',
  'https://user:secret@example.com/posts/{id}',
  'https://user@example.com/posts/{id}',
  'https://:secret@example.com/posts/{id}',
  'https://example.com/posts/{id}#comments',
  'https://example.com/posts#{id}',
  'https://example.com/posts/{id}#{id}',
  // The path that is asked for would not have the id any more.
  'https://example.com/posts/{id}/..',
  'https://example.com/{id}/../posts/{id}',
  // What stands for {id} while the template is parsed.
  'https://example.com/id0f9c2c61/{id}',
])('%s is no template', (text) => {
  expect(parseUrlTemplate(text)).toBeUndefined();
});

describe('an id, whatever it is,', () => {
  test.each(['https://example.com/a/{id}/b?c=d', 'https://example.com/a?b={id}&c=d'])(
    'stays in its place in %s',
    (text) => {
      fc.assert(
        fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.maxSafeNat()), (id) => {
          fc.pre(typeof id === 'number' || (id.isWellFormed() && !/^\.{0,2}$/.test(id)));
          const template = parseUrlTemplate(text);
          const url = new URL(`${template?.origin}${template?.pathOf(id)}`);
          const parts = [url.origin, ...url.pathname.split('/'), ...url.search.slice(1).split('&'), url.hash];
          const expected = text.includes('?b=')
            ? ['https://example.com', '', 'a', `b=${encodeURIComponent(id)}`, 'c=d', '']
            : ['https://example.com', '', 'a', encodeURIComponent(id), 'b', 'c=d', ''];
          // In a query a URL encodes the apostrophe as well.
          expect(parts.map((part) => part.replaceAll('%27', "'"))).toStrictEqual(expected);
        }),
      );
    },
  );
});
