import { isDeepStrictEqual } from 'node:util';
import {
  type Fetcher,
  formatReference,
  type OperationOptions,
  type Pusher,
  type ResolvedImage,
  resolveImage,
} from '@imagevet/registry';
import { CoreError } from '../errors.ts';
import { claimName } from './claim-name.ts';
import type { Builder, BuildRequest, BuiltImage } from './types.ts';

/** Options of {@link doubleBuilder}. */
export interface DoubleBuilderOptions {
  /** Gives the image its name once both builds agree. */
  readonly registry: Fetcher & Pusher;
  /**
   * Says how two builds with different digests differ beyond what is accepted, or undefined when they agree;
   * `disagreementBelow` asks for a grade. @defaultValue different layers never agree, nor do different settings
   */
  readonly disagreement?: (
    first: BuiltImage,
    second: BuiltImage,
    options: OperationOptions,
  ) => Promise<string | undefined>;
}

/**
 * Builds everything twice with another builder, both times without a build cache, and accepts an image only when both builds agree: one that depends on the
 * time, on the network or on chance cannot be vouched for.
 *
 * The name asked for gets `-twice` at its end, so that an image that was built once never stands for one that was built twice;
 * nothing has that name before both builds agreed, and of two runs at once both go on with the image that had it first.
 *
 * Its `build` rejects with {@link CoreError} `BUILD_FAILED` when they do not.
 */
export function doubleBuilder(builder: Builder, options: DoubleBuilderOptions): Builder {
  const { registry, disagreement = differentImages(options.registry) } = options;
  const gated = <R extends Pick<BuildRequest, 'target'>>(request: R, suffix: string): R => ({
    ...request,
    target: { ...request.target, tag: `${request.target.tag ?? 'latest'}-${suffix}` },
  });
  return {
    name: `${builder.name}, twice`,
    ...(builder.variant === undefined ? {} : { variant: builder.variant }),
    probe: (operation) => builder.probe(operation),
    async build(request, operation = {}) {
      const { signal } = operation;
      const build = (suffix: string) =>
        builder.build({ ...gated(request, suffix), cache: false, replace: true }, operation);
      // A run that was killed between the two left the first.
      const left =
        request.replace === true ? undefined : await builder.find?.(gated(request, 'first'), operation);
      const first = left ?? (await build('first'));
      const second = await build('second');
      const problem =
        first.descriptor.digest === second.descriptor.digest
          ? undefined
          : await disagreement(first, second, { signal });
      const twice = gated(request, 'twice');
      const name = async (image: BuiltImage, { target }: Pick<BuildRequest, 'target'>) => {
        const from = { ...image.reference, tag: undefined };
        const { bytes, descriptor } = await registry.fetchManifest(from, { signal });
        await registry.pushManifest(target, { bytes, mediaType: descriptor.mediaType }, { signal });
        return { ...image, reference: { ...target, digest: descriptor.digest } };
      };
      if (problem === undefined) return claimName(twice, { registry, signal }, () => name(first, twice));
      // The next try is held against the newest build, not against one that went wrong for ever.
      await name(second, gated(request, 'first'));
      const target = formatReference(twice.target);
      throw new CoreError('BUILD_FAILED', `two builds of ${target} disagree: ${problem}`, {
        hint: 'The build depends on something outside its inputs.',
        details: { first: first.descriptor.digest, second: second.descriptor.digest },
      });
    },
    ...(builder.find === undefined
      ? {}
      : { find: async (request, operation) => builder.find?.(gated(request, 'twice'), operation) }),
    ...(builder.importImage === undefined ? {} : { importImage: builder.importImage.bind(builder) }),
    release: async () => builder.release?.(),
  };
}

/** Times apart, two builds of one image are the same layers and the same settings. */
function differentImages(source: Fetcher): NonNullable<DoubleBuilderOptions['disagreement']> {
  return async (first, second, { signal }) => {
    const { length } = first.diffIds;
    if (length !== second.diffIds.length) return `they have ${length} and ${second.diffIds.length} layers`;
    const layer = first.diffIds.findIndex((diffId, index) => diffId !== second.diffIds[index]);
    if (layer >= 0) return `layer ${layer + 1} of ${length} is different`;
    const [one, other] = await Promise.all(
      [first, second].map(({ reference }) =>
        resolveImage({ ...reference, tag: undefined }, { source, signal }),
      ),
    );
    return isDeepStrictEqual(settingsOf(one!), settingsOf(other!))
      ? undefined
      : 'their settings are different';
  };
}

function settingsOf({ execution, labels, platform }: ResolvedImage): unknown {
  return { execution, labels, platform };
}
