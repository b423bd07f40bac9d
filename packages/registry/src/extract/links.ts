import { components, type TreeNode } from '../layer/filesystem-view.ts';

/** As many as Linux follows before it says ELOOP. */
const MAX_HOPS = 40;

/**
 * Tells whether a symlink leads out of the tree when the host follows it from where the tree lies: at once or
 * through others. A circle leads nowhere, and so does a target that is missing, as long as it stays inside.
 */
export function leadsOutside(root: TreeNode, path: string, target: string): boolean {
  const at: TreeNode[] = [root];
  const pending: string[] = [...components(path).slice(0, -1)];
  // The parents of a node of the tree are directories.
  for (const name of pending) at.push(at.at(-1)!.children!.get(name)!);
  let rest = [target];
  let hops = 0;
  /** Names below what is not there; `..` takes them back one by one. */
  let missing = 0;
  while (rest.length > 0) {
    const text = rest.pop()!;
    if (text.startsWith('/')) return true;
    const names = text.split('/');
    for (const [index, name] of names.entries()) {
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (missing > 0) missing -= 1;
        else if (at.length === 1) return true;
        else at.pop();
        continue;
      }
      const child = missing > 0 ? undefined : at.at(-1)!.children?.get(name);
      if (child === undefined) {
        missing += 1;
        continue;
      }
      if (child.entry?.type !== 'symlink') {
        at.push(child);
        continue;
      }
      hops += 1;
      if (hops > MAX_HOPS) return false;
      rest = [...rest, names.slice(index + 1).join('/'), child.entry.linkTarget!];
      break;
    }
  }
  return false;
}
