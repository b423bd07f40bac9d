import { describe, expect, test } from 'vitest';
import { isInternalAddress } from './egress.ts';

describe('isInternalAddress()', () => {
  test.each([
    ...[
      '127.0.0.1',
      '127.9.9.9',
      '10.1.2.3',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.0.1',
      '169.254.169.254',
    ],
    ...[
      '0.0.0.0',
      '100.64.0.1',
      '224.0.0.1',
      '255.255.255.255',
      '::',
      '::1',
      'fe80::1',
      'fe80::1%eth0',
      'fd00::1',
    ],
    ...[
      '::ffff:127.0.0.1',
      '::ffff:a00:1',
      '64:ff9b::7f00:1',
      '2002:7f00:1::',
      'ff02::1',
      'not an address',
      '',
    ],
  ])('%s is', (address) => {
    expect(isInternalAddress(address)).toBe(true);
  });

  test.each(['1.1.1.1', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '::ffff:1.1.1.1'])(
    '%s is not',
    (address) => {
      expect(isInternalAddress(address)).toBe(false);
    },
  );
});
