import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { digestOf, isDigest } from '../digest.ts';

/** A registry in this process. */
export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:<port>`, usable as the registry of a reference. */
  readonly host: string;
  readonly url: string;
  /** What was asked, oldest first: `GET /v2/...`. */
  readonly requests: readonly string[];
  /** Replaces a stored blob's bytes without renaming it: content that does not match its digest. */
  corruptBlob(digest: string, bytes: Uint8Array): void;
  close(): Promise<void>;
}

/** Options of {@link startRegistry}. */
export interface TestRegistryOptions {
  /** Wants Basic authentication with these credentials. */
  readonly basic?: { readonly username: string; readonly password: string };
  /** Serves the referrers API. @defaultValue true */
  readonly referrers?: boolean;
  /** Answers before the registry does; return true when answered. For faults of your own. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>;
}

interface Stored {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

interface RepositoryStore {
  readonly manifests: Map<string, Stored>;
  readonly tags: Map<string, string>;
  readonly blobs: Set<string>;
}

const MAX_BODY_BYTES = 1024 * 1024 * 1024;

/**
 * Starts an OCI 1.1 registry on loopback that keeps everything in memory: manifests, blobs, uploads in one piece or in
 * chunks, mounts, tag pages, referrers, deletion. For tests and demonstrations.
 *
 * @see OCI distribution-spec
 */
export async function startRegistry(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const state = new RegistryState(options);
  const server = createServer((request, response) => {
    state.handle(request, response).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500);
      response.end(String(error));
    });
  });
  await listen(server);
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return {
    host: `127.0.0.1:${port}`,
    url: `http://127.0.0.1:${port}`,
    requests: state.requests,
    corruptBlob: (digest, bytes) => state.blobs.set(digest, bytes),
    close,
    [Symbol.asyncDispose]: close,
  };
}

class RegistryState {
  readonly requests: string[] = [];
  readonly blobs = new Map<string, Uint8Array>();
  readonly #repositories = new Map<string, RepositoryStore>();
  readonly #uploads = new Map<
    string,
    { readonly repository: string; readonly chunks: Uint8Array[]; size: number }
  >();
  readonly #options: TestRegistryOptions;
  #nextUpload = 1;

