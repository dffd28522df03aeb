/**
 * WASI state made from an image (image.ts), which may come from anywhere and say anything. Nothing of it is believed:
 * only new folders are made, no access is given to any that is there, and nothing is left behind when it is refused.
 */
import { MalformedError } from '../../base/errors.ts';
import { NAME_MAX_BYTES, OPEN_FILES_MAX, PATH_MAX_BYTES } from '../../base/limits.ts';
import { FILE_MAX_BYTES } from '../../kernel/tree.ts';
import { NODE_TYPE } from '../../kernel/tree-records.ts';
import { AFTER_DOTS, removeAll } from '../../kernel/tree-whole.ts';
import { SpaceFullError } from '../../space/index.ts';
import {
  FDFLAGS_ALL,
  RIGHT,
  RIGHTS_ALL,
  RIGHTS_DIRECTORY,
  RIGHTS_FILE,
  RIGHTS_LISTENER,
  RIGHTS_SOCKET,
  RIGHTS_STREAM,
} from './abi.ts';
import type { Context } from './context.ts';
import { ERRNO } from './errno.ts';
import { homeName } from './grants.ts';
import { type DescriptorImage, type NodeImage, STATE_IMAGE_VERSION, type StateImage } from './image.ts';
import { createState, D, fill, find, freeNumber, isServed, KIND } from './state.ts';

function demand(ok: boolean, what: string): asserts ok {
  if (!ok) throw new MalformedError(`WASI state: ${what}`, -1);
}
const isCount = (value: unknown, limit = Number.MAX_SAFE_INTEGER): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= limit;
const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;
const isTime = (value: unknown): value is bigint =>
  typeof value === 'bigint' && value >= 0n && value < 2n ** 64n;
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isListOf = (value: unknown, ok: (item: unknown) => boolean): boolean =>
  Array.isArray(value) && value.every(ok);

/** Shapes and types; what they refer to is checked when it is used. */
function checkShape(data: unknown): asserts data is StateImage {
  const { version } = isObject(data) ? data : {};
  demand(isObject(data) && (version === 1 || version === STATE_IMAGE_VERSION), 'it is not of this version');
  const text = (item: unknown): boolean => isBytes(item) && !item.includes(0);
  demand(isListOf(data.args, text) && isListOf(data.env, text), 'arguments or environment are damaged');
  demand(isListOf(data.nodes, isNode), 'a file is damaged');
  const nodes = (data.nodes as unknown[]).length;
  demand(
    isListOf(
      data.folders,
      (item) => isObject(item) && isCount(item.node, nodes - 1) && isListOf(item.path, isBytes),
    ),
    'a folder is damaged',
  );
  demand(isListOf(data.descriptors, isDescriptor), 'a descriptor is damaged');
}

function isNode(item: unknown): boolean {
  if (!isObject(item) || !isCount(item.number) || !isTime(item.accessed) || !isTime(item.modified))
    return false;
  const isPiece = (piece: unknown): boolean =>
    isObject(piece) &&
    isCount(piece.offset) &&
    isBytes(piece.bytes) &&
    piece.offset + piece.bytes.length <= (item.size as number);
  const isEntry = (entry: unknown): boolean =>
    isObject(entry) && isBytes(entry.name) && isCount(entry.node) && isCount(entry.cookie);
  return (
    Object.values<unknown>(NODE_TYPE).includes(item.type) &&
    isCount(item.size, FILE_MAX_BYTES) &&
    isListOf(item.pieces, isPiece) &&
    isBytes(item.target) &&
    item.target.length <= PATH_MAX_BYTES &&
    isListOf(item.entries, isEntry)
  );
}

function isDescriptor(item: unknown): boolean {
  return (
    isObject(item) &&
    isCount(item.fd, OPEN_FILES_MAX - 1) &&
    isCount(item.kind, KIND.servedStream) &&
    item.kind !== KIND.free &&
    typeof item.readOnly === 'boolean' &&
    isCount(item.flags, FDFLAGS_ALL) &&
    isCount(item.rights, RIGHTS_ALL) &&
    isCount(item.inheriting, RIGHTS_ALL) &&
    isCount(item.offset) &&
    isCount(item.object) &&
    (item.handle === undefined || isCount(item.handle, 2 ** 31 - 1)) &&
    (item.name === null || (isBytes(item.name) && item.name.length <= PATH_MAX_BYTES))
  );
}

