import { gzipSync } from 'node:zlib';
import { type Answer, answer, errorAnswer, jsonAnswer } from './answer.ts';
import type { StoreRequest } from './registry-store.ts';

/** A way to misbehave, by name. */
export type Fault =
  | 'realm-elsewhere'
  | 'realm-file'
  | 'realm-with-credentials'
  | 'redirect-content'
  | 'redirect-loop'
  | 'redirect-file'
  | 'redirect-there-and-back'
  | 'send-back'
  | 'redirect-token'
  | 'link-elsewhere'
  | 'link-circle'
  | 'other-bytes'
  | 'lying-digest'
  | 'no-digest'
  | 'wrong-size'
  | 'cut-blobs'
  | 'cut-blobs-always'
  | 'cut-manifest-once'
  | 'close-delimited'
  | 'gzip-encoding'
  | 'gzip-bomb'
  | 'unknown-encoding'
  | 'endless-manifest'
  | 'endless-error'
  | 'endless-token'
  | 'huge-headers'
  | 'stall-headers'
  | 'stall-body'
  | 'rate-limit-once'
  | 'rate-limit-date'
  | 'rate-limit'
  | 'unavailable-twice'
  | 'unavailable'
  | 'unauthorized-loop'
  | 'range-ignored'
  | 'range-wrong'
  | 'cut-chunk-once'
  | 'forget-upload-once'
  | 'upload-elsewhere'
  | 'filter-claimed'
  | 'endless-referrers'
  | 'warn';

/** Places a fault can lead to. */
export interface FaultPlaces {
  /** The registry's own origin. */
  readonly url: string;
  /** Another origin. */
  readonly elsewhere: string;
}

interface FaultRule {
  /** Answers instead of the registry. */
  readonly before?: (request: StoreRequest, places: FaultPlaces, count: number) => Answer | undefined;
  /** Changes the registry's answer. */
  readonly after?: (request: StoreRequest, honest: Answer, places: FaultPlaces, count: number) => Answer;
}

const isBlob = ({ method, path }: StoreRequest) =>
  method === 'GET' && path.includes('/blobs/') && !path.includes('/uploads/');
const isManifest = ({ method, path }: StoreRequest) => method === 'GET' && path.includes('/manifests/');
const isTags = ({ path }: StoreRequest) => path.endsWith('/tags/list');
const isContent = (request: StoreRequest) => isBlob(request) || isManifest(request);
const ok = ({ status }: Answer) => status === 200 || status === 206;

const challenge = (realm: string): Answer =>
  answer(401, {
    'www-authenticate': `Bearer realm="${realm}",service="test",scope="repository:other/secret:pull"`,
  });
const bearerFrom = (realm: (places: FaultPlaces) => string): FaultRule => ({
  before: ({ headers }, places) =>
    headers.authorization?.toString().startsWith('Bearer ') === true ? undefined : challenge(realm(places)),
});
const redirectTo = (target: (places: FaultPlaces, path: string) => string): FaultRule => ({
  before: (request, places) =>
    isContent(request) ? answer(307, { location: target(places, request.path) }) : undefined,
});
const linkTo = (target: (places: FaultPlaces, path: string, count: number) => string): FaultRule => ({
  after: (request, honest, places, count) =>
    isTags(request)
      ? withHeaders(honest, { link: `<${target(places, request.path, count)}>; rel="next"` })
      : honest,
});
const changed = (
  when: (request: StoreRequest) => boolean,
  change: (honest: Answer, count: number) => Answer,
): FaultRule => ({
  after: (request, honest, _places, count) => (when(request) && ok(honest) ? change(honest, count) : honest),
});

