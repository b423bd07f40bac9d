import type { Platform, RegistryError, ResolvedImage } from '@imagevet/registry';
import type { ExternalImage } from '../../dockerfile/queries.ts';
import type { Dockerfile } from '../../dockerfile/types.ts';
import type { Gap } from '../../errors.ts';
import { checkDockerfile, type DockerfileCheck } from '../dockerfile/check-dockerfile.ts';
import { eagerHost } from '../dockerfile/eager-host.ts';
import { findOwnDockerfile } from '../dockerfile/find-dockerfile.ts';
import { parseNode } from '../dockerfile/parse-node.ts';
import type { LineageCache } from '../lineage-cache.ts';
import type { ResolveLineageOptions } from '../options.ts';
import type { DockerfileRecord, LineageConflict, ProvenanceClaim, SourceHost } from '../types.ts';
import { askSources } from './ask-sources.ts';
import { findConflicts } from './claims.ts';
import type { ReadImage } from './read-image.ts';
import { type ShownSubject, showImage } from './show-image.ts';

/** Whom a node is read from. */
export interface ReadNodeServices
  extends Pick<ResolveLineageOptions, 'sources' | 'buildArgs' | 'onProgress'> {
  readonly platform: Platform;
  /** Whether sources are asked as of the build of the image. */
  readonly atBuild: boolean;
  readonly readImage?: ReadImage;
  readonly readForeign?: ReadImage;
  readonly host?: SourceHost;
  readonly cache: LineageCache;
  readonly signal: AbortSignal;
}

/** All that can be known of an image without its base. */
export interface NodeReading {
  readonly subject: ShownSubject;
  readonly image?: ResolvedImage;
  /** What the digest it is pinned to names instead, when that is an image of another platform. */
  readonly foreign?: ResolvedImage;
  /** Why no registry showed it. */
  readonly failure?: RegistryError;
  readonly claims: readonly ProvenanceClaim[];
  readonly conflicts: readonly LineageConflict[];
  /** As of when its sources were asked; undefined is now. */
  readonly asOf?: Date;
  readonly buildTimeDoubt?: string;
  /** Without what its repository says of it. */
  readonly record: DockerfileRecord;
  /** What its repository says of it: nothing that its base depends on. */
  readonly check: Promise<DockerfileCheck>;
  readonly dockerfile?: Dockerfile;
  /** What it is built on and with, by its Dockerfile. */
  readonly inputs: readonly ExternalImage[];
  /** Of image, claims and the search for the Dockerfile. */
  readonly gaps: readonly Gap[];
  /** Of reading the Dockerfile. */
  readonly parseGaps: readonly Gap[];
}

/**
 * Reads an image, what is said of it and the Dockerfile it was made from. Sources that go by the name are asked while a
 * registry is; the Dockerfile they name is read before the others have answered.
 */
export async function readNode(subject: ShownSubject, services: ReadNodeServices): Promise<NodeReading> {
  const { id } = subject;
  const { signal, onProgress } = services;
  const eager = services.host === undefined ? undefined : eagerHost(services.host, { signal });
  const showing = showImage(subject, services);
  const [{ image, foreign, failure, gaps: unshown }, asked] = await Promise.all([
    showing,
    askSources(subject, showing, { ...services, onEarlyClaims: (claims) => eager?.start(claims) }),
  ]);
  const { claims, gaps: unasked, ...when } = asked;
  const own = image === undefined ? {} : { image };
  const found = await findOwnDockerfile(claims, eager?.host, { node: id, ...own }, { signal });
  const { status, url } = found.record;
  onProgress?.({ type: 'dockerfile-fetched', node: id, status, ...(url === undefined ? {} : { url }) });
  const dated = when.asOf === undefined ? {} : { upTo: when.asOf };
  const check = checkDockerfile(found, eager?.host, { node: id, ...own, ...dated }, { signal });
  // Who reads the node waits for it; a node that turns out not to be needed is not waited for.
  check.catch(() => {});
  const { gaps: parseGaps, ...parsed } = parseNode(found.record, claims, services, id);
  return {
    ...{ subject, ...own, claims, conflicts: findConflicts(id, claims), ...when },
    ...{ check, ...parsed, parseGaps },
    ...(failure === undefined ? {} : { failure }),
    ...(foreign === undefined ? {} : { foreign }),
    gaps: [...unshown, ...unasked, ...found.gaps],
  };
}
