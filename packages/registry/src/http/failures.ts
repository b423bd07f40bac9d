import { RegistryError } from '../errors.ts';
import { redactUrl } from './redaction.ts';

const TIMEOUTS: ReadonlySet<string> = new Set([
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'ETIMEDOUT',
]);

/** The certificate shown is not one we trust. @see X509_verify_cert_error_string(3) */
const CERTIFICATE =
  /^(?:ERR_TLS_CERT_ALTNAME_\w+|CERT_\w+|CRL_\w+|\w*SELF_SIGNED\w*|UNABLE_TO_(?:GET|VERIFY)_\w+|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH)$/;
/** The other side's alert about ours; OpenSSL 3.0 writes `ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE`. @see RFC 8446, 6.2 */
const CLIENT_CERTIFICATE = /^ERR_SSL_[\w/]*ALERT_(?:\w+_)?(?:CERTIFICATE|UNKNOWN_CA)(?:_\w+)?$/;

/** Over HTTP/2 the alert about a client certificate is lost: all we see is the end of the connection. */
const HUNG_UP: ReadonlySet<string> = new Set(['ECONNRESET', 'UND_ERR_SOCKET', 'ERR_HTTP2_INVALID_SESSION']);

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
  const refusal = /^Proxy response \((\d{3})\)|\((407)\)$/.exec(cause.message);
  if (refusal !== null) {
    const status = Number(refusal[1] ?? refusal[2]);
    return new RegistryError(
      status >= 500 ? 'UNREACHABLE' : 'DENIED',
      `${what}: the proxy answered ${status}`,
      {
        cause,
        details: { status },
        hint:
          status === 407
            ? 'Give the proxy as http://user:password@host:port.'
            : 'The proxy does not let it through.',
      },
    );
  }
  if (CERTIFICATE.test(code)) {
    return new RegistryError('UNTRUSTED_CERTIFICATE', `${what}: ${code}`, {
      cause,
      hint: `Give the authority that signed the certificate of ${wanted.url.host} as \`ca\` of that host.`,
    });
  }
  if (CLIENT_CERTIFICATE.test(code)) {
    return new RegistryError(
      'UNTRUSTED_CERTIFICATE',
      `${what}: it refused our client certificate, or wants one`,
      {
        cause,
        hint: `Give \`cert\` and \`key\` for ${wanted.url.host}.`,
      },
    );
  }
  return new RegistryError('UNREACHABLE', `${what}: ${code === '' ? cause.message : code}`, {
    cause,
    hint:
      wanted.url.protocol === 'https:' && HUNG_UP.has(code)
        ? `${wanted.url.host} ended the connection; where it wants a client certificate, give \`cert\` and \`key\` for it.`
        : `Check that ${wanted.url.host} is right and can be reached from here.`,
  });
}

/** Tells whether another try may do better. */
export function isTransient(error: RegistryError): boolean {
  return error.code === 'UNREACHABLE' || error.code === 'TIMEOUT';
}
