/**
 * The host objects programs hold: granted folders, and directories and files opened below them. Their records are in
 * the space; their descriptors are this process's, made again by path after a restart.
 *
 * An object is found again by its path in the granted folder and recognised by device, inode and time of birth. What is not there any
 * more, or is another file, is *stale*: every operation on it fails with ERRNO.STALE. Where the granted folder itself is
 * another (restored from a copy, on another machine), the files below it are taken by their paths alone.
 */
import * as fs from 'node:fs';
import { ERRNO } from '../../abi/errno.ts';
import { assert } from '../../base/assert.ts';
import { Block, blocksOf, pushFront, unlinkBlock } from '../../kernel/outbox-memory.ts';
import { FILE_TYPE } from '../../kernel/ports.ts';
import { type DriverState, STATE } from '../state.ts';
import * as at from './at.ts';
import { walk } from './walk.ts';

const FIELD = {
  next: 0,
  id: 8,
  kind: 16,
  flags: 20,
  folder: 24,
  device: 32,
  inode: 40,
  born: 48,
  domain: 56,
  path: 64,
  pathBytes: 72,
} as const;
const RECORD_BYTES = 80;

export const FOLDER = 1;
export const DIRECTORY = 2;
export const FILE = 3;

export const READ_ONLY = 1;
export const MAY_READ = 2;
export const MAY_WRITE = 4;
/** Closed by the program; the record stays while effects need it. */
export const CLOSED = 8;

export interface ObjectInit {
  readonly kind: number;
  readonly flags: number;
  /** The granted folder it is in; 0 for a granted folder itself. */
  readonly folder: number;
  /** Binary string: from the granted folder, without links; for a granted folder the host's own path. */
  readonly path: string;
  readonly identity: at.Identity;
  readonly domain: number;
}

export class HostObject {
  readonly block: Block;
  readonly id: number;
  readonly kind: number;
  /** A descriptor on it in this process: -1 before it was opened, another negative number is why it cannot be. */
  fd = -1;

  constructor(block: Block) {
    this.block = block;
    this.id = block.u64(FIELD.id);
    this.kind = block.u32(FIELD.kind);
  }

  get flags(): number {
    return this.block.u32(FIELD.flags);
  }
  set flags(value: number) {
    this.block.setU32(FIELD.flags, value);
  }
  get closed(): boolean {
    return (this.flags & CLOSED) !== 0;
  }
  get folder(): number {
    return this.kind === FOLDER ? this.id : this.block.u64(FIELD.folder);
  }
  get device(): bigint {
    return this.block.big(FIELD.device);
  }
  get inode(): bigint {
    return this.block.big(FIELD.inode);
  }
  get domain(): number {
    return this.block.u64(FIELD.domain);
  }
  get bornNs(): bigint {
    return this.block.big(FIELD.born);
  }
  setIdentity(identity: at.Identity): void {
    this.block.setBig(FIELD.device, identity.device);
    this.block.setBig(FIELD.inode, identity.inode);
    this.block.setBig(FIELD.born, identity.bornNs);
  }
  get path(): string {
    const from = this.block.u64(FIELD.path);
    if (from === 0) return '';
    const bytes = this.block.memory.bytes().slice(from, from + this.block.u32(FIELD.pathBytes));
    return Buffer.from(bytes).toString('latin1');
  }

  /** The path from its granted folder: empty for the folder itself. */
  get inside(): string {
    return this.kind === FOLDER ? '' : this.path;
  }

  /** False where the space is full; the object keeps its place then. */
  setPlace(folder: number, path: string): boolean {
    const { memory } = this.block;
    const bytes = Buffer.from(path, 'latin1');
    const block = memory.allocate(Math.max(1, bytes.length));
    if (block === 0) return false;
    memory.bytes().set(bytes, block);
    memory.mark(block, bytes.length);
    const old = this.block.u64(FIELD.path);
    if (old !== 0) memory.release(old);
    this.block.setU64(FIELD.path, block);
    this.block.setU32(FIELD.pathBytes, bytes.length);
    this.block.setU64(FIELD.folder, folder);
    return true;
  }
}

/** Joins parts of a path inside a folder; empty parts vanish. */
export function join(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join('/');
}

/** The path after `from` was renamed to `to`, if it was that or below it. */
export function renamed(path: string, from: string, to: string): string | undefined {
  if (path === from) return to;
  return path.startsWith(`${from}/`) ? to + path.slice(from.length) : undefined;
}

