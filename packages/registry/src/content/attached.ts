import pLimit from 'p-limit';
import type { Digest } from '../digest.ts';
import { RegistryError } from '../errors.ts';
import type { Descriptor, VerifiedManifest } from '../oci/types.ts';
import type { OperationOptions } from '../options.ts';
import type { Repository } from '../reference.ts';
import type { Fetcher, ReferrerLister } from './interfaces.ts';

/** A manifest under a tag that names the digest of another: a signature, attestation or SBOM of cosign's. */
export interface DigestTag {
  readonly tag: string;
  readonly manifest: VerifiedManifest;
}

const SUFFIXES = ['sig', 'att', 'sbom'] as const;
const MAX_TAG_LENGTH = 128;
/** Manifests asked about at a time. */
const CONCURRENCY = 4;

/**
 * Finds what is attached to the manifests of a repository. Each is asked about once, so whoever knows early what will be
 * wanted may ask early, and is answered later.
 */
export class Attached {
  readonly #repository: Repository;
  readonly #source: Fetcher & Partial<ReferrerLister>;
  readonly #options: OperationOptions;
  readonly #limit = pLimit(CONCURRENCY);
  readonly #tags = new Map<Digest, Promise<readonly DigestTag[]>>();
  readonly #referrers = new Map<Digest, Promise<readonly Descriptor[]>>();

  constructor(
    repository: Repository,
    source: Fetcher & Partial<ReferrerLister>,
    { signal }: OperationOptions,
  ) {
    this.#repository = repository;
    this.#source = source;
    this.#options = { signal };
  }

  /** Cosign's tags of a manifest that are there. */
  tagsOf(subject: Digest): Promise<readonly DigestTag[]> {
    return once(this.#tags, subject, () => this.#limit(() => this.#findTags(subject)));
  }

  /** What refers to a manifest; nothing where the source cannot tell. */
  referrersOf(subject: Digest): Promise<readonly Descriptor[]> {
    return once(this.#referrers, subject, () => this.#limit(() => this.#list(subject)));
  }

  async #findTags(subject: Digest): Promise<readonly DigestTag[]> {
    const tags = SUFFIXES.map((suffix) => `${subject.replace(':', '-')}.${suffix}`);
    const found = await Promise.all(
      tags.filter((tag) => tag.length <= MAX_TAG_LENGTH).map((tag) => this.#find(tag)),
    );
    return found.filter((one) => one !== undefined);
  }

  async #find(tag: string): Promise<DigestTag | undefined> {
    try {
      const manifest = await this.#source.fetchManifest({ ...this.#repository, tag }, this.#options);
      return { tag, manifest };
    } catch (error) {
      if (error instanceof RegistryError && error.code === 'NOT_FOUND') return undefined;
      throw error;
    }
  }

  async #list(subject: Digest): Promise<readonly Descriptor[]> {
    const descriptors = [];
    const listed = this.#source.referrers?.(this.#repository, subject, this.#options) ?? [];
    for await (const descriptor of listed) descriptors.push(descriptor);
    return descriptors;
  }
}

/** The answer for a digest, asked for once. A failure is for who awaits it; nobody may. */
function once<T>(answers: Map<Digest, Promise<T>>, subject: Digest, ask: () => Promise<T>): Promise<T> {
  const answer = answers.get(subject) ?? ask();
  answers.set(subject, answer);
  answer.catch(() => {});
  return answer;
}
