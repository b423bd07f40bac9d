import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Digest } from '@imagevet/registry';
import { Agent, request } from 'undici';
import { CoreError } from '../errors.ts';

/** An archive that is no longer where Dockerfiles look for it. */
export interface MovedArchive {
  /** Beginning of the URLs that are asked for: `http://deb.debian.org/debian/`. */
  readonly from: string;
  /** What it is replaced by: `https://archive.example/debian/`. */
  readonly to: string;
}

/** Options of {@link startArchiveProxy}. */
export interface ArchiveProxyOptions {
  readonly moved?: readonly MovedArchive[];
  /** Beginnings of other URLs builds may fetch, as they are. Everything else is refused. @defaultValue none */
  readonly allow?: readonly string[];
  /** Address to listen on; builds must reach it. @defaultValue 127.0.0.1 */
  readonly address?: string;
  /** @defaultValue any free port */
  readonly port?: number;
  /** Most bytes of one answer. @defaultValue 4294967296 */
  readonly maxBytes?: number;
  /** Time an archive has to begin its answer, and to go on with it, in milliseconds. @defaultValue 60000 */
  readonly timeoutMs?: number;
  /** Most answers recorded; more are refused. @defaultValue 100000 */
  readonly maxMaterials?: number;
  /** Called with each answer that was passed on whole. */
  readonly onMaterial?: (material: FetchedMaterial) => void;
}

/** Something a build fetched. @see SLSA provenance v1, `resolvedDependencies` */
export interface FetchedMaterial {
  /** What the build asked for. */
  readonly url: string;
  /** Where it came from, when that was somewhere else. */
  readonly movedTo?: string;
  readonly status: number;
  readonly digest: Digest;
  readonly size: number;
}

