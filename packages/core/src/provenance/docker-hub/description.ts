import type { SourceLocation } from '../../lineage/types.ts';
import { type FileLink, parseFileUrl, toLocation } from '../file-url.ts';

/** An item of the tag list: the tags of one source and the link to its Dockerfile. */
export interface TagLink {
  readonly tags: readonly string[];
  /** True under "Shared Tags": another item can carry the same tags. */
  readonly shared: boolean;
  /** The link's target; absent when the list has none (source hosts the generator did not know). */
  readonly url?: string;
  /** What the link points at, when it has a known form. */
  readonly link?: FileLink;
  /** The same as a location, when it names a full commit. */
  readonly location?: SourceLocation;
  /** 1-based line of the description. */
  readonly line: number;
}

/** The tag list of an official image's description. */
export interface DescriptionLinks {
  /**
   * `listed`: the tag list is there. `trimmed`: it was left out because the text exceeded Docker Hub's limit
   * of 25,000 bytes. `empty`: it says that no tags are supported. `absent`: there is no such section.
   */
  readonly status: 'listed' | 'trimmed' | 'empty' | 'absent';
  /** True when the text was shortened in any way, so that items can be missing. */
  readonly truncated: boolean;
  readonly links: readonly TagLink[];
}

/**
 * Reads the "Supported tags and respective `Dockerfile` links" section of an official image's description,
 * in every form it has had since 2014. Takes time linear in the length of the text.
 */
export function parseDescriptionLinks(markdown: string): DescriptionLinks {
  const links: TagLink[] = [];
  const truncated = markdown.includes('Hub length limit');
  let inSection = false;
  let seen = false;
  let empty = false;
  let group: readonly string[] | undefined;
  for (const [index, text] of markdown.split('\n').entries()) {
    if (text.startsWith('# ')) {
      inSection = /^# (?:supported )?tags\b.{0,40}\blinks\s*$/i.test(text.slice(0, 200));
      seen ||= inSection;
    }
    if (!inSection) continue;
    if (text.startsWith('**No supported tags')) empty = true;
    const item = readItem(text);
    if (item === undefined) continue;
    const line = index + 1;
    if (!item.nested) group = item.opensGroup ? item.tags : undefined;
    if (item.opensGroup) continue;
    if (item.nested && group !== undefined) links.push(toTagLink(group, true, item.url, line));
    else if (item.tags.length > 0) links.push(toTagLink(item.tags, false, item.url, line));
  }
  const status =
    links.length > 0 ? 'listed' : empty ? 'empty' : truncated ? 'trimmed' : seen ? 'empty' : 'absent';
  return { status, truncated, links };
}

/** Lists the links to files named like a Dockerfile, with the words linked, anywhere in a description. */
export function findDockerfileLinks(
  markdown: string,
): readonly { readonly text: string; readonly url: string; readonly link: FileLink }[] {
  return [...markdown.matchAll(/\]\((https:\/\/[^\s()<>]{1,2000})\)/g)].flatMap((match) => {
    const url = match[1] ?? '';
    const link = parseFileUrl(url);
    if (link === undefined || !/(?:^|[/.])dockerfile(?:$|\.)/i.test(link.path)) return [];
    const before = markdown.slice(Math.max(0, match.index - LINK_TEXT), match.index);
    return [{ text: before.slice(before.lastIndexOf('[') + 1), url, link }];
  });
}

interface Item {
  readonly nested: boolean;
  readonly tags: readonly string[];
  readonly opensGroup: boolean;
  readonly url?: string;
}

function readItem(text: string): Item | undefined {
  const bullet = /^([ \t]*)[-*][ \t]+/.exec(text);
  if (bullet === null) return undefined;
  const nested = bullet[1] !== '';
  const content = text.slice(bullet[0].length).trimEnd();
  if (!content.startsWith('[')) {
    if (!content.startsWith('`')) return undefined;
    return { nested, tags: codeWords(content), opensGroup: content.endsWith(':') };
  }
  const close = content.indexOf('](');
  const end = content.indexOf(')', close);
  if (close < 0 || end < 0) return undefined;
  // Until 2019 the path followed the tags: [`1.0`, `latest` (*1.0/Dockerfile*)](...)
  const words = content.slice(1, close).split(' (*', 1)[0] ?? '';
  const url = content.slice(close + 2, end);
  const tags = words.includes('`') ? codeWords(words) : plainWords(words, url);
  return tags.length === 0 ? undefined : { nested, tags, opensGroup: false, url };
}

/** For some days of 2014 tags were not set in code: [1.0, latest](...). A link to anything but a Dockerfile is prose. */
function plainWords(text: string, url: string): readonly string[] {
  const words = text.split(',').map((word) => word.trim());
  const named = words.every((word) => /^\w[\w.-]{0,127}$/.test(word));
  return named && /\/Dockerfile$/.test(url) ? words : [];
}

function codeWords(text: string): readonly string[] {
  return [...text.matchAll(/`(\w[\w.-]{0,127})`/g)].map((match) => match[1] ?? '');
}

function toTagLink(tags: readonly string[], shared: boolean, url: string | undefined, line: number): TagLink {
  const link = url === undefined ? undefined : parseFileUrl(url);
  const location = link === undefined ? undefined : toLocation(link);
  return {
    tags,
    shared,
    ...(url === undefined ? {} : { url }),
    ...(link === undefined ? {} : { link }),
    ...(location === undefined ? {} : { location }),
    line,
  };
}

const LINK_TEXT = 512;
