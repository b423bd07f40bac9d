// Paths from a leaf to an authority, with certificates another program made.
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available } from '../../../../test/services.ts';
import { isIssuedBy } from './certificate-path.ts';

const AUTHORITY = 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n';
const LEAF = 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n';

describe.skipIf(!available('openssl'))('isIssuedBy()', () => {
  const directory = mkdtempSync(join(tmpdir(), 'imagevet-certificate-path-'));
  const certificate = (name: string) =>
    new X509Certificate(readFileSync(join(directory, `${name}.crt`), 'utf8'));
  const now = new Date(Date.now() + 60_000);
  const isIssued = (chain: readonly string[], authority: string, when: Date | undefined = now) =>
    isIssuedBy(chain.map(certificate), [certificate(authority)], when);

  beforeAll(async () => {
    await issue('ours', AUTHORITY);
    await issue('leaf', LEAF, { issuer: 'ours' });
    await issue('between', AUTHORITY, { issuer: 'ours' });
    await issue('below', LEAF, { issuer: 'between' });
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test('accepts a leaf of the authority, and one of an authority between', () => {
    expect(isIssued(['leaf'], 'ours')).toBe(true);
    expect(isIssued(['below', 'between'], 'ours')).toBe(true);
    expect(isIssued(['below'], 'ours')).toBe(false);
    expect(isIssued(['below', 'leaf', 'between'], 'ours')).toBe(true);
  });

  test('refuses a leaf that only names the authority, and was signed by another key', async () => {
    await issue('thief', AUTHORITY, { subject: 'ours', keyIds: false });
    await issue('forged', LEAF, { issuer: 'thief', keyIds: false });
    expect(isIssued(['forged'], 'thief')).toBe(true);
    expect(isIssued(['forged'], 'ours')).toBe(false);
    expect(isIssued(['forged', 'thief'], 'ours')).toBe(false);
  });

  test('refuses a leaf issued by a certificate that is no authority', async () => {
    await issue('child', LEAF, { issuer: 'leaf' });
    expect(isIssued(['child', 'leaf'], 'ours')).toBe(false);
    expect(isIssued(['child'], 'leaf')).toBe(false);
    // Without a key usage nothing but the constraint says that it is none.
    await issue('plain', 'basicConstraints=critical,CA:FALSE\n', { issuer: 'ours' });
    await issue('grandchild', LEAF, { issuer: 'plain' });
    expect(isIssued(['grandchild', 'plain'], 'ours')).toBe(false);
    expect(isIssued(['grandchild'], 'plain')).toBe(false);
  });

  test('refuses a longer path than an authority allows', async () => {
    await issue('short', AUTHORITY.replace('TRUE', 'TRUE,pathlen:0'));
    await issue('one-below', LEAF, { issuer: 'short' });
    await issue('extra', AUTHORITY, { issuer: 'short' });
    await issue('two-below', LEAF, { issuer: 'extra' });
    expect(isIssued(['one-below'], 'short')).toBe(true);
    expect(isIssued(['two-below', 'extra'], 'short')).toBe(false);
    expect(isIssued(['two-below'], 'extra')).toBe(true);
  });

  test('refuses an authority that expired, unless the leaf was trusted before', async () => {
    await issue('brief', AUTHORITY, { issuer: 'ours', days: 1 });
    await issue('late', LEAF, { issuer: 'brief' });
    const later = new Date(Date.now() + 5 * 86_400_000);
    expect(isIssued(['late', 'brief'], 'ours')).toBe(true);
    expect(isIssued(['late', 'brief'], 'ours', later)).toBe(false);
    expect(isIssued(['late'], 'brief', later)).toBe(false);
    const before = new Date(Date.now() - 5 * 86_400_000);
    expect(isIssued(['late', 'brief'], 'ours', before)).toBe(false);
    expect(isIssuedBy(['late', 'brief'].map(certificate), [certificate('ours')], undefined)).toBe(true);
  });

  test('refuses uses the path does not allow', async () => {
    await issue('servers', `${AUTHORITY}extendedKeyUsage=clientAuth\n`);
    await issue('for-server', LEAF, { issuer: 'servers' });
    await issue('signers', `${AUTHORITY}extendedKeyUsage=codeSigning\n`);
    await issue('signing', `${LEAF}extendedKeyUsage=codeSigning\n`, { issuer: 'signers' });
    await issue('mailing', `${LEAF}extendedKeyUsage=emailProtection\n`, { issuer: 'ours' });
    expect(isIssued(['for-server'], 'servers')).toBe(false);
    expect(isIssued(['signing'], 'signers')).toBe(true);
    expect(isIssued(['mailing'], 'ours')).toBe(false);
  });

  test('refuses rules it does not understand', async () => {
    await issue('strange', `${AUTHORITY}1.2.3.4.5=critical,ASN1:UTF8String:rule\n`);
    await issue('by-strange', LEAF, { issuer: 'strange' });
    await issue('named', `${AUTHORITY}nameConstraints=critical,permitted;DNS:example.com\n`);
    await issue('host', `${LEAF}subjectAltName=DNS:other.example\n`, { issuer: 'named' });
    await issue('nameless', LEAF, { issuer: 'named' });
    expect(isIssued(['by-strange'], 'strange')).toBe(false);
    expect(isIssued(['host'], 'named')).toBe(false);
    expect(isIssued(['nameless'], 'named')).toBe(true);
  });

  test('ends for certificates that issue each other, and for more than are looked at', () => {
    const many = Array.from({ length: 17 }, () => 'between');
    expect(isIssued(['below', ...many], 'ours')).toBe(false);
    expect(isIssued(['below', 'between', 'between'], 'leaf')).toBe(false);
    expect(isIssued([], 'ours')).toBe(false);
  });

  /** Makes `<name>.key` and `<name>.crt`, self-signed or by an issuer made before. */
  async function issue(
    name: string,
    extensions: string,
    made: { issuer?: string; subject?: string; days?: number; keyIds?: boolean } = {},
  ): Promise<void> {
    const openssl = (...args: readonly string[]) => promisify(execFile)('openssl', args, { cwd: directory });
    const ids = made.keyIds === false ? 'subjectKeyIdentifier=none\nauthorityKeyIdentifier=none\n' : '';
    writeFileSync(join(directory, `${name}.ext`), `${extensions}${ids}`);
    await openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', `${name}.key`);
    const subject = `/CN=${made.subject ?? name}`;
    await openssl('req', '-new', '-key', `${name}.key`, '-subj', subject, '-out', `${name}.csr`);
    const by =
      made.issuer === undefined
        ? ['-signkey', `${name}.key`]
        : ['-CA', `${made.issuer}.crt`, '-CAkey', `${made.issuer}.key`, '-CAcreateserial'];
    const lasting = ['-days', `${made.days ?? 30}`, '-extfile', `${name}.ext`, '-out', `${name}.crt`];
    await openssl('x509', '-req', '-in', `${name}.csr`, ...by, ...lasting);
  }
});
