import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { formatReference, ImagevetError, parseReference } from '@imagevet/registry';
import { createKeyStore, diagnoseCollection, diagnoseDocker, type TrustDiagnosis } from '@imagevet/trust';
import type { Arguments } from '../arguments.ts';
import { EXIT, type Io } from '../io.ts';
import { notaryOf, trustDirectoryOf } from '../services.ts';

/** `imagevet doctor <image>`: what is wrong with docker's settings and the image's trust data, or will be. */
export async function doctor(args: Arguments, io: Io): Promise<number> {
  const { registry, repository } = parseReference(args.image);
  const found = diagnoseDocker({
    version: await dockerVersion(io),
    contentTrust: io.env.DOCKER_CONTENT_TRUST,
    contentTrustServer: io.env.DOCKER_CONTENT_TRUST_SERVER,
  });
  let failure: unknown;
  try {
    const { rootKeyIds } = args.trust;
    const diagnosed = await diagnoseCollection(formatReference({ registry, repository }), {
      server: await notaryOf(registry, args.trust, io),
      // Nothing is run on what is found here, so a root that nobody named may be looked at too.
      root: rootKeyIds.length === 0 ? { firstUse: true } : { keyIds: rootKeyIds },
      keys: createKeyStore({ directory: trustDirectoryOf(args.trust, io) }),
      signal: io.signal,
    });
    found.push(...diagnosed);
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    failure = error;
  }
  // What docker does matters also when the server does not answer.
  io.stdout(args.format === 'json' ? `${JSON.stringify(found, null, 2)}\n` : render(found));
  if (failure !== undefined) throw failure;
  return found.some(({ severity }) => severity === 'error') ? EXIT.deny : EXIT.allow;
}

function render(found: readonly TrustDiagnosis[]): string {
  if (found.length === 0) return 'nothing found\n';
  return found
    .map(({ severity, code, message, remedy }) => `${severity} ${code}: ${message}\n  ${remedy}\n`)
    .join('');
}

async function dockerVersion(io: Io): Promise<string | undefined> {
  const options = { env: { ...io.env }, signal: io.signal, timeout: 10_000 };
  const printed = await promisify(execFile)('docker', ['--version'], options).catch(() => undefined);
  return /^Docker version ([^\s,]+)/m.exec(printed?.stdout ?? '')?.[1];
}
