import { RegistryError } from '../errors.ts';
import { type HttpResponse, readBody } from '../http/transport.ts';
import { parseStrictJson } from '../oci/strict-json.ts';
import type { OperationOptions } from '../options.ts';
import { formatReference, type Repository } from '../reference.ts';
import type { Ask } from './client.ts';

const MAX_PAGE_BYTES = 8 * 1024 * 1024;
const MAX_PAGES = 10_000;
/** Larger pages are refused by ECR. */
const PAGE_SIZE = 1000;

/** @see OCI distribution-spec, "Listing Tags" */
export async function* listTags(
  ask: Ask,
  repository: Repository,
  options: OperationOptions = {},
): AsyncGenerator<string, void, undefined> {
  const subject = `tags of ${formatReference(repository)}`;
  let path: string | URL | undefined = `tags/list?n=${PAGE_SIZE}`;
  const seen = new Set<string>();
  for (let page = 0; path !== undefined; page += 1) {
    if (page >= MAX_PAGES)
      throw new RegistryError('LIMIT_EXCEEDED', `${subject}: more than ${MAX_PAGES} pages`);
    const response: HttpResponse = await ask(
      { method: 'GET', repository, path, action: 'pull', accept: [200], subject },
      options,
    );
    const { tags } = parseStrictJson(
      await readBody(response, MAX_PAGE_BYTES, subject),
      subject,
      'PROTOCOL_ERROR',
    );
    let fresh = 0;
    for (const tag of Array.isArray(tags) ? tags : []) {
      if (typeof tag !== 'string' || seen.has(tag)) continue;
      seen.add(tag);
      fresh += 1;
      yield tag;
    }
    path = fresh === 0 ? undefined : nextPage(response, subject);
  }
}

/** The `next` link of a page, on the same origin only. @see RFC 8288 */
export function nextPage(response: HttpResponse, subject: string): URL | undefined {
  const header = response.headers.link;
  const link = typeof header === 'string' ? header.slice(0, 8192) : '';
  const target = /^\s*<([^<>]*)>\s*;[^,]*\brel="?next"?/.exec(link)?.[1];
  if (target === undefined) return undefined;
  const url = URL.parse(target, response.url.href);
  if (url === null || url.origin !== response.url.origin) {
    throw new RegistryError('REDIRECT_REFUSED', `${subject}: the next page is on another host`);
  }
  return url;
}
