import { TrustError } from '../errors.ts';
import { parentRole } from '../metadata/names.ts';
import { parseMetadata } from '../metadata/parse.ts';
import type {
  FileMeta,
  MetadataFile,
  RootMetadata,
  SnapshotMetadata,
  TargetsMetadata,
} from '../metadata/types.ts';
import type { PublishPart } from '../notary/multipart.ts';
import { matchesMeta } from '../verify/file-checks.ts';
import { verifyRootItself, verifyRootSuccession } from '../verify/root-trust.ts';
import { authorityOf, type RoleAuthority, verifySignatures } from '../verify/signatures.ts';
import { fileMetaOf, type NotaryStore, signSnapshot, signTimestamp } from './notary-store.ts';

/** A refusal in the words of notary-server. */
export class PublishRefusal extends Error {
  readonly code: string;
  readonly detail: unknown;

  constructor(code: string, detail?: unknown) {
    super(code);
    this.code = code;
    this.detail = detail;
  }
}

const DAY_MS = 86_400_000;

/** Validates a publish as notary-server does, signs snapshot and timestamp, and stores everything or nothing. */
export async function acceptPublish(
  store: NotaryStore,
  collection: string,
  parts: readonly PublishPart[],
  options: { readonly now: Date; readonly timestampLifetimeMs: number },
): Promise<void> {
  const { now } = options;
  const files = new Map(parts.map((part) => [part.role, parsePart(part)]));
  // The server makes timestamps itself and ignores those it is sent.
  files.delete('timestamp');
  const root = acceptRoot(
    store,
    collection,
    files.get('root') as MetadataFile<RootMetadata> | undefined,
    now,
  );
  const targets = [...files.values()]
    .filter(({ signed }) => signed._type === 'Targets')
    .sort((left, right) => left.role.length - right.role.length) as MetadataFile<TargetsMetadata>[];
  for (const file of targets) acceptTargets(store, collection, root.signed, files, file, now);
  for (const { role, signed, bytes } of files.values()) {
    const stored = store.versions(collection, role).at(-1);
    const unchangedRoot = role === 'root' && stored !== undefined && Buffer.from(bytes).equals(stored.bytes);
    if (stored !== undefined && signed.version <= stored.version && !unchangedRoot)
      throw new PublishRefusal('VERSION', {});
  }
  const previous = store.current(collection, 'snapshot')?.signed;
  const given = files.get('snapshot') as MetadataFile<SnapshotMetadata> | undefined;
  const snapshot =
    given === undefined
      ? await makeSnapshot(store, collection, root, previous, files, now)
      : acceptSnapshot(root.signed, given, files);
  const timestampKey = store.namedKey(collection, 'timestamp', root.signed);
  if (timestampKey === undefined) throw hierarchy('timestamp', 'no timestamp key');
  const expires = new Date(now.getTime() + options.timestampLifetimeMs);
  const lastTimestamp = store.current(collection, 'timestamp')?.signed;
  const timestamp = await signTimestamp(timestampKey, lastTimestamp, snapshot, expires);
  // Nothing is stored before everything is accepted.
  files.set('snapshot', parseMetadata('snapshot', snapshot));
  files.set('timestamp', parseMetadata('timestamp', timestamp));
  for (const { role, bytes, signed } of files.values()) {
    const stored = store.versions(collection, role).at(-1);
    if (stored?.version !== signed.version) store.put(collection, role, bytes, signed.version, now);
  }
}

/** Signs a new timestamp over the current snapshot, as the server does when one expired. */
export async function renewTimestamp(
  store: NotaryStore,
  collection: string,
  options: { readonly now: Date; readonly timestampLifetimeMs: number },
): Promise<void> {
  const root = store.current(collection, 'root');
  const snapshot = store.versions(collection, 'snapshot').at(-1);
  const key = root === undefined ? undefined : store.namedKey(collection, 'timestamp', root.signed);
  if (key === undefined || snapshot === undefined) return;
  const previous = store.current(collection, 'timestamp')?.signed;
  const expires = new Date(options.now.getTime() + options.timestampLifetimeMs);
  const bytes = await signTimestamp(key, previous, snapshot.bytes, expires);
  store.put(collection, 'timestamp', bytes, (previous?.version ?? 0) + 1, options.now);
}

