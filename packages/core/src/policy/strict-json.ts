import { CoreError } from '../errors.ts';

/** A JSON value that remembers where it stood. */
export type JsonNode = { readonly offset: number } & (
  | { readonly kind: 'null' }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'array'; readonly items: readonly JsonNode[] }
  | { readonly kind: 'object'; readonly members: ReadonlyMap<string, JsonMember> }
);

/** A member of an object, and where its key stood. */
export interface JsonMember {
  readonly keyOffset: number;
  readonly value: JsonNode;
}

/** Largest policy or exception, in UTF-16 code units: far above any written by hand, far below a burden. */
export const MAX_DOCUMENT_LENGTH = 1_048_576;
/** Deepest nesting read; the documents themselves need four levels. */
export const MAX_DOCUMENT_DEPTH = 32;

/**
 * Reads a JSON document that somebody decides by. `JSON.parse` keeps the last of two equal keys in silence;
 * this refuses them, as it refuses lone surrogates, a byte order mark, and too large or too deep documents.
 *
 * @throws {@link CoreError} `INVALID_POLICY` naming line, column and path.
 * @see RFC 8259; RFC 7493 (I-JSON)
 */
export function readStrictJson(text: string, document: string): JsonNode {
  if (text.length > MAX_DOCUMENT_LENGTH) {
    throw new CoreError(
      'INVALID_POLICY',
      `cannot read ${document}: ${text.length} characters, at most ${MAX_DOCUMENT_LENGTH} allowed`,
    );
  }
  return new Reader(text, document).read();
}

/** Makes the error for a place in a document. */
export function documentError(
  document: string,
  text: string,
  offset: number,
  path: string,
  problem: string,
): CoreError {
  const before = text.slice(0, offset);
  const line = before.split('\n').length;
  const column = offset - before.lastIndexOf('\n');
  return new CoreError(
    'INVALID_POLICY',
    `cannot read ${document}: ${problem} at ${path}, line ${line}, column ${column}`,
    {
      details: { path, line, column },
    },
  );
}

/** The path of a member: `$.rules[0].grade`, `$["odd key"]`. */
export function memberPath(path: string, key: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) return `${path}.${key}`;
  return `${path}[${JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key)}]`;
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

class Reader {
  readonly #text: string;
  readonly #document: string;
  #at = 0;

  constructor(text: string, document: string) {
    this.#text = text;
    this.#document = document;
  }

  read(): JsonNode {
    this.#space();
    const node = this.#value('$', 0);
    this.#space();
    if (this.#at < this.#text.length) this.#fail('$', `unexpected ${this.#here()} after the document`);
    return node;
  }

  #value(path: string, depth: number): JsonNode {
    if (depth > MAX_DOCUMENT_DEPTH) this.#fail(path, `more than ${MAX_DOCUMENT_DEPTH} levels of nesting`);
    const offset = this.#at;
    switch (this.#text[offset]) {
      case '{':
        return this.#object(path, depth);
      case '[':
        return this.#array(path, depth);
      case '"':
        return { kind: 'string', offset, value: this.#string(path) };
    }
    if (this.#word('true')) return { kind: 'boolean', offset, value: true };
    if (this.#word('false')) return { kind: 'boolean', offset, value: false };
    if (this.#word('null')) return { kind: 'null', offset };
    NUMBER.lastIndex = offset;
    const number = NUMBER.exec(this.#text)?.[0];
    if (number === undefined) this.#fail(path, `unexpected ${this.#here()}`);
    this.#at += number.length;
    const value = Number(number);
    if (!Number.isFinite(value)) this.#fail(path, 'a number out of range', offset);
    return { kind: 'number', offset, value };
  }

  #object(path: string, depth: number): JsonNode {
    const offset = this.#at;
    const members = new Map<string, JsonMember>();
    this.#at += 1;
    this.#space();
    if (this.#take('}')) return { kind: 'object', offset, members };
    for (;;) {
      this.#space();
      const keyOffset = this.#at;
      if (this.#text[keyOffset] !== '"') this.#fail(path, `expected a key, found ${this.#here()}`);
      const key = this.#string(path);
      const inner = memberPath(path, key);
      if (members.has(key)) this.#fail(inner, 'duplicate key', keyOffset);
      this.#space();
      if (!this.#take(':')) this.#fail(inner, `expected ":", found ${this.#here()}`);
      this.#space();
      members.set(key, { keyOffset, value: this.#value(inner, depth + 1) });
      this.#space();
      if (this.#take('}')) return { kind: 'object', offset, members };
      if (!this.#take(',')) this.#fail(path, `expected "," or "}", found ${this.#here()}`);
    }
  }

  #array(path: string, depth: number): JsonNode {
    const offset = this.#at;
    const items: JsonNode[] = [];
    this.#at += 1;
    this.#space();
    if (this.#take(']')) return { kind: 'array', offset, items };
    for (;;) {
      this.#space();
      items.push(this.#value(`${path}[${items.length}]`, depth + 1));
      this.#space();
      if (this.#take(']')) return { kind: 'array', offset, items };
      if (!this.#take(',')) this.#fail(path, `expected "," or "]", found ${this.#here()}`);
    }
  }

  #string(path: string): string {
    const offset = this.#at;
    const parts: string[] = [];
    this.#at += 1;
    let start = this.#at;
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at);
      if (Number.isNaN(unit)) this.#fail(path, 'a string without end', offset);
      if (unit < 0x20) this.#fail(path, 'an unescaped control character');
      if (unit === 0x22) break;
      if (unit === 0x5c) {
        parts.push(this.#text.slice(start, this.#at), this.#escape(path));
        start = this.#at;
      } else {
        this.#at += 1;
      }
    }
    parts.push(this.#text.slice(start, this.#at));
    this.#at += 1;
    const value = parts.join('');
    if (!value.isWellFormed()) this.#fail(path, 'a lone surrogate', offset);
    return value;
  }

  #escape(path: string): string {
    const letter = this.#text[this.#at + 1] ?? '';
    if (letter === 'u') {
      const hex = this.#text.slice(this.#at + 2, this.#at + 6);
      if (!/^[0-9a-fA-F]{4}$/.test(hex)) this.#fail(path, 'an invalid escape');
      this.#at += 6;
      return String.fromCharCode(Number.parseInt(hex, 16));
    }
    const value = ESCAPES.get(letter);
    if (value === undefined) this.#fail(path, 'an invalid escape');
    this.#at += 2;
    return value;
  }

  #space(): void {
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
      this.#at += 1;
    }
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #word(word: string): boolean {
    if (!this.#text.startsWith(word, this.#at)) return false;
    this.#at += word.length;
    return true;
  }

  #here(): string {
    const character = this.#text.codePointAt(this.#at);
    return character === undefined ? 'the end' : JSON.stringify(String.fromCodePoint(character));
  }

  #fail(path: string, problem: string, offset: number = this.#at): never {
    throw documentError(this.#document, this.#text, offset, path, problem);
  }
}
