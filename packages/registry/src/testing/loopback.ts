import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** What goes wrong at a loopback host. Read at every request, so a test may change it between two. */
export interface HostFaults {
  /** Closes the connection without an answer. */
  down?: boolean;
  /** Answers this status and nothing else. */
  status?: number;
  /** Headers sent with `status`. */
  headers?: Readonly<Record<string, string>>;
  /** Waits this long before it answers, in milliseconds. */
  slow?: number;
  /** Limits the fault to requests whose path and query this accepts. Default: every request. */
  when?(url: string): boolean;
}

/** A request as a loopback host received it. */
export interface ReceivedRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** An HTTP server on a free loopback port. */
export interface LoopbackHost {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  /** Every request so far, oldest first. */
  readonly requests: readonly ReceivedRequest[];
  readonly faults: HostFaults;
  close(): Promise<void>;
}

/** Starts a server that records requests, applies faults, and leaves the rest to `answer`. */
export async function startLoopbackHost(
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
  faults: HostFaults = {},
): Promise<LoopbackHost> {
  const requests: ReceivedRequest[] = [];
  const server = createServer((request, response) => {
    const url = request.url ?? '/';
    requests.push({ method: request.method ?? 'GET', url, headers: request.headers });
    handle(request, response, url).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendJson(response, 500, { message: String(error) });
    });
  });

  async function handle(request: IncomingMessage, response: ServerResponse, url: string): Promise<void> {
    if (faults.when?.(url) ?? true) {
      if (faults.slow !== undefined) await sleep(faults.slow, undefined, { ref: false });
      if (faults.down === true) {
        response.destroy();
        return;
      }
      if (faults.status !== undefined) {
        sendJson(response, faults.status, { message: 'fault' }, faults.headers);
        return;
      }
    }
    await answer(request, response);
  }

  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    faults,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Answers with JSON. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers });
  response.end(JSON.stringify(body));
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the server has no port');
  return address.port;
}