function parsePart({ role, bytes }: PublishPart): MetadataFile {
  try {
    return parseMetadata(role, bytes);
  } catch (error) {
    if (TrustError.is(error)) throw new PublishRefusal('MALFORMED_JSON', error.message);
    throw error;
  }
}

function acceptRoot(
  store: NotaryStore,
  collection: string,
  given: MetadataFile<RootMetadata> | undefined,
  now: Date,
): MetadataFile<RootMetadata> {
  const current = store.current(collection, 'root');
  if (given === undefined) {
    if (current === undefined) {
      throw invalid('ErrValidation', 'no pre-existing root and no root provided in update.');
    }
    return current;
  }
  return refusing('ErrBadRoot', () => {
    verifyRootItself(given, collection, now);
    if (current === undefined || given.signed.version === current.signed.version) return given;
    if (given.signed.version !== current.signed.version + 1) {
      const versions = `Current ${current.signed.version}, new ${given.signed.version}`;
      throw invalid('ErrBadRoot', `Root modifications must increment the version. ${versions}`);
    }
    verifyRootSuccession(current, given, collection);
    return given;
  });
}

function acceptTargets(
  store: NotaryStore,
  collection: string,
  root: RootMetadata,
  files: ReadonlyMap<string, MetadataFile>,
  file: MetadataFile<TargetsMetadata>,
  now: Date,
): void {
  const authority = (): RoleAuthority => {
    if (file.role === 'targets') return authorityOf(root.roles.targets, root.keys);
    const parentName = parentRole(file.role);
    const parent = (files.get(parentName) ?? store.current(collection, parentName)) as
      | MetadataFile<TargetsMetadata>
      | undefined;
    const delegations = parent?.signed.delegations;
    const delegation = delegations?.roles?.find(({ name }) => name === file.role);
    if (delegations === undefined || delegation === undefined) {
      throw invalid('ErrBadTargets', `${file.role} is not delegated`);
    }
    return authorityOf(delegation, delegations.keys);
  };
  refusing('ErrBadTargets', () => {
    verifySignatures(file, authority());
    if (Date.parse(file.signed.expires) <= now.getTime())
      throw invalid('ErrBadTargets', `${file.role} expired`);
  });
}

function acceptSnapshot(
  root: RootMetadata,
  given: MetadataFile<SnapshotMetadata>,
  files: ReadonlyMap<string, MetadataFile>,
): Uint8Array {
  refusing('ErrBadSnapshot', () => {
    verifySignatures(given, authorityOf(root.roles.snapshot, root.keys));
    for (const { role, bytes } of files.values()) {
      const meta = Object.hasOwn(given.signed.meta, role) ? given.signed.meta[role] : undefined;
      const listed = role === 'snapshot' || (meta !== undefined && matchesMeta(bytes, meta));
      if (!listed) throw invalid('ErrBadSnapshot', `hash of ${role} does not match`);
    }
  });
  return given.bytes;
}

async function makeSnapshot(
  store: NotaryStore,
  collection: string,
  root: MetadataFile<RootMetadata>,
  previous: SnapshotMetadata | undefined,
  files: ReadonlyMap<string, MetadataFile>,
  now: Date,
): Promise<Uint8Array> {
  const key = store.namedKey(collection, 'snapshot', root.signed);
  if (key === undefined) throw hierarchy('snapshot', 'could not generate a snapshot: no key');
  const meta: Record<string, FileMeta> = { ...previous?.meta, root: fileMetaOf(root.bytes) };
  for (const { role, bytes } of files.values()) meta[role] = fileMetaOf(bytes);
  if (meta.targets === undefined) throw hierarchy('targets', 'no targets');
  return signSnapshot(key, previous, meta, new Date(now.getTime() + 1095 * DAY_MS));
}

function refusing<T>(name: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!TrustError.is(error)) throw error;
    throw invalid(name, error.message);
  }
}

function invalid(name: string, message: string): PublishRefusal {
  return new PublishRefusal('INVALID_UPDATE', { Name: name, Error: { Msg: message } });
}

function hierarchy(missing: string, message: string): PublishRefusal {
  return new PublishRefusal('INVALID_UPDATE', {
    Name: 'ErrBadHierarchy',
    Error: { Missing: missing, Msg: message },
  });
}
