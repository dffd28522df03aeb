/** Whole folders of the space's file tree: what commands do to a program's own folder. */
import type { Tree } from '../kernel/tree.ts';
import { removeAll } from '../kernel/tree-whole.ts';

/** Removes an entry with everything below it. Nothing happens where there is none. */
export function removeFromTree(tree: Tree, folder: number, name: Uint8Array, now: bigint): void {
  removeAll(tree, folder, name, now); // a program may nest folders deeper than a recursion could follow
}
