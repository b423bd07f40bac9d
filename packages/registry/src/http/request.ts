import { RegistryError } from '../errors.ts';
import type { EndpointTls } from './connections.ts';

/** One request. */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  readonly url: URL;
  /** A list of values is sent as so many lines. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Bytes, or what opens a stream of them. A stream is sent again only after a 429, which refuses before it acts. */
  readonly body?: Uint8Array | (() => AsyncIterable<Uint8Array>);
  /** Sent to the origin of `url` only, and never again once a redirect left it. */
  readonly authorization?: string;
  /** Headers sent to the origin of `url` only, like `authorization`. */
  readonly ownHeaders?: Readonly<Record<string, string>>;
  /** The registry whose answer named `url`; such a URL may lead into the caller's network only from there. */
  readonly namedBy?: URL;
  /** Whom to trust, and as whom to appear, at the origin of `url` only. */
  readonly tls?: EndpointTls;
  /** @defaultValue those of the transport */
  readonly attempts?: number;
  /** Time to the response headers beyond that of the transport, in milliseconds: for what a server has to work at. */
  readonly patienceMs?: number;
  /** @defaultValue 5 for GET and HEAD; nothing else is redirected */
  readonly maxRedirects?: number;
  /** Reads a successful body whole, within the retried request, refusing a larger one. */
  readonly maxBodyBytes?: number;
}

/** A response whose body must be read or dumped. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: AsyncIterable<Uint8Array>;
  /** True when the server encoded the body in spite of being asked not to; `body` is decoded. */
  readonly decoded: boolean;
  /** Throws the body away. */
  dump(): Promise<void>;
  /** The URL that answered, after redirects. */
  readonly url: URL;
}

/** Reads a small body. @throws RegistryError `LIMIT_EXCEEDED` */
export async function readBody(response: HttpResponse, maxBytes: number, what: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.byteLength;
    if (size > maxBytes)
      throw new RegistryError('LIMIT_EXCEEDED', `${what} is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}