const FAULTS: Readonly<Record<Fault, FaultRule>> = {
  /** S1: the token realm is on another origin. */
  'realm-elsewhere': bearerFrom(({ elsewhere }) => `${elsewhere}/token`),
  'realm-file': bearerFrom(() => 'file:///etc/passwd'),
  'realm-with-credentials': bearerFrom(({ url }) => `${url.replace('//', '//user:secret@')}/token`),
  /** S3, S16: content is elsewhere. */
  'redirect-content': redirectTo(({ elsewhere }, path) => `${elsewhere}${path}?X-Signature=secret`),
  'redirect-loop': redirectTo(({ url }, path) => `${url}${path}`),
  'redirect-file': redirectTo(() => 'file:///etc/passwd'),
  'redirect-there-and-back': {
    before: (request, { url, elsewhere }) =>
      isContent(request) && !request.query.has('back')
        ? answer(307, {
            location: `${elsewhere}/back?to=${encodeURIComponent(`${url}${request.path}?back=1`)}`,
          })
        : undefined,
  },
  /** For the other side of `redirect-there-and-back`. */
  'send-back': {
    before: ({ path, query }) =>
      path === '/back' ? answer(307, { location: query.get('to') ?? '' }) : undefined,
  },
  /** S4: the token server redirects. */
  'redirect-token': {
    before: ({ path }, { elsewhere }) =>
      path === '/token' ? answer(307, { location: `${elsewhere}/token` }) : undefined,
  },
  /** S5: pages elsewhere, in circles, without end. */
  'link-elsewhere': linkTo(({ elsewhere }, path) => `${elsewhere}${path}?n=1&last=a`),
  'link-circle': linkTo((_places, path) => `${path}?n=1000`),
  /** S6: other bytes of the same length. */
  'other-bytes': changed(isContent, (honest) => ({ ...honest, body: mangled(honest.body) })),
  'lying-digest': changed(
    ({ path }) => path.includes('/manifests/'),
    (honest) => withHeaders(honest, { 'docker-content-digest': `sha256:${'0'.repeat(64)}` }),
  ),
  'no-digest': {
    after: (_request, honest) => {
      const { 'docker-content-digest': _digest, ...headers } = honest.headers;
      return { ...honest, headers };
    },
  },
  'wrong-size': changed(isBlob, (honest) => ({
    ...honest,
    body: Buffer.concat([honest.body, Buffer.from('more')]),
  })),
  /** S7: the connection ends early. `cut-blobs` after every 128 KiB, `cut-blobs-always` at once. */
  'cut-blobs': changed(isBlob, (honest) => cut(honest, 128 * 1024)),
  'cut-blobs-always': changed(isBlob, (honest) => cut(honest, 0)),
  'cut-manifest-once': changed(isManifest, (honest, count) => (count === 1 ? cut(honest, 10) : honest)),
  'close-delimited': changed(isBlob, (honest) => ({ ...honest, deliver: deliverWithoutLength })),
  /** S8: an encoding nobody asked for. */
  'gzip-encoding': changed(isContent, (honest) =>
    withHeaders({ ...honest, body: gzipSync(honest.body) }, { 'content-encoding': 'gzip' }),
  ),
  'gzip-bomb': changed(isContent, (honest) =>
    withHeaders(
      { ...honest, body: gzipSync(Buffer.alloc(64 * 1024 * 1024)) },
      { 'content-encoding': 'gzip' },
    ),
  ),
  'unknown-encoding': changed(isContent, (honest) => withHeaders(honest, { 'content-encoding': 'br' })),
  /** S10: too much of everything. */
  'endless-manifest': changed(isManifest, (honest) => ({ ...honest, deliver: deliverForever })),
  'endless-error': {
    before: (request) => (isContent(request) ? { ...answer(404), deliver: deliverForever } : undefined),
  },
  'endless-token': {
    before: ({ path }) => (path === '/token' ? { ...answer(200), deliver: deliverForever } : undefined),
  },
  'huge-headers': { after: (_request, honest) => withHeaders(honest, { 'x-padding': 'x'.repeat(100_000) }) },
  /** S21: nothing comes. */
  'stall-headers': {
    before: (request) => (isContent(request) ? { ...answer(200), deliver: () => {} } : undefined),
  },
  'stall-body': changed(isContent, (honest) => ({ ...honest, deliver: stall })),
  /** Too many requests, sometimes or always; the way out is said in seconds or as a date. */
  'rate-limit-once': {
    before: (request, _places, count) =>
      isManifest(request) && count === 1 ? answer(429, { 'retry-after': '0' }) : undefined,
  },
  'rate-limit-date': {
    before: (request, _places, count) =>
      isManifest(request) && count === 1
        ? answer(429, { 'retry-after': new Date(0).toUTCString() })
        : undefined,
  },
  'rate-limit': {
    before: (request) =>
      isContent(request)
        ? answer(429, { 'retry-after': '3600', 'ratelimit-remaining': '0;w=21600' })
        : undefined,
  },
  'unavailable-twice': {
    before: (request, _places, count) =>
      isContent(request) && count <= 2 ? errorAnswer(503, 'UNAVAILABLE') : undefined,
  },
  unavailable: { before: (request) => (isContent(request) ? errorAnswer(503, 'UNAVAILABLE') : undefined) },
  'unauthorized-loop': {
    before: ({ path }, { url }) =>
      path === '/token' ? jsonAnswer(200, { token: 'worthless' }) : challenge(`${url}/token`),
  },
  /** Ranges: ignored, or another one. */
  'range-ignored': {
    before: (request) => {
      delete (request.headers as Record<string, unknown>).range;
      return undefined;
    },
  },
  'range-wrong': {
    after: (_request, honest) =>
      honest.status === 206 ? withHeaders(honest, { 'content-range': 'bytes 0-1/1000000' }) : honest,
  },
  /** Uploads: a chunk's answer is lost; a session is forgotten. */
  'cut-chunk-once': {
    after: ({ method }, honest, _places, count) =>
      method === 'PATCH' && count === 1 ? { ...honest, deliver: hangUp } : honest,
  },
  'forget-upload-once': {
    before: ({ method, path }, _places, count) =>
      method === 'PUT' && path.includes('/uploads/') && count === 1
        ? errorAnswer(404, 'BLOB_UPLOAD_UNKNOWN')
        : undefined,
  },
  'upload-elsewhere': {
    after: ({ method, path }, honest, { elsewhere }) =>
      method === 'POST' && path.includes('/uploads/')
        ? withHeaders(honest, { location: `${elsewhere}/upload` })
        : honest,
  },
  /** Referrers: a filter claimed but not applied; more than anybody can want. */
  'filter-claimed': {
    before: (request) => {
      if (request.path.includes('/referrers/')) request.query.delete('artifactType');
      return undefined;
    },
    after: ({ path }, honest) =>
      path.includes('/referrers/') ? withHeaders(honest, { 'oci-filters-applied': 'artifactType' }) : honest,
  },
  'endless-referrers': {
    after: ({ path }, honest, _places, count) =>
      path.includes('/referrers/')
        ? withHeaders(honest, { link: `<${path}?page=${count}>; rel="next"` })
        : honest,
  },
  /** A warning on every answer. */
  warn: {
    after: (_request, honest) =>
      withHeaders(honest, { warning: '299 - "this registry\u009b31m is going away"' }),
  },
};

