/** How to authenticate to a notary server or its token service. */
export type NotaryCredentials =
  | { readonly username: string; readonly password: string }
  /** OAuth2 refresh token, as `docker login` stores it. */
  | { readonly identityToken: string }
  /** Ready bearer token. */
  | { readonly token: string };

/** Answers with credentials for a notary server; `undefined` means anonymous. */
export type NotaryCredentialsProvider = (request: {
  readonly url: string;
  readonly collection: string;
}) => NotaryCredentials | undefined | Promise<NotaryCredentials | undefined>;

/** A challenge of a 401 answer. */
export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Reads a WWW-Authenticate header; what is not understood is left out. @see RFC 9110 11.6.1 */
export function parseChallenge(header: string): Challenge | undefined {
  const space = header.trim().indexOf(' ');
  if (space < 0)
    return header.trim() === '' ? undefined : { scheme: header.trim().toLowerCase(), parameters: {} };
  const parameters: Record<string, string> = Object.create(null);
  const pattern = /\s*([A-Za-z_]+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))\s*,?/y;
  const text = header.trim().slice(space + 1);
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const [, name = '', quoted, bare] = match;
    parameters[name.toLowerCase()] = quoted ?? bare ?? '';
  }
  return { scheme: header.trim().slice(0, space).toLowerCase(), parameters };
}
