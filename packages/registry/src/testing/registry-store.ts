import { digestAlgorithm, digestOf, isDigest } from '../digest.ts';
import { manifestDigest } from '../oci/schema1.ts';
import { type Answer, answer, errorAnswer, jsonAnswer } from './answer.ts';

/** One request to a registry, read whole. */
export interface StoreRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Uint8Array;
}

interface RepositoryStore {
  readonly manifests: Map<string, { readonly bytes: Uint8Array; readonly mediaType: string }>;
  readonly tags: Map<string, string>;
  readonly blobs: Set<string>;
}

interface Upload {
  readonly repository: string;
  readonly chunks: Uint8Array[];
  size: number;
}

const ROUTE = /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/(.*)$/;

/** What a registry holds, in memory, and how it answers. @see OCI distribution-spec */
export class RegistryStore {
  readonly blobs: Map<string, Uint8Array> = new Map();
  readonly #repositories = new Map<string, RepositoryStore>();
  readonly #uploads = new Map<string, Upload>();
  readonly #servesReferrers: boolean;
  readonly #pageSize: number;
  #nextUpload = 1;

  constructor(options: { readonly referrers: boolean; readonly pageSize: number }) {
    this.#servesReferrers = options.referrers;
    this.#pageSize = options.pageSize;
  }

  answer(request: StoreRequest): Answer {
    const { path, query } = request;
    if (path === '/v2/' || path === '/v2') return jsonAnswer(200, {});
    if (path === '/v2/_catalog') {
      return this.#page([...this.#repositories.keys()], query, path, (repositories) => ({ repositories }));
    }
    const match = ROUTE.exec(path);
    if (match === null) return errorAnswer(404, 'NAME_UNKNOWN');
    const [, name = '', area, rest = ''] = match;
    if (area === 'manifests') return this.#manifests(request, name, rest);
    if (area === 'tags') return this.#tags(name, query, path);
    if (area === 'referrers') return this.#referrers(name, rest, query);
    if (rest.startsWith('uploads/')) return this.#upload(request, name, rest.slice('uploads/'.length));
    return this.#blob(request, name, rest);
  }

