import { describe, expect, test } from 'vitest';
import { explain } from './failures.ts';

const WANTED = { method: 'GET', url: new URL('https://registry.example/v2/') };
const explained = (code: string) => explain(Object.assign(new Error('it failed'), { code }), WANTED);

describe('explain()', () => {
  test.each([
    'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
    'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE',
    'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE',
    'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
  ])('takes %s for an alert about our certificate', (code) => {
    expect(explained(code)).toMatchObject({
      code: 'UNTRUSTED_CERTIFICATE',
      hint: 'Give `cert` and `key` for registry.example.',
    });
  });

  test.each(['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE'])(
    'does not take %s for one',
    (code) => expect(explained(code)).toMatchObject({ code: 'UNREACHABLE' }),
  );
});
