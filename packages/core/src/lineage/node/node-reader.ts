import {
  type Digest,
  formatPlatform,
  type ImageReference,
  type Platform,
  withDefaultTag,
} from '@imagevet/registry';
import { type BaseTarget, baseTargetOf } from '../base/base-target.ts';
import { findParent, type ParentSearch } from '../base/find-parent.ts';
import { type NamedBase, readNamedBases, readOtherNames } from '../base/named-bases.ts';
import { idOf, takenOn } from '../base/names.ts';
import type { LineageCache } from '../lineage-cache.ts';
import { limitsOf, type ResolveLineageOptions } from '../options.ts';
import { limitedHost, sharedHost } from '../shared-services.ts';
import { imageReader } from './read-image.ts';
import { type NodeReading, type ReadNodeServices, readNode } from './read-node.ts';
import type { ShownSubject } from './show-image.ts';

/**
 * Reads the images of one lineage, each once, and those below an image as soon as their names are known. What is read ahead
 * changes only when answers come, never which are used: a walk asks for each in its own order, and nobody else looks at them.
 */
export class NodeReader {
  readonly #readings = new Map<string, Promise<NodeReading>>();
  readonly #searches = new WeakMap<NodeReading, Promise<ParentSearch>>();
  readonly #otherNames = new WeakMap<NodeReading, Promise<readonly NamedBase[]>>();
  readonly #options: ResolveLineageOptions;
  readonly #services: Omit<ReadNodeServices, 'platform' | 'readImage'>;
  readonly #onPlatform = new Map<string, ReadNodeServices>();

