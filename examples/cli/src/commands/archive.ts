import { formatReference, parseReference } from '@imagevet/registry';
import { archiveCollection } from '@imagevet/trust';
import { type Arguments, UsageError } from '../arguments.ts';
import { EXIT, type Io } from '../io.ts';
import { notaryOf } from '../services.ts';

/** `imagevet archive <image> --output FOLDER --root-key ID`: keeps the trust history of a server that closes. */
export async function archive(args: Arguments, io: Io): Promise<number> {
  const { registry, repository } = parseReference(args.image);
  const { output, trust } = args;
  if (output === undefined) throw new UsageError('archive needs --output: the folder to write to');
  if (trust.rootKeyIds.length === 0)
    throw new UsageError('archive needs --root-key: the id of the root key you trust');
  const { collection, files } = await archiveCollection(formatReference({ registry, repository }), {
    server: await notaryOf(registry, trust, io),
    root: { keyIds: trust.rootKeyIds },
    directory: output,
    signal: io.signal,
  });
  const roles = new Set(files.map(({ role }) => role)).size;
  io.stdout(`archived ${collection}: ${files.length} files of ${roles} roles, read back and verified\n`);
  return EXIT.allow;
}
