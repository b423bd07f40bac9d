/** What a bearer token is good for: actions on one resource. @see distribution, "Token Scope Documentation" */
export interface Scope {
  /** `repository` or `registry`. */
  readonly type: string;
  /** `library/php`; `catalog`. */
  readonly name: string;
  /** Sorted, without repetition; `*` stands alone. */
  readonly actions: readonly string[];
}

const MAX_LENGTH = 4096;

/** Parses a list of scopes, separated by blanks. What is not a scope is left out. */
export function parseScopes(text: string): readonly Scope[] {
  return text
    .slice(0, MAX_LENGTH)
    .split(' ')
    .flatMap((item) => {
      const first = item.indexOf(':');
      const last = item.lastIndexOf(':');
      if (first <= 0 || last <= first + 1) return [];
      const actions = sorted(item.slice(last + 1).split(','));
      if (actions.length === 0) return [];
      return [{ type: item.slice(0, first), name: item.slice(first + 1, last), actions }];
    });
}

/** `repository:library/php:pull,push` */
export function formatScope(scope: Scope): string {
  return `${scope.type}:${scope.name}:${scope.actions.join(',')}`;
}

/** One scope for each resource, with every action any of them has; in order of first appearance. */
export function mergeScopes(scopes: readonly Scope[]): readonly Scope[] {
  const merged = new Map<string, Scope>();
  for (const scope of scopes) {
    const key = `${scope.type}:${scope.name}`;
    const actions = sorted([...(merged.get(key)?.actions ?? []), ...scope.actions]);
    merged.set(key, { type: scope.type, name: scope.name, actions });
  }
  return [...merged.values()];
}

/**
 * What to ask a token server for: the scopes a request needs, and those the challenge adds for the same resources. A
 * challenge cannot widen a token to another repository.
 */
export function requestedScopes(needed: readonly Scope[], challenged: string | undefined): readonly Scope[] {
  const same = parseScopes(challenged ?? '').filter((scope) =>
    needed.some(({ type, name }) => type === scope.type && name === scope.name),
  );
  return mergeScopes([...needed, ...same]);
}

function sorted(actions: readonly string[]): readonly string[] {
  const unique = [...new Set(actions)].filter((action) => action !== '').sort();
  return unique.includes('*') ? ['*'] : unique;
}
