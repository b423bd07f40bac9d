/** Every secret in a text whose form says that it is one. */
export function knownTokens(text: string): readonly { readonly kind: string; readonly value: string }[] {
  return TOKENS.flatMap(({ kind, pattern }) =>
    [...text.matchAll(pattern)]
      .map(([value]) => ({ kind, value }))
      .filter(({ value }) => !/EXAMPLE|x{6}|^(?:password|passwd|pass|token|secret|changeme)$/i.test(value)),
  );
}

/** A value given to a name that speaks of secrets. */
const NAMED_SECRET =
  /((?:SECRET|PASSWORD|PASSWD|TOKEN|API_?KEY)\w{0,40}\s{0,4}[=:]\s{0,4}["']?)([^\s"'$`{}()<>]{6,})/gi;

/** Replaces secrets in a text: reports are read more widely than images. */
export function maskSecrets(text: string, secrets: readonly string[] = []): string {
  const known = [...secrets, ...knownTokens(text).map(({ value }) => value)];
  return known
    .filter((secret) => secret.length > 0)
    .reduce((rest, secret) => rest.replaceAll(secret, '*****'), text)
    .replace(NAMED_SECRET, '$1*****');
}

/** Tokens whose form says what they are. */
const TOKENS: readonly { readonly kind: string; readonly pattern: RegExp }[] = [
  { kind: 'an AWS access key id', pattern: /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g },
  {
    kind: 'a GitHub token',
    pattern: /\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})\b/g,
  },
  { kind: 'a GitLab token', pattern: /\bglpat-[A-Za-z0-9_-]{20,64}/g },
  { kind: 'an npm token', pattern: /\bnpm_[A-Za-z0-9]{36}\b/g },
  { kind: 'a PyPI token', pattern: /\bpypi-AgEI[A-Za-z0-9_-]{40,255}/g },
  { kind: 'a Slack token', pattern: /\bxox[abprs]-[A-Za-z0-9-]{20,128}/g },
  { kind: 'a Stripe key', pattern: /\b[sr]k_live_[A-Za-z0-9]{20,128}/g },
  { kind: 'a Google API key', pattern: /\bAIza[0-9A-Za-z_-]{35}\b/g },
  { kind: 'a Docker Hub token', pattern: /\bdckr_[po]at_[A-Za-z0-9_-]{20,64}/g },
  { kind: 'a private key', pattern: /-----BEGIN (?:[A-Z]{2,10} ){0,3}PRIVATE KEY-----/g },
  // A user name alone, or a variable for the password, is no secret.
  {
    kind: 'a password in a URL',
    pattern: /(?<=\b[a-z][a-z0-9+.-]{0,20}:\/\/[^\s:/@'"$]{1,64}:)[^\s:/@'"${}<>*]{3,128}(?=@[\w.-])/gi,
  },
];
