import {
  copyImage,
  type Fetcher,
  ImagevetError,
  type OperationOptions,
  type Pusher,
} from '@imagevet/registry';
import { CoreError } from '../errors.ts';
import { existingImage } from './claim-name.ts';
import type { BuiltImage, ImportRequest } from './types.ts';

/** Blobs up to this size are read from the repository; bytes. */
const SMALL = 1024 * 1024;

/**
 * Takes an image over from the OCI layout of its repository: the manifest of that digest and all it names, byte for byte. A git
 * host gives files as a whole, so that large blobs come from the registry that publishes the image where it has them; whoever gives
 * a blob, it counts only with the digest the manifest names. Done again it sends nothing.
 *
 * @throws {@link CoreError} what the source host ends with; {@link RegistryError} what copying can end with
 */
export async function importImage(
  request: ImportRequest,
  registry: Fetcher & Pusher,
  { signal }: OperationOptions = {},
): Promise<BuiltImage> {
  const { target, platform, digest, reference } = request;
  const source = largeFrom(request, registry);
  await copyImage({ ...reference, tag: undefined, digest }, target, {
    ...{ source, destination: registry, referrers: false, digestTags: false, signal },
  });
  // By digest: another run may give the tag to the image of another layout.
  const image = await existingImage({ target: { ...target, digest }, platform }, registry, { signal });
  if (image !== undefined) return image;
  throw new CoreError('PUSH_FAILED', `${digest} was taken over and is no image for its platform`);
}

function largeFrom({ layout, published }: ImportRequest, registry: Fetcher): Fetcher {
  return {
    resolve: (...question) => layout.resolve(...question),
    fetchManifest: (...question) => layout.fetchManifest(...question),
    async *openBlob(repository, descriptor, options) {
      if (descriptor.size > SMALL && published !== undefined) {
        const stream = registry.openBlob(published, descriptor, options)[Symbol.asyncIterator]();
        const first = await stream.next().catch((error: unknown) => {
          options?.signal?.throwIfAborted();
          if (!ImagevetError.is(error)) throw error;
          return undefined;
        });
        if (first !== undefined) {
          if (first.done !== true) yield first.value;
          return yield* { [Symbol.asyncIterator]: () => stream };
        }
      }
      yield* layout.openBlob(repository, descriptor, options);
    },
  };
}