  constructor(
    options: ResolveLineageOptions,
    services: {
      readonly cache: LineageCache;
      readonly signal: AbortSignal;
    },
  ) {
    const { registry, host, sources, buildArgs, onProgress, asOf } = options;
    const { cache } = services;
    this.#options = options;
    this.#services = {
      ...{ ...services, sources, buildArgs, onProgress, atBuild: asOf === 'build' },
      ...(registry === undefined ? {} : { readForeign: imageReader(registry, undefined, services) }),
      ...(host === undefined ? {} : { host: limitedHost(sharedHost(host, cache), cache) }),
    };
  }

  /** Who is asked about images of a platform. */
  #servicesOn(platform: Platform): ReadNodeServices {
    const name = formatPlatform(platform);
    const known = this.#onPlatform.get(name);
    if (known !== undefined) return known;
    const { registry } = this.#options;
    const services = {
      ...{ ...this.#services, platform },
      ...(registry === undefined ? {} : { readImage: imageReader(registry, platform, this.#services) }),
    };
    this.#onPlatform.set(name, services);
    return services;
  }

  /** Reads an image; `depth` is the number of images on the way to it, itself included. */
  read(subject: ShownSubject, depth: number): Promise<NodeReading> {
    const key = JSON.stringify([subject.id, subject.pinned, subject.upTo?.getTime()]);
    const known = this.#readings.get(key);
    if (known !== undefined) return known;
    this.#options.onProgress?.({ type: 'image-resolving', node: subject.id, depth: depth - 1 });
    const reading = readNode(subject, this.#servicesOn(subject.platform));
    this.#readings.set(key, reading);
    reading.then((read) => this.#readAhead(read, depth)).catch(() => {}); // whoever asks for it sees the failure
    return reading;
  }

  /** What else is said to be the base of an image, and which image it was when only its tag is named. */
  search(reading: NodeReading, target: BaseTarget & { kind: 'image' }): Promise<ParentSearch> {
    const known = this.#searches.get(reading);
    if (known !== undefined) return known;
    const found = this.#search(reading, target);
    this.#searches.set(reading, found);
    return found;
  }

  async #search(
    { image, claims, asOf, subject }: NodeReading,
    { named, pinned, platform = subject.platform }: BaseTarget & { kind: 'image' },
  ): Promise<ParentSearch> {
    const { otherVersions } = this.#options;
    if (image === undefined) return { named: [] };
    const services = this.#servicesOn(platform);
    if (pinned !== undefined) {
      return { named: await readNamedBases(claims, named, { ...services, pinned }) };
    }
    return findParent(image, named, claims, {
      ...services,
      ...(otherVersions === undefined ? {} : { otherVersions }),
      ...(asOf === undefined ? {} : { asOf }),
    });
  }

  /** What is said to be the base under another name and without a digest; nothing waits for it but the verdict on the edge. */
  otherNames(
    reading: NodeReading,
    { named, platform }: BaseTarget & { kind: 'image' },
  ): Promise<readonly NamedBase[]> {
    const known = this.#otherNames.get(reading);
    if (known !== undefined) return known;
    const { image, claims, subject } = reading;
    const services = this.#servicesOn(platform ?? subject.platform);
    const found = image === undefined ? Promise.resolve([]) : readOtherNames(claims, named, services);
    this.#otherNames.set(reading, found);
    return found;
  }

  /** The base of an image as it is to be read. */
  async base(reading: NodeReading, target: BaseTarget & { kind: 'image' }): Promise<ShownSubject> {
    const pinned = target.pinned ?? (await this.search(reading, target)).digest;
    return this.#subject(reading, { ...target, pinned });
  }

  /**
   * The base of an image that has the name of an image built on it: an image that is updated from itself, say. What had the name
   * before is another image, and goes by its digest; undefined when nothing proves or names it.
   */
  async earlier(
    reading: NodeReading,
    target: BaseTarget & { kind: 'image' },
  ): Promise<ShownSubject | undefined> {
    const digest = target.pinned ?? (await this.search(reading, target)).digest;
    const own = [reading.image?.manifest.digest, reading.image?.index?.digest];
    if (digest === undefined || own.includes(digest)) return undefined;
    const named = { ...target.named, tag: undefined, digest };
    return this.#subject(reading, { ...target, named, pinned: digest });
  }

  /** Another image a Dockerfile names as it is to be read. */
  input(reading: NodeReading, reference: ImageReference, on?: string): ShownSubject {
    const named = withDefaultTag(reference);
    return this.#subject(reading, { named, pinned: named.digest, ...takenOn(on) });
  }

  #subject(
    { asOf, subject }: NodeReading,
    {
      named: reference,
      pinned,
      platform: on = subject.platform,
    }: { readonly named: ImageReference; readonly pinned?: Digest; readonly platform?: Platform },
  ): ShownSubject {
    // A `--platform` does not say which version of Windows.
    const platform = formatPlatform(on) === formatPlatform(subject.platform) ? subject.platform : on;
    return {
      ...{ id: idOf(reference, platform), reference, platform, isRoot: false },
      ...(pinned === undefined ? {} : { pinned }),
      ...(asOf === undefined ? {} : { upTo: asOf }),
    };
  }

  /** Reads no more ahead than a walk may visit; one that turns another way reads for itself. */
  async #readAhead(reading: NodeReading, depth: number): Promise<void> {
    const { maxDepth, maxImages } = limitsOf(this.#options);
    const readOne = (subject: ShownSubject) => {
      if (depth < maxDepth && this.#readings.size < maxImages) void this.read(subject, depth + 1);
    };
    const target = baseTargetOf(reading);
    const isNamed = target.kind === 'image' && depth < maxDepth;
    const basing = isNamed ? this.base(reading, target) : undefined;
    if (isNamed) {
      // The walk asks for them, and sees the failure.
      this.search(reading, target).catch(() => {});
      this.otherNames(reading, target).catch(() => {});
    }
    for (const { kind, name, platform } of reading.inputs) {
      if (kind === 'base' || name.kind !== 'image') continue;
      readOne(this.input(reading, name.reference, platform));
    }
    if (basing !== undefined) readOne(await basing);
  }
}
