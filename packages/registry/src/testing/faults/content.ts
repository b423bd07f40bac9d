import { gzipSync } from 'node:zlib';
import { type Digest, digestOf } from '../../digest.ts';
import { MediaType } from '../../oci/media-types.ts';
import { type Answer, answer } from '../answer.ts';
import type { StoreRequest } from '../registry-store.ts';
import {
  changed,
  type FaultKind,
  type FaultMaker,
  type FaultRule,
  fault,
  instead,
  isBlob,
  isContent,
  isManifest,
  isTagged,
  withHeaders,
} from './fault.ts';

export type ContentFault =
  | 'other-bytes'
  | 'lying-digest'
  | 'no-digest'
  | 'wrong-size'
  | 'gzip-encoding'
  | 'gzip-bomb'
  | 'unknown-encoding'
  | 'image-and-index'
  | 'member-twice'
  | 'other-content-type'
  | 'many-children'
  | 'nested-indexes'
  | 'index-of-itself'
  | 'moving-tag'
  | 'two-faced'
  | 'gone';

/** Answers a tag with another document, which by its digest is there as well. */
function retold(does: string, tell: (bytes: Uint8Array) => Uint8Array, contentType?: string): FaultMaker {
  return {
    does,
    make: () => {
      const told = new Told(contentType);
      return {
        before: (request) => told.byDigest(request),
        after: (request, honest) =>
          isTagged(request) && honest.status === 200 ? told.instead(honest, tell(honest.body)) : honest,
      };
    },
  };
}

/** Documents a registry tells instead of its own. */
class Told {
  readonly #answers = new Map<string, Answer>();
  readonly #contentType: string | undefined;

  constructor(contentType?: string) {
    this.#contentType = contentType;
  }

  byDigest({ method, path }: StoreRequest): Answer | undefined {
    if (method !== 'GET' && method !== 'HEAD') return undefined;
    return this.#answers.get(path.slice(path.lastIndexOf('/') + 1));
  }

  keep(body: Uint8Array, contentType: string): Digest {
    const digest = digestOf(body);
    const headers = { 'content-type': contentType, 'docker-content-digest': digest };
    this.#answers.set(digest, { status: 200, headers, body });
    return digest;
  }

