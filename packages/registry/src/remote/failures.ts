import { type Grant, withheldHint } from '../auth/token.ts';
import { RegistryError, type RegistryErrorCode } from '../errors.ts';
import { redactUrl } from '../http/redaction.ts';
import { type HttpResponse, readBody } from '../http/request.ts';
import { retryAfterMs } from '../http/retry.ts';
import { isObject, parseStrictJson } from '../oci/strict-json.ts';
import type { RegistryRequest } from './ask.ts';

const MAX_ERROR_BYTES = 64 * 1024;

const CODES: Readonly<Record<number, RegistryErrorCode>> = {
  401: 'AUTH_REQUIRED',
  403: 'DENIED',
  404: 'NOT_FOUND',
  405: 'UNSUPPORTED',
  429: 'RATE_LIMITED',
};

const HINTS: Readonly<Partial<Record<RegistryErrorCode, string>>> = {
  AUTH_REQUIRED: 'It does not exist, or it is private: give credentials for this registry.',
  DENIED: 'The credentials given may not do this, or the repository does not exist.',
  NOT_FOUND: 'Check the repository and the tag; some registries hide private repositories this way.',
  RATE_LIMITED: 'Wait, or give credentials: signed-in users have a larger allowance.',
};

/**
 * The error a refused request means; reads the registry's own words, bounded.
 *
 * @param grant - what was shown
 * @see OCI distribution-spec, "Error Codes"
 */
export async function failureOf(
  response: HttpResponse,
  request: Pick<RegistryRequest, 'method' | 'subject'>,
  grant?: Grant,
): Promise<RegistryError> {
  const registryErrors = await readErrors(response, request.method);
  const code = CODES[response.status] ?? (response.status >= 500 ? 'UNREACHABLE' : 'PROTOCOL_ERROR');
  const said = registryErrors.map(({ code: wire, message }) => `${wire} ${message}`.trim()).join('; ');
  const retryAfter = retryAfterMs(response.headers['retry-after']);
  const words = said === '' ? '' : `: ${said.slice(0, 300)}`;
  const hint = hintOf(code, grant);
  const withheldFrom = isRefusal(code) ? grant?.withheldFrom : undefined;
  return new RegistryError(
    code,
    `${request.subject}: ${response.url.host} answered ${response.status}${words}`,
    {
      ...(hint === undefined ? {} : { hint }),
      details: {
        status: response.status,
        url: redactUrl(response.url),
        registryErrors,
        ...(withheldFrom === undefined ? {} : { withheldFrom }),
        ...(retryAfter === undefined ? {} : { retryAfterMs: retryAfter }),
      },
    },
  );
}

function hintOf(code: RegistryErrorCode, grant: Grant | undefined): string | undefined {
  if (isRefusal(code) && grant?.withheldFrom !== undefined) return withheldHint(grant.withheldFrom);
  if (code === 'AUTH_REQUIRED' && grant?.personal === true) {
    return 'The registry did not accept the credentials it was given: sign in again, or give others.';
  }
  return HINTS[code];
}

function isRefusal(code: RegistryErrorCode): boolean {
  return code === 'AUTH_REQUIRED' || code === 'DENIED';
}

async function readErrors(
  response: HttpResponse,
  method: string,
): Promise<readonly { readonly code: string; readonly message: string }[]> {
  try {
    if (method === 'HEAD') {
      await response.dump();
      return [];
    }
    const bytes = await readBody(response, MAX_ERROR_BYTES, 'error');
    const { errors } = parseStrictJson(bytes, 'error', 'PROTOCOL_ERROR');
    if (!Array.isArray(errors)) return [];
    return errors
      .slice(0, 8)
      .flatMap((error) =>
        isObject(error) ? [{ code: printable(error.code), message: printable(error.message) }] : [],
      );
  } catch {
    return [];
  }
}

/** A registry's words without control characters, so that they cannot draw on a terminal. */
function printable(value: unknown): string {
  return typeof value === 'string' ? value.replaceAll(/\p{C}/gu, ' ').slice(0, 200) : '';
}
