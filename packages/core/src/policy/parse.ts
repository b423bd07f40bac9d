import { type Digest, digestOf, isDigest } from '@imagevet/registry';
import type { Severity } from '../audit/types.ts';
import { canonicalJson } from '../canonical-json.ts';
import type { CoreError } from '../errors.ts';
import { documentError, type JsonNode, memberPath, readStrictJson } from './strict-json.ts';
import type { Policy, PolicyException, PolicyRule, RuleName } from './types.ts';

/** Most rules of a policy. */
export const MAX_RULES = 1_000;
/** Most entries of one `allow` list. */
export const MAX_REPOSITORIES = 10_000;
/** Longest string of a policy or exception, in UTF-16 code units. */
export const MAX_STRING_LENGTH = 2_000;

/**
 * Reads a policy. Strict: unknown or repeated keys, wrong types and any `default` but `deny` are refused, for
 * a misspelt rule that is ignored is a gate left open.
 *
 * @throws {@link CoreError} `INVALID_POLICY` naming the path, line and column.
 */
export function parsePolicy(text: string): Policy {
  const shape = new Shape(text, 'policy');
  const members = shape.object(
    shape.root,
    '$',
    ['apiVersion', 'kind', 'name', 'default', 'rules'],
    ['$schema'],
  );
  return {
    apiVersion: shape.oneOf(members, 'apiVersion', '$', ['imagevet/v1']),
    kind: shape.oneOf(members, 'kind', '$', ['Policy']),
    name: shape.string(members, 'name', '$'),
    default: shape.oneOf(members, 'default', '$', ['deny']),
    rules: shape
      .array(members, 'rules', '$', MAX_RULES)
      .map((node, index) => readRule(shape, node, `$.rules[${index}]`)),
  };
}

/**
 * Reads an exception; as strict as {@link parsePolicy}. `expires` is mandatory: a waiver that never ends is a
 * change of policy.
 *
 * @throws {@link CoreError} `INVALID_POLICY` naming the path, line and column.
 */
export function parseException(text: string): PolicyException {
  const shape = new Shape(text, 'exception');
  const members = shape.object(
    shape.root,
    '$',
    ['apiVersion', 'kind', 'id', 'rule', 'digest', 'reason', 'approvedBy', 'expires'],
    ['$schema', 'term', 'approvedAt'],
  );
  return {
    apiVersion: shape.oneOf(members, 'apiVersion', '$', ['imagevet/v1']),
    kind: shape.oneOf(members, 'kind', '$', ['Exception']),
    id: shape.string(members, 'id', '$'),
    rule: shape.oneOf(members, 'rule', '$', RULE_NAMES),
    ...(members.has('term') ? { term: shape.string(members, 'term', '$') } : {}),
    digest: shape.matching(members, 'digest', '$', isDigest, 'a digest such as sha256:<64 hex>') as Digest,
    reason: shape.string(members, 'reason', '$'),
    approvedBy: shape.string(members, 'approvedBy', '$'),
    ...(members.has('approvedAt')
      ? { approvedAt: shape.matching(members, 'approvedAt', '$', isTimestamp, TIMESTAMP) }
      : {}),
    expires: shape.matching(members, 'expires', '$', isTimestamp, TIMESTAMP),
  };
}

/** Digest of a policy's canonical form: what a verdict names, whatever the file's spacing and key order. */
export function policyDigest(policy: Policy): Digest {
  return digestOf(canonicalJson(policy));
}

const GRADES = {
  'lineage.min-grade': ['proven', 'attested', 'claimed'],
  'compare.min-grade': ['identical', 'same-layers', 'same-content', 'same-packages', 'explained'],
} as const;
const SEVERITIES: readonly Severity[] = ['critical', 'high', 'medium', 'low', 'info'];
const RULE_NAMES: readonly RuleName[] = [
  'lineage.complete',
  'lineage.min-grade',
  'lineage.consistent',
  'lineage.platforms-agree',
  'source.available',
  'source.repositories',
  'audit.max-severity',
  'rebuild.complete',
  'rebuild.frontends',
  'compare.min-grade',
];
const TIMESTAMP = 'an RFC 3339 time such as 2027-01-31T00:00:00Z';

const NAMES = {
  'source.repositories': {
    accepts: isRepositoryPattern,
    expected: 'https://host/path or https://host/path/*',
  },
  'rebuild.frontends': {
    accepts: isImageRepository,
    expected: 'a repository such as docker.io/docker/dockerfile',
  },
} as const;

function readRule(shape: Shape, node: JsonNode, path: string): PolicyRule {
  const rule = shape.oneOf(shape.requiring(node, path, 'rule'), 'rule', path, RULE_NAMES);
  switch (rule) {
    case 'lineage.min-grade':
    case 'compare.min-grade': {
      const members = shape.object(node, path, ['rule', 'grade']);
      // The list is the one that belongs to the rule, which the type of the pair cannot say.
      return { rule, grade: shape.oneOf<string>(members, 'grade', path, GRADES[rule]) } as PolicyRule;
    }
    case 'audit.max-severity': {
      const members = shape.object(node, path, ['rule', 'deny']);
      return { rule, deny: shape.oneOf(members, 'deny', path, SEVERITIES) };
    }
    case 'source.repositories':
    case 'rebuild.frontends': {
      const members = shape.object(node, path, ['rule', 'allow']);
      const { accepts, expected } = NAMES[rule];
      const allow = shape
        .array(members, 'allow', path, MAX_REPOSITORIES)
        .map((item, index) => shape.item(item, `${path}.allow[${index}]`, accepts, expected));
      return { rule, allow };
    }
    default:
      shape.object(node, path, ['rule']);
      return { rule };
  }
}

