import { formatReference, parseReference, withDefaultTag } from '@imagevet/registry';
import { resolveTrusted } from '@imagevet/trust';
import { type Arguments, UsageError } from '../arguments.ts';
import { EXIT, type Io } from '../io.ts';
import { notaryOf } from '../services.ts';

/** `imagevet verify <image> --root-key ID`: prints the pinned reference to run. */
export async function verify(args: Arguments, io: Io): Promise<number> {
  const reference = withDefaultTag(parseReference(args.image));
  const { rootKeyIds, maxStalenessMs } = args.trust;
  if (rootKeyIds.length === 0)
    throw new UsageError('verify needs --root-key: the id of the root key you trust');
  const target = await resolveTrusted(reference, {
    server: await notaryOf(reference.registry, args.trust, io),
    root: { keyIds: rootKeyIds },
    maxStalenessMs,
    signal: io.signal,
  });
  io.stdout(`${formatReference({ ...reference, tag: undefined, digest: target.digest })}\n`);
  return EXIT.allow;
}
