import type { ServerResponse } from 'node:http';
import { type Answer, answer, errorAnswer } from '../answer.ts';
import {
  changed,
  type FaultKind,
  fault,
  instead,
  isBlob,
  isContent,
  isManifest,
  withHeaders,
} from './fault.ts';

export type ConnectionFault =
  | 'cut-blobs'
  | 'cut-blobs-always'
  | 'cut-manifest-once'
  | 'close-delimited'
  | 'range-ignored'
  | 'range-wrong'
  | 'endless-manifest'
  | 'endless-error'
  | 'huge-headers'
  | 'stall-headers'
  | 'stall-body'
  | 'trickle'
  | 'rate-limit-once'
  | 'rate-limit-date'
  | 'rate-limit'
  | 'unavailable-twice'
  | 'unavailable'
  | 'warn';

type Deliver = NonNullable<Answer['deliver']>;

/** S7, S10, S21 and row 23: what comes late, in part, without end or not at all. */
export const connections: FaultKind<ConnectionFault> = {
  threat: 'connections',
  faults: {
    'cut-blobs': changed('cuts the connection after every 128 KiB of a blob', isBlob, (honest) =>
      cut(honest, 128 * 1024),
    ),
    'cut-blobs-always': changed('cuts the connection before the first byte of a blob', isBlob, (honest) =>
      cut(honest, 0),
    ),
    'cut-manifest-once': changed('cuts the connection in the first manifest', isManifest, (honest, count) =>
      count === 1 ? cut(honest, 10) : honest,
    ),
    'close-delimited': changed(
      'ends half a blob as if it were whole, without a length',
      isBlob,
      (honest) => ({
        ...honest,
        deliver: deliverHalf,
      }),
    ),
    'range-ignored': fault('ignores Range', {
      before: (request) => {
        delete (request.headers as Record<string, unknown>).range;
        return undefined;
      },
    }),
    'range-wrong': fault('answers Range with another range', {
      after: (_request, honest) =>
        honest.status === 206 ? withHeaders(honest, { 'content-range': 'bytes 0-1/1000000' }) : honest,
    }),
    'endless-manifest': changed('never ends a manifest', isManifest, (honest) => ({
      ...honest,
      deliver: deliverForever,
    })),
    'endless-error': instead('never ends the text of an error', isContent, () => ({
      ...answer(404),
      deliver: deliverForever,
    })),
    'huge-headers': fault('sends 100 kB of headers', {
      after: (_request, honest) => withHeaders(honest, { 'x-padding': 'x'.repeat(100_000) }),
    }),
    'stall-headers': instead('takes a request and never answers', isContent, () => ({
      ...answer(200),
      deliver: () => {},
    })),
    'stall-body': changed('sends one byte of content and no more', isContent, (honest) => ({
      ...honest,
      deliver: stall,
    })),
    trickle: changed('sends a byte of content now and then', isContent, (honest) => ({
      ...honest,
      deliver: trickle,
    })),
    'rate-limit-once': instead(
      'answers 429 once, and is ready at once',
      isManifest,
      (_request, _places, count) => (count === 1 ? answer(429, { 'retry-after': '0' }) : undefined),
    ),
    'rate-limit-date': instead('answers 429 once, with a date', isManifest, (_request, _places, count) =>
      count === 1 ? answer(429, { 'retry-after': new Date(0).toUTCString() }) : undefined,
    ),
    'rate-limit': instead('answers 429 for an hour', isContent, () =>
      answer(429, { 'retry-after': '3600', 'ratelimit-remaining': '0;w=21600' }),
    ),
    'unavailable-twice': instead('answers 503 twice', isContent, (_request, _places, count) =>
      count <= 2 ? errorAnswer(503, 'UNAVAILABLE') : undefined,
    ),
    unavailable: instead('answers 503', isContent, () => errorAnswer(503, 'UNAVAILABLE')),
    warn: fault('warns on every answer, with a control character', {
      after: (_request, honest) =>
        withHeaders(honest, { warning: '299 - "this registry\u009b31m is going away"' }),
    }),
  },
};

function cut(honest: Answer, after: number): Answer {
  return {
    ...honest,
    deliver: (response) => {
      const length = { 'content-length': honest.body.byteLength };
      response.writeHead(honest.status, { ...honest.headers, ...length } as never);
      response.flushHeaders();
      if (after >= honest.body.byteLength) return void response.end(honest.body);
      response.write(honest.body.subarray(0, after), () => response.destroy());
    },
  };
}

const deliverHalf: Deliver = (response, { status, headers, body }) => {
  response.useChunkedEncodingByDefault = false;
  response.writeHead(status, { ...headers, connection: 'close' } as never);
  response.end(body.subarray(0, Math.floor(body.byteLength / 2)));
};

const deliverForever: Deliver = (response, { status, headers }) => {
  response.writeHead(status, headers as never);
  writeForever(response);
};

/** Writes for as long as somebody reads. */
export function writeForever(response: ServerResponse): void {
  const chunk = Buffer.alloc(64 * 1024, ' ');
  const write = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', write);
  write();
}

const stall: Deliver = (response, { status, headers, body }) => {
  response.writeHead(status, { ...headers, 'content-length': body.byteLength } as never);
  response.write(body.subarray(0, 1));
};

const trickle: Deliver = (response, { status, headers, body }) => {
  response.writeHead(status, { ...headers, 'content-length': body.byteLength } as never);
  let at = 0;
  const timer = setInterval(() => {
    response.write(body.subarray(at, at + 1));
    at += 1;
    if (at >= body.byteLength) response.end();
  }, 10);
  response.once('close', () => clearInterval(timer));
};
