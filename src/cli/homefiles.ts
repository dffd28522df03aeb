/** Whole folders of the space's file tree: what commands do to a program's own folder. */
import type { Tree } from '../kernel/tree.ts';

/** Entries of a folder, without `.` and `..`. */
export function* entriesOf(tree: Tree, folder: number): Generator<Uint8Array> {
  for (let entry = tree.next(folder, 2); entry !== null; entry = tree.next(folder, entry.cookie)) {
    yield entry.name;
  }
}

/** Removes an entry with everything below it. Nothing happens where there is none. */
export function removeFromTree(tree: Tree, folder: number, name: Uint8Array, now: bigint): void {
  const node = tree.lookup(folder, name);
  if (node < 0) return;
  if (!tree.isDirectory(node)) {
    tree.unlink(folder, name, now);
    return;
  }
  for (const inner of [...entriesOf(tree, node)]) removeFromTree(tree, node, inner, now);
  tree.removeDirectory(folder, name, now);
}
