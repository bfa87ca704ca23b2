import { type LookupAddress, lookup } from 'node:dns';
import { BlockList, isIP } from 'node:net';

/** Finds the addresses of a host name, as `dns.lookup` does with `all`. */
export type Lookup = (
  hostname: string,
  options: { readonly all: true },
  callback: (error: Error | null, addresses: readonly LookupAddress[]) => void,
) => void;

/** Calls back once: with one address at least, or with an error. */
export type Resolved = (error: Error | null, addresses: readonly string[]) => void;

/**
 * What no posts come from, but the credentials of a cloud's machines do: link-local addresses, also behind NAT64
 * (RFC 6052) and 6to4 (RFC 3056); EC2's and EKS' services over IPv6; Alibaba Cloud's. IPv4-mapped ones are checked as
 * what they stand for.
 */
const NOT_ALLOWED = new BlockList();
NOT_ALLOWED.addSubnet('169.254.0.0', 16);
NOT_ALLOWED.addSubnet('fe80::', 10, 'ipv6');
NOT_ALLOWED.addAddress('fd00:ec2::254', 'ipv6');
NOT_ALLOWED.addAddress('fd00:ec2::23', 'ipv6');
NOT_ALLOWED.addAddress('100.100.100.200');
NOT_ALLOWED.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6');
NOT_ALLOWED.addSubnet('2002:a9fe::', 32, 'ipv6');

/**
 * The addresses to connect to for a host, a name or an address: those of each family in turn, in the order of the
 * system (RFC 8305, 4). Fails as the look-up does, and with the code EADDRNOTALLOWED where none of them may be
 * connected to: what is checked is what is connected to, whatever the name stands for an instant later.
 */
export function resolveAddresses(hostname: string, onResolved: Resolved, find: Lookup = lookup): void {
  const family = isIP(hostname);
  const receive = (addresses: readonly LookupAddress[]): void => {
    const allowed = addresses.filter(
      ({ address, family }) => !NOT_ALLOWED.check(address, family === 6 ? 'ipv6' : 'ipv4'),
    );
    if (allowed.length > 0) onResolved(null, inTurn(allowed));
    else onResolved(notAllowed(), []);
  };
  if (family !== 0) receive([{ address: hostname, family }]);
  else
    find(hostname, { all: true }, (error, addresses) => {
      if (error) onResolved(error, []);
      else receive(addresses);
    });
}

function inTurn(addresses: readonly LookupAddress[]): string[] {
  const ofFirst = addresses.filter(({ family }) => family === addresses[0]?.family);
  const ofOther = addresses.filter(({ family }) => family !== addresses[0]?.family);
  return Array.from({ length: Math.max(ofFirst.length, ofOther.length) }, (_, i) => [ofFirst[i], ofOther[i]])
    .flat()
    .flatMap((each) => (each ? [each.address] : []));
}

function notAllowed(): Error {
  return Object.assign(new Error('Link-local and metadata addresses are not connected to'), {
    code: 'EADDRNOTALLOWED',
  });
}
