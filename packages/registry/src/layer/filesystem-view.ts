import { DEFAULT_LAYER_LIMITS, limitExceeded } from './limits.ts';
import { cleanPath } from './tar-text.ts';
import type { LayerAnomaly, LayerEntry, LayerScan } from './types.ts';

/** What a container of the image would see at one path. Plain data. */
export interface FilesystemEntry extends LayerEntry {
  /** A `hardlink` is left only where its target is missing; others appear as the file they share. */
  readonly type: Exclude<LayerEntry['type'], 'whiteout' | 'opaque'>;
  /** Index of the layer that provides it, 0 for the base. */
  readonly layer: number;
  /** Another path of the same file, where this one was a hardlink to it. */
  readonly hardlinkTo?: string;
  /** True for a directory no layer lists, which engines create as root with mode 0755. */
  readonly implied?: true;
}

/**
 * Lays layers over each other as overlay filesystems do: whiteouts hide only what is below their layer, a
 * directory joins a directory, everything else replaces with all below it, and links are never followed.
 *
 * @param layers - Base first.
 * @throws {@link RegistryError} `LIMIT_EXCEEDED` when there are more than `maxEntries`, replaced ones included.
 * @see OCI image-spec, layer.md, "Applying Changesets"
 */
export function mergeLayers(
  layers: readonly Pick<LayerScan, 'entries'>[],
  options: { readonly maxEntries?: number } = {},
): FilesystemView {
  const { root, anomalies } = mergeTree(layers, options.maxEntries ?? DEFAULT_LAYER_LIMITS.maxEntries);
  return new Tree(root, anomalies);
}

/** As {@link mergeLayers}, but answers the tree itself: names of one file are nodes that share its `content`. */
export function mergeTree(
  layers: readonly Pick<LayerScan, 'entries'>[],
  maxEntries: number,
): { readonly root: TreeNode; readonly anomalies: readonly LayerAnomaly[] } {
  const merger = new Merger(maxEntries);
  for (const [index, layer] of layers.entries()) merger.apply(layer.entries, index);
  return merger;
}

/** Goes through a tree, parents before children, names in code unit order. */
export function* walkTree(root: TreeNode): Generator<[path: string, node: TreeNode]> {
  const pending: [path: string, node: TreeNode][] = [['/', root]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    yield next;
    const [path, node] = next;
    for (const [name, child] of sortedChildren(node).reverse()) pending.push([join(path, name), child]);
  }
}

/**
 * The filesystem of an image: the sum of its layers. Iterating goes through all entries, the root first, parents
 * before children, names in code unit order.
 */
export interface FilesystemView extends Iterable<FilesystemEntry> {
  /** What the layers have odd in relation to each other; at most 100. */
  readonly anomalies: readonly LayerAnomaly[];
  /** Finds the entry at an absolute path; symlinks on the way are not followed. */
  get(path: string): FilesystemEntry | undefined;
  /** Lists what a directory holds, by name; empty when there is no such directory. */
  list(directory: string): FilesystemEntry[];
}

class Tree implements FilesystemView {
  readonly anomalies: readonly LayerAnomaly[];
  readonly #root: TreeNode;

  constructor(root: TreeNode, anomalies: readonly LayerAnomaly[]) {
    this.#root = root;
    this.anomalies = anomalies;
  }

