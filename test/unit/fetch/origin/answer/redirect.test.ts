import { describe, expect, test } from 'vitest';
import { redirectTarget } from '../../../../../src/fetch/origin/answer/redirect.ts';

const ORIGIN = 'http://posts.test';
/** A header field as it comes: a byte in each character. */
const bytesOf = (text: string): string => Buffer.from(text).toString('latin1');
const targetOf = (location: string, path = '/posts/1', origin = ORIGIN) =>
  redirectTarget(location, origin, path);

describe('a redirect leads to', () => {
  test.each([
    ['a path', '/end', '/end'],
    ['a URL of the origin', `${ORIGIN}/end?a=1`, '/end?a=1'],
    ['a URL that names the port that it has anyway', `${ORIGIN}:80/end`, '/end'],
    ['a URL that writes the host in capitals', 'HTTP://POSTS.TEST/End', '/End'],
    ['a URL without scheme', '//posts.test/end', '/end'],
    ['a scheme without host, as the same one', 'http:/end', '/end'],
    ['a URL without path', ORIGIN, '/'],
    ['a path of the same folder', '2', '/posts/2'],
    ['a path of the folder above', '../end', '/end'],
    ['no folder above the first', '../../../end', '/end'],
    ['folders above, percent-encoded', '/a/%2e%2e/end', '/end'],
    ['the same path with another query', '?page=2', '/posts/1?page=2'],
    ['the same path without a query', '/posts/1', '/posts/1'],
    ['a path, its fragment dropped', '/end?a=1#top', '/end?a=1'],
    ['a URL, its credentials dropped', 'http://user:pw@posts.test/end', '/end'],
    ['a path with a backslash', '\\a\\end', '/a/end'],
    ['a path with blanks around it', ' \t/end\t ', '/end'],
    ['a path with tabs in it, which are no part of it', '/e\tnd', '/end'],
    ['a path with blanks in it', '/the end?the query', '/the%20end?the%20query'],
    ['what is percent-encoded as it is', '/%2F%e9%C3%A9%zz%?%3d%26', '/%2F%e9%C3%A9%zz%?%3d%26'],
    ['a NUL, percent-encoded', '/a\0b', '/a%00b'],
    ['raw UTF-8, percent-encoded', bytesOf('/posts/café?q=ö'), '/posts/caf%C3%A9?q=%C3%B6'],
    ['raw UTF-8 beyond the first plane', bytesOf('/😀'), '/%F0%9F%98%80'],
    ['raw UTF-8 and what is percent-encoded', bytesOf('/é/%C3%A9'), '/%C3%A9/%C3%A9'],
    ['bytes that are no UTF-8, percent-encoded as they are', '/caf\xe9', '/caf%E9'],
    ['UTF-8 cut short', '/caf\xc3', '/caf%C3'],
    ['UTF-8 and Latin-1', `${bytesOf('/é')}\xe9`, '/%C3%A9%E9'],
    ['a control character beyond ASCII', '/\x85\xa0', '/%85%A0'],
  ])('%s', (_name, location, path) => {
    expect(targetOf(location)).toStrictEqual({ path });
  });

  test('what is relative to the path and the query that were asked for', () => {
    expect([targetOf('c', '/a/b?x=/y'), targetOf('?z', '/a/b?x=1'), targetOf('#top', '/a?b')]).toStrictEqual([
      { path: '/a/c' },
      { path: '/a/b?z' },
      { path: '/a?b' },
    ]);
  });

  test('a host in raw UTF-8, which is that of its ASCII form', () => {
    const origin = new URL('http://bücher.test').origin;
    expect(targetOf(bytesOf('http://bücher.test/é'), '/', origin)).toStrictEqual({ path: '/%C3%A9' });
  });
});

describe('a redirect that is not followed is named by', () => {
  const long = 'x'.repeat(15_000);

  test.each([
    ['the origin of another host', 'http://evil.test/end', 'http://evil.test'],
    ['the origin of another port', 'http://posts.test:81/end', 'http://posts.test:81'],
    ['the origin of another scheme', 'https://posts.test/end', 'https://posts.test'],
    ['the origin of another host without scheme', '//evil.test/end', 'http://evil.test'],
    ['the origin of another host behind backslashes', '\\\\evil.test/end', 'http://evil.test'],
    ['the origin of another host behind a slash and a backslash', '/\\evil.test/end', 'http://evil.test'],
    ['the origin of another host behind blanks', '\t //evil.test', 'http://evil.test'],
    ['the origin of another host behind slashes with a tab between', '/\t/evil.test', 'http://evil.test'],
    [
      'the origin, and not the credentials that look like ours',
      'http://posts.test:80@evil.test/',
      'http://evil.test',
    ],
    ['the origin, where the host ends as ours does', 'http://evil-posts.test', 'http://evil-posts.test'],
    ['the origin in ASCII', bytesOf('http://bücher.test/'), 'http://xn--bcher-kva.test'],
    ['the scheme of what has no origin', 'file:///etc/passwd', 'file:'],
    ['the scheme of a script', 'javascript:alert(1)', 'javascript:'],
    ['nothing, as it is no URL', 'http://[', 'no URL'],
    ['nothing, as its host is no UTF-8', 'http://b\xfccher.test/', 'no URL'],
    ['the start of a host of 15 KB', `http://${long}.test`, `http://${'x'.repeat(92)}…`],
    ['the start of a scheme of 15 KB', `${long}:/`, `${'x'.repeat(99)}…`],
  ])('%s', (_name, location, foreign) => {
    expect(targetOf(location)).toStrictEqual({ foreign });
  });
});

test("a blob's origin is that of what made it, and is not ours", () => {
  for (const location of [`blob:${ORIGIN}/posts/2`, `blob:${ORIGIN}/posts 2`])
    expect(targetOf(location)).toStrictEqual({ foreign: 'blob:' });
});
