import { TrustError } from '../errors.ts';

/** Which key a passphrase is for. */
export interface PassphraseRequest {
  /** `create` encrypts a new key, `open` decrypts one. */
  readonly purpose: 'create' | 'open';
  readonly keyId: string;
  readonly role?: string;
  readonly gun?: string;
  /** 1 on the first question for a key, one more after each wrong answer. */
  readonly attempt: number;
}

/** Answers with a passphrase; `undefined` gives up. */
export type PassphraseProvider = (
  request: PassphraseRequest,
) => string | undefined | Promise<string | undefined>;

/** Passphrases by kind of key, as docker and notary keep them in environment variables. */
export interface PassphrasesByRole {
  readonly root?: string;
  readonly targets?: string;
  readonly snapshot?: string;
  /** For every other role: signers and delegations. */
  readonly delegation?: string;
}

/** A passphrase for every key, one per kind of key, or a function that is asked. */
export type PassphraseSource = string | PassphrasesByRole | PassphraseProvider;

/** Attempts a {@link PassphraseProvider} gets per key. */
const MAX_ATTEMPTS = 3;

/** Asks for passphrases until `use` accepts one; fixed passphrases are tried once. */
export async function withPassphrase<T>(
  source: PassphraseSource | undefined,
  request: Omit<PassphraseRequest, 'attempt'>,
  use: (passphrase: string) => Promise<T>,
): Promise<T> {
  const attempts = typeof source === 'function' ? MAX_ATTEMPTS : 1;
  let refused: TrustError | undefined;
  for (let attempt = 1; ; attempt += 1) {
    const passphrase = await ask(source, { ...request, attempt });
    // Whoever gives up after a wrong answer learns that it was wrong, not that there was none.
    if (passphrase === undefined || passphrase === '') throw refused ?? missing(request);
    try {
      return await use(passphrase);
    } catch (error) {
      const retry = TrustError.is(error) && error.code === 'BAD_PASSPHRASE' && attempt < attempts;
      if (!retry) throw error;
      refused = error as TrustError;
    }
  }
}

async function ask(
  source: PassphraseSource | undefined,
  request: PassphraseRequest,
): Promise<string | undefined> {
  if (source === undefined || typeof source === 'string') return source;
  if (typeof source === 'function') return source(request);
  const { role } = request;
  return role === 'root' || role === 'targets' || role === 'snapshot' ? source[role] : source.delegation;
}

function missing({ purpose, keyId, role }: Omit<PassphraseRequest, 'attempt'>): TrustError {
  return new TrustError(
    'BAD_PASSPHRASE',
    `${purpose} ${role ?? 'private'} key ${keyId.slice(0, 12)}: no passphrase was given`,
  );
}
