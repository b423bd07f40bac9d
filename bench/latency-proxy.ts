// A host in front of another that answers every request after a set time, and what it has answered once from memory: what is
// measured through it is waiting, not the host behind it.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A running proxy. */
export interface LatencyProxy {
  readonly url: string;
  /** Requests so far. */
  requests(): number;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const KEPT = ['content-type', 'docker-content-digest', 'etag', 'www-authenticate', 'location', 'link'];

/** Starts a proxy before `target` whose answers take `latencyMs`. Only GET and HEAD. */
export async function startLatencyProxy(target: string, latencyMs: number): Promise<LatencyProxy> {
  const answers = new Map<string, Answer>();
  let count = 0;
  const server = createServer((request, response) => {
    count += 1;
    answer(request, response).catch((error: unknown) => response.writeHead(502).end(String(error)));
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const due = performance.now() + latencyMs;
    const { method = 'GET', url = '/', headers } = request;
    const key = `${method} ${url} ${headers.accept} ${headers['if-none-match']}`;
    const known = answers.get(key) ?? (await ask(method, url, headers));
    answers.set(key, known);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    response.writeHead(known.status, known.headers).end(known.body);
  }

  async function ask(method: string, url: string, headers: IncomingMessage['headers']): Promise<Answer> {
    const { accept, 'if-none-match': etag } = headers;
    const answered = await fetch(`${target}${url}`, {
      method,
      headers: { ...(accept ? { accept } : {}), ...(etag ? { 'if-none-match': etag } : {}) },
    });
    const body = Buffer.from(await answered.arrayBuffer());
    const kept = KEPT.flatMap((name) => {
      const value = answered.headers.get(name);
      return value === null ? [] : [[name, value] as const];
    });
    const { status } = answered;
    const length = method === 'HEAD' ? (answered.headers.get('content-length') ?? '0') : body.byteLength;
    return { status, headers: { ...Object.fromEntries(kept), 'content-length': String(length) }, body };
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: () => count,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