/** A running proxy. Made by {@link startArchiveProxy}. */
export interface ArchiveProxy extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`, for the `proxy` of a builder. */
  readonly url: string;
  /** Everything builds fetched, in the order it was passed on. */
  readonly materials: readonly FetchedMaterial[];
  /** What builds asked for and did not get, and why; the first thousand. */
  readonly refused: readonly { readonly url: string; readonly reason: string }[];
  close(): Promise<void>;
}

const KEPT_REFUSALS = 1000;
const MAX_REDIRECTS = 5;
/** Headers of a question and of an answer that are passed on. */
const ASKED = [
  'accept',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'range',
  'user-agent',
  'cache-control',
];
const ANSWERED = [
  'accept-ranges',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'etag',
  'last-modified',
];

/**
 * Starts a proxy between builds and package archives: it sends questions for an archive that moved to where it is now,
 * refuses whatever it was not told to allow, and records what it passed on by digest. The Dockerfile stays as it is, and
 * signatures on the archive's indexes are checked by the build as ever.
 *
 * Give its URL to a builder as `proxy: { http: proxy.url }`. It reads plain HTTP only: what a build fetches by HTTPS goes
 * through a tunnel nobody can look into, and is refused. A build that ignores the proxy is not held by it: give it a network
 * that leads nowhere else.
 *
 * @throws {@link CoreError} `INVALID_OPTIONS` for a beginning that is no http(s) URL
 */
export async function startArchiveProxy(options: ArchiveProxyOptions = {}): Promise<ArchiveProxy> {
  const rules = rulesOf(options);
  const recorder = new Recorder(rules, options);
  const server = createServer((question, answer) => {
    recorder.answer(question, answer).catch(() => answer.destroy());
  });
  server.on('connect', (question: IncomingMessage, socket) => {
    recorder.refuse(`https://${question.url ?? ''}`, 'a tunnel cannot be recorded');
    socket.on('error', () => {});
    socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');
  });
  const { address = '127.0.0.1', port = 0 } = options;
  await listen(server, port, address);
  const bound = (server.address() as AddressInfo).port;
  const host = address.includes(':') ? `[${address}]` : address;
  const close = async () => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await recorder.close();
  };
  return {
    url: `http://${host}:${bound}`,
    materials: recorder.materials,
    refused: recorder.refused,
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface Rule {
  readonly from: string;
  readonly to: string;
}

class Recorder {
  readonly materials: FetchedMaterial[] = [];
  readonly refused: { readonly url: string; readonly reason: string }[] = [];
  readonly #rules: readonly Rule[];
  readonly #options: ArchiveProxyOptions;
  readonly #agent: Agent;

  constructor(rules: readonly Rule[], options: ArchiveProxyOptions) {
    this.#rules = rules;
    this.#options = options;
    const timeout = options.timeoutMs ?? 60_000;
    this.#agent = new Agent({ headersTimeout: timeout, bodyTimeout: timeout });
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  refuse(url: string, reason: string): void {
    if (this.refused.length < KEPT_REFUSALS) this.refused.push({ url: url.slice(0, 2048), reason });
  }

  async answer(question: IncomingMessage, answer: ServerResponse): Promise<void> {
    const asked = URL.parse(question.url ?? '');
    const deny = (status: number, reason: string) => {
      this.refuse(asked?.href ?? String(question.url), reason);
      answer.writeHead(status, { 'content-type': 'text/plain' }).end(`${reason}\n`);
    };
    if (asked === null || asked.protocol !== 'http:') return deny(400, 'not a question for a proxy');
    if (question.method !== 'GET' && question.method !== 'HEAD') return deny(405, 'only reading is allowed');
    // Servers decode these, and then go up a directory.
    if (/%(?:2e|2f|5c|00)/i.test(asked.pathname)) return deny(403, 'an encoded dot or slash in the path');
    const target = this.#targetOf(asked.href);
    if (target === undefined) return deny(403, 'not an archive this build may use');
    if (this.materials.length >= (this.#options.maxMaterials ?? 100_000))
      return deny(503, 'too many answers');
    try {
      await this.#pass(question, answer, asked.href, target);
    } catch (error) {
      if (answer.headersSent) throw error;
      deny(502, `the archive does not answer: ${(error as Error).message}`);
    }
  }

  /** The longest beginning that fits decides. */
  #targetOf(url: string): string | undefined {
    const rule = this.#rules.find(({ from }) => url.startsWith(from));
    return rule === undefined ? undefined : `${rule.to}${url.slice(rule.from.length)}`;
  }

  /** Goes where an archive sends to, as far as that is allowed too. */
  async #follow(question: IncomingMessage, target: string, signal: AbortSignal) {
    for (let from = target, hops = 0; ; hops += 1) {
      const found = await request(from, {
        method: question.method as 'GET' | 'HEAD',
        headers: picked(question.headers, ASKED),
        dispatcher: this.#agent,
        signal,
      });
      const { location } = found.headers;
      if (![301, 302, 303, 307, 308].includes(found.statusCode) || typeof location !== 'string') return found;
      await found.body.dump();
      const next = URL.parse(location, from)?.href;
      const allowed = next !== undefined && this.#rules.some(({ to }) => next.startsWith(to));
      if (!allowed) throw new Error(`it sends to ${next ?? 'nowhere'}, which is not allowed`);
      if (hops >= MAX_REDIRECTS) throw new Error('it sends on again and again');
      from = next;
    }
  }

  async #pass(question: IncomingMessage, answer: ServerResponse, url: string, target: string): Promise<void> {
    const gone = new AbortController();
    answer.once('close', () => gone.abort());
    const { statusCode, headers, body } = await this.#follow(question, target, gone.signal);
    answer.writeHead(statusCode, picked(headers, ANSWERED));
    const hash = createHash('sha256');
    const { maxBytes = 4 * 2 ** 30 } = this.#options;
    let size = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) {
        this.refuse(url, `the answer is larger than ${maxBytes} bytes`);
        throw new CoreError('SOURCE_LIMIT_EXCEEDED', `${url} is larger than ${maxBytes} bytes`);
      }
      hash.update(chunk);
      if (!answer.write(chunk)) await drained(answer);
    }
    const material: FetchedMaterial = {
      url,
      ...(target === url ? {} : { movedTo: target }),
      status: statusCode,
      digest: `sha256:${hash.digest('hex')}` as Digest,
      size,
    };
    // A part, or an answer about what the build has already, tells nothing of the whole.
    if (question.method === 'GET' && statusCode === 200) {
      this.materials.push(material);
      this.#options.onMaterial?.(material);
    }
    answer.end();
  }
}

function rulesOf({ moved = [], allow = [] }: ArchiveProxyOptions): readonly Rule[] {
  const rules = [...moved, ...allow.map((from) => ({ from, to: from }))].map(({ from, to }) => ({
    from: checked(from, /^http:$/),
    to: checked(to, /^https?:$/),
  }));
  return rules.sort((a, b) => b.from.length - a.from.length);
}

/** A beginning ends with a slash, or `http://deb.example` would fit `http://deb.example.evil` too. */
function checked(text: string, protocol: RegExp): string {
  const url = URL.parse(text);
  if (
    url !== null &&
    protocol.test(url.protocol) &&
    url.username === '' &&
    url.search === '' &&
    url.href.endsWith('/')
  )
    return url.href;
  throw new CoreError('INVALID_OPTIONS', `${JSON.stringify(text)} is no beginning of an archive's URLs`, {
    hint: 'Write http://host/path/ with a slash at the end; where an archive moved to may be https.',
  });
}

function picked(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  names: readonly string[],
): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = headers[name];
      return typeof value === 'string' ? [[name, value]] : [];
    }),
  );
}

function listen(server: Server, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new CoreError('INVALID_OPTIONS', `the proxy cannot listen on ${address}:${port}: ${error.message}`),
      ),
    );
    server.listen(port, address, resolve);
  });
}

function drained(answer: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      answer.off('drain', go);
      answer.off('close', go);
      resolve();
    };
    answer.once('drain', go);
    answer.once('close', go);
  });
}
