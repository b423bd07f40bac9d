export { DockerArchive, openDockerArchive } from './archive/docker-archive.ts';
export type { OpenArchiveOptions } from './archive/inflate-archive.ts';
export {
  type ArchiveReport,
  type ImageToArchive,
  type WriteDockerArchiveOptions,
  writeDockerArchive,
} from './archive/write-docker-archive.ts';
export { type ContainersAuthKeychainOptions, containersAuthKeychain } from './auth/containers-auth.ts';
export { type DockerConfigKeychainOptions, dockerConfigKeychain } from './auth/docker-config.ts';
export { type KeychainFromEnvironmentOptions, keychainFromEnvironment } from './auth/environment.ts';
export {
  anonymousKeychain,
  type Credentials,
  firstKeychain,
  type Keychain,
  type KeychainOptions,
  staticKeychain,
} from './auth/keychain.ts';
export { type CopyEvent, type CopyImageOptions, type CopyReport, copyImage } from './content/copy.ts';
export { type ResolvedImage, type ResolveImageOptions, resolveImage } from './content/image.ts';
export type {
  BlobResolver,
  BlobSource,
  Fetcher,
  Pusher,
  ReferrerLister,
  ResolveOptions,
  Resolver,
  TagLister,
} from './content/interfaces.ts';
export { blobOf, readBlob } from './content/read.ts';
export {
  type Digest,
  type DigestAlgorithm,
  Digester,
  digestAlgorithm,
  digestHex,
  digestOf,
  isDigest,
  parseDigest,
} from './digest.ts';
export { ImagevetError, type ImagevetErrorOptions, RegistryError, type RegistryErrorCode } from './errors.ts';
export { type ExportRootfsOptions, exportRootfs } from './extract/export-rootfs.ts';
export {
  type ExtractImageOptions,
  type ExtractLayerOptions,
  extractImage,
  extractLayer,
} from './extract/extract-image.ts';
export type { Extraction, ExtractOptions, NoticeKind, SkipReason } from './extract/types.ts';
export type { MinimumThroughput } from './http/body.ts';
export { type ProxyOptions, proxyFromEnvironment } from './http/proxy.ts';
export type { RateLimit } from './http/rate-limit.ts';
export { type FilesystemEntry, type FilesystemView, mergeLayers } from './layer/filesystem-view.ts';
export { inflateLayer } from './layer/inflate-layer.ts';
export { DEFAULT_LAYER_LIMITS, type LayerLimits } from './layer/limits.ts';
export {
  type ImageScan,
  type ScanImageOptions,
  type ScanProgress,
  scanImage,
  scanLayers,
} from './layer/scan-image.ts';
export { type ScanLayerOptions, scanLayer } from './layer/scan-layer.ts';
export type {
  LayerAnomaly,
  LayerAnomalyKind,
  LayerCompression,
  LayerEntry,
  LayerEntryType,
  LayerScan,
} from './layer/types.ts';
export { checkOciLayout, type LayoutProblem, type LayoutReport } from './layout/check-layout.ts';
export { OciLayout, openOciLayout } from './layout/oci-layout.ts';
export { type PruneOciLayoutOptions, type PruneReport, pruneOciLayout } from './layout/prune-layout.ts';
export { type CopyLocationOptions, copyLocation } from './location/copy-location.ts';
export { formatLocation, type ImageLocation, parseLocation } from './location/location.ts';
export {
  type OpenedDestination,
  type OpenedSource,
  type OpenLocationOptions,
  openDestination,
  openSource,
} from './location/open-location.ts';
export { type AnnotateImageOptions, type AnnotateReport, annotateImage } from './mutate/annotate-image.ts';
export { type RebaseImageOptions, type RebaseReport, rebaseImage } from './mutate/rebase-image.ts';
export { chainIds } from './oci/chain.ts';
export { historyExplainsLayers, parseImageConfig } from './oci/config.ts';
export { type ParseManifestOptions, parseManifest } from './oci/manifest.ts';
export { MediaType } from './oci/media-types.ts';
export {
  DEFAULT_PLATFORM,
  formatPlatform,
  isAttestation,
  normalizePlatform,
  type PlatformMismatch,
  parsePlatform,
} from './oci/platform.ts';
export { explainPlatform, type PlatformChoice, selectPlatform } from './oci/platform-choice.ts';
export { type CurrentManifest, describeSchema1, type Schema1Image } from './oci/schema1.ts';
export type {
  Annotations,
  Descriptor,
  ExecutionConfig,
  HistoryEntry,
  ImageConfig,
  ImageIndex,
  ImageManifest,
  Platform,
  Schema1Manifest,
  VerifiedManifest,
} from './oci/types.ts';
export type { OperationOptions } from './options.ts';
export {
  familiarReference,
  formatReference,
  type ImageReference,
  parseReference,
  type Repository,
  withDefaultTag,
} from './reference.ts';
export { RegistryClient, type RegistryClientOptions } from './remote/client.ts';
export { readContainerdHosts } from './remote/containerd-hosts.ts';
export { readDockerCerts } from './remote/docker-certs.ts';
export type { EndpointCapability, HostSource, RegistryEndpoint, RegistryHost } from './remote/endpoints.ts';
export { firstHostSource, type HostCertificates } from './remote/hosts.ts';
export type { ResolutionReceipt } from './remote/manifests.ts';
export type { MirrorFailure } from './remote/mirrors.ts';
export type { NoticeOptions, RateLimitEvent } from './remote/notices.ts';
export type { RegistryInfo } from './remote/ping.ts';
export {
  type ReadRegistriesConfOptions,
  type RegistriesConf,
  readRegistriesConf,
} from './remote/registries-conf.ts';
