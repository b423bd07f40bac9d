import { formatReference, parseReference, withDefaultTag } from '@imagevet/registry';
import { signTags } from '@imagevet/trust';
import { type Arguments, UsageError } from '../arguments.ts';
import { EXIT, type Io } from '../io.ts';
import { keysOf, notaryOf, servicesOf } from '../services.ts';

/** `imagevet sign <image>`: signs the digest the registry shows for the tag now. */
export async function sign(args: Arguments, io: Io): Promise<number> {
  const reference = withDefaultTag(parseReference(args.image));
  const { tag } = reference;
  if (tag === undefined) throw new UsageError('sign needs a tag: content trust binds a tag to a digest');
  const keys = keysOf(args.trust, io);
  const descriptor = await servicesOf(args, io).registry.resolve(reference, { signal: io.signal });
  const signed = await signTags({
    collection: formatReference({ registry: reference.registry, repository: reference.repository }),
    server: await notaryOf(reference.registry, args.trust, io),
    targets: [{ tag, digest: descriptor.digest, size: descriptor.size }],
    keys,
    signal: io.signal,
  });
  io.stdout(
    `signed ${formatReference(reference)} ${descriptor.digest}\nroot key ${signed.rootKeyIds.join(', ')}\n`,
  );
  return EXIT.allow;
}
