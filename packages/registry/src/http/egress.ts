import { BlockList, isIP } from 'node:net';
import { RegistryError } from '../errors.ts';

// Addresses that lead into the caller's own network. @see RFC 6890, RFC 4193, RFC 4291
const internal = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const) {
  internal.addSubnet(network, prefix, 'ipv4');
}
for (const [network, prefix] of [
  ['::', 128],
  ['::1', 128],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const) {
  internal.addSubnet(network, prefix, 'ipv6');
}

/** Tells whether an IP address is internal: loopback, private, link-local, or not an address at all. */
export function isInternalAddress(address: string): boolean {
  const [bare = ''] = address.split('%');
  const family = isIP(bare);
  if (family === 0) return true;
  return internal.check(bare, family === 4 ? 'ipv4' : 'ipv6');
}

/** The error for a URL, named by content, that leads into the caller's network. */
export function refuseEgress(hostname: string): RegistryError {
  return new RegistryError('EGRESS_REFUSED', `refused to connect to ${hostname}: it is an internal address`, {
    hint: 'What a registry or a Dockerfile names may not lead into your own network; give a registry of your own an entry in hosts.',
  });
}