  instead(honest: Answer, body: Uint8Array): Answer {
    const digest = this.keep(body, this.#contentType ?? String(honest.headers['content-type']));
    return this.#answers.get(digest) ?? honest;
  }
}

const document = (bytes: Uint8Array) => JSON.parse(Buffer.from(bytes).toString('utf8'));
const bytesOf = (value: unknown) => Buffer.from(JSON.stringify(value));
const PLATFORM = { os: 'linux', architecture: 'amd64' };
const INDEX = { schemaVersion: 2, mediaType: MediaType.ociIndex };
const childOf = (digest: Digest, size: number) => ({
  ...{ mediaType: MediaType.ociIndex, digest, size, platform: PLATFORM },
});

/** A tag that names a chain of indexes, each there by its digest. */
function nested(depth: number): FaultRule {
  const told = new Told(MediaType.ociIndex);
  let body = bytesOf({ ...INDEX, manifests: [] });
  for (let level = 0; level < depth; level += 1) {
    const digest = told.keep(body, MediaType.ociIndex);
    body = bytesOf({ ...INDEX, manifests: [childOf(digest, body.byteLength)] });
  }
  return {
    before: (request) => told.byDigest(request),
    after: (request, honest) => (isTagged(request) ? told.instead({ ...honest, status: 200 }, body) : honest),
  };
}

/** A tag that names one image, and from the second time on another. */
function moving(): FaultRule {
  const told = new Told();
  return {
    before: (request) => told.byDigest(request),
    after: (request, honest, _places, count) => {
      if (!isTagged(request) || honest.status !== 200) return honest;
      const moved = { ...document(honest.body), annotations: { moved: 'yes' } };
      return count === 1 ? { ...honest } : told.instead(honest, bytesOf(moved));
    },
  };
}

/** A tag that names another image for those who sign in. */
function twoFaced(): FaultRule {
  const told = new Told();
  return {
    before: (request) => told.byDigest(request),
    after: (request, honest) => {
      if (!isTagged(request) || honest.status !== 200 || request.headers.authorization === undefined)
        return honest;
      return told.instead(honest, bytesOf({ ...document(honest.body), annotations: { face: 'other' } }));
    },
  };
}

/** S6, S8, S9, S10, S15 and rows 14 to 18 and 24: other content than was asked for. */
export const content: FaultKind<ContentFault> = {
  threat: 'content',
  faults: {
    'other-bytes': changed('changes the last byte of content', isContent, (honest) => ({
      ...honest,
      body: mangled(honest.body),
    })),
    'lying-digest': changed(
      'gives manifests a Docker-Content-Digest that is not theirs',
      ({ path }) => path.includes('/manifests/'),
      (honest) => withHeaders(honest, { 'docker-content-digest': `sha256:${'0'.repeat(64)}` }),
    ),
    'no-digest': fault('leaves Docker-Content-Digest out', {
      after: (_request, honest) => {
        const { 'docker-content-digest': _digest, ...headers } = honest.headers;
        return { ...honest, headers };
      },
    }),
    'wrong-size': changed('adds bytes to blobs', isBlob, (honest) => ({
      ...honest,
      body: Buffer.concat([honest.body, Buffer.from('more')]),
    })),
    'gzip-encoding': changed('encodes content in gzip unasked', isContent, (honest) =>
      withHeaders({ ...honest, body: gzipSync(honest.body) }, { 'content-encoding': 'gzip' }),
    ),
    'gzip-bomb': changed('encodes 64 MiB of zeros in gzip', isContent, (honest) => {
      const body = gzipSync(Buffer.alloc(64 * 1024 * 1024));
      return withHeaders({ ...honest, body }, { 'content-encoding': 'gzip' });
    }),
    'unknown-encoding': changed('claims another content encoding', isContent, (honest) =>
      withHeaders(honest, { 'content-encoding': 'br' }),
    ),
    'image-and-index': retold('gives an image the members of an index too (CVE-2021-41190)', (bytes) =>
      bytesOf({ ...document(bytes), manifests: [] }),
    ),
    'member-twice': retold('names a member of a manifest twice', (bytes) =>
      Buffer.from(`{"layers":[],${Buffer.from(bytes).toString('utf8').slice(1)}`),
    ),
    'other-content-type': changed('calls a manifest an index', isManifest, (honest) =>
      withHeaders(honest, { 'content-type': MediaType.ociIndex }),
    ),
    'many-children': retold(
      'answers tags with an index of 20,000 children',
      () => {
        const child = childOf(digestOf('child'), 1);
        return bytesOf({ ...INDEX, manifests: Array.from({ length: 20_000 }, () => child) });
      },
      MediaType.ociIndex,
    ),
    'nested-indexes': { does: 'answers tags with indexes nested thirty deep', make: () => nested(30) },
    'index-of-itself': fault('answers every manifest with an index that names what was asked for', {
      after: (request, honest) => {
        if (!isManifest(request)) return honest;
        const name = request.path.slice(request.path.lastIndexOf('/') + 1);
        const digest = name.startsWith('sha256:') ? (name as Digest) : digestOf('itself');
        const body = bytesOf({ ...INDEX, manifests: [childOf(digest, 1)] });
        return answer(200, { 'content-type': MediaType.ociIndex }, body);
      },
    }),
    'moving-tag': { does: 'moves a tag after it was asked for once', make: moving },
    'two-faced': { does: 'shows those who sign in another image', make: twoFaced },
    gone: instead('has no content any more', isAnyContent, ({ path }) =>
      answer(404, {}, path.includes('/manifests/') ? MANIFEST_UNKNOWN : BLOB_UNKNOWN),
    ),
  },
};

const MANIFEST_UNKNOWN = '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}';
const BLOB_UNKNOWN = '{"errors":[{"code":"BLOB_UNKNOWN"}]}';

function isAnyContent(request: StoreRequest): boolean {
  const { method, path } = request;
  return isContent(request) || (method === 'HEAD' && /\/(?:manifests|blobs)\//.test(path));
}

function mangled(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1;
  return copy;
}