export class ObjectTable {
  readonly #state: DriverState;
  readonly #objects = new Map<number, HostObject>();

  constructor(state: DriverState) {
    this.#state = state;
    for (const block of blocksOf(state.root, STATE.hostObjects, FIELD.next)) {
      const object = new HostObject(block);
      this.#objects.set(object.id, object);
    }
  }

  get(id: number): HostObject | undefined {
    return this.#objects.get(id);
  }

  all(): HostObject[] {
    return [...this.#objects.values()];
  }

  /** Makes a record with a descriptor that is the object's from now on; undefined where the space is full. */
  create(init: ObjectInit, fd: number): HostObject | undefined {
    const block = Block.create(this.#state.memory, RECORD_BYTES);
    if (block === undefined) return undefined;
    block.setU64(FIELD.id, this.#state.nextObject());
    block.setU32(FIELD.kind, init.kind);
    block.setU32(FIELD.flags, init.flags);
    block.setU64(FIELD.domain, init.domain);
    const object = new HostObject(block);
    object.setIdentity(init.identity);
    if (!object.setPlace(init.folder, init.path)) {
      block.release();
      return undefined;
    }
    pushFront(this.#state.root, STATE.hostObjects, block, FIELD.next);
    object.fd = fd;
    this.#objects.set(object.id, object);
    return object;
  }

  remove(object: HostObject): void {
    assert(this.#objects.delete(object.id), 'an object is removed once');
    if (object.fd >= 0) at.close(object.fd);
    unlinkBlock(this.#state.root, STATE.hostObjects, object.block, FIELD.next);
    const path = object.block.u64(FIELD.path);
    if (path !== 0) this.#state.memory.release(path);
    object.block.release();
  }

  /** Closes every descriptor; the records stay. */
  closeAll(): void {
    for (const object of this.#objects.values()) {
      if (object.fd >= 0) at.close(object.fd);
      object.fd = -1;
    }
  }

  /** Opens a granted folder again: 0, 1 where it is another than it was, or -errno. */
  openFolder(folder: HostObject): number {
    if (folder.fd >= 0) return 0;
    folder.fd = at.lookAtFolder(Buffer.from(folder.path, 'latin1').toString());
    if (folder.fd < 0) return folder.fd;
    const stat = at.statOf(folder.fd);
    if (typeof stat === 'number') return stat;
    if (at.isSame(stat, folder)) return 0;
    folder.setIdentity(stat);
    return 1;
  }

  /**
   * Opens an object again after a restart.
   * @param paths where it may be by now, in the folders given, best first.
   * @param byPath take what is there, whichever file it is.
   */
  reopen(object: HostObject, paths: readonly { folder: number; path: string }[], byPath: boolean): void {
    object.fd = -ERRNO.STALE;
    for (const { folder, path } of paths) {
      const root = this.#objects.get(folder);
      if (root === undefined || root.fd < 0) continue;
      const fd = lookInside(root.fd, path);
      if (fd < 0) continue;
      const stat = at.statOf(fd);
      const same = at.isSame(stat, object);
      const fits =
        typeof stat !== 'number' &&
        stat.type === (object.kind === FILE ? FILE_TYPE.regularFile : FILE_TYPE.directory);
      if (!fits || !(same || byPath)) {
        at.close(fd);
        continue;
      }
      if (byPath) object.setIdentity(stat);
      object.fd = object.kind === FILE ? openFile(fd, object.flags) : fd;
      if (object.kind === FILE) at.close(fd);
      return;
    }
  }
}

/** A descriptor that stands for what a path without links names, below a folder. */
export function lookInside(root: number, path: string): number {
  if (path === '') return at.reopenDirectory(root);
  const place = walk(root, path, 'never');
  if (typeof place === 'number') return place;
  const fd = place.name === '' ? at.reopenDirectory(place.directory) : at.lookAt(place.directory, place.name);
  place.done();
  return fd;
}

/** Opens the regular file a descriptor stands for as the object's flags say. */
export function openFile(fd: number, flags: number): number {
  if ((flags & MAY_WRITE) === 0) return at.reopenFile(fd, fs.constants.O_RDONLY);
  const both = at.reopenFile(fd, fs.constants.O_RDWR);
  return both === -ERRNO.ACCES && (flags & MAY_READ) === 0 ? at.reopenFile(fd, fs.constants.O_WRONLY) : both;
}
