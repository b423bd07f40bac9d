import { TrustError } from '../errors.ts';
import type { JsonValue } from '../json/canonical-json.ts';

/** A JSON object whose members are not looked at yet. */
export type JsonObject = { readonly [name: string]: JsonValue };

/** Reads JSON values and says where one is not what it should be. */
export class JsonReader {
  readonly #role: string;

  constructor(role: string) {
    this.#role = role;
  }

  fail(path: string, reason: string): TrustError {
    return new TrustError('MALFORMED', `read ${this.#role}: ${path}: ${reason}`);
  }

  object(value: JsonValue | undefined, path: string): JsonObject {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
    throw this.fail(path, 'expected an object');
  }

  array(value: JsonValue | undefined, path: string): readonly JsonValue[] {
    if (Array.isArray(value)) return value as readonly JsonValue[];
    throw this.fail(path, 'expected an array');
  }

  string(value: JsonValue | undefined, path: string): string {
    if (typeof value === 'string') return value;
    throw this.fail(path, 'expected a string');
  }

  integer(value: JsonValue | undefined, path: string, minimum: number): number {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= minimum) return value;
    throw this.fail(path, `expected a whole number of at least ${minimum}`);
  }

  base64(value: JsonValue | undefined, path: string): string {
    const text = this.string(value, path);
    // One spelling only: Go writes what it decoded, so any other spelling changes on the server.
    if (Buffer.from(text, 'base64').toString('base64') === text) return text;
    throw this.fail(path, 'expected base64');
  }

  keyId(value: JsonValue | undefined, path: string): string {
    const text = this.string(value, path);
    if (/^[0-9a-f]{64}$/.test(text)) return text;
    throw this.fail(path, 'expected a key id of 64 hexadecimal characters');
  }

  nullable<T>(value: JsonValue | undefined, read: (value: JsonValue | undefined) => T): T | null {
    return value === null ? null : read(value);
  }

  /** Members keep no prototype: a target may be named `__proto__`. */
  record<T>(
    value: JsonValue | undefined,
    path: string,
    read: (value: JsonValue, path: string) => T,
  ): Record<string, T> {
    const result: Record<string, T> = Object.create(null);
    for (const [name, item] of Object.entries(this.object(value, path))) {
      result[name] = read(item, `${path}[${JSON.stringify(name.slice(0, 80))}]`);
    }
    return result;
  }
}
