import { type Answer, answer, errorAnswer } from '../answer.ts';
import type { StoreRequest } from '../registry-store.ts';
import { type FaultKind, type FaultRule, fault, instead, isUpload, withHeaders } from './fault.ts';

export type UploadFault =
  | 'cut-chunk-once'
  | 'chunk-unavailable-once'
  | 'chunk-refused-once'
  | 'forget-upload-once'
  | 'moving-upload'
  | 'range-stuck'
  | 'mount-refused'
  | 'rate-limit-upload-once';

const isChunk = (request: StoreRequest) => request.method === 'PATCH' && isUpload(request);
const isLast = (request: StoreRequest) => request.method === 'PUT' && isUpload(request);
const once =
  (given: Answer) =>
  (_request: StoreRequest, _places: unknown, count: number): Answer | undefined =>
    count === 1 ? given : undefined;

/** Every answer names another location, and an old one is known no more. */
function moving(): FaultRule {
  let current = 0;
  return {
    before: (request) => {
      if (!isUpload(request) || request.method === 'POST') return undefined;
      const state = Number(request.query.get('state') ?? -1);
      return state === current ? undefined : errorAnswer(404, 'BLOB_UPLOAD_UNKNOWN');
    },
    after: (request, honest) => {
      const { location } = honest.headers;
      if (!isUpload(request) || typeof location !== 'string' || !location.includes('/uploads/'))
        return honest;
      current += 1;
      return withHeaders(honest, { location: `${location}?state=${current}` });
    },
  };
}

/** Uploads as registries and the network between disturb them. */
export const uploads: FaultKind<UploadFault> = {
  threat: 'uploads',
  faults: {
    'cut-chunk-once': fault('stores a chunk and hangs up, once', {
      after: (request, honest, _places, count) =>
        isChunk(request) && count === 1 ? { ...honest, deliver: (response) => response.destroy() } : honest,
    }),
    'chunk-unavailable-once': instead(
      'answers 503 to a chunk, once',
      isChunk,
      once(errorAnswer(503, 'UNAVAILABLE')),
    ),
    'chunk-refused-once': instead('answers 416 to a chunk, once', isChunk, once(answer(416))),
    'forget-upload-once': instead(
      'forgets an upload before its end, once',
      isLast,
      once(errorAnswer(404, 'BLOB_UPLOAD_UNKNOWN')),
    ),
    'moving-upload': { does: 'names another location with every answer', make: moving },
    'range-stuck': fault('tells of every chunk that it has nothing yet, as Amazon ECR does', {
      after: (request, honest) => (isChunk(request) ? withHeaders(honest, { range: '0-0' }) : honest),
    }),
    'mount-refused': instead(
      'refuses to mount blobs',
      ({ method, query }) => method === 'POST' && query.has('mount'),
      () => errorAnswer(403, 'DENIED'),
    ),
    'rate-limit-upload-once': instead(
      'answers 429 to an upload, once',
      ({ method, path }) => method === 'POST' && path.includes('/uploads/'),
      once(answer(429, { 'retry-after': '0' })),
    ),
  },
};
