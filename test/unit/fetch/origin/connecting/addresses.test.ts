import type { LookupAddress } from 'node:dns';
import { expect, test } from 'vitest';
import { type Lookup, resolveAddresses } from '../../../../../src/fetch/origin/connecting/addresses.ts';

const finding =
  (...addresses: readonly string[]): Lookup =>
  (_hostname, _options, callback) =>
    callback(
      null,
      addresses.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 })),
    );

/** The addresses, or the code of the error. */
function resolve(hostname: string, find?: Lookup): readonly string[] | unknown {
  let result: unknown;
  resolveAddresses(
    hostname,
    (error, addresses) => {
      result = error ? (error as NodeJS.ErrnoException).code : addresses;
    },
    find,
  );
  return result;
}

test.each([
  '192.0.2.1',
  '127.0.0.1',
  '10.0.0.1',
  '169.253.255.255',
  '169.255.0.0',
  '::1',
  'fd00:ec2::253',
  'fe00::1',
])('%s is connected to without a look-up', (address) => {
  expect(resolve(address, () => expect.unreachable())).toStrictEqual([address]);
});

const notAllowed = [
  '169.254.169.254',
  '169.254.0.0',
  '169.254.255.255',
  'fe80::1',
  'febf:ffff::1',
  'fe80::1%eth0',
  'fd00:ec2::254',
  'fd00:ec2::23',
  '100.100.100.200',
  '::ffff:100.100.100.200',
  '2002:a9fe:a9fe::1',
  '::ffff:169.254.169.254',
  '::ffff:a9fe:a9fe',
  '64:ff9b::a9fe:a9fe',
];

test.each(notAllowed)('%s is refused, whether it is written or looked up', (address) => {
  expect(resolve(address)).toBe('EADDRNOTALLOWED');
  expect(resolve('posts.test', finding(address))).toBe('EADDRNOTALLOWED');
});

test('of the addresses of a name, those that are allowed are left', () => {
  expect(resolve('posts.test', finding('169.254.169.254', '192.0.2.1', 'fe80::1'))).toStrictEqual([
    '192.0.2.1',
  ]);
  expect(resolve('posts.test', finding(...notAllowed))).toBe('EADDRNOTALLOWED');
});

test('the families take turns, the first of the system first', () => {
  expect(
    resolve('posts.test', finding('2001:db8::1', '2001:db8::2', '2001:db8::3', '192.0.2.1')),
  ).toStrictEqual(['2001:db8::1', '192.0.2.1', '2001:db8::2', '2001:db8::3']);
  expect(
    resolve('posts.test', finding('192.0.2.1', '2001:db8::1', '2001:db8::2', '192.0.2.2')),
  ).toStrictEqual(['192.0.2.1', '2001:db8::1', '192.0.2.2', '2001:db8::2']);
});

test('a name that is not found fails as the look-up does', () => {
  const notFound = Object.assign(new Error('getaddrinfo ENOTFOUND posts.test'), { code: 'ENOTFOUND' });
  expect(resolve('posts.test', (_hostname, _options, callback) => callback(notFound, []))).toBe('ENOTFOUND');
});

test('names are looked up by the system', async () => {
  const { promise, resolve } = Promise.withResolvers<readonly string[]>();
  resolveAddresses('localhost', (_error, addresses) => resolve(addresses));
  expect((await promise).some((address) => address === '127.0.0.1' || address === '::1')).toBe(true);
});
