/** A program's own folder in the space's file tree, as commands see it: what is in it, and its removal. */

import { errnoName } from '../abi/errno.ts';
import { EnvironmentError } from '../base/errors.ts';
import type { Tree } from '../kernel/tree.ts';
import { nodeAt } from '../kernel/tree-path.ts';
import { NODE_TYPE } from '../kernel/tree-records.ts';
import { AFTER_DOTS, removeAll } from '../kernel/tree-whole.ts';
import { homeName } from '../personalities/wasi/index.ts';
import type { FilesReport } from './types.ts';

/** The folder with the homes, and a program's name in it. */
function place(tree: Tree, name: string): { homes: number; entry: Uint8Array } {
  return { homes: tree.lookup(tree.root, Buffer.from('home')), entry: Buffer.from(homeName(name)) };
}

/** Removes a program's folder with everything in it. Nothing happens where there is none. */
export function removeHome(tree: Tree, name: string): void {
  const { homes, entry } = place(tree, name);
  // A program may nest folders deeper than a recursion could follow.
  if (homes > 0) removeAll(tree, homes, entry, BigInt(Date.now()) * 1_000_000n);
}

/** What lies at a path of a program's folder: a folder's entries by name, or a file's bytes. */
export function readHome(tree: Tree, name: string, path: string): FilesReport {
  const { homes, entry } = place(tree, name);
  const home = homes > 0 ? tree.lookup(homes, entry) : -1;
  if (home < 0) {
    throw new EnvironmentError('no-such-file', `${name} has no files in this space`, 'see perdure ps');
  }
  const inside = path.replace(/^\/+/, '') || '.';
  const node = nodeAt(tree, home, Buffer.from(inside), true);
  if (node < 0) {
    const why = errnoName(-node) === 'NOENT' ? 'there is none' : errnoName(-node);
    throw new EnvironmentError(
      'no-such-file',
      `${name}: no file ${path}: ${why}`,
      `see perdure files ${name}`,
    );
  }
  if (!tree.isDirectory(node)) {
    return { kind: 'file', bytes: tree.space.segments.readBytes(tree.segment(node), 0, tree.size(node)) };
  }
  const entries = [];
  for (let item = tree.next(node, AFTER_DOTS); item !== null; item = tree.next(node, item.cookie)) {
    const type =
      item.type === NODE_TYPE.directory ? 'folder' : item.type === NODE_TYPE.file ? 'file' : 'link';
    const size = type === 'file' ? tree.size(tree.lookup(node, item.name)) : 0;
    entries.push({ name: Buffer.from(item.name).toString(), type, size } as const);
  }
  return { kind: 'folder', entries: entries.sort((a, b) => (a.name < b.name ? -1 : 1)) };
}
