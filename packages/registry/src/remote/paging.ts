import { RegistryError } from '../errors.ts';
import { nextPage } from '../http/link.ts';
import { readBody } from '../http/request.ts';
import { parseStrictJson } from '../oci/strict-json.ts';
import type { OperationOptions } from '../options.ts';
import type { Ask, RegistryRequest } from './ask.ts';

const MAX_PAGE_BYTES = 8 * 1024 * 1024;
const MAX_PAGES = 10_000;
/** Pages in a row that may bring nothing new: a registry may filter a page to nothing and go on. */
const MAX_IDLE_PAGES = 100;
const MAX_ITEMS = 1_000_000;
/** Larger pages are refused by ECR. */
export const PAGE_SIZE = 1000;

/**
 * Lists names page by page. A link back to a page that was read ends the list: all there is on it was told.
 *
 * @throws {@link RegistryError} `LIMIT_EXCEEDED`, also for pages that go on without anything new; `REDIRECT_REFUSED` for a
 * page on another host; `PROTOCOL_ERROR`
 */
export async function* listNames(
  ask: Ask,
  first: Pick<RegistryRequest, 'repository' | 'action' | 'subject'> & {
    readonly path: string;
    readonly member: string;
  },
  isName: (text: string) => boolean,
  options: OperationOptions,
): AsyncGenerator<string, void, undefined> {
  const { repository, action, subject, member } = first;
  const seen = new Set<string>();
  const visited = new Set<string>();
  let path: string | URL | undefined = first.path;
  let idle = 0;
  while (path !== undefined) {
    if (visited.size >= MAX_PAGES)
      throw new RegistryError('LIMIT_EXCEEDED', `${subject}: more than ${MAX_PAGES} pages`);
    const request: RegistryRequest = {
      method: 'GET',
      repository,
      path,
      action,
      accept: [200],
      maxBodyBytes: MAX_PAGE_BYTES,
      subject,
    };
    const response = await ask(request, options);
    const before = seen.size;
    for (const name of namesIn(await readBody(response, MAX_PAGE_BYTES, subject), member, subject)) {
      if (!isName(name)) {
        throw new RegistryError(
          'PROTOCOL_ERROR',
          `${subject}: ${JSON.stringify(name.slice(0, 140))} is no name`,
        );
      }
      if (seen.has(name)) continue;
      if (seen.size >= MAX_ITEMS)
        throw new RegistryError('LIMIT_EXCEEDED', `${subject}: more than ${MAX_ITEMS}`);
      seen.add(name);
      yield name;
    }
    idle = seen.size === before ? idle + 1 : 0;
    if (idle > MAX_IDLE_PAGES) throw new RegistryError('LIMIT_EXCEEDED', `${subject}: the pages do not end`);
    visited.add(response.url.href);
    const next = nextPage(response, subject);
    path = next !== undefined && visited.has(next.href) ? undefined : next;
  }
}

function namesIn(bytes: Uint8Array, member: string, subject: string): readonly string[] {
  const names = parseStrictJson(bytes, subject, 'PROTOCOL_ERROR')[member];
  // Repositories without tags answer null.
  if (names === null || names === undefined) return [];
  if (Array.isArray(names) && names.every((name) => typeof name === 'string')) return names;
  throw new RegistryError('PROTOCOL_ERROR', `${subject}: ${member} is not a list of names`);
}
