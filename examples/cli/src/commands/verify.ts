import { formatReference, type ImageReference, parseReference, withDefaultTag } from '@imagevet/registry';
import { openArchive, resolveTrusted, type TrustedTarget, type VerifyOptions } from '@imagevet/trust';
import { type Arguments, UsageError } from '../arguments.ts';
import { EXIT, type Io } from '../io.ts';
import { notaryOf, stateOf } from '../services.ts';

/** `imagevet verify <image> --root-key ID`: prints the pinned reference to run. */
export async function verify(args: Arguments, io: Io): Promise<number> {
  const reference = withDefaultTag(parseReference(args.image));
  const { rootKeyIds, maxStalenessMs, archive } = args.trust;
  if (rootKeyIds.length === 0)
    throw new UsageError('verify needs --root-key: the id of the root key you trust');
  const options = { root: { keyIds: rootKeyIds }, maxStalenessMs, signal: io.signal };
  const target =
    archive === undefined
      ? await resolveTrusted(reference, {
          ...options,
          server: await notaryOf(reference.registry, args.trust, io),
          state: stateOf(args.trust, io),
        })
      : await resolveInArchive(reference, archive, args.asOf, options);
  io.stdout(`${formatReference({ ...reference, tag: undefined, digest: target.digest })}\n`);
  return EXIT.allow;
}

async function resolveInArchive(
  reference: ImageReference,
  directory: string,
  asOf: Arguments['asOf'],
  options: VerifyOptions,
): Promise<TrustedTarget> {
  if (asOf === 'build') throw new UsageError('verify takes a date for --as-of');
  const server = await openArchive(directory, asOf === undefined ? {} : { asOf });
  return resolveTrusted(reference, { ...options, server, now: server.now });
}
