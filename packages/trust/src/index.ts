export { type ArchiveOptions, archiveCollection } from './archive/archive-collection.ts';
export type { ArchivedFile, TrustArchive } from './archive/format.ts';
export { type OpenArchiveOptions, type OpenedArchive, openArchive } from './archive/open-archive.ts';
export {
  type DetachedSignatures,
  type RequestedRole,
  type SigningRequest,
  signDetached,
} from './collection/ceremony.ts';
export type { Change, Delegation, SignableTarget } from './collection/changes.ts';
export { type HealOptions, healCollection } from './collection/heal.ts';
export type { SnapshotKeyHolder } from './collection/initial-root.ts';
export type { PublishResult } from './collection/publish.ts';
export type { TrustedCollectionOptions } from './collection/published-collection.ts';
export {
  createMemoryRotationJournal,
  createRotationJournal,
  type PendingRotation,
  type RotateKeyOptions,
  type RotateKeyResult,
  type RotationJournal,
  rotateKey,
} from './collection/rotation.ts';
export { TrustedCollection } from './collection/trusted-collection.ts';
export { type DiagnoseOptions, diagnoseCollection } from './doctor/diagnose-collection.ts';
export { type DockerInstallation, diagnoseDocker } from './doctor/diagnose-docker.ts';
export type { TrustDiagnosis } from './doctor/diagnosis.ts';
export { TrustError, type TrustErrorCode } from './errors.ts';
export { type CreateKeyStoreOptions, createKeyStore } from './keys/create-key-store.ts';
export { passphrasesFromEnvironment } from './keys/environment-passphrases.ts';
export { loadKeypair, parsePublicKey } from './keys/key-import.ts';
export type { KeyStore, KeyUse, StoredKey } from './keys/key-store.ts';
export { generateKeypair, type KeyAlgorithm, type Keypair, SoftwareKeypair } from './keys/keypair.ts';
export type {
  PassphraseProvider,
  PassphraseRequest,
  PassphraseSource,
  PassphrasesByRole,
} from './keys/passphrase.ts';
export { canonicalKeyId, tufKeyId } from './keys/public-key.ts';
export { issueRootCertificate } from './keys/root-certificate.ts';
export type {
  BaseRole,
  DelegationRole,
  FileMeta,
  Metadata,
  MetadataFile,
  PublicKey,
  RoleKeys,
  RootMetadata,
  Signature,
  SignatureMethod,
  SnapshotMetadata,
  TargetMeta,
  TargetsMetadata,
  TimestampMetadata,
} from './metadata/types.ts';
export { type NotaryChange, NotaryClient, type NotaryServer } from './notary/client.ts';
export type { NotaryCredentials, NotaryCredentialsProvider } from './notary/credentials.ts';
export { type DockerNotaryServerOptions, dockerNotaryServer } from './notary/docker-server.ts';
export type { MetadataSelector, MetadataSource } from './notary/metadata-source.ts';
export type { PublishPart } from './notary/multipart.ts';
export { defaultNotaryUrl } from './notary/server.ts';
export { type SignTagsOptions, signTag, signTags } from './sign.ts';
export type { UpdateRules } from './verify/file-checks.ts';
export type { RootTrust } from './verify/root-trust.ts';
export type { VerifiedKey } from './verify/signatures.ts';
export {
  createMemoryTrustState,
  createTrustState,
  type TrustState,
  type TrustStateStore,
} from './verify/state.ts';
export type {
  FoundTarget,
  VerifiedCollection,
  VerifiedTargets,
} from './verify/verified-collection.ts';
export {
  type CollectionTag,
  listTrusted,
  resolveTrusted,
  type TrustedTarget,
  type VerifyOptions,
} from './verify.ts';
