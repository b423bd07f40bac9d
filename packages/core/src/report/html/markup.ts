import { visible } from '../visible.ts';

/** HTML or SVG that is safe to emit. Made by {@link markup} alone, so text cannot pass for it. */
export class Markup {
  readonly #source: string;

  constructor(source: string) {
    this.#source = source;
  }

  toString(): string {
    return this.#source;
  }
}

/** What may stand in a template: text is escaped, markup is not, nothing is left out. */
export type Content = Markup | string | number | undefined | readonly Content[];

/** Writes HTML or SVG. Every value put in is escaped, for element content and quoted attributes alike. */
export function markup(strings: TemplateStringsArray, ...values: readonly Content[]): Markup {
  return new Markup(strings.reduce((source, part, index) => source + write(values[index - 1]) + part));
}

function write(value: Content): string {
  if (value === undefined) return '';
  if (value instanceof Markup) return value.toString();
  if (typeof value === 'object') return value.map(write).join('');
  return escapeMarkup(String(value));
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeMarkup(text: string): string {
  return visible(text).replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

/** Text as a link, when the address is one a reader may follow: https, without credentials. */
export function linkTo(address: string | undefined, text: string): Content {
  if (address === undefined || !isSafeAddress(address)) return text;
  return markup`<a href="${address}" rel="noopener noreferrer nofollow">${text}</a>`;
}

function isSafeAddress(address: string): boolean {
  if (!/^https:\/\/[\x21-\x7e]+$/.test(address) || !URL.canParse(address)) return false;
  const { protocol, username, password } = new URL(address);
  return protocol === 'https:' && username === '' && password === '';
}