  get(path: string): FilesystemEntry | undefined {
    const clean = cleanPath(path);
    const node = clean === undefined ? undefined : find(this.#root, clean);
    return node && describe(clean!, node);
  }

  list(directory: string): FilesystemEntry[] {
    const clean = cleanPath(directory);
    const node = clean === undefined ? undefined : find(this.#root, clean);
    return sortedChildren(node).map(([name, child]) => describe(join(clean!, name), child));
  }

  *[Symbol.iterator](): Generator<FilesystemEntry> {
    for (const [path, node] of walkTree(this.#root)) yield describe(path, node);
  }
}

/** A path of the tree; without an entry it is an implied directory. */
export interface TreeNode {
  entry: LayerEntry | undefined;
  /** The entry whose content it has: names of one file share it. Absent for directories. */
  content?: LayerEntry;
  layer: number;
  hardlinkTo?: string;
  children?: Map<string, TreeNode>;
}

const MAX_ANOMALIES = 100;

/** Builds the tree, layer by layer. */
class Merger {
  readonly root: TreeNode = { entry: undefined, layer: 0 };
  readonly anomalies: LayerAnomaly[] = [];
  readonly #maxEntries: number;
  #nodes = 1;
  /** The names of files that have more than one. */
  readonly #names = new Map<LayerEntry, TreeNode[]>();
  /** Archives list directory by directory, so the last parent is usually the next one too. */
  #parent: { path: string; node: TreeNode } | undefined;

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries;
  }

  apply(entries: readonly LayerEntry[], layer: number): void {
    this.#parent = undefined;
    // First, so that they hide nothing of their own layer.
    for (const entry of entries) this.#hide(entry);
    for (const entry of entries) {
      if (entry.type !== 'whiteout' && entry.type !== 'opaque') this.#put(entry, layer);
    }
  }

  #hide({ type, path }: LayerEntry): void {
    if (type === 'opaque') find(this.root, path)?.children?.clear();
    else if (type === 'whiteout') find(this.root, parentOf(path))?.children?.delete(nameOf(path));
  }

  #put(entry: LayerEntry, layer: number): void {
    if (entry.path === '/') {
      if (entry.type === 'directory') Object.assign(this.root, { entry, layer });
      else this.#note('parent-not-directory', '/');
      return;
    }
    const target = entry.type === 'hardlink' ? find(this.root, entry.linkTarget!) : undefined;
    const parent = this.#directory(parentOf(entry.path), layer);
    parent.children ??= new Map();
    const name = nameOf(entry.path);
    const present = parent.children.get(name);
    if (present !== undefined && isDirectory(present)) {
      if (entry.type === 'directory') {
        present.entry = entry;
        present.layer = layer;
        return;
      }
      this.#parent = undefined;
    }
    parent.children.set(name, this.#link(entry, layer, target));
  }

  /** The node of an entry; that of a hardlink shares what its target is. */
  #link(entry: LayerEntry, layer: number, target: TreeNode | undefined): TreeNode {
    this.#count();
    if (entry.type !== 'hardlink')
      return { entry, layer, ...(entry.type !== 'directory' && { content: entry }) };
    if (target?.entry !== undefined && !isDirectory(target)) {
      const content = target.content ?? target.entry;
      const names = this.#names.get(content) ?? [target];
      const node = { entry: undefined, content, layer, hardlinkTo: entry.linkTarget! };
      this.#names.set(content, names);
      names.push(node);
      const shared = throughLink(target.entry, entry);
      for (const name of names) name.entry = shared;
      return node;
    }
    this.#note('dangling-hardlink', entry.path);
    return { entry, layer };
  }

  /** Finds or makes the directory at a path. */
  #directory(path: string, layer: number): TreeNode {
    if (this.#parent?.path === path) return this.#parent.node;
    let node = this.root;
    for (const name of components(path)) {
      node.children ??= new Map();
      let child = node.children.get(name);
      if (child === undefined || !isDirectory(child)) {
        if (child !== undefined) this.#note('parent-not-directory', path);
        this.#count();
        child = { entry: undefined, layer };
        node.children.set(name, child);
      }
      node = child;
    }
    this.#parent = { path, node };
    return node;
  }

  #count(): void {
    this.#nodes += 1;
    if (this.#nodes > this.#maxEntries) {
      throw limitExceeded('number of entries of the merged filesystem', this.#nodes, this.#maxEntries);
    }
  }

  #note(kind: LayerAnomaly['kind'], path: string): void {
    if (this.anomalies.length < MAX_ANOMALIES) this.anomalies.push({ kind, path });
  }
}

/**
 * A file after a hardlink to it was unpacked: engines set owner, mode and attributes through the link, and a new owner takes
 * capabilities away.
 */
function throughLink(file: LayerEntry, { mode, uid, gid, mtime, xattrs }: LayerEntry): LayerEntry {
  const { 'security.capability': _taken, ...kept } = file.xattrs ?? {};
  const attributes = { ...kept, ...xattrs };
  const { xattrs: _own, ...rest } = file;
  return {
    ...rest,
    ...{ uid, gid, mtime },
    mode: file.type === 'symlink' ? file.mode : mode,
    ...(Object.keys(attributes).length === 0 ? {} : { xattrs: attributes }),
  };
}

/** Tells whether a node is a directory, listed or implied. */
export function isDirectory(node: TreeNode): boolean {
  return node.entry === undefined || node.entry.type === 'directory';
}

function find(root: TreeNode, path: string): TreeNode | undefined {
  let node: TreeNode | undefined = root;
  for (const name of components(path)) {
    node = node.children?.get(name);
    if (node === undefined) return undefined;
  }
  return node;
}

function describe(path: string, node: TreeNode): FilesystemEntry {
  const { entry, layer, hardlinkTo } = node;
  if (entry === undefined) {
    return { path, type: 'directory', mode: 0o755, uid: 0, gid: 0, size: 0, mtime: 0, layer, implied: true };
  }
  const type = entry.type as FilesystemEntry['type'];
  return hardlinkTo === undefined ? { ...entry, type, layer } : { ...entry, type, path, layer, hardlinkTo };
}

function sortedChildren(node: TreeNode | undefined): [string, TreeNode][] {
  return [...(node?.children ?? [])].sort(([one], [other]) => (one < other ? -1 : 1));
}

/** The names along an absolute, cleaned path. */
export function components(path: string): string[] {
  return path === '/' ? [] : path.slice(1).split('/');
}

/** The directory an absolute, cleaned path is in. */
export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

/** The last name of a path. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function join(directory: string, name: string): string {
  return directory === '/' ? `/${name}` : `${directory}/${name}`;
}
