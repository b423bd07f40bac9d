import { createHash, type Hash, hash } from 'node:crypto';
import { type Digest, digestOf } from '../digest.ts';
import { type LayerLimits, limitExceeded } from './limits.ts';
import { invalidArchive } from './tar-header.ts';
import { type TarEntry, type TarHandler, TarReader } from './tar-reader.ts';
import { cleanPath } from './tar-text.ts';
import type { LayerAnomaly, LayerAnomalyKind, LayerEntry, LayerEntryType } from './types.ts';

/** Takes the content of files as it passes. */
export interface ContentSink {
  /** The next piece of a file; its bytes are valid until {@link drain} has resolved. An empty file has none. */
  write(file: LayerEntry, bytes: Uint8Array): void;
  /** Waited for before more of the layer is read. */
  drain(): Promise<void>;
}

/** How a {@link LayerReader} reads. */
export interface LayerReaderOptions {
  readonly limits: LayerLimits;
  readonly hashFiles: boolean;
  readonly checksums: boolean;
  readonly keepContent: RegExp | ((entry: LayerEntry) => boolean | number) | undefined;
  readonly sink?: ContentSink | undefined;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const TYPES: Readonly<Record<string, LayerEntryType>> = {
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
};
const EMPTY_FILE: Digest = digestOf('');
const MAX_ANOMALIES = 100;

/** Turns the uncompressed bytes of a layer into its entries, hashing files as they pass; never writes. */
export class LayerReader implements TarHandler {
  readonly entries: LayerEntry[] = [];
  readonly anomalies: LayerAnomaly[] = [];
  readonly #options: LayerReaderOptions;
  readonly #tar: TarReader;
  readonly #paths: Set<string> = new Set();
  /** The entry whose content is coming, absent while content is skipped. */
  #file: Mutable<LayerEntry> | undefined;
  #hash: Hash | undefined;
  #checksums: { readonly md5: Hash; readonly sha1: Hash } | undefined;
  /** Where kept content goes, and how much of it is filled. */
  #kept: Uint8Array | undefined;
  #filled = 0;
  #remaining = 0;
  #keptBytes = 0;
  #metadataBytes = 0;

  constructor(options: LayerReaderOptions) {
    this.#options = options;
    this.#tar = new TarReader(this, options.limits);
  }

  /** @throws {@link RegistryError} `INVALID_LAYER`, `UNSUPPORTED` or `LIMIT_EXCEEDED` */
  push(bytes: Uint8Array): void {
    this.#tar.push(bytes);
  }

  /** @throws {@link RegistryError} `INVALID_LAYER` when the archive is not whole. */
  end(): void {
    this.#tar.end();
  }

  onAnomaly(kind: LayerAnomalyKind, name: string): void {
    if (this.anomalies.length < MAX_ANOMALIES) this.anomalies.push({ kind, path: cleanPath(name) ?? name });
  }

  onEntry(raw: TarEntry): void {
    this.#file = undefined;
    this.#remaining = raw.size;
    const { maxEntries } = this.#options.limits;
    if (this.entries.length >= maxEntries) {
      throw limitExceeded('number of entries of the layer', this.entries.length + 1, maxEntries);
    }
    const entry = this.#whiteout(this.#convert(raw));
    if (entry === undefined) return;
    const known = this.#paths.size;
    if (this.#paths.add(identity(entry)).size === known) {
      this.onAnomaly('duplicate-entry', entry.path);
    }
    this.entries.push(entry);
    if (entry.type === 'file') this.#startFile(entry);
  }

