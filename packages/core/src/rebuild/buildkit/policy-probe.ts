import { randomBytes } from 'node:crypto';
import { packContext } from '../pack-context.ts';
import { solve } from './control.ts';
import { type GrpcClient, GrpcFailure } from './grpc-client.ts';
import { openSession } from './session.ts';

/** A name nobody can have. @see RFC 6761, 6.4 */
const NOWHERE = 'FROM registry.invalid/imagevet/probe:1\n';
const TIMEOUT_MS = 30_000;

/** Whether a daemon denies what a policy denies. Daemons that know no policies ignore it without a word. */
export async function enforcesPolicy(client: GrpcClient, asked: AbortSignal | undefined): Promise<boolean> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signal = asked === undefined ? timeout : AbortSignal.any([asked, timeout]);
  const { tar, name } = packContext([], { text: NOWHERE, backend: 'buildkit' });
  const session = openSession(client, { context: () => tar, credentials: async () => undefined }, signal);
  try {
    await solve(
      client,
      {
        ref: randomBytes(16).toString('hex'),
        session: session.id,
        frontendAttrs: { context: session.contextUrl, filename: name, cmdline: 'imagevet' },
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
