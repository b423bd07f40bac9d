import type { Dockerfile } from '../../dockerfile/types.ts';
import { CoreError } from '../../errors.ts';
import type { BuildEvent } from '../types.ts';

/**
 * Proxies of RUN, as the predefined build arguments that leave no trace in the image. Passwords in them are taken out of the
 * build's log, a Dockerfile that would record them is refused, and so is an image that holds one in a layer as it is. A RUN knows
 * them, and can write them down in a form nobody finds: give builds you do not trust a proxy without a password.
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
  const secrets = proxySecrets(proxy);
  if (secrets.length === 0 || tell === undefined) return tell;
  return (event) =>
    tell({ ...event, text: secrets.reduce((text, secret) => text.replaceAll(secret, '***'), event.text) });
}

/**
 * Refuses a Dockerfile that would write a proxy with a password into its image: builders record every ARG that is declared, and
 * what other instructions make of it.
 *
 * @throws {@link CoreError} `BUILD_UNSUPPORTED`, with the line
 */
export function refuseRecordedProxy(proxy: BuildProxy | undefined, { globalArgs, stages }: Dockerfile): void {
  const given = proxySecrets(proxy);
  if (given.length === 0) return;
  for (const { keyword, arguments: text, startLine: line } of [
    ...globalArgs,
    ...stages.flatMap((stage) => stage.instructions),
  ]) {
    const declared = keyword === 'ARG' && /(?:^|\s)["']?https?_proxy\b/.test(text);
    const used = keyword !== 'RUN' && /\$\{?https?_proxy\b/.test(text);
    if (!declared && !used) continue;
    throw new CoreError(
      'BUILD_UNSUPPORTED',
      `line ${line} would write the password of the proxy into the image`,
      {
        hint: 'Give a proxy without a password, such as one of your own that knows it.',
        details: { line },
      },
    );
  }
}

/** What of a proxy must not be in an image. A password is also looked for with what is around it, as short ones are anywhere. */
export function secretsInImage(proxy: BuildProxy | undefined): readonly string[] {
  const around = [proxy?.http, proxy?.https].flatMap(
    (url) => /^[^/]*\/\/([^/]*:[^/]+@)/.exec(url ?? '')?.[1] ?? [],
  );
  return [...new Set([...proxySecrets(proxy), ...around])];
}

function proxySecrets(proxy: BuildProxy | undefined): readonly string[] {
  return [proxy?.http, proxy?.https].flatMap((text) => secretsOf(text ?? ''));
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
