import { describe, expect, test } from 'vitest';
import { acceptRealm, realmMayHoldCredentials } from './realm.ts';

describe('acceptRealm()', () => {
  test.each([
    ['https://auth.corp/token', 'https://registry.corp', true],
    ['http://auth.corp/token', 'https://registry.corp', false],
    ['http://127.0.0.1:5001/token', 'http://127.0.0.1:5000', true],
    ['file:///etc/passwd', 'http://127.0.0.1:5000', false],
    ['https://user:secret@auth.corp/token', 'https://registry.corp', false],
    ['//auth.corp/token', 'https://registry.corp', false],
    ['', 'https://registry.corp', false],
  ])('%s for %s: %s', (realm, registry, accepted) => {
    const accept = () => acceptRealm(realm, new URL(registry));
    if (accepted) expect(accept().href).toBe(realm);
    else expect(accept).toThrow(expect.objectContaining({ code: 'EGRESS_REFUSED' }));
  });
});

describe('realmMayHoldCredentials()', () => {
  test.each([
    ['https://registry.corp/token', 'https://registry.corp', [], true],
    ['https://registry.corp:8443/token', 'https://registry.corp', [], true],
    ['https://auth.registry.corp/token', 'https://registry.corp', [], true],
    ['https://auth.docker.io/token', 'https://registry-1.docker.io', [], true],
    ['https://oauth2.googleapis.com/token', 'https://europe-docker.pkg.dev', [], true],
    ['https://gitlab.com/jwt/auth', 'https://registry.gitlab.com', [], true],
    ['https://evil.example/token', 'https://registry.corp', [], false],
    ['https://evilregistry.corp/token', 'https://registry.corp', [], false],
    ['https://registry.corp.evil.example/token', 'https://registry.corp', [], false],
    ['https://auth.docker.io.evil.example/token', 'https://registry-1.docker.io', [], false],
    ['https://auth.docker.io/token', 'https://evil.example', [], false],
    ['https://auth.docker.io/token', 'https://evildocker.io', [], false],
    ['https://corp/token', 'https://registry.corp', [], false],
    ['https://gitlab.corp/jwt/auth', 'https://registry.corp', ['https://gitlab.corp'], true],
    ['https://gitlab.corp:444/jwt/auth', 'https://registry.corp', ['https://gitlab.corp'], false],
  ])('%s for %s beside %j: %s', (realm, registry, approved, allowed) => {
    expect(realmMayHoldCredentials(new URL(realm), new URL(registry), approved)).toBe(allowed);
  });
});
