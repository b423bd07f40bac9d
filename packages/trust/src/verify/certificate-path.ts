import type { X509Certificate } from 'node:crypto';
import { TrustError } from '../errors.ts';
import { readDer, readDerSequence } from '../keys/der.ts';

/** Most certificates looked at between a leaf and its authority, and the longest path through them. */
const MAX_INTERMEDIATES = 16;
const MAX_PATH = 6;

/** Extended key usages one of which the whole path must allow: what notary asks for, and what root certificates are for. */
const PURPOSES = { any: '2.5.29.37.0', asked: ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.3'] };

// Extensions by the last byte of their identifier, 2.5.29.n.
const EXTENSION_PREFIX = '551d';
const ALTERNATIVE_NAME = 0x11;
const BASIC_CONSTRAINTS = 0x13;
const NAME_CONSTRAINTS = 0x1e;
/** Critical ones that are understood, or say nothing about the path: RFC 5280 4.2.1. */
const UNDERSTOOD = [
  0x0e,
  0x0f,
  ALTERNATIVE_NAME,
  BASIC_CONSTRAINTS,
  NAME_CONSTRAINTS,
  0x1f,
  0x20,
  0x23,
  0x25,
];

/**
 * Tells whether a path of certificates leads from a leaf to an authority, as Go's `x509.Verify` that notary asks: every
 * issuer is an authority that may sign certificates, is valid, and allows a path of that length and such a use.
 *
 * @param chain - The leaf, and the certificates that came with it in any order.
 * @param now - Leave out to accept issuers that expired, for a leaf that was looked at when they were valid.
 */
export function isIssuedBy(
  chain: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
  now: Date | undefined,
): boolean {
  const [leaf, ...rest] = chain;
  if (leaf === undefined || rest.length > MAX_INTERMEDIATES || !isUnderstood(leaf, leaf)) return false;
  const isUsable = (certificate: X509Certificate): boolean =>
    certificate.ca && isUnderstood(certificate, leaf) && (now === undefined || isValidAt(certificate, now));
  const issuers = [...new Set([...authorities, ...rest])].filter(isUsable);
  return PURPOSES.asked.some((purpose) => {
    if (!allows(leaf, purpose)) return false;
    // Breadth first: the shortest way to a certificate is the one whose length is allowed most.
    let [level, left] = [[leaf], issuers.filter((issuer) => allows(issuer, purpose))];
    for (let below = 0; below < MAX_PATH && level.length > 0; below += 1) {
      const above = left.filter(
        (issuer) => pathLength(issuer) >= below && level.some((child) => isSignedBy(child, issuer)),
      );
      if (above.some((issuer) => authorities.includes(issuer))) return true;
      [level, left] = [above, left.filter((issuer) => !above.includes(issuer))];
    }
    return false;
  });
}

// `checkIssued` compares names and key ids, and asks the issuer's key usage; it does not look at the signature.
function isSignedBy(child: X509Certificate, issuer: X509Certificate): boolean {
  return child.checkIssued(issuer) && child.verify(issuer.publicKey);
}

function isValidAt({ validFromDate, validToDate }: X509Certificate, now: Date): boolean {
  return validFromDate.getTime() <= now.getTime() && now.getTime() <= validToDate.getTime();
}

function allows({ keyUsage }: X509Certificate, purpose: string): boolean {
  const usages: readonly string[] | undefined = keyUsage;
  return usages === undefined || usages.includes(purpose) || usages.includes(PURPOSES.any);
}

// What cannot be judged is refused: names a constraint could be about, and rules of an unknown kind.
function isUnderstood(certificate: X509Certificate, leaf: X509Certificate): boolean {
  const extensions = extensionsOf(certificate);
  if (extensions.some(({ id, critical }) => critical && (id === undefined || !UNDERSTOOD.includes(id))))
    return false;
  const constrained = extensions.some(({ id }) => id === NAME_CONSTRAINTS);
  return !constrained || extensionsOf(leaf).every(({ id }) => id !== ALTERNATIVE_NAME);
}

/** How many authorities an authority allows below itself. */
function pathLength(issuer: X509Certificate): number {
  const constraints = extensionsOf(issuer).find(({ id }) => id === BASIC_CONSTRAINTS);
  const members = constraints === undefined ? [] : readDerSequence(constraints.value);
  const length = members.find(({ tag }) => tag === 0x02);
  if (length === undefined) return Number.POSITIVE_INFINITY;
  return Number.parseInt(Buffer.from(length.content).toString('hex'), 16);
}

interface Extension {
  /** Last byte of a standard extension's identifier. */
  readonly id: number | undefined;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

function extensionsOf(certificate: X509Certificate): Extension[] {
  const [body] = readDerSequence(certificate.raw);
  const explicit = readDer(body?.content ?? new Uint8Array()).find(({ tag }) => tag === 0xa3);
  if (explicit === undefined) return [];
  return readDerSequence(explicit.content).map(({ content }) => {
    const [oid, ...members] = readDer(content);
    const value = members.at(-1);
    if (oid === undefined || value === undefined)
      throw new TrustError('INVALID_CERTIFICATE', 'read certificate: not an extension');
    const name = Buffer.from(oid.content).toString('hex');
    const id = name.length === 6 && name.startsWith(EXTENSION_PREFIX) ? oid.content.at(-1) : undefined;
    return {
      id,
      critical: members.some(({ tag, content: [flag] }) => tag === 0x01 && flag !== 0),
      value: value.content,
    };
  });
}
