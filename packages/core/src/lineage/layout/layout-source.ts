import { posix } from 'node:path';
import {
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestHex,
  digestOf,
  type Fetcher,
  type OperationOptions,
  parseManifest,
  RegistryError,
  type VerifiedManifest,
} from '@imagevet/registry';
import type { SourceHost, SourceLocation } from '../types.ts';

/** Links followed from one blob's name. */
const MAX_LINKS = 2;
/** Longest path a link may name, in bytes. */
const MAX_LINK = 1024;

/**
 * Reads an OCI image layout out of a repository, at the commit and below the folder of the `index.json` a location names.
 * Blobs may be links to other files of the repository, which hosts give as text; whatever is read counts only with its digest.
 *
 * @see OCI image-spec, image-layout.md
 */
export function layoutSource(host: SourceHost, location: SourceLocation): Fetcher {
  const { repository, commit, path } = location;
  const folder = posix.dirname(path);
  const read = async (file: string, options: OperationOptions) =>
    (await host.readFile(repository, commit, file, options)).content;

  async function readBlob(digest: Digest, options: OperationOptions): Promise<Uint8Array> {
    const algorithm = digestAlgorithm(digest);
    const name = posix.join(folder, 'blobs', algorithm, digestHex(digest));
    let file = name;
    for (let links = 0; links <= MAX_LINKS; links += 1) {
      const content = await read(file, options);
      if (digestOf(content, algorithm) === digest) return content;
      const target = targetOf(content, file);
      if (target === undefined) break;
      file = target;
    }
    throw new RegistryError(
      'DIGEST_MISMATCH',
      `${name} of ${repository} at ${commit} has not the digest it is named by`,
    );
  }

  return {
    resolve: async (_reference, options = {}) => parseManifest(await read(path, options)).descriptor,
    async fetchManifest({ digest }, options = {}): Promise<VerifiedManifest> {
      if (digest === undefined) return parseManifest(await read(path, options));
      return parseManifest(await readBlob(digest, options), { algorithm: digestAlgorithm(digest) });
    },
    async *openBlob(_repository, { digest, size }: Descriptor, options = {}) {
      const content = await readBlob(digest, options);
      if (content.byteLength !== size) {
        throw new RegistryError(
          'SIZE_MISMATCH',
          `blob ${digest}: expected ${size} bytes, received ${content.byteLength}`,
        );
      }
      yield content;
    },
  };
}

/** The file a link names; undefined for content that is no link, or one out of the repository. */
function targetOf(content: Uint8Array, file: string): string | undefined {
  if (content.byteLength === 0 || content.byteLength > MAX_LINK) return undefined;
  const text = new TextDecoder().decode(content);
  if (/[\p{Cc}\\]/u.test(text) || text.startsWith('/')) return undefined;
  const target = posix.join(posix.dirname(file), text);
  return target.startsWith('../') || target === '..' || target === file ? undefined : target;
}