/** An RFC 3339 time that exists: `2027-02-30` does not. */
export function isTimestamp(text: string): boolean {
  const date = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/.exec(
    text,
  );
  if (date === null || Number.isNaN(Date.parse(text))) return false;
  const [, year, month, day] = date.map(Number) as [number, number, number, number];
  return day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
}

/**
 * An allowed repository: `https://host/path`, exact, or ending in `/*` for everything below. Characters that
 * make two spellings of one address (`..`, `%`, `@`, `?`, `#`) have no place in it.
 */
export function isRepositoryPattern(text: string): boolean {
  const body = text.endsWith('/*') ? text.slice(0, -2) : text;
  if (!/^https:\/\/[a-z0-9.-]+(?::[0-9]+)?(?:\/[A-Za-z0-9._~-]+)*$/.test(body)) return false;
  return !body.split('/').some((segment) => segment === '.' || segment === '..');
}

/** A canonical image repository, without tag or digest. */
export function isImageRepository(text: string): boolean {
  return /^[a-z0-9.-]+(?::[0-9]+)?(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+$/.test(text);
}

type Members = ReadonlyMap<string, { readonly keyOffset: number; readonly value: JsonNode }>;

class Shape {
  readonly root: JsonNode;
  readonly #text: string;
  readonly #document: string;

  constructor(text: string, document: string) {
    this.#text = text;
    this.#document = document;
    this.root = readStrictJson(text, document);
  }

  /** The members of an object that has these keys, and may have others. */
  requiring(node: JsonNode, path: string, ...required: readonly string[]): Members {
    if (node.kind !== 'object')
      throw this.#error(node.offset, path, `expected an object, found ${node.kind}`);
    for (const key of required) {
      if (!node.members.has(key)) throw this.#error(node.offset, memberPath(path, key), 'missing key');
    }
    return node.members;
  }

  object(
    node: JsonNode,
    path: string,
    required: readonly string[],
    optional: readonly string[] = [],
  ): Members {
    const members = this.requiring(node, path);
    for (const [key, member] of members) {
      if (required.includes(key) || optional.includes(key)) continue;
      throw this.#error(member.keyOffset, memberPath(path, key), 'unknown key');
    }
    return this.requiring(node, path, ...required);
  }

  array(members: Members, key: string, path: string, most: number): readonly JsonNode[] {
    const { value } = members.get(key)!;
    if (value.kind !== 'array') {
      throw this.#error(value.offset, memberPath(path, key), `expected an array, found ${value.kind}`);
    }
    if (value.items.length > most) {
      throw this.#error(
        value.offset,
        memberPath(path, key),
        `${value.items.length} items, at most ${most} allowed`,
      );
    }
    return value.items;
  }

  string(members: Members, key: string, path: string): string {
    return this.#nonEmpty(members.get(key)!.value, memberPath(path, key));
  }

  matching(
    members: Members,
    key: string,
    path: string,
    accepts: (text: string) => boolean,
    expected: string,
  ): string {
    const text = this.string(members, key, path);
    if (accepts(text)) return text;
    throw this.#error(
      members.get(key)!.value.offset,
      memberPath(path, key),
      `expected ${expected}, found ${quote(text)}`,
    );
  }

  oneOf<T extends string>(members: Members, key: string, path: string, values: readonly T[]): T {
    const member = members.get(key)!;
    const text = this.#nonEmpty(member.value, memberPath(path, key));
    if ((values as readonly string[]).includes(text)) return text as T;
    throw this.#error(
      member.value.offset,
      memberPath(path, key),
      `expected ${values.map((value) => JSON.stringify(value)).join(' or ')}, found ${quote(text)}`,
    );
  }

  item(node: JsonNode, path: string, accepts: (text: string) => boolean, expected: string): string {
    const text = this.#nonEmpty(node, path);
    if (accepts(text)) return text;
    throw this.#error(node.offset, path, `expected ${expected}, found ${quote(text)}`);
  }

  #nonEmpty(node: JsonNode, path: string): string {
    if (node.kind !== 'string') throw this.#error(node.offset, path, `expected a string, found ${node.kind}`);
    if (node.value.length === 0) throw this.#error(node.offset, path, 'expected text, found an empty string');
    if (node.value.length > MAX_STRING_LENGTH) {
      throw this.#error(
        node.offset,
        path,
        `${node.value.length} characters, at most ${MAX_STRING_LENGTH} allowed`,
      );
    }
    return node.value;
  }

  #error(offset: number, path: string, problem: string): CoreError {
    return documentError(this.#document, this.#text, offset, path, problem);
  }
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
