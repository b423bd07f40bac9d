import {
  formatReference,
  type ImageReference,
  parseReference,
  RegistryClient,
  type ResolvedImage,
} from '@imagevet/registry';
import {
  pushTestImage,
  pushTestIndex,
  startRegistry,
  type TestRegistry,
  type TestRegistryOptions,
} from '@imagevet/registry/testing';
import { resolveLineage } from '../../lineage/resolve-lineage.ts';
import type { Lineage, ProvenanceClaim, ProvenanceSource, SourceHost } from '../../lineage/types.ts';

/** A registry with images, what is claimed of them, and their lineages. */
export interface Family extends AsyncDisposable {
  readonly registry: TestRegistry;
  readonly client: RegistryClient;
  /** `base:1` in the registry. */
  name(text: string): ImageReference;
  /** The canonical text of {@link name}. */
  text(name: string): string;
  /** Pushes an image under an index; `content` makes it another one. `bare` leaves the index out. */
  push(
    name: string,
    image?: { readonly base?: string; readonly content?: string; readonly bare?: boolean },
  ): Promise<ResolvedImage>;
  /** Claims more of an image than the base it was pushed with. */
  claim(name: string, claim: Partial<ProvenanceClaim>): void;
  /** Resolves a lineage, with the Dockerfiles `host` has. */
  lineage(name: string, host?: SourceHost): Promise<Lineage>;
  /** What was asked of the registry since `from`. */
  asked(from: number): readonly string[];
}

/** Starts a registry for a family of images. */
export async function startFamily(options: TestRegistryOptions = {}): Promise<Family> {
  const registry = await startRegistry(options);
  const client = new RegistryClient({ attempts: 1 });
  const images = new Map<string, ResolvedImage>();
  const claims = new Map<string, ProvenanceClaim[]>();
  const name = (text: string) => parseReference(`${registry.host}/${text}`);
  const claim = (text: string, said: Partial<ProvenanceClaim>) => {
    const known = claims.get(text) ?? [];
    claims.set(text, [...known, { kind: 'oci-annotation', foundAt: 'annotations', ...said }]);
  };
  const source: ProvenanceSource = {
    kind: 'oci-annotation',
    async *claims({ reference }) {
      yield* claims.get(`${reference.repository}:${reference.tag}`) ?? [];
    },
  };
  return {
    registry,
    client,
    name,
    text: (text) => formatReference(name(text)),
    async push(text, { base, content = text, bare = false } = {}) {
      const below = base === undefined ? undefined : images.get(base);
      const reference = name(text);
      // The tag is pushed last and once, so that whoever watches it sees one move.
      const own = bare ? reference : { ...reference, tag: `${reference.tag}-platform` };
      const image = await pushTestImage(client, own, {
        layers: [[{ path: 'content', content }]],
        ...(below === undefined ? {} : { base: below }),
      });
      if (!bare) await pushTestIndex(client, reference, [image]);
      images.set(text, image);
      if (base !== undefined && !claims.has(text)) {
        claim(text, { base: { reference: `${registry.host}/${base}` } });
      }
      return image;
    },
    claim,
    lineage: (text, host) =>
      resolveLineage(name(text), {
        registry: client,
        sources: [source],
        ...(host === undefined ? {} : { host }),
      }),
    asked: (from) => registry.requests.slice(from),
    [Symbol.asyncDispose]: () => registry.close(),
  };
}