  constructor(options: TestRegistryOptions) {
    this.#options = options;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push(`${request.method} ${request.url}`);
    if ((await this.#options.intercept?.(request, response)) === true) return;
    if (!this.#authorized(request)) {
      response.setHeader('www-authenticate', 'Basic realm="test registry"');
      return fail(response, 401, 'UNAUTHORIZED');
    }
    const url = new URL(request.url ?? '/', 'http://registry');
    const path = decodeURIComponent(url.pathname);
    if (path === '/v2/' || path === '/v2') return send(response, 200, {}, '{}');
    if (path === '/v2/_catalog')
      return sendJson(response, 200, { repositories: [...this.#repositories.keys()].sort() });
    const match = /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/(.*)$/.exec(path);
    if (match === null) return fail(response, 404, 'NAME_UNKNOWN');
    const [, name = '', area, rest = ''] = match;
    if (area === 'manifests') return this.#manifests(request, response, name, rest);
    if (area === 'tags') return this.#tags(response, name, url.searchParams);
    if (area === 'referrers') return this.#referrers(response, name, rest, url.searchParams);
    if (rest.startsWith('uploads/'))
      return this.#upload(request, response, name, rest.slice(8), url.searchParams);
    return this.#blob(request, response, name, rest);
  }

  #authorized(request: IncomingMessage): boolean {
    const { basic } = this.#options;
    if (basic === undefined) return true;
    const expected = Buffer.from(`${basic.username}:${basic.password}`).toString('base64');
    return request.headers.authorization === `Basic ${expected}`;
  }

  #store(name: string): RepositoryStore {
    const known = this.#repositories.get(name);
    if (known !== undefined) return known;
    const fresh: RepositoryStore = { manifests: new Map(), tags: new Map(), blobs: new Set() };
    this.#repositories.set(name, fresh);
    return fresh;
  }

  async #manifests(request: IncomingMessage, response: ServerResponse, name: string, reference: string) {
    if (request.method === 'PUT') {
      const bytes = await readAll(request);
      const digest = digestOf(bytes);
      if (isDigest(reference) && reference !== digest) return fail(response, 400, 'DIGEST_INVALID');
      const store = this.#store(name);
      store.manifests.set(digest, { bytes, mediaType: request.headers['content-type'] ?? '' });
      if (!isDigest(reference)) store.tags.set(reference, digest);
      const { subject } = JSON.parse(Buffer.from(bytes).toString('utf8')) as {
        subject?: { digest?: string };
      };
      const headers: Record<string, string> = {
        location: `/v2/${name}/manifests/${digest}`,
        'docker-content-digest': digest,
      };
      if (subject?.digest !== undefined && this.#options.referrers !== false)
        headers['oci-subject'] = subject.digest;
      return send(response, 201, headers, '');
    }
    const store = this.#repositories.get(name);
    const digest = isDigest(reference) ? reference : store?.tags.get(reference);
    const stored = digest === undefined ? undefined : store?.manifests.get(digest);
    if (store === undefined || digest === undefined || stored === undefined) {
      return fail(response, 404, store === undefined ? 'NAME_UNKNOWN' : 'MANIFEST_UNKNOWN');
    }
    if (request.method === 'DELETE') {
      if (isDigest(reference)) store.manifests.delete(digest);
      for (const [tag, target] of store.tags) {
        if (tag === reference || (isDigest(reference) && target === digest)) store.tags.delete(tag);
      }
      return send(response, 202, {}, '');
    }
    const headers = {
      'content-type': stored.mediaType,
      'docker-content-digest': digest,
      'content-length': String(stored.bytes.byteLength),
    };
    return send(response, 200, headers, request.method === 'HEAD' ? '' : stored.bytes);
  }

  #tags(response: ServerResponse, name: string, query: URLSearchParams): void {
    const store = this.#repositories.get(name);
    if (store === undefined) return fail(response, 404, 'NAME_UNKNOWN');
    const last = query.get('last') ?? '';
    const size = Number(query.get('n') ?? Number.POSITIVE_INFINITY);
    const after = [...store.tags.keys()].sort().filter((tag) => tag > last);
    const tags = after.slice(0, size);
    const headers: Record<string, string> = {};
    if (after.length > tags.length) {
      headers.link = `</v2/${name}/tags/list?n=${size}&last=${tags.at(-1)}>; rel="next"`;
    }
    sendJson(response, 200, { name, tags }, headers);
  }

  #referrers(response: ServerResponse, name: string, subject: string, query: URLSearchParams): void {
    if (this.#options.referrers === false)
      return send(response, 404, { 'content-type': 'text/plain' }, 'not found');
    const wanted = query.get('artifactType');
    const manifests = [...(this.#repositories.get(name)?.manifests ?? [])].flatMap(([digest, stored]) => {
      const document = JSON.parse(Buffer.from(stored.bytes).toString('utf8')) as Record<string, never>;
      if ((document.subject as { digest?: string } | undefined)?.digest !== subject) return [];
      const artifactType =
        document.artifactType ?? (document.config as { mediaType?: string } | undefined)?.mediaType;
      if (wanted !== null && artifactType !== wanted) return [];
      return [
        {
          mediaType: stored.mediaType,
          digest,
          size: stored.bytes.byteLength,
          artifactType,
          annotations: document.annotations,
        },
      ];
    });
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    const headers: Record<string, string> = { 'content-type': mediaType };
    if (wanted !== null) headers['oci-filters-applied'] = 'artifactType';
    sendJson(response, 200, { schemaVersion: 2, mediaType, manifests }, headers);
  }

  #blob(request: IncomingMessage, response: ServerResponse, name: string, digest: string): void {
    const bytes =
      this.#repositories.get(name)?.blobs.has(digest) === true ? this.blobs.get(digest) : undefined;
    if (bytes === undefined) return fail(response, 404, 'BLOB_UNKNOWN');
    if (request.method === 'DELETE') {
      this.#repositories.get(name)?.blobs.delete(digest);
      return send(response, 202, {}, '');
    }
    const headers: Record<string, string> = {
      'content-type': 'application/octet-stream',
      'docker-content-digest': digest,
      'accept-ranges': 'bytes',
    };
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const start = Number(range?.[1] ?? 0);
    if (range !== null && start >= bytes.byteLength) return fail(response, 416, 'SIZE_INVALID');
    const end =
      range === null || range[2] === '' ? bytes.byteLength : Math.min(Number(range[2]) + 1, bytes.byteLength);
    const part = bytes.subarray(start, end);
    headers['content-length'] = String(part.byteLength);
    if (range !== null) headers['content-range'] = `bytes ${start}-${end - 1}/${bytes.byteLength}`;
    send(response, range === null ? 200 : 206, headers, request.method === 'HEAD' ? '' : part);
  }

  async #upload(
    request: IncomingMessage,
    response: ServerResponse,
    name: string,
    session: string,
    query: URLSearchParams,
  ): Promise<void> {
    if (request.method === 'POST') return this.#startUpload(request, response, name, query);
    const upload = this.#uploads.get(session);
    if (upload === undefined || upload.repository !== name) return fail(response, 404, 'BLOB_UPLOAD_UNKNOWN');
    const place = { location: `/v2/${name}/blobs/uploads/${session}` };
    if (request.method === 'DELETE') {
      this.#uploads.delete(session);
      return send(response, 204, {}, '');
    }
    if (request.method === 'GET')
      return send(response, 204, { ...place, range: `0-${Math.max(0, upload.size - 1)}` }, '');
    const chunk = await readAll(request);
    const range = /^(\d+)-/.exec(request.headers['content-range'] ?? '');
    if (range !== null && Number(range[1]) !== upload.size) return fail(response, 416, 'BLOB_UPLOAD_INVALID');
    upload.chunks.push(chunk);
    upload.size += chunk.byteLength;
    if (request.method === 'PATCH')
      return send(response, 202, { ...place, range: `0-${upload.size - 1}` }, '');
    this.#uploads.delete(session);
    return this.#finishUpload(response, name, Buffer.concat(upload.chunks), query.get('digest') ?? '');
  }

