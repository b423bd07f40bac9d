// Keys that never leave a PKCS#11 token. OpenSC's pkcs11-tool talks to the token's library in a process of its own, so that
// nothing native is loaded here; the same few calls work over any binding that can sign.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { OperationOptions } from '@imagevet/registry';
import { canonicalKeyId, type Keypair, parsePublicKey } from '@imagevet/trust';

/** A token and how to open it. */
export interface Token {
  /** PKCS#11 library: `/usr/lib/softhsm/libsofthsm2.so`. */
  readonly module: string;
  readonly label: string;
  /** Given to the tool in its environment: everybody on the machine can read a command line. */
  readonly pin: string;
  /** Environment of the tool, as in `SOFTHSM2_CONF`. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Makes a P-256 key in the token that cannot be taken out of it. */
export async function generateTokenKey(token: Token, id: string, label: string): Promise<Keypair> {
  const kind = ['--keypairgen', '--key-type', 'EC:prime256v1', '--usage-sign', '--sensitive'];
  await callTool(token, [...kind, '--id', id, '--label', label]);
  const keypair = await openTokenKey(token, id);
  if (keypair === undefined) throw new Error(`token ${token.label}: the new key ${id} is not there`);
  return keypair;
}

/** Opens an ECDSA key of the token; `undefined` when the token has none of that id (two hexadecimal digits per byte). */
export async function openTokenKey(token: Token, id: string): Promise<Keypair | undefined> {
  const listed = await callTool(token, ['--list-objects', '--type', 'pubkey']);
  const ids = [...listed.matchAll(/^\s*ID:\s*([0-9a-f]+)$/gm)].map(([, found]) => found);
  if (!ids.includes(id)) return undefined;
  const der = await withFiles(async (path) => {
    await callTool(token, ['--read-object', '--type', 'pubkey', '--id', id, '--output-file', path('public')]);
    return readFile(path('public'));
  });
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  const publicKey = parsePublicKey(
    ['-----BEGIN PUBLIC KEY-----', ...lines, '-----END PUBLIC KEY-----', ''].join('\n'),
  );
  return {
    keyId: canonicalKeyId(publicKey),
    publicKey,
    method: 'ecdsa',
    // CKM_ECDSA signs a hash that was made before; "rs" is the raw form of metadata.
    sign: (bytes, options) =>
      withFiles(async (path) => {
        await writeFile(path('hash'), createHash('sha256').update(bytes).digest());
        const files = ['--input-file', path('hash'), '--output-file', path('signature')];
        await callTool(
          token,
          ['--sign', '--mechanism', 'ECDSA', '--signature-format', 'rs', '--id', id, ...files],
          options,
        );
        return readFile(path('signature'));
      }),
  };
}

async function callTool(
  token: Token,
  args: readonly string[],
  options: OperationOptions = {},
): Promise<string> {
  const login = ['--module', token.module, '--token-label', token.label, '--login', '--pin', 'env:TOKEN_PIN'];
  const { signal } = options;
  try {
    const { stdout } = await promisify(execFile)('pkcs11-tool', [...login, ...args], {
      env: { ...process.env, ...token.environment, TOKEN_PIN: token.pin },
      ...(signal === undefined ? {} : { signal }),
    });
    return stdout;
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw error;
  }
}

/** A folder for the tool's files that is gone afterwards. */
async function withFiles<T>(use: (path: (name: string) => string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'imagevet-token-'));
  try {
    return await use((name) => join(folder, name));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
