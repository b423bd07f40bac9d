import { formatReference, ImagevetError, type Platform, type ResolvedImage } from '@imagevet/registry';
import type { Gap } from '../../errors.ts';
import type { ProvenanceClaim, ProvenanceKind, ProvenanceSource, SourceHost } from '../types.ts';
import { buildTimeOf } from './build-time.ts';
import { type AskOptions, askSource, mergeAnswers, type SourceAnswer } from './claims.ts';
import type { ShownImage, ShownSubject } from './show-image.ts';

/** Who is asked about an image, and how. */
export interface AskSourcesOptions extends AskOptions {
  readonly sources: readonly ProvenanceSource[];
  readonly platform: Platform;
  /** Asks as of the image's build; else as of the time its name is known until. */
  readonly atBuild: boolean;
  /** Tells when a commit was made. */
  readonly host?: SourceHost;
  /** Is told of claims that were made without the image, while it may still be on its way. */
  readonly onEarlyClaims?: (claims: readonly ProvenanceClaim[]) => void;
}

/** What all sources said of an image, and as of when. */
export interface AskedSources extends SourceAnswer {
  readonly asOf?: Date;
  readonly buildTimeDoubt?: string;
}

/** What these say belongs to the image, whenever they are asked. */
const UNDATED: readonly ProvenanceKind[] = ['buildkit-attestation', 'oci-annotation', 'image-label'];

/**
 * Asks every source. Those that go by the name are asked while the image is being read; as of its build they wait for what
 * the image says of its build, and where it does not say are asked as of the time its name is known until: that its child was
 * built.
 */
export async function askSources(
  subject: ShownSubject,
  showing: Promise<ShownImage>,
  options: AskSourcesOptions,
): Promise<AskedSources> {
  const { reference, id } = subject;
  const { sources, platform, atBuild } = options;
  const about = (asOf: Date | undefined, image?: ResolvedImage) => ({
    ...{ reference, platform },
    ...(image === undefined ? {} : { image }),
    ...(asOf === undefined ? {} : { asOf }),
  });
  if (!atBuild) {
    const asOf = subject.upTo;
    const ask = async (source: ProvenanceSource) => {
      if (source.needsImage !== false) {
        return askSource(source, about(asOf, (await showing).image), id, options);
      }
      const answer = await askSource(source, about(asOf), id, options);
      options.onEarlyClaims?.(answer.claims);
      return answer;
    };
    const answers = mergeAnswers(await Promise.all(sources.map(ask)));
    return asOf === undefined ? answers : { ...answers, asOf };
  }
  const { image } = await showing;
  const askAll = async (asOf: Date | undefined, undated: boolean) =>
    new Map(
      await Promise.all(
        sources
          .filter(({ kind }) => UNDATED.includes(kind) === undated)
          .map(async (source) => [source, await askSource(source, about(asOf, image), id, options)] as const),
      ),
    );
  const own = await askAll(undefined, true);
  const { claims } = mergeAnswers([...own.values()]);
  const { asOf, ...when } = await buildTime(subject, image, claims, options);
  const dated = await askAll(asOf, false);
  const answers = mergeAnswers(sources.flatMap((source) => own.get(source) ?? dated.get(source) ?? []));
  return {
    claims: answers.claims,
    gaps: [...answers.gaps, ...when.gaps],
    ...(asOf === undefined ? {} : { asOf }),
    ...(when.doubt === undefined ? {} : { buildTimeDoubt: when.doubt }),
  };
}

async function buildTime(
  { id, reference, upTo }: ShownSubject,
  image: ResolvedImage | undefined,
  claims: readonly ProvenanceClaim[],
  options: AskSourcesOptions,
): Promise<{ readonly asOf?: Date; readonly doubt?: string; readonly gaps: readonly Gap[] }> {
  if (image === undefined) return upTo === undefined ? { gaps: [] } : { asOf: upTo, gaps: [] };
  const committed = await committedAt(claims, id, options);
  const said = buildTimeOf(image, claims, committed.time);
  const isAfterChild = said.time !== undefined && upTo !== undefined && said.time > upTo;
  const { time } = isAfterChild ? {} : said;
  const doubt = isAfterChild
    ? `${said.time?.toISOString()} is after the build of what is built on it`
    : said.doubt;
  const asOf = time ?? upTo;
  const flag = doubt === undefined ? {} : { doubt };
  if (asOf !== undefined) return { asOf, ...flag, gaps: committed.gaps };
  const reason = doubt ?? 'nothing says';
  const message = `when ${formatReference(reference)} was built is not known (${reason}): its sources were asked as of now`;
  const gap: Gap = { stage: 'provenance', code: 'BUILD_TIME_UNKNOWN', message, node: id };
  return { ...flag, gaps: [...committed.gaps, gap] };
}

/** When the commit was made that the image itself says it is from. */
async function committedAt(
  claims: readonly ProvenanceClaim[],
  node: string,
  { host, signal }: AskSourcesOptions,
): Promise<{ readonly time?: Date; readonly gaps: readonly Gap[] }> {
  const location = claims.find((claim) => claim.location !== undefined)?.location;
  if (location === undefined || host?.supports(location.repository) !== true) return { gaps: [] };
  try {
    const time = await host.committedAt?.(location.repository, location.commit, { signal });
    return time === undefined ? { gaps: [] } : { time, gaps: [] };
  } catch (error) {
    signal.throwIfAborted();
    if (!ImagevetError.is(error)) throw error;
    const message = `when ${location.repository} ${location.commit} was committed could not be asked: ${error.message}`;
    return { gaps: [{ stage: 'provenance', code: error.code, message, node }] };
  }
}