  async #startUpload(
    request: IncomingMessage,
    response: ServerResponse,
    name: string,
    query: URLSearchParams,
  ) {
    const mount = query.get('mount');
    const from = query.get('from');
    if (mount !== null && from !== null && this.#repositories.get(from)?.blobs.has(mount) === true) {
      this.#store(name).blobs.add(mount);
      return send(response, 201, { location: `/v2/${name}/blobs/${mount}` }, '');
    }
    const whole = query.get('digest');
    if (whole !== null) return this.#finishUpload(response, name, await readAll(request), whole);
    await readAll(request);
    const session = `upload-${this.#nextUpload++}`;
    this.#uploads.set(session, { repository: name, chunks: [], size: 0 });
    const headers = {
      location: `/v2/${name}/blobs/uploads/${session}`,
      range: '0-0',
      'docker-upload-uuid': session,
    };
    return send(response, 202, headers, '');
  }

  #finishUpload(response: ServerResponse, name: string, bytes: Uint8Array, digest: string): void {
    if (!isDigest(digest) || digestOf(bytes, digest.startsWith('sha512') ? 'sha512' : 'sha256') !== digest) {
      return fail(response, 400, 'DIGEST_INVALID');
    }
    this.blobs.set(digest, bytes);
    this.#store(name).blobs.add(digest);
    send(response, 201, { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest }, '');
  }
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
}

async function readAll(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    if (size > MAX_BODY_BYTES) throw new Error(`a body of more than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

function send(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array | string,
): void {
  response.writeHead(status, { 'docker-distribution-api-version': 'registry/2.0', ...headers });
  response.end(body);
}

function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  send(response, status, { 'content-type': 'application/json', ...headers }, JSON.stringify(body));
}

function fail(response: ServerResponse, status: number, code: string): void {
  sendJson(response, status, { errors: [{ code, message: code.toLowerCase().replaceAll('_', ' ') }] });
}
