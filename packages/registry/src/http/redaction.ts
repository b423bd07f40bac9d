/** A URL fit for messages: without credentials, query and fragment. */
export function redactUrl(url: URL | string): string {
  const parsed = typeof url === 'string' ? URL.parse(url) : url;
  return parsed === null ? '(not a URL)' : `${parsed.origin}${parsed.pathname}`;
}
