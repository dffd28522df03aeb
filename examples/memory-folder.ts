/**
 * A folder in the memory of a TypeScript program, served to programs that know nothing of it: what one sees as its directory.
 *
 *     const tree = new MemoryFolder();
 *     await using served = await space.serve('tree', tree);
 *     await space.spawn(program, { imports: { '/data': served } });
 *
 * What is open is known by its number (`key`), not by its path, so that a program that has a file open goes on with it after a restart,
 * under whatever name it is then. For
 * that the tree must itself be there again, from wherever it is kept.
 */
import {
  ERRNO,
  GuestError,
  type OpenHow,
  type ServedAttributes,
  type ServedChange,
  type ServedEntry,
  type ServedFile,
  type ServedFolder,
  type ServedPlace,
} from '../src/index.ts'; // where the package is installed: 'perdure'

const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
const fail = (errno: number): never => {
  throw new GuestError(errno);
};

/** Bytes with a number. */
export class MemoryFile implements ServedFile {
  readonly key: string;
  readonly number: bigint;
  readonly #tree: Tree;
  bytes = new Uint8Array(0);
  links = 1;
  /** How often it is open. */
  opens = 0;
  accessedNs = now();
  modifiedNs = now();

  constructor(tree: Tree) {
    this.#tree = tree;
    this.number = tree.next++;
    this.key = `${this.number}`;
    tree.nodes.set(this.key, this);
  }

  opened(): this {
    this.opens++;
    return this;
  }
  closed(): void {
    this.opens--;
    this.forget();
  }
  /** What has no name and is not open is gone. */
  forget(): void {
    if (this.links === 0 && this.opens === 0) this.#tree.nodes.delete(this.key);
  }

  read({ offset, length }: { offset: bigint | null; length: number }): Uint8Array {
    const from = Number(offset ?? 0n);
    return this.bytes.slice(from, from + length);
  }

  write(bytes: Uint8Array, { offset }: { offset: bigint | 'end' | null }): { end: number } {
    const from = offset === 'end' ? this.bytes.length : Number(offset ?? 0n);
    if (from + bytes.length > this.bytes.length) this.#resize(from + bytes.length);
    this.bytes.set(bytes, from);
    this.modifiedNs = now();
    return { end: from + bytes.length };
  }

  describe(): ServedAttributes {
    const { number, links, accessedNs, modifiedNs } = this;
    return { type: 'file', size: this.bytes.length, number, links, accessedNs, modifiedNs };
  }

  change(_path: string, { size, accessedNs, modifiedNs }: ServedChange): void {
    if (size !== null) this.#resize(size);
    this.accessedNs = accessedNs ?? this.accessedNs;
    this.modifiedNs = modifiedNs ?? (size === null ? this.modifiedNs : now());
  }

  sync(): void {}

  #resize(size: number): void {
    const bytes = new Uint8Array(size);
    bytes.set(this.bytes.subarray(0, size));
    this.bytes = bytes;
  }
}

/** What numbers stand for: one for a tree. */
interface Tree {
  readonly nodes: Map<string, MemoryFile | MemoryFolder>;
  next: bigint;
}

/** Names with files and folders. */
export class MemoryFolder implements ServedFolder {
  readonly key: string;
  readonly number: bigint;
  readonly entries = new Map<string, MemoryFile | MemoryFolder>();
  readonly #tree: Tree;
  modifiedNs = now();

  constructor(tree: Tree = { nodes: new Map(), next: 1n }) {
    this.#tree = tree;
    this.number = tree.next++;
    this.key = `${this.number}`;
    tree.nodes.set(this.key, this);
  }

  open(path: string, how: OpenHow): MemoryFile | MemoryFolder {
    const { folder, name, node } = this.#find(path);
    if (node === undefined) {
      if (!how.create || how.folder) return fail(ERRNO.NOENT);
      return folder.#put(name, new MemoryFile(this.#tree)).opened();
    }
    if (how.create && how.exclusive) fail(ERRNO.EXIST);
    if (node instanceof MemoryFolder) return how.write ? fail(ERRNO.ISDIR) : node;
    if (how.truncate) node.change('', { size: 0, accessedNs: null, modifiedNs: null, follow: true });
    return node.opened();
  }

