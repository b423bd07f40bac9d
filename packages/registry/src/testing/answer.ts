import type { ServerResponse } from 'node:http';

/** What a test server says. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: Uint8Array;
  /** Writes the answer in a way of its own: cut short, late, without end. */
  readonly deliver?: (response: ServerResponse, answer: Answer) => void;
}

/** An answer with a body of bytes or text. */
export function answer(
  status: number,
  headers: Readonly<Record<string, string | readonly string[]>> = {},
  body: Uint8Array | string = '',
): Answer {
  return { status, headers, body: typeof body === 'string' ? Buffer.from(body) : body };
}

/** An answer in JSON. */
export function jsonAnswer(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string | readonly string[]>> = {},
): Answer {
  return answer(status, { 'content-type': 'application/json', ...headers }, JSON.stringify(body));
}

/** An error as registries word it. @see OCI distribution-spec, "Error Codes" */
export function errorAnswer(status: number, code: string): Answer {
  return jsonAnswer(status, { errors: [{ code, message: code.toLowerCase().replaceAll('_', ' ') }] });
}

/** Writes an answer; to HEAD, without its body. */
export function deliver(response: ServerResponse, given: Answer): void {
  if (response.destroyed) return;
  if (given.deliver !== undefined) {
    given.deliver(response, given);
    return;
  }
  for (const [name, value] of Object.entries(given.headers)) response.setHeader(name, value);
  if (!response.hasHeader('content-length') && given.status !== 204) {
    response.setHeader('content-length', given.body.byteLength);
  }
  response.writeHead(given.status);
  response.end(given.body);
}