/**
 * Makes state from an image, for a domain of this name. Returns its address.
 * @throws MalformedError, SpaceFullError with nothing left behind
 */
export function adoptState(
  c: Context,
  data: unknown,
  name: string,
  freeAll: (state: number) => void,
): number {
  checkShape(data);
  const state = createState(c.space, data.args, data.env);
  const builder = new Builder(c, data);
  try {
    builder.build(name);
    for (const descriptor of data.descriptors) adoptDescriptor(c, state, descriptor, builder);
  } catch (error) {
    freeAll(state);
    builder.undo();
    throw error;
  }
  builder.finish();
  return state;
}

function adoptDescriptor(c: Context, state: number, image: DescriptorImage, builder: Builder): void {
  const { space } = c;
  demand(find(space, state, image.fd) === 0, 'two descriptors have one number');
  demand(freeNumber(space, state, image.fd) === image.fd, 'a descriptor has no place');
  let object = 0;
  if (image.kind === KIND.stream) {
    demand(image.object <= 2, 'there are three standard streams');
    object = image.object;
  } else if (image.kind === KIND.file || image.kind === KIND.directory) {
    object = builder.node(image.object);
    demand(c.tree.isDirectory(object) === (image.kind === KIND.directory), 'a descriptor is not of its kind');
    demand(c.tree.type(object) !== NODE_TYPE.link, 'a symbolic link cannot be open');
  }
  const name = image.name === null ? 0 : space.heap.allocBytes(image.name);
  const rights = image.rights & mostRights(image.kind, object);
  const at = fill(space, state, image.fd, { ...image, object, rights });
  if (object !== 0 && image.kind !== KIND.stream) c.tree.retain(object);
  D.handle.set(space, at, image.handle ?? 0);
  if (isServed(image.kind)) D.object.set(space, at, image.handle ?? 0);
  D.offset.set(space, at, image.offset);
  D.name.set(space, at, name);
  D.nameBytes.set(space, at, image.name?.length ?? 0);
}

/** The rights that a descriptor of this kind can have at all: what is behind it relies on no other being asked. */
function mostRights(kind: number, object: number): number {
  switch (kind) {
    case KIND.stream:
      return RIGHTS_STREAM & ~(object === 0 ? RIGHT.FD_WRITE : RIGHT.FD_READ);
    case KIND.file:
    case KIND.hostFile:
    case KIND.servedFile:
      return RIGHTS_FILE;
    case KIND.servedStream:
      return RIGHTS_STREAM;
    case KIND.socket:
      return RIGHTS_SOCKET;
    case KIND.listener:
      return RIGHTS_LISTENER;
    default:
      return RIGHTS_DIRECTORY;
  }
}

/** Makes the files of an image. What has no name in it is made under a passing one, and lives by its descriptors. */
class Builder {
  readonly #c: Context;
  readonly #image: StateImage;
  /** Node made for each index, 0 for none yet. */
  readonly #made: number[];
  /** Folders made: what `undo` removes. */
  readonly #folders: { parent: number; name: Uint8Array }[] = [];
  /** Names that go when all descriptors are there. */
  readonly #passing: { node: number; name: Uint8Array }[] = [];

  constructor(c: Context, image: StateImage) {
    this.#c = c;
    this.#image = image;
    this.#made = image.nodes.map(() => 0);
  }

