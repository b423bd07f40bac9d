import { TrustError } from '../errors.ts';
import { isGoTime } from '../json/go-time.ts';
import { checkTargetName } from '../metadata/names.ts';
import { parseMetadata, serializeMetadata } from '../metadata/parse.ts';
import type { Metadata, MetadataFile, TargetsMetadata } from '../metadata/types.ts';
import type { PublishPart } from '../notary/multipart.ts';
import { type RoleAuthority, verifySignatures } from '../verify/signatures.ts';
import { MAX_METADATA_BYTES } from '../verify/update.ts';
import { checkCustom } from './changes.ts';

/**
 * Refuses to publish what would break a collection. notary-server hashes what it would write itself, and stores what it
 * was sent: any difference between the two makes the collection unreadable, with the answer 200.
 *
 * @throws {@link TrustError} what {@link parseMetadata} and `verifySignatures` throw, `INVALID_OPTIONS`, and
 *   `LIMIT_EXCEEDED` for a file no reader takes
 */
export function preflight(part: PublishPart, authorities: readonly RoleAuthority[]): MetadataFile<Metadata> {
  if (part.bytes.length > MAX_METADATA_BYTES) {
    throw new TrustError(
      'LIMIT_EXCEEDED',
      `publish ${part.role}: ${part.bytes.length} bytes, at most ${MAX_METADATA_BYTES} are read again`,
      { hint: 'Remove tags nobody needs, or spread them over delegations.' },
    );
  }
  const file: MetadataFile<Metadata> = parseMetadata(part.role, part.bytes);
  const { signed } = file;
  const refuse = (reason: string): TrustError =>
    new TrustError('INVALID_OPTIONS', `publish ${part.role}: ${reason}`, {
      hint: 'The server would store other bytes than it hashes, and the collection could not be read again.',
    });
  // The model holds only what Go knows: bytes it does not reproduce hold more.
  if (!Buffer.from(serializeMetadata(signed, file.signatures)).equals(part.bytes)) {
    throw refuse('holds members Notary does not know');
  }
  if (!isGoTime(signed.expires)) throw refuse(`expiry ${signed.expires} is not in Go's shortest form`);
  for (const { method } of file.signatures) {
    if (method !== method.toLowerCase()) throw refuse('signature method is not in lower case');
  }
  if (signed._type === 'Targets') checkTargets(signed, refuse);
  for (const authority of authorities) verifySignatures(file, authority);
  return file;
}

function checkTargets(signed: TargetsMetadata, refuse: (reason: string) => TrustError): void {
  for (const [name, { custom, hashes }] of Object.entries(signed.targets ?? {})) {
    checkTargetName(name);
    if (Object.keys(hashes).length === 0) throw refuse(`target ${name} has no hash`);
    if (custom !== undefined) checkCustom(name, custom);
  }
  for (const { name, paths } of signed.delegations.roles ?? []) {
    if (paths !== undefined && (paths ?? []).length === 0) throw refuse(`${name} has an empty list of paths`);
  }
}