  #repository(name: string): RepositoryStore {
    let repository = this.#repositories.get(name);
    if (repository === undefined) {
      repository = { manifests: new Map(), tags: new Map(), blobs: new Set() };
      this.#repositories.set(name, repository);
    }
    return repository;
  }

  #manifests(request: StoreRequest, name: string, reference: string): Answer {
    if (request.method === 'PUT') return this.#putManifest(request, name, reference);
    const repository = this.#repositories.get(name);
    if (repository === undefined) return errorAnswer(404, 'NAME_UNKNOWN');
    const digest = isDigest(reference) ? reference : repository.tags.get(reference);
    const stored = digest === undefined ? undefined : repository.manifests.get(digest);
    if (digest === undefined || stored === undefined) return errorAnswer(404, 'MANIFEST_UNKNOWN');
    if (request.method === 'DELETE') {
      if (isDigest(reference)) repository.manifests.delete(digest);
      for (const [tag, target] of repository.tags) {
        if (tag === reference || (isDigest(reference) && target === digest)) repository.tags.delete(tag);
      }
      return answer(202);
    }
    return answer(200, { 'content-type': stored.mediaType, 'docker-content-digest': digest }, stored.bytes);
  }

  #putManifest(request: StoreRequest, name: string, reference: string): Answer {
    const bytes = request.body;
    const type = String(request.headers['content-type'] ?? '');
    const digest = manifestDigest(bytes, type, isDigest(reference) ? digestAlgorithm(reference) : 'sha256');
    if (isDigest(reference) && reference !== digest) return errorAnswer(400, 'DIGEST_INVALID');
    const repository = this.#repository(name);
    repository.manifests.set(digest, { bytes, mediaType: type });
    if (!isDigest(reference)) repository.tags.set(reference, digest);
    const subject = readMember(bytes, 'subject') as { readonly digest?: string } | undefined;
    return answer(201, {
      location: `/v2/${name}/manifests/${digest}`,
      'docker-content-digest': digest,
      ...(subject?.digest !== undefined && this.#servesReferrers ? { 'oci-subject': subject.digest } : {}),
    });
  }

  #tags(name: string, query: URLSearchParams, path: string): Answer {
    const repository = this.#repositories.get(name);
    if (repository === undefined) return errorAnswer(404, 'NAME_UNKNOWN');
    return this.#page([...repository.tags.keys()], query, path, (tags) => ({ name, tags }));
  }

  #page(
    names: string[],
    query: URLSearchParams,
    path: string,
    document: (names: string[]) => unknown,
  ): Answer {
    const last = query.get('last') ?? '';
    const size = Math.min(Number(query.get('n') ?? this.#pageSize), this.#pageSize);
    const after = names.sort().filter((name) => name > last);
    const page = after.slice(0, size);
    const more = after.length > page.length;
    const link = `<${path}?${new URLSearchParams({ n: String(size), last: page.at(-1) ?? '' })}>; rel="next"`;
    return jsonAnswer(200, document(page), more ? { link } : {});
  }

  #referrers(name: string, subject: string, query: URLSearchParams): Answer {
    if (!this.#servesReferrers) return answer(404, { 'content-type': 'text/plain' }, '404 page not found\n');
    const wanted = query.get('artifactType');
    const manifests = [...(this.#repositories.get(name)?.manifests ?? [])].flatMap(([digest, stored]) => {
      const named = readMember(stored.bytes, 'subject') as { readonly digest?: string } | undefined;
      if (named?.digest !== subject) return [];
      const config = readMember(stored.bytes, 'config') as { readonly mediaType?: string } | undefined;
      const artifactType = readMember(stored.bytes, 'artifactType') ?? config?.mediaType;
      if (wanted !== null && artifactType !== wanted) return [];
      const annotations = readMember(stored.bytes, 'annotations');
      return [
        { mediaType: stored.mediaType, digest, size: stored.bytes.byteLength, artifactType, annotations },
      ];
    });
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    const filtered: Record<string, string> = wanted === null ? {} : { 'oci-filters-applied': 'artifactType' };
    return jsonAnswer(
      200,
      { schemaVersion: 2, mediaType, manifests },
      { 'content-type': mediaType, ...filtered },
    );
  }

  #blob(request: StoreRequest, name: string, digest: string): Answer {
    const repository = this.#repositories.get(name);
    const bytes = repository?.blobs.has(digest) === true ? this.blobs.get(digest) : undefined;
    if (bytes === undefined) return errorAnswer(404, 'BLOB_UNKNOWN');
    if (request.method === 'DELETE') {
      repository?.blobs.delete(digest);
      return answer(202);
    }
    const headers = {
      'content-type': 'application/octet-stream',
      'docker-content-digest': digest,
      'accept-ranges': 'bytes',
    };
    const range = /^bytes=(\d+)-(\d*)$/.exec(String(request.headers.range ?? ''));
    if (range === null) return answer(200, headers, bytes);
    const start = Number(range[1]);
    if (start >= bytes.byteLength) return errorAnswer(416, 'SIZE_INVALID');
    const end = range[2] === '' ? bytes.byteLength : Math.min(Number(range[2]) + 1, bytes.byteLength);
    const place = { 'content-range': `bytes ${start}-${end - 1}/${bytes.byteLength}` };
    return answer(206, { ...headers, ...place }, bytes.subarray(start, end));
  }

  #upload(request: StoreRequest, name: string, session: string): Answer {
    if (request.method === 'POST') return this.#startUpload(request, name);
    const upload = this.#uploads.get(session);
    if (upload === undefined || upload.repository !== name) return errorAnswer(404, 'BLOB_UPLOAD_UNKNOWN');
    const location = `/v2/${name}/blobs/uploads/${session}`;
    const progress = () => ({
      location,
      range: `0-${Math.max(0, upload.size - 1)}`,
      'docker-upload-uuid': session,
    });
    if (request.method === 'DELETE') {
      this.#uploads.delete(session);
      return answer(204);
    }
    if (request.method === 'GET') return answer(204, progress());
    const start = /^(\d+)-/.exec(String(request.headers['content-range'] ?? ''));
    if (start !== null && Number(start[1]) !== upload.size) return answer(416, progress());
    upload.chunks.push(request.body);
    upload.size += request.body.byteLength;
    if (request.method === 'PATCH') return answer(202, progress());
    this.#uploads.delete(session);
    return this.#keepBlob(name, Buffer.concat(upload.chunks), request.query.get('digest') ?? '');
  }

  #startUpload(request: StoreRequest, name: string): Answer {
    const mount = request.query.get('mount');
    const from = request.query.get('from');
    if (mount !== null && from !== null && this.#repositories.get(from)?.blobs.has(mount) === true) {
      this.#repository(name).blobs.add(mount);
      return answer(201, { location: `/v2/${name}/blobs/${mount}`, 'docker-content-digest': mount });
    }
    const whole = request.query.get('digest');
    if (whole !== null) return this.#keepBlob(name, request.body, whole);
    const session = `upload-${this.#nextUpload++}`;
    this.#uploads.set(session, { repository: name, chunks: [], size: 0 });
    const location = `/v2/${name}/blobs/uploads/${session}`;
    return answer(202, { location, range: '0-0', 'docker-upload-uuid': session });
  }

  #keepBlob(name: string, bytes: Uint8Array, digest: string): Answer {
    if (!isDigest(digest) || digestOf(bytes, digestAlgorithm(digest)) !== digest)
      return errorAnswer(400, 'DIGEST_INVALID');
    this.blobs.set(digest, bytes);
    this.#repository(name).blobs.add(digest);
    return answer(201, { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest });
  }
}

/** A member of a stored document; a registry does not mind what is no JSON. */
function readMember(bytes: Uint8Array, member: string): unknown {
  try {
    const document: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return (document as Readonly<Record<string, unknown>> | null)?.[member];
  } catch {
    return undefined;
  }
}
