import { randomBytes } from 'node:crypto';
import { packEntries } from '../context/pack-context.ts';
import { solve } from './control.ts';
import { type GrpcClient, GrpcFailure } from './grpc-client.ts';
import { DOCKERFILE_DIRECTORY, openSession } from './session.ts';

/** A name nobody can have. @see RFC 6761, 6.4 */
const NOWHERE = 'FROM registry.invalid/imagevet/probe:1\n';
const TIMEOUT_MS = 30_000;

/** Whether a daemon denies what a policy denies. Daemons that know no policies ignore it without a word. */
export async function enforcesPolicy(client: GrpcClient, asked: AbortSignal | undefined): Promise<boolean> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signal = asked === undefined ? timeout : AbortSignal.any([asked, timeout]);
  const services = {
    context: () => packEntries([]),
    dockerfile: NOWHERE,
    credentials: async () => undefined,
  };
  const session = openSession(client, services, signal);
  try {
    await solve(
      client,
      {
        ref: randomBytes(16).toString('hex'),
        session: session.id,
        frontendAttrs: {
          context: session.contextUrl,
          dockerfilekey: DOCKERFILE_DIRECTORY,
          filename: 'Dockerfile',
          cmdline: 'imagevet',
        },
        policy: {
          version: 1,
          rules: [{ action: 'DENY', selector: { identifier: 'docker-image://registry.invalid/*' } }],
        },
      },
      signal,
    );
    return false;
  } catch (error) {
    if (error instanceof GrpcFailure) return isDenial(error.message);
    throw error;
  } finally {
    session.close();
  }
}

/** Whether the daemon says that its source policy denied something. */
export function isDenial(message: string): boolean {
  return /denied by policy|not allowed by policy/.test(message);
}
