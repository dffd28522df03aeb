/**
 * Whole parts of the file tree: where a node lies, and removing a folder with all below it. Nothing here recurses: how
 * deep a tree is, its programs decide.
 */
import { ERRNO } from '../abi/errno.ts';
import type { Tree } from './tree.ts';

/** Cookie behind `.` and `..`: listing from here gives a directory's own entries. */
export const AFTER_DOTS = 2;

/** Names from the root to a directory; null for one that was removed, or lies in one that was. */
export function pathOf(tree: Tree, directory: number): Uint8Array[] | null {
  const names: Uint8Array[] = [];
  for (let at = directory; at !== tree.root; ) {
    const parent = tree.parent(at);
    if (parent < 0) return null;
    let cookie = AFTER_DOTS;
    for (;;) {
      const entry = tree.next(parent, cookie);
      if (entry === null) return null;
      if (tree.lookup(parent, entry.name) === at) {
        names.push(entry.name);
        break;
      }
      cookie = entry.cookie;
    }
    at = parent;
  }
  return names.reverse();
}

/** Removes an entry and, where it is a directory, all that is in it. -NOENT where there is none. */
export function removeAll(tree: Tree, directory: number, name: Uint8Array, now: bigint): number {
  const path: { directory: number; name: Uint8Array }[] = [{ directory, name }];
  for (let top = path[0]; top !== undefined; top = path[path.length - 1]) {
    const node = tree.lookup(top.directory, top.name);
    if (node < 0) return -ERRNO.NOENT;
    if (!tree.isDirectory(node)) {
      tree.unlink(top.directory, top.name, now);
      path.pop();
      continue;
    }
    const inner = tree.next(node, AFTER_DOTS);
    if (inner !== null) {
      path.push({ directory: node, name: inner.name });
      continue;
    }
    tree.removeDirectory(top.directory, top.name, now);
    path.pop();
  }
  return 0;
}