  /**
   * Folders come to places where no program that is here already would look: the domain's own home, and others
   * together in /imported. Programs see the names their folders were granted under, not these.
   */
  build(name: string): void {
    let home = new TextEncoder().encode(homeName(name));
    for (const { node, path } of this.#image.folders) {
      const isHome = path.length === 2 && sameText(path[0], 'home') && home.length > 0;
      const parent = this.#parent(isHome ? 'home' : 'imported');
      const wanted = isHome ? home : (path[path.length - 1] ?? new TextEncoder().encode('root'));
      if (isHome) home = new Uint8Array(0);
      demand((this.#image.nodes[node] as NodeImage).type === NODE_TYPE.directory, 'a folder is a file');
      demand(this.#made[node] === 0, 'a folder has two places');
      this.#fill(node, parent, this.#freeName(parent, wanted));
    }
  }

  /** The node with this index, made without a name if it has none. */
  node(index: number): number {
    demand(index < this.#made.length, 'a descriptor leads nowhere');
    const made = this.#made[index] as number;
    if (made !== 0) return made;
    const { tree } = this.#c;
    demand((this.#image.nodes[index] as NodeImage).entries.length === 0, 'a removed directory is not empty');
    const name = this.#freeName(tree.root, new TextEncoder().encode('.import'));
    const node = this.#fill(index, tree.root, name);
    this.#passing.push({ node, name });
    return node;
  }

  finish(): void {
    const now = this.#c.realtime();
    for (const { name } of this.#passing) removeAll(this.#c.tree, this.#c.tree.root, name, now);
  }

  undo(): void {
    const now = this.#c.realtime();
    for (const { parent, name } of this.#folders) removeAll(this.#c.tree, parent, name, now);
  }

  /** A directory in the root: the one that is there, or a new one. */
  #parent(text: string): number {
    const { tree } = this.#c;
    const name = new TextEncoder().encode(text);
    const there = tree.lookup(tree.root, name);
    const node = there > 0 ? there : checked(tree.createDirectory(tree.root, name, this.#c.realtime()));
    demand(tree.isDirectory(node), `/${text} is a file in this space`);
    return node;
  }

  /** The name, or with a number behind where something has it. */
  #freeName(directory: number, wanted: Uint8Array): Uint8Array {
    for (let number = 2, name = wanted; ; number++) {
      if (this.#c.tree.lookup(directory, name) < 0) return name;
      const tail = new TextEncoder().encode(`-${number}`);
      name = new Uint8Array([...wanted.subarray(0, NAME_MAX_BYTES - tail.length), ...tail]);
    }
  }

  /** Makes a node in `parent` and, if it is a directory, all below. */
  #fill(index: number, parent: number, name: Uint8Array): number {
    const first = this.#create(index, parent, name);
    this.#folders.push({ parent, name });
    const isDirectory = (at: number): boolean =>
      (this.#image.nodes[at] as NodeImage).type === NODE_TYPE.directory;
    const directories = [index].filter(isDirectory);
    for (let i = 0; i < directories.length; i++) {
      const at = directories[i] as number;
      const directory = this.#made[at] as number;
      let last = AFTER_DOTS;
      for (const entry of (this.#image.nodes[at] as NodeImage).entries) {
        demand(entry.cookie > last, 'cookies of a directory do not ascend');
        last = entry.cookie;
        this.#c.tree.setNextCookie(directory, entry.cookie);
        demand(entry.node < this.#made.length, 'an entry leads nowhere');
        if (this.#create(entry.node, directory, entry.name) === 0) continue;
        if ((this.#image.nodes[entry.node] as NodeImage).type === NODE_TYPE.directory)
          directories.push(entry.node);
      }
    }
    for (const at of directories) this.#times(at);
    return first;
  }

  /** Makes one node, or one more name of it (0 is returned then). */
  #create(index: number, parent: number, name: Uint8Array): number {
    const { tree } = this.#c;
    const image = this.#image.nodes[index] as NodeImage;
    const now = this.#c.realtime();
    const known = this.#made[index] as number;
    if (known !== 0) {
      demand(image.type !== NODE_TYPE.directory, 'a directory has two places');
      checked(tree.link(known, parent, name, now));
      return 0;
    }
    let node: number;
    if (image.type === NODE_TYPE.directory) node = tree.createDirectory(parent, name, now);
    else if (image.type === NODE_TYPE.link) node = tree.createLink(parent, name, image.target, now);
    else node = tree.createFile(parent, name, now);
    this.#made[index] = checked(node);
    tree.setNumber(node, image.number);
    if (image.type === NODE_TYPE.file) {
      checked(tree.setSize(node, image.size, now));
      for (const { offset, bytes } of image.pieces)
        tree.space.segments.writeBytes(tree.segment(node), offset, bytes);
    }
    this.#times(index);
    return node;
  }

  /** Times come last: making things changes them. */
  #times(index: number): void {
    const { accessed, modified } = this.#image.nodes[index] as NodeImage;
    this.#c.tree.setTimes(this.#made[index] as number, accessed, modified, this.#c.realtime());
  }
}

function sameText(bytes: Uint8Array | undefined, text: string): boolean {
  return bytes !== undefined && new TextDecoder().decode(bytes) === text;
}

/** A result of the tree that is no errno; what an image asks for and the tree refuses is the image's fault. */
function checked(result: number): number {
  if (result === -ERRNO.NOSPC) throw new SpaceFullError(0);
  demand(result >= 0, `a file cannot be made (error ${-result})`);
  return result;
}
