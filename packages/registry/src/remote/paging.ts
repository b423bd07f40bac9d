import { RegistryError } from '../errors.ts';
import { nextPage } from '../http/link.ts';
import { readBody } from '../http/transport.ts';
import { parseStrictJson } from '../oci/strict-json.ts';
import type { OperationOptions } from '../options.ts';
import type { Ask, RegistryRequest } from './ask.ts';

const MAX_PAGE_BYTES = 8 * 1024 * 1024;
const MAX_PAGES = 10_000;
const MAX_ITEMS = 1_000_000;
/** Larger pages are refused by ECR. */
export const PAGE_SIZE = 1000;

/**
 * Lists names page by page. A page without anything new ends the list, so a registry that links in circles does too.
 *
 * @throws {@link RegistryError} `LIMIT_EXCEEDED`, `REDIRECT_REFUSED` for a page on another host, `PROTOCOL_ERROR`
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
  let path: string | URL | undefined = first.path;
  for (let page = 0; path !== undefined; page += 1) {
    if (page >= MAX_PAGES)
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
    path = seen.size === before ? undefined : nextPage(response, subject);
  }
}

function namesIn(bytes: Uint8Array, member: string, subject: string): readonly string[] {
  const names = parseStrictJson(bytes, subject, 'PROTOCOL_ERROR')[member];
  // Repositories without tags answer null.
  if (names === null || names === undefined) return [];
  if (Array.isArray(names) && names.every((name) => typeof name === 'string')) return names;
  throw new RegistryError('PROTOCOL_ERROR', `${subject}: ${member} is not a list of names`);
}
