import { parseOptions } from '../shell/options.ts';
import type { ShellArgument, ShellStep } from '../shell/steps.ts';

/** A command that fetches one URL. */
export interface Download {
  readonly step: ShellStep;
  readonly url: ShellArgument;
  /** File it writes; absent for standard output. */
  readonly target?: ShellArgument;
}

const CURL = {
  short: 'AbcCdDeEFHKmoPQrtTuUwxXyYz',
  long: (
    'output header user data data-ascii data-binary data-raw data-urlencode json form retry retry-delay ' +
    'retry-max-time connect-timeout max-time user-agent referer request write-out proxy proxy-user cacert capath ' +
    'cert key url output-dir range cookie cookie-jar config ciphers tls-max tls13-ciphers resolve connect-to ' +
    'interface limit-rate speed-limit speed-time netrc-file noproxy proto proto-default proto-redir upload-file ' +
    'max-redirs dump-header stderr trace trace-ascii unix-socket aws-sigv4 oauth2-bearer max-filesize time-cond ' +
    'etag-save etag-compare pinnedpubkey crlfile doh-url variable rate continue-at keepalive-time pass'
  ).split(' '),
};
const WGET = {
  short: 'oaeiBtOTwQPUlARDIX',
  long: (
    'output-document output-file append-output execute input-file base tries timeout wait quota directory-prefix ' +
    'user-agent header user password post-data post-file method body-data body-file referer load-cookies ' +
    'save-cookies ca-certificate ca-directory certificate private-key limit-rate waitretry connect-timeout ' +
    'read-timeout dns-timeout secure-protocol level accept reject domains exclude-domains prefer-family progress ' +
    'retry-on-http-error hsts-file bind-address cut-dirs default-page start-pos http-user http-password'
  ).split(' '),
};

/** Options of curl or wget. */
export function downloadOptions(step: ShellStep): ReturnType<typeof parseOptions> | undefined {
  if (step.name === 'curl') return parseOptions(step.args, CURL);
  if (step.name === 'wget') return parseOptions(step.args, WGET);
  return undefined;
}

/** What a curl, wget or aria2c command fetches; requests that send data or only look are no downloads. */
export function downloadsOf(step: ShellStep): readonly Download[] {
  const found =
    step.name === 'curl'
      ? curl(step)
      : step.name === 'wget'
        ? wget(step)
        : step.name === 'aria2c'
          ? aria2(step)
          : [];
  const output = step.outputs[0];
  return found
    .filter(({ url }) => !isLocal(url.text))
    .map((download) => ({ ...download, target: download.target ?? output }))
    .filter(({ target }) => target?.text !== '/dev/null');
}

/** True when fetched text goes to standard output. */
export function writesStdout(download: Download): boolean {
  return download.target === undefined;
}

function curl(step: ShellStep): readonly Download[] {
  const options = parseOptions(step.args, CURL);
  const sends = [
    '-d',
    '--data',
    '--data-binary',
    '--data-raw',
    '--data-urlencode',
    '--json',
    '-F',
    '--form',
    '-T',
  ];
  if (options.has('-I', '--head', ...sends)) return [];
  const method = options.value('-X', '--request')?.text.toUpperCase();
  if (method !== undefined && method !== 'GET') return [];
  const named = options.options.filter(({ name }) => name === '--url').map(({ value }) => value);
  const urls = [...named, ...options.operands];
  const outputs = options.options.filter(({ name }) =>
    ['-o', '--output', '-O', '--remote-name', '--remote-name-all'].includes(name),
  );
  const all = options.has('--remote-name-all');
  return urls.flatMap((url, index) => {
    if (url === undefined || url.text === '') return [];
    const output = outputs[index] ?? (all ? { name: '-O', value: undefined } : undefined);
    if (output === undefined) return [{ step, url }];
    return [{ step, url, target: fileOf(output.value ?? remoteName(url)) }];
  });
}

function wget(step: ShellStep): readonly Download[] {
  const options = parseOptions(step.args, WGET);
  if (options.has('--spider', '--post-data', '--post-file', '--body-data', '--body-file')) return [];
  const output = options.value('-O', '--output-document');
  return options.operands.flatMap((url) => {
    if (url.text === '') return [];
    return [{ step, url, target: output === undefined ? remoteName(url) : fileOf(output) }];
  });
}

function aria2(step: ShellStep): readonly Download[] {
  const options = parseOptions(step.args, { short: 'dosxkjitT', long: ['out', 'dir', 'checksum', 'split'] });
  // aria2c checks what it is told to itself.
  if (options.has('--checksum')) return [];
  return options.operands.map((url) => ({
    step,
    url,
    target: options.value('-o', '--out') ?? remoteName(url),
  }));
}

function fileOf(target: ShellArgument): ShellArgument | undefined {
  return target.text === '-' || target.text === '/dev/stdout' ? undefined : target;
}

function remoteName(url: ShellArgument): ShellArgument {
  const name = (text: string): string =>
    text
      .replace(/[?#].*$/s, '')
      .split('/')
      .pop() ?? '';
  return { ...url, text: name(url.text), alternatives: url.alternatives.map(name) };
}

/** True for this machine itself and for files. */
export function isLocal(url: string): boolean {
  return /^(?:file:|(?:\w+:\/\/)?(?:localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|\[::1?\])(?:[:/]|$))/i.test(url);
}

/** Host of a URL; undefined when a variable hides it. */
export function hostOf(url: string): string | undefined {
  const host = /^(?:[a-z][a-z0-9+.-]*:\/\/)?(?:[^/@?#]*@)?(\[[0-9a-f:.]+\]|[^/:?#]+)/i.exec(url)?.[1];
  return host === undefined || host.includes('$') ? undefined : host.toLowerCase();
}