  onContent(bytes: Buffer): void {
    this.#remaining -= bytes.length;
    const file = this.#file;
    if (file === undefined) return;
    this.#options.sink?.write(file, bytes);
    if (this.#kept !== undefined) this.#filled += bytes.copy(this.#kept, this.#filled);
    if (this.#options.hashFiles) {
      if (bytes.length === file.size) file.digest = `sha256:${hash('sha256', bytes)}`;
      else this.#hash = (this.#hash ?? createHash('sha256')).update(bytes);
    }
    if (this.#options.checksums) {
      this.#checksums ??= { md5: createHash('md5'), sha1: createHash('sha1') };
      this.#checksums.md5.update(bytes);
      this.#checksums.sha1.update(bytes);
    }
    if (this.#remaining === 0) this.#endFile(file);
  }

  #startFile(file: Mutable<LayerEntry>): void {
    const { keepContent } = this.#options;
    // `search` ignores the state that patterns with flag `g` keep.
    const asked = keepContent instanceof RegExp ? file.path.search(keepContent) !== -1 : keepContent?.(file);
    const wanted = asked === true ? file.size : Math.min(file.size, Number(asked ?? 0));
    if (wanted > 0 || asked === true) {
      this.#keptBytes += wanted;
      const { maxKeptBytes } = this.#options.limits;
      if (this.#keptBytes > maxKeptBytes) {
        throw limitExceeded(`content kept of the layer, with ${file.path},`, this.#keptBytes, maxKeptBytes);
      }
      file.content = this.#kept = new Uint8Array(wanted);
    }
    if (file.size > 0) this.#file = file;
    else {
      if (this.#options.hashFiles) file.digest = EMPTY_FILE;
      if (this.#options.checksums) file.checksums = { md5: hash('md5', ''), sha1: hash('sha1', '') };
    }
  }

  #endFile(file: Mutable<LayerEntry>): void {
    if (this.#hash !== undefined) file.digest = `sha256:${this.#hash.digest('hex')}`;
    if (this.#checksums !== undefined) {
      const { md5, sha1 } = this.#checksums;
      file.checksums = { md5: md5.digest('hex'), sha1: sha1.digest('hex') };
    }
    this.#file = undefined;
    this.#hash = undefined;
    this.#checksums = undefined;
    this.#kept = undefined;
    this.#filled = 0;
  }

  #convert(raw: TarEntry): Mutable<LayerEntry> {
    const path = this.#clean(raw.name);
    const flagged = TYPES[raw.flag];
    // Before ustar a directory was a file whose name ends in a slash.
    const type = flagged === 'file' && raw.name.endsWith('/') ? 'directory' : flagged;
    if (type === undefined) throw invalidArchive(`${path} has the unknown type ${JSON.stringify(raw.flag)}`);
    const entry: Mutable<LayerEntry> = {
      path,
      type,
      mode: raw.mode & 0o7777,
      uid: raw.uid,
      gid: raw.gid,
      size: type === 'file' ? raw.size : 0,
      mtime: raw.mtime,
      digest: undefined,
      checksums: undefined,
      linkTarget: undefined,
      xattrs: raw.xattrs,
      device: undefined,
      content: undefined,
    };
    if (type === 'symlink') entry.linkTarget = raw.linkName;
    else if (type === 'hardlink') entry.linkTarget = this.#clean(raw.linkName);
    else if (type === 'character-device' || type === 'block-device') {
      entry.device = { major: raw.major, minor: raw.minor };
      if (raw.major === 0 && raw.minor === 0) this.onAnomaly('device-as-whiteout', path);
    }
    this.#countMetadata(entry);
    return entry;
  }

  /** Reads the marker names of whiteouts. @see OCI image-spec, layer.md, "Whiteouts" */
  #whiteout(entry: Mutable<LayerEntry>): Mutable<LayerEntry> | undefined {
    const slash = entry.path.lastIndexOf('/');
    if (!entry.path.startsWith('.wh.', slash + 1)) return entry;
    const parent = entry.path.slice(0, slash);
    const name = entry.path.slice(slash + 5);
    const mark = { ...entry, size: 0, linkTarget: undefined, device: undefined };
    if (name === '.wh..opq') return { ...mark, type: 'opaque', path: parent === '' ? '/' : parent };
    // What aufs kept for itself at the root; engines leave it out.
    if (parent === '' && name.startsWith('.wh.')) return undefined;
    if (name === '' || name === '.' || name === '..') {
      throw invalidArchive(`${entry.path} would hide ${JSON.stringify(name)}`);
    }
    return { ...mark, type: 'whiteout', path: `${parent}/${name}` };
  }

  #clean(name: string): string {
    const path = cleanPath(name);
    if (path === undefined) throw invalidArchive(`${JSON.stringify(name.slice(0, 160))} leaves the root`);
    if (name.includes('..') && name.split('/').includes('..')) this.onAnomaly('dot-dot-in-path', path);
    return path;
  }

  #countMetadata(entry: LayerEntry): void {
    const { maxPathBytes, maxMetadataBytes } = this.#options.limits;
    const path = entry.path.length;
    const target = entry.linkTarget?.length ?? 0;
    if (path > maxPathBytes || target > maxPathBytes) {
      throw limitExceeded('length of a path or link target', Math.max(path, target), maxPathBytes);
    }
    this.#metadataBytes += path + target;
    for (const [name, value] of Object.entries(entry.xattrs ?? {})) {
      this.#metadataBytes += name.length + value.length;
    }
    if (this.#metadataBytes > maxMetadataBytes) {
      throw limitExceeded('bytes of names in the layer', this.#metadataBytes, maxMetadataBytes);
    }
  }
}

/** A whiteout and a file of the same path are two things. */
function identity(entry: LayerEntry): string {
  const mark = entry.type === 'whiteout' || entry.type === 'opaque';
  return mark ? `${entry.type} ${entry.path}` : entry.path;
}
