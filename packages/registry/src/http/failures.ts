import { RegistryError } from '../errors.ts';
import { redactUrl } from './redaction.ts';

const TIMEOUTS: ReadonlySet<string> = new Set([
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'ETIMEDOUT',
]);

/** The network's own errors in our terms; what was refused stays refused. */
export function explain(
  error: unknown,
  wanted: { readonly method: string; readonly url: URL },
): RegistryError {
  if (error instanceof RegistryError) return error;
  const cause = error as NodeJS.ErrnoException;
  if (cause.cause instanceof RegistryError) return cause.cause;
  const what = `${wanted.method} ${redactUrl(wanted.url)}`;
  const code = cause.code ?? '';
  if (TIMEOUTS.has(code)) return new RegistryError('TIMEOUT', `${what}: no answer in time`, { cause });
  if (code.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW') {
    return new RegistryError('PROTOCOL_ERROR', `${what}: the answer is not acceptable HTTP (${code})`, {
      cause,
    });
  }
  return new RegistryError('UNREACHABLE', `${what}: ${code === '' ? cause.message : code}`, {
    cause,
    hint: `Check that ${wanted.url.host} is right and can be reached from here.`,
  });
}

/** Tells whether another try may do better. */
export function isTransient(error: RegistryError): boolean {
  return error.code === 'UNREACHABLE' || error.code === 'TIMEOUT';
}
