/**
 * A domain's WASI state as plain data, to be carried to another space: arguments, environment, descriptors with their
 * positions and rights, and every file and directory of the space's tree that its descriptors reach, those without a
 * name included. Plain data: objects, arrays, numbers, bigints, Uint8Arrays.
 *
 * What belongs to the host it comes from (granted folders, sockets) or is served by another domain cannot come along. Such a
 * descriptor stays, and every use of it is STALE (CONNRESET for a connection) until its folder is granted anew
 * (`grantAgain`), or what was served is granted under the same name.
 *
 * Making state of an image again is adopt.ts.
 */
import type { Tree } from '../../kernel/tree.ts';
import { NODE_TYPE } from '../../kernel/tree-records.ts';
import { AFTER_DOTS, pathOf } from '../../kernel/tree-whole.ts';
import type { Context } from './context.ts';
import { D, find, inTree, KIND, openNumbers, S, unpack } from './state.ts';

/** 2 has handles and served descriptors; what 1 holds means the same. */
export const STATE_IMAGE_VERSION = 2;
/** Bytes of a file that one piece holds at most. */
const PIECE_BYTES = 65536;

export interface EntryImage {
  name: Uint8Array;
  /** Index in `nodes`. */
  node: number;
  /** Its place in the order of listing: ascending, from 3. */
  cookie: number;
}

export interface NodeImage {
  /** One of NODE_TYPE. */
  type: number;
  /** The inode number. */
  number: number;
  accessed: bigint;
  modified: bigint;
  /** Of a file, in bytes. */
  size: number;
  /** Of a file: what is not zero. */
  pieces: { offset: number; bytes: Uint8Array }[];
  /** Of a symbolic link: what it says. */
  target: Uint8Array;
  /** Of a directory. */
  entries: EntryImage[];
}

export interface DescriptorImage {
  fd: number;
  /** One of KIND. */
  kind: number;
  readOnly: boolean;
  flags: number;
  rights: number;
  inheriting: number;
  offset: number;
  /** A stream's number, or an index in `nodes`; 0 for what belongs to the host, or is served. */
  object: number;
  /** Of the capability it stood on, which it gets again where that stayed behind; missing in version 1. */
  handle?: number;
  /** Of a preopened directory: its name, else null. */
  name: Uint8Array | null;
}

export interface StateImage {
  version: number;
  args: Uint8Array[];
  env: Uint8Array[];
  nodes: NodeImage[];
  /** The directories everything hangs from: index in `nodes`, and where it lay, as names from the root. */
  folders: { node: number; path: Uint8Array[] }[];
  descriptors: DescriptorImage[];
}

export function describeState(c: Context, state: number): StateImage {
  const { space } = c;
  const collector = new Collector(c.tree);
  const descriptors: DescriptorImage[] = [];
  for (const fd of openNumbers(space, state)) {
    const at = find(space, state, fd);
    const kind = D.kind.get(space, at);
    const name = D.name.get(space, at);
    descriptors.push({
      fd,
      kind,
      handle: D.handle.get(space, at),
      readOnly: D.readOnly.get(space, at) !== 0,
      flags: D.flags.get(space, at),
      rights: D.rights.get(space, at),
      inheriting: D.inheriting.get(space, at),
      offset: D.offset.get(space, at),
      object: inTree(kind)
        ? collector.add(D.object.get(space, at))
        : kind === KIND.stream
          ? D.object.get(space, at)
          : 0,
      name: name === 0 ? null : space.readBytes(name, D.nameBytes.get(space, at)),
    });
  }
  collector.collect();
  return {
    version: STATE_IMAGE_VERSION,
    args: unpack(space.readBytes(S.args.get(space, state), S.argBytes.get(space, state))),
    env: unpack(space.readBytes(S.env.get(space, state), S.envBytes.get(space, state))),
    nodes: collector.images,
    folders: collector.folders(),
    descriptors,
  };
}

/** Gathers nodes and all that lies below them, each once. */
class Collector {
  readonly images: NodeImage[] = [];
  readonly #tree: Tree;
  readonly #nodes: number[] = [];
  readonly #indices = new Map<number, number>();
  /** Indices of what is an entry of a gathered directory. */
  readonly #inside = new Set<number>();

  constructor(tree: Tree) {
    this.#tree = tree;
  }

  add(node: number): number {
    let index = this.#indices.get(node);
    if (index === undefined) {
      index = this.#nodes.push(node) - 1;
      this.#indices.set(node, index);
    }
    return index;
  }

  /** Makes the images; the list grows while directories are gone through. */
  collect(): void {
    for (let i = 0; i < this.#nodes.length; i++) this.images.push(this.#image(this.#nodes[i] as number));
  }

  /** Directories that lie in no other gathered one and still have a place. */
  folders(): { node: number; path: Uint8Array[] }[] {
    return this.#nodes.flatMap((node, index) => {
      if (!this.#tree.isDirectory(node) || this.#inside.has(index)) return [];
      const path = pathOf(this.#tree, node);
      return path === null ? [] : [{ node: index, path }];
    });
  }

  #image(node: number): NodeImage {
    const tree = this.#tree;
    const { type, number, accessed, modified, size } = tree.stat(node);
    const image: NodeImage = {
      ...{ type, number, accessed, modified, size: 0, pieces: [], target: new Uint8Array(0), entries: [] },
    };
    if (type === NODE_TYPE.link) {
      image.target = tree.readLink(node) as Uint8Array;
    } else if (type === NODE_TYPE.file) {
      image.size = size;
      image.pieces = this.#pieces(tree.segment(node), size);
    } else {
      for (let entry = tree.next(node, AFTER_DOTS); entry !== null; entry = tree.next(node, entry.cookie)) {
        const index = this.add(tree.lookup(node, entry.name));
        this.#inside.add(index);
        image.entries.push({ name: entry.name, node: index, cookie: entry.cookie });
      }
    }
    return image;
  }

  #pieces(segment: number, size: number): NodeImage['pieces'] {
    const pieces: NodeImage['pieces'] = [];
    for (let offset = 0; offset < size; offset += PIECE_BYTES) {
      const bytes = this.#tree.space.segments.readBytes(segment, offset, PIECE_BYTES);
      let end = bytes.length;
      while (end > 0 && bytes[end - 1] === 0) end--;
      if (end > 0) pieces.push({ offset, bytes: end === bytes.length ? bytes : bytes.slice(0, end) });
    }
    return pieces;
  }
}

/** Lets descriptors of a preopened host folder with this name use the folder with this id. How many there were. */
export function grantAgain(c: Context, state: number, guest: string, id: number, readOnly: boolean): number {
  const { space } = c;
  const wanted = new TextEncoder().encode(guest);
  let count = 0;
  for (const fd of openNumbers(space, state)) {
    const at = find(space, state, fd);
    const kind = D.kind.get(space, at);
    if (kind !== KIND.hostDirectory && kind !== KIND.servedDirectory) continue;
    if (D.name.get(space, at) === 0) continue;
    const name = space.readBytes(D.name.get(space, at), D.nameBytes.get(space, at));
    if (name.length !== wanted.length || !name.every((byte, i) => byte === wanted[i])) continue;
    D.kind.set(space, at, KIND.hostDirectory);
    D.object.set(space, at, id);
    D.readOnly.set(space, at, readOnly ? 1 : 0);
    c.bindings.bindAgain(state, at);
    count++;
  }
  return count;
}
