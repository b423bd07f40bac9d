import type { ResolvedImage } from '@imagevet/registry';
import type { ProvenanceClaim } from '../types.ts';

/** When an image was built, as far as it says so itself. */
export interface BuildTime {
  /** Absent when nothing says, and when what says so is not to be believed. */
  readonly time?: Date;
  /** Why the time an image gives is not taken for the time of its build. */
  readonly doubt?: string;
}

const CREATED = 'org.opencontainers.image.created';
const DAY_MS = 24 * 60 * 60 * 1000;
/** Years that stand for "no time": where Unix and where DOS and zip begin to count. */
const NO_YEARS: readonly number[] = [1970, 1980];

/**
 * Tells when an image was built: by its provenance, its annotation, or its config. A time that a build was told to write
 * (`SOURCE_DATE_EPOCH`) is not when it ran: midnight, the years 1970 and 1980, and the time of the commit it was built from.
 *
 * @param committedAt when the commit it was built from was made, if known
 */
export function buildTimeOf(
  image: ResolvedImage | undefined,
  claims: readonly ProvenanceClaim[],
  committedAt?: Date,
): BuildTime {
  const attested = claims.find(
    ({ kind, finishedOn }) => kind === 'buildkit-attestation' && parse(finishedOn) !== undefined,
  );
  const finished = parse(attested?.finishedOn);
  if (finished !== undefined) return { time: finished };
  const written = [image?.annotations[CREATED], image?.created].flatMap((text) => parse(text) ?? []);
  const believed = written.find((time) => doubtOf(time, committedAt) === undefined);
  if (believed !== undefined) return { time: believed };
  const [first] = written;
  const doubt = first === undefined ? undefined : doubtOf(first, committedAt);
  return first === undefined || doubt === undefined ? {} : { doubt: `${first.toISOString()} is ${doubt}` };
}

/** Tells whether a time stands for none. */
export function isNoTime(time: Date): boolean {
  return NO_YEARS.includes(time.getUTCFullYear());
}

function doubtOf(time: Date, committedAt: Date | undefined): string | undefined {
  const seconds = (date: Date) => Math.floor(date.getTime() / 1000);
  if (isNoTime(time)) return 'where a clock begins';
  if (committedAt !== undefined && seconds(time) === seconds(committedAt)) return 'the time of its commit';
  return time.getTime() % DAY_MS === 0 ? 'midnight to the millisecond' : undefined;
}

function parse(text: string | undefined): Date | undefined {
  const time = new Date(text ?? '');
  return Number.isNaN(time.getTime()) ? undefined : time;
}
