import type { BuildEvent } from './types.ts';

/**
 * Proxies of RUN, as the predefined build arguments that leave no trace in the image. Passwords in them are taken out of the
 * build's log.
 *
 * @see Dockerfile reference, "Predefined ARGs"
 */
export interface BuildProxy {
  readonly http?: string;
  readonly https?: string;
  /** Hosts that are asked directly, with commas between. */
  readonly no?: string;
}

/** The build arguments that name proxies. */
export function proxyArgs({ http, https, no }: BuildProxy = {}): Readonly<Record<string, string>> {
  const pairs = Object.entries({ http_proxy: http, https_proxy: https, no_proxy: no });
  return Object.fromEntries(pairs.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

/** Tells what a build says without the passwords of its proxies, however a program writes them. */
export function withoutSecrets<T extends BuildEvent>(
  proxy: BuildProxy | undefined,
  tell: ((event: T) => void) | undefined,
): ((event: T) => void) | undefined {
  const secrets = [proxy?.http, proxy?.https].flatMap((text) => secretsOf(text ?? ''));
  if (secrets.length === 0 || tell === undefined) return tell;
  return (event) =>
    tell({ ...event, text: secrets.reduce((text, secret) => text.replaceAll(secret, '***'), event.text) });
}

function secretsOf(url: string): readonly string[] {
  const { username = '', password = '' } = URL.parse(url) ?? {};
  if (password === '') return [];
  const raw = /^[^/]*\/\/[^:/@]*:(.*)@/.exec(url)?.[1] ?? password;
  const basic = Buffer.from(`${decoded(username)}:${decoded(password)}`).toString('base64');
  // The longest first: one may be a part of another.
  return [...new Set([raw, password, decoded(password), basic])].sort(
    (left, right) => right.length - left.length,
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
