import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { CoreError } from '../../errors.ts';

/**
 * Resolves a host name and refuses it unless every address is public: a repository URL comes from content, and must
 * not reach into the caller's network.
 *
 * @throws {@link CoreError} `SOURCE_UNREACHABLE` (no such name), `SOURCE_UNSUPPORTED` (an address that is not public)
 */
export async function resolvePublicAddress(hostname: string): Promise<string> {
  const name = hostname.replace(/^\[|\]$/g, '');
  const addresses = await lookup(name, { all: true }).catch((error: unknown) => {
    throw new CoreError('SOURCE_UNREACHABLE', `look up ${name}: no such host`, { cause: error });
  });
  const [first] = addresses;
  if (first === undefined || addresses.some(({ address }) => !isPublicAddress(address))) {
    throw new CoreError('SOURCE_UNSUPPORTED', `${name} has an address that is not public`, {
      hint: 'Name it in `remotes` when it is meant.',
    });
  }
  return isIP(first.address) === 6 ? `[${first.address}]` : first.address;
}

/** Tells whether an IP address is one of the public Internet. @see IANA special-purpose address registries */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && !SPECIAL.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

const SPECIAL = new BlockList();
for (const range of [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
]) {
  const [network = '', bits] = range.split('/');
  SPECIAL.addSubnet(network, Number(bits), 'ipv4');
}
for (const range of [
  '::/96',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
]) {
  const [network = '', bits] = range.split('/');
  SPECIAL.addSubnet(network, Number(bits), 'ipv6');
}
