import { TrustError } from '../errors.ts';

interface ServerError {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly detail?: unknown;
}

/** Turns a notary server's refusal into an error that says what the server said. */
export function refusal(
  operation: string,
  answer: { readonly status: number; readonly body: Uint8Array },
): TrustError {
  const { status } = answer;
  const error = readError(answer.body);
  const code = typeof error?.code === 'string' ? error.code : undefined;
  const details = { status, ...(code === undefined ? {} : { serverCode: code }), ...invalidUpdate(error) };
  if (status === 401)
    return new TrustError('AUTH_REQUIRED', `${operation}: the server wants credentials`, { details });
  if (status === 403)
    return new TrustError('DENIED', `${operation}: the credentials do not allow it`, { details });
  if (code === 'VERSION') {
    return new TrustError('VERSION_CONFLICT', `${operation}: somebody else published in between`, {
      details,
    });
  }
  if (status === 400) {
    const reason = 'reason' in details ? `${details.reason}` : `${error?.message ?? 'no reason given'}`;
    return new TrustError('SERVER_REFUSED', `${operation}: ${reason.slice(0, 300)}`, {
      details,
      ...hint(code, error?.detail, reason),
    });
  }
  if (status === 404)
    return new TrustError('NOT_SIGNED', `${operation}: the server does not know it`, { details });
  return new TrustError(
    'UNREACHABLE',
    `${operation}: the server answered ${status}${code ? ` ${code}` : ''}`,
    { details },
  );
}

function readError(body: Uint8Array): ServerError | undefined {
  try {
    const value = JSON.parse(Buffer.from(body).toString('utf8')) as { errors?: ServerError[] };
    return Array.isArray(value.errors) ? value.errors[0] : undefined;
  } catch {
    return undefined;
  }
}

// {"Name":"ErrBadTargets","Error":{"Msg":"..."}}
function invalidUpdate(error: ServerError | undefined): { part?: string; reason?: string } {
  const detail = error?.detail as { Name?: unknown; Error?: { Msg?: unknown } } | undefined;
  if (typeof detail?.Name !== 'string') return {};
  return { part: detail.Name, reason: `${detail.Name}: ${detail.Error?.Msg ?? error?.message}` };
}

function hint(code: string | undefined, detail: unknown, reason: string): { hint?: string } {
  if (code === 'INVALID_ROLE') {
    return {
      hint: `The server cut a delegation's name (it read ${JSON.stringify(detail)}): notary-server 0.7.0 built with Go 1.17 or later cannot take delegations; use the current master or a patched package.`,
    };
  }
  if (code === 'INVALID_GUN')
    return { hint: "The server only accepts collections under its configured 'gun_prefixes'." };
  if (reason.startsWith('ErrBadHierarchy')) {
    return { hint: 'The snapshot key is neither in the key store nor on the server.' };
  }
  // A certificate or a file that is not valid at the server's time: more often a clock than what was signed.
  if (/valid leaf certificates| expired at /.test(reason))
    return { hint: 'Compare the clock of this machine with the one of the server.' };
  return {};
}