/** Plays the faults of one registry. */
export class Mischief {
  readonly #rules: readonly { readonly rule: FaultRule; before: number; after: number }[];
  readonly #places: FaultPlaces;

  constructor(faults: readonly Fault[], places: FaultPlaces) {
    this.#rules = faults.map((fault) => ({ rule: FAULTS[fault], before: 0, after: 0 }));
    this.#places = places;
  }

  before(request: StoreRequest): Answer | undefined {
    for (const state of this.#rules) {
      const early = state.rule.before?.(request, this.#places, state.before + 1);
      if (early === undefined) continue;
      state.before += 1;
      return early;
    }
    return undefined;
  }

  after(request: StoreRequest, honest: Answer): Answer {
    return this.#rules.reduce((given, state) => {
      const changedAnswer = state.rule.after?.(request, given, this.#places, state.after + 1) ?? given;
      if (changedAnswer !== given) state.after += 1;
      return changedAnswer;
    }, honest);
  }
}

function withHeaders(honest: Answer, headers: Answer['headers']): Answer {
  return { ...honest, headers: { ...honest.headers, ...headers } };
}

function mangled(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1;
  return copy;
}

function cut(honest: Answer, after: number): Answer {
  return {
    ...honest,
    deliver: (response) => {
      response.writeHead(honest.status, {
        ...honest.headers,
        'content-length': honest.body.byteLength,
      } as never);
      response.flushHeaders();
      if (after >= honest.body.byteLength) return void response.end(honest.body);
      response.write(honest.body.subarray(0, after), () => response.destroy());
    },
  };
}

const deliverWithoutLength: NonNullable<Answer['deliver']> = (response, { status, headers, body }) => {
  response.useChunkedEncodingByDefault = false;
  response.writeHead(status, { ...headers, connection: 'close' } as never);
  response.end(body.subarray(0, Math.floor(body.byteLength / 2)));
};

const deliverForever: NonNullable<Answer['deliver']> = (response, { status, headers }) => {
  response.writeHead(status, headers as never);
  const chunk = Buffer.alloc(64 * 1024, ' ');
  const write = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', write);
  write();
};

const stall: NonNullable<Answer['deliver']> = (response, { status, headers, body }) => {
  response.writeHead(status, { ...headers, 'content-length': body.byteLength } as never);
  response.write(body.subarray(0, 1));
};

const hangUp: NonNullable<Answer['deliver']> = (response) => response.destroy();
