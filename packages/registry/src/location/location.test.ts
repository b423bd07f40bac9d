import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import { parseReference } from '../reference.ts';
import { formatLocation, parseLocation } from './location.ts';

const digest = digestOf('x');

describe('parseLocation()', () => {
  test.each([
    ['php:8', { transport: 'docker', reference: parseReference('php:8') }],
    ['docker://oci:1', { transport: 'docker', reference: parseReference('oci:1') }],
    ['oci:/var/images/app', { transport: 'oci', path: '/var/images/app' }],
    ['oci:app:1', { transport: 'oci', path: 'app', tag: '1' }],
    [`oci:app@${digest}`, { transport: 'oci', path: 'app', digest }],
    [`oci:a@b:1@${digest}`, { transport: 'oci', path: 'a@b', tag: '1', digest }],
    ['oci:a@b', { transport: 'oci', path: 'a@b' }],
    ['docker-archive:a.tar', { transport: 'docker-archive', path: 'a.tar' }],
    [
      'docker-archive:a.tar:php',
      { transport: 'docker-archive', path: 'a.tar', name: parseReference('php:latest') },
    ],
    [
      'docker-archive:a.tar:localhost:5000/php:8',
      { transport: 'docker-archive', path: 'a.tar', name: parseReference('localhost:5000/php:8') },
    ],
  ])('parses %s', (text, location) => {
    expect(parseLocation(text)).toEqual(location);
    expect(parseLocation(formatLocation(parseLocation(text)))).toEqual(location);
  });

  test.each([
    ['', 'INVALID_REFERENCE'],
    ['oci:', 'INVALID_REFERENCE'],
    ['oci::1', 'INVALID_REFERENCE'],
    ['oci:a:b/c', 'INVALID_REFERENCE'],
    ['oci:a:', 'INVALID_REFERENCE'],
    ['oci:a\0b', 'INVALID_REFERENCE'],
    ['oci:a@sha256:12', 'INVALID_DIGEST'],
    ['oci:a@sha1:12', 'INVALID_DIGEST'],
    ['docker-archive:', 'INVALID_REFERENCE'],
    [`docker-archive:a.tar:php@${digest}`, 'INVALID_REFERENCE'],
    ['docker-archive:a.tar:UPPER', 'INVALID_REFERENCE'],
    ['docker://', 'INVALID_REFERENCE'],
    [`oci:${'a'.repeat(5000)}`, 'INVALID_REFERENCE'],
  ])('refuses %j with %s', (text, code) => {
    expect(() => parseLocation(text)).toThrow(expect.objectContaining({ code }));
  });

  test('reads what formatLocation() writes, and throws only its own errors', () => {
    const rest = fc.string({ unit: fc.constantFrom(...'aZ1:/@.-_', 'sha256:', digest), maxLength: 12 });
    const prefix = fc.constantFrom('oci:', 'docker-archive:', 'docker://', '');
    fc.assert(
      fc.property(
        fc.oneof(
          fc.tuple(prefix, rest).map((parts) => parts.join('')),
          fc.string(),
        ),
        (text) => {
          try {
            const location = parseLocation(text);
            expect(parseLocation(formatLocation(location))).toEqual(location);
          } catch (error) {
            expect(error).toBeInstanceOf(RegistryError);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});
