import { answer } from '../answer.ts';
import {
  type FaultKind,
  type FaultMaker,
  type FaultPlaces,
  fault,
  INSIDE,
  instead,
  isContent,
  isUpload,
  withHeaders,
} from './fault.ts';

export type RedirectFault =
  | 'redirect-content'
  | 'redirect-inside'
  | 'redirect-plain'
  | 'redirect-loop'
  | 'redirect-file'
  | 'redirect-there-and-back'
  | 'send-back'
  | 'upload-elsewhere'
  | 'upload-inside';

function redirectTo(does: string, target: (places: FaultPlaces, path: string) => string): FaultMaker {
  return instead(does, isContent, ({ path }, places) => answer(307, { location: target(places, path) }));
}

function uploadTo(does: string, target: (places: FaultPlaces) => string): FaultMaker {
  return fault(does, {
    after: (request, honest, places) =>
      request.method === 'POST' && isUpload(request)
        ? withHeaders(honest, { location: target(places) })
        : honest,
  });
}

/** S2, S3 and row 22: where a redirect or an upload leads. */
export const redirects: FaultKind<RedirectFault> = {
  threat: 'redirects',
  faults: {
    'redirect-content': redirectTo(
      'redirects content to another origin, with a secret in the query',
      ({ elsewhere }, path) => `${elsewhere}${path}?X-Signature=secret`,
    ),
    'redirect-inside': redirectTo(
      'redirects content into the network of the caller',
      (_places, path) => `${INSIDE}${path}`,
    ),
    'redirect-plain': redirectTo('redirects content from https to http', ({ url }, path) =>
      `${url}${path}`.replace('https:', 'http:'),
    ),
    'redirect-loop': redirectTo('redirects content to itself', ({ url }, path) => `${url}${path}`),
    'redirect-file': redirectTo('redirects content to a file', () => 'file:///etc/passwd'),
    'redirect-there-and-back': instead(
      'redirects content to another origin that redirects back',
      (request) => isContent(request) && !request.query.has('back'),
      ({ path }, { url, elsewhere }) =>
        answer(307, { location: `${elsewhere}/back?to=${encodeURIComponent(`${url}${path}?back=1`)}` }),
    ),
    'send-back': instead(
      'is the other side of `redirect-there-and-back`',
      ({ path }) => path === '/back',
      ({ query }) => answer(307, { location: query.get('to') ?? '' }),
    ),
    'upload-elsewhere': uploadTo(
      'wants blobs uploaded to another origin',
      ({ elsewhere }) => `${elsewhere}/upload`,
    ),
    'upload-inside': uploadTo(
      'wants blobs uploaded into the network of the caller',
      () => `${INSIDE}/upload`,
    ),
  },
};
