import { answer, jsonAnswer } from '../answer.ts';
import { writeForever } from './connections.ts';
import { challenge, type FaultKind, type FaultMaker, type FaultPlaces, fault, instead } from './fault.ts';

export type AuthenticationFault =
  | 'realm-elsewhere'
  | 'realm-file'
  | 'realm-with-credentials'
  | 'redirect-token'
  | 'endless-token'
  | 'scope-widened'
  | 'unauthorized-loop'
  | 'challenge-left-out';

/** A scope nobody asked for. */
const SECRET_SCOPE = 'repository:other/secret:pull,push';

/** Lets in whoever has any bearer token, and names where to get one. */
function bearerFrom(does: string, realm: (places: FaultPlaces) => string): FaultMaker {
  return fault(does, {
    before: ({ headers }, places) =>
      headers.authorization?.toString().startsWith('Bearer ') === true
        ? undefined
        : challenge(realm(places), SECRET_SCOPE),
  });
}

const isToken = ({ path }: { readonly path: string }) => path === '/token';

/** S1, S4, S20 and row 22: whom credentials are shown. */
export const authentication: FaultKind<AuthenticationFault> = {
  threat: 'credentials',
  faults: {
    'realm-elsewhere': bearerFrom(
      'names a token server on another origin',
      ({ elsewhere }) => `${elsewhere}/token`,
    ),
    'realm-file': bearerFrom('names a file as its token server', () => 'file:///etc/passwd'),
    'realm-with-credentials': bearerFrom(
      'names a token server by a URL with credentials',
      ({ url }) => `${url.replace('//', '//user:secret@')}/token`,
    ),
    'redirect-token': instead('redirects its token server to another origin', isToken, (_request, places) =>
      answer(307, { location: `${places.elsewhere}/token` }),
    ),
    'endless-token': instead('never ends its token', isToken, () => ({
      ...answer(200),
      deliver: (response) => {
        response.writeHead(200);
        writeForever(response);
      },
    })),
    'scope-widened': fault('wants a token for another repository too', {
      before: ({ path, headers }, { url }) => {
        if (path === '/token') return jsonAnswer(200, { token: 'anything', expires_in: 300 });
        const shown = headers.authorization?.toString().startsWith('Bearer ') === true;
        return shown ? undefined : challenge(`${url}/token`, SECRET_SCOPE);
      },
    }),
    'unauthorized-loop': fault('gives tokens and then refuses them', {
      before: ({ path }, { url }) =>
        path === '/token' ? jsonAnswer(200, { token: 'worthless' }) : challenge(`${url}/token`, SECRET_SCOPE),
    }),
    'challenge-left-out': fault('answers 401 without saying what it wants', {
      after: (request, honest) => {
        const { 'www-authenticate': _challenge, ...headers } = honest.headers;
        return honest.status === 401 && request.path !== '/v2/' ? { ...honest, headers } : honest;
      },
    }),
  },
};
