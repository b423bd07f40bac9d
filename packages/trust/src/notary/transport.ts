import type { ClientRequest, Agent as HttpAgent, IncomingMessage, request as requestHttp } from 'node:http';
import type { SecureContextOptions } from 'node:tls';
import type { Dispatcher } from 'undici';

/** A request as it is sent. */
export interface TransportRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | string | undefined;
  readonly signal: AbortSignal;
}

/** A reply whose body is still to come. */
export interface TransportReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: AsyncIterable<Uint8Array>;
}

/** Sends requests, and follows no redirect. */
export interface Transport {
  send(url: URL, request: TransportRequest): Promise<TransportReply>;
  /** Closes connections made here. */
  close(): void;
}

/** Certificates of a connection. */
export interface TransportOptions {
  /** Trusted beside the system's. */
  readonly ca?: string | undefined;
  readonly clientCertificate?: { readonly cert: string; readonly key: string } | undefined;
}

interface Client {
  readonly agent: HttpAgent;
  readonly request: typeof requestHttp;
}

/** Failures that more trusted certificates can mend. */
const UNKNOWN_ISSUER: readonly (string | undefined)[] = [
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
];
/** What a connection that was idle tells when the server closed it meanwhile. */
const CLOSED: readonly (string | undefined)[] = ['ECONNRESET', 'EPIPE'];
/** Idle connections are closed before a server does that. */
const AGENT = { keepAlive: true, maxSockets: 4, timeout: 4_000 } as const;

/**
 * Sends requests with Node's own client. Of a library that is loaded to ask one question, loading an HTTP client takes most
 * of the time; Node's own is in the program already.
 */
export function createTransport(options: TransportOptions): Transport {
  const agents: HttpAgent[] = [];
  let plain: Client | undefined;
  let secure: Client | undefined;
  return {
    send,
    close: () => {
      for (const agent of agents) agent.destroy();
    },
  };

  async function send(url: URL, request: TransportRequest): Promise<TransportReply> {
    if (url.protocol !== 'https:') {
      plain ??= clientOf('node:http', {});
      return sendOnce(plain, url, request);
    }
    const { ca, clientCertificate } = options;
    secure ??= clientOf('node:https', { ca, ...clientCertificate });
    try {
      return await sendOnce(secure, url, request);
    } catch (error) {
      // The given certificates are tried alone first: reading a few hundred others takes longer than a whole verification,
      // and a server that wants a CA of its own hardly needs them.
      if (ca === undefined || !UNKNOWN_ISSUER.includes(codeOf(error))) throw error;
      const all = [...process.getBuiltinModule('node:tls').getCACertificates('default'), ca];
      secure = clientOf('node:https', { ca: all, ...clientCertificate });
      return sendOnce(secure, url, request);
    }
  }

  // An import of node:http also loads what its exports hold back until they are used, which takes longer than the request.
  function clientOf(name: 'node:http' | 'node:https', certificates: SecureContextOptions): Client {
    const { Agent, request } = process.getBuiltinModule(name) as typeof import('node:https');
    const agent = new Agent({ ...AGENT, ...certificates });
    agents.push(agent);
    return { agent, request: request as typeof requestHttp };
  }
}

/** Sends requests with a dispatcher of undici: through a proxy, or to a server that is none. */
export function createDispatcherTransport(dispatcher: Dispatcher): Transport {
  return {
    send: async (url, { method, headers, body, signal }) => {
      const { request } = await import('undici');
      const init = {
        method: method as Dispatcher.HttpMethod,
        headers,
        body: body ?? null,
        signal,
        dispatcher,
      };
      const reply = await request(url, init);
      return { status: reply.statusCode, headers: reply.headers, body: reply.body };
    },
    // It belongs to the caller.
    close: () => undefined,
  };
}

async function sendOnce(client: Client, url: URL, request: TransportRequest): Promise<TransportReply> {
  const { method, headers, body, signal } = request;
  const sent = client.request(url, { agent: client.agent, method, headers, signal });
  try {
    sent.end(body);
    const reply = await replyTo(sent);
    return { status: reply.statusCode ?? 0, headers: reply.headers, body: reply };
  } catch (error) {
    // A connection that was kept may end as it is used again; a question can be asked twice.
    if (method !== 'GET' || !sent.reusedSocket || !CLOSED.includes(codeOf(error)) || signal.aborted)
      throw error;
    return sendOnce(client, url, request);
  }
}

function replyTo(sent: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    sent.once('response', resolve);
    sent.on('error', reject);
  });
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}
