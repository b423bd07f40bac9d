import type { Digest } from '../digest.ts';

/** Free-form annotations of a descriptor, manifest or index. */
export type Annotations = Readonly<Record<string, string>>;

/** @see OCI image-spec, image-index.md, `platform` */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
}

/** Names content: what it is, how large it is, and its digest. @see OCI image-spec, descriptor.md */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Size in bytes. */
  readonly size: number;
  readonly urls?: readonly string[];
  readonly annotations?: Annotations;
  /** Base64 of the content, when embedded. */
  readonly data?: string;
  readonly artifactType?: string;
  readonly platform?: Platform;
}

/** @see OCI image-spec, manifest.md; Docker image manifest v2 schema 2 */
export interface ImageManifest {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly artifactType?: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly annotations?: Annotations;
}

/** @see OCI image-spec, image-index.md; Docker manifest list */
export interface ImageIndex {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly artifactType?: string;
  readonly manifests: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly annotations?: Annotations;
}

/** One entry of `history`, oldest first. @see OCI image-spec, config.md */
export interface HistoryEntry {
  readonly created?: string;
  readonly created_by?: string;
  readonly author?: string;
  readonly comment?: string;
  /** True when the entry made no layer. */
  readonly empty_layer?: boolean;
}

/** Execution parameters. @see OCI image-spec, config.md, `config` */
export interface ExecutionConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, unknown>>;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly Volumes?: Readonly<Record<string, unknown>> | null;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>> | null;
  readonly StopSignal?: string;
  readonly OnBuild?: readonly string[] | null;
  readonly Shell?: readonly string[] | null;
  readonly Healthcheck?: unknown;
}

/** Image configuration; its digest is the image id. @see OCI image-spec, config.md */
export interface ImageConfig {
  readonly created?: string;
  readonly author?: string;
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
  readonly config?: ExecutionConfig;
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly Digest[] };
  readonly history?: readonly HistoryEntry[];
}

/** What registries held before 2016; read, never made. @see Docker image manifest v2 schema 1 */
export interface Schema1Manifest {
  readonly schemaVersion: 1;
  readonly name: string;
  readonly tag: string;
  readonly architecture: string;
  /** Newest first. */
  readonly fsLayers: readonly { readonly blobSum: Digest }[];
  /** Newest first, one for each layer: the JSON text of a v1 image. */
  readonly history: readonly { readonly v1Compatibility: string }[];
}

/** A manifest as read: the exact bytes, verified, beside what they say. */
export type VerifiedManifest = {
  /**
   * What the bytes are: media type, size and digest computed from them. The digest of a signed schema 1 manifest is that
   * of what was signed.
   */
  readonly descriptor: Descriptor;
  /** The exact bytes. */
  readonly bytes: Uint8Array;
} & (
  | { readonly kind: 'image'; readonly manifest: ImageManifest }
  | { readonly kind: 'index'; readonly index: ImageIndex }
  | { readonly kind: 'schema1'; readonly schema1: Schema1Manifest }
);