  /** After a restart: by number, for the file may have another name now, or none. */
  reopen(key: string): MemoryFile | MemoryFolder {
    const node = this.#tree.nodes.get(key) ?? fail(ERRNO.STALE);
    return node instanceof MemoryFile ? node.opened() : node;
  }

  *list(): Generator<ServedEntry> {
    for (const [name, node] of this.entries) {
      yield { name, type: node instanceof MemoryFolder ? 'folder' : 'file', number: node.number };
    }
  }

  describe(path: string): ServedAttributes {
    const { node = fail(ERRNO.NOENT) } = this.#find(path);
    if (node instanceof MemoryFile) return node.describe();
    return { type: 'folder', number: node.number, modifiedNs: node.modifiedNs };
  }

  create(path: string, { link }: { link: string | null }): void {
    const { folder, name, node } = this.#find(path);
    if (node !== undefined) fail(ERRNO.EXIST);
    if (link !== null) fail(ERRNO.NOTSUP);
    folder.#put(name, new MemoryFolder(this.#tree));
  }

  remove(path: string, how: { folder: boolean }): void {
    const { folder, name, node = fail(ERRNO.NOENT) } = this.#find(path);
    if (how.folder !== node instanceof MemoryFolder) fail(how.folder ? ERRNO.NOTDIR : ERRNO.ISDIR);
    if (node instanceof MemoryFolder && node.entries.size > 0) fail(ERRNO.NOTEMPTY);
    folder.#drop(name);
  }

  rename(path: string, to: ServedPlace): void {
    const { folder, name, node = fail(ERRNO.NOENT) } = this.#find(path);
    const there = (to.folder as MemoryFolder).#find(to.path);
    if (there.node === node) return;
    if (
      there.node instanceof MemoryFolder &&
      (!(node instanceof MemoryFolder) || there.node.entries.size > 0)
    ) {
      fail(node instanceof MemoryFolder ? ERRNO.NOTEMPTY : ERRNO.ISDIR);
    }
    if (there.node instanceof MemoryFile && node instanceof MemoryFolder) fail(ERRNO.NOTDIR);
    if (node instanceof MemoryFolder && node.#holds(there.folder)) fail(ERRNO.INVAL);
    if (there.node !== undefined) there.folder.#drop(there.name);
    folder.entries.delete(name);
    there.folder.#put(there.name, node);
  }

  link(path: string, to: ServedPlace): void {
    const { node = fail(ERRNO.NOENT) } = this.#find(path);
    const there = (to.folder as MemoryFolder).#find(to.path);
    if (there.node !== undefined) fail(ERRNO.EXIST);
    if (node instanceof MemoryFolder) return fail(ERRNO.PERM);
    node.links++;
    there.folder.#put(there.name, node);
  }

  change(path: string, to: ServedChange): void {
    const { node = fail(ERRNO.NOENT) } = this.#find(path);
    if (node instanceof MemoryFile) node.change('', to);
    else node.modifiedNs = to.modifiedNs ?? node.modifiedNs;
  }

  sync(): void {}

  /** The folder that the last name of a path is in, and what it stands for there. */
  #find(path: string): { folder: MemoryFolder; name: string; node: MemoryFile | MemoryFolder | undefined } {
    let [folder, name, node]: [MemoryFolder, string, MemoryFile | MemoryFolder | undefined] = [
      this,
      '',
      this,
    ];
    for (const part of path.split('/').filter(Boolean)) {
      if (!(node instanceof MemoryFolder)) return fail(node === undefined ? ERRNO.NOENT : ERRNO.NOTDIR);
      [folder, name, node] = [node, part, node.entries.get(part)];
    }
    return { folder, name, node };
  }

  /** Whether a folder is this one, or somewhere in it. */
  #holds(other: MemoryFolder): boolean {
    const inside = [...this.entries.values()].filter((node) => node instanceof MemoryFolder);
    return other === this || inside.some((node) => node.#holds(other));
  }

  #put<T extends MemoryFile | MemoryFolder>(name: string, node: T): T {
    this.entries.set(name, node);
    this.modifiedNs = now();
    return node;
  }

  #drop(name: string): void {
    const node = this.entries.get(name);
    this.entries.delete(name);
    if (node instanceof MemoryFile) {
      node.links--;
      node.forget();
    } else if (node !== undefined) this.#tree.nodes.delete(node.key);
    this.modifiedNs = now();
  }
}
