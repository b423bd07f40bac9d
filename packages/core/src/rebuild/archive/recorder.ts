import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Digest } from '@imagevet/registry';
import { Agent, request } from 'undici';
import { CoreError } from '../../errors.ts';
import type { KeptMaterial, MaterialStore } from './material-store.ts';
import type { Rule } from './rules.ts';
import type { ArchiveProxyOptions, FetchedMaterial } from './types.ts';

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

/** Answers the questions of builds. */
export class Recorder {
  readonly materials: FetchedMaterial[] = [];
  readonly refused: { readonly url: string; readonly reason: string }[] = [];
  readonly #rules: readonly Rule[];
  readonly #options: ArchiveProxyOptions;
  readonly #store: MaterialStore | undefined;
  readonly #agent: Agent;

  constructor(rules: readonly Rule[], options: ArchiveProxyOptions, store: MaterialStore | undefined) {
    this.#rules = rules;
    this.#store = store;
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
    const kept = this.#options.offline === true ? this.#store?.find(asked.href) : undefined;
    if (this.#options.offline === true && kept === undefined)
      return deny(404, 'not kept, and nothing is fetched');
    try {
      if (kept === undefined) await this.#pass(question, answer, asked.href, target);
      else await this.#replay(question, answer, kept);
    } catch (error) {
      if (answer.headersSent) {
        this.refuse(asked.href, `it broke off: ${(error as Error).message}`);
        throw error;
      }
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

  async #replay(question: IncomingMessage, answer: ServerResponse, kept: KeptMaterial): Promise<void> {
    const { headers, ...material } = kept;
    const bytes = await this.#store?.read(kept);
    answer.writeHead(kept.status, { ...headers, 'content-length': kept.size });
    if (question.method === 'GET') {
      for await (const chunk of bytes ?? []) if (!answer.write(chunk)) await drained(answer);
      this.#record(material);
    }
    answer.end();
  }

  #record(material: FetchedMaterial): void {
    this.materials.push(material);
    this.#options.onMaterial?.(material);
  }

  async #pass(question: IncomingMessage, answer: ServerResponse, url: string, target: string): Promise<void> {
    const gone = new AbortController();
    answer.once('close', () => gone.abort());
    const { statusCode, headers, body } = await this.#follow(question, target, gone.signal);
    // A part, or an answer about what the build has already, tells nothing of the whole.
    const whole = question.method === 'GET' && statusCode === 200;
    const writer = whole ? await this.#store?.begin() : undefined;
    const answered = picked(headers, ANSWERED);
    answer.writeHead(statusCode, answered);
    const hash = createHash('sha256');
    const { maxBytes = 4 * 2 ** 30 } = this.#options;
    let size = 0;
    // The last piece is passed on when the whole is kept.
    let held: Buffer | undefined;
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > maxBytes) {
          throw new CoreError('SOURCE_LIMIT_EXCEEDED', `${url} is larger than ${maxBytes} bytes`);
        }
        hash.update(chunk);
        await writer?.write(chunk);
        if (held !== undefined && !answer.write(held)) await drained(answer);
        held = chunk;
      }
    } catch (error) {
      await writer?.discard();
      throw error;
    }
    if (whole) {
      const material: FetchedMaterial = {
        url,
        ...(target === url ? {} : { movedTo: target }),
        status: statusCode,
        digest: `sha256:${hash.digest('hex')}` as Digest,
        size,
      };
      await writer?.keep({ ...material, headers: answered });
      this.#record(material);
    }
    answer.end(held);
  }
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
