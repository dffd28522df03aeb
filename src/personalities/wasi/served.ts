/**
 * What domains serve, in the shape of what the host has (kernel/ports.ts): so every call works on both alike. Each method is
 * one operation on the object, and the program waits in it (kernel/ring/perform.ts); it never returns WOULD_BLOCK. There is
 * no asking without waiting: for a served stream a non-blocking descriptor waits too, and poll finds it ready.
 */
import { APPEND_OFFSET, ATTRIBUTES_BYTES, OPERATION, OPTION, STREAM_OFFSET } from '../../abi/ring.ts';
import { PATH_MAX_BYTES, SERVED_TRANSFER_BYTES } from '../../base/limits.ts';
import type { Caller } from '../../kernel/caller.ts';
import type { Core } from '../../kernel/core.ts';
import {
  FILE_TYPE,
  type HostDirectory,
  type HostEntry,
  type HostFile,
  type HostOpenOptions,
  type HostStat,
  type HostTimes,
  type Operation,
  type Readiness,
  type StreamObject,
} from '../../kernel/ports.ts';
import { decodeStat, encodeChange } from '../../kernel/ring/attributes.ts';
import { type Done, perform, type Wanted } from '../../kernel/ring/perform.ts';
import { ERRNO } from './errno.ts';

/** The last errno that wasi_snapshot_preview1 knows. */
const LAST_ERRNO = ERRNO.NOTCAPABLE;
const NOTHING = new Uint8Array(0);

/** Operations of one call on a served object. `id` is its handle. */
abstract class Served {
  readonly id: number;
  readonly #core: Core;
  readonly #caller: Caller;

  constructor(core: Core, caller: Caller, handle: number) {
    this.id = handle;
    this.#core = core;
    this.#caller = caller;
  }

  /** What another one of the same call is made with. */
  protected get place(): [Core, Caller] {
    return [this.#core, this.#caller];
  }

  protected ask(wanted: Omit<Wanted, 'handle'>): Done {
    const done = perform(this.#core, this.#caller, { handle: this.id, ...wanted });
    return done.result >= 0 ? done : { ...done, result: errnoKnown(done.result) };
  }
  protected result(wanted: Omit<Wanted, 'handle'>): number {
    return this.ask(wanted).result;
  }

  protected describe(path: Uint8Array, follow: boolean): HostStat | number {
    const options = follow ? OPTION.follow : 0;
    const wanted = { code: OPERATION.describe, first: path, room: ATTRIBUTES_BYTES, options };
    const { result, data } = this.ask(wanted);
    return result < 0 ? result : (decodeStat(data) ?? -ERRNO.IO);
  }

  protected change(path: Uint8Array, options: number, size: number, times: HostTimes): number {
    const { accessedNs, modifiedNs } = times;
    const which =
      options | (accessedNs === null ? 0 : OPTION.accessed) | (modifiedNs === null ? 0 : OPTION.modified);
    const second = encodeChange(size, accessedNs ?? 0n, modifiedNs ?? 0n);
    return this.result({ code: OPERATION.change, first: path, second, options: which });
  }

  /** Bytes put into `into`. */
  protected fill(into: Uint8Array, offset: bigint): number {
    const room = Math.min(into.length, SERVED_TRANSFER_BYTES);
    const { result, data } = this.ask({ code: OPERATION.read, room, offset });
    if (result <= 0) return result;
    into.set(data.subarray(0, Math.min(result, room)));
    return Math.min(result, room);
  }

  protected give(from: Uint8Array, offset: bigint): Done {
    const first = from.subarray(0, SERVED_TRANSFER_BYTES);
    const done = this.ask({ code: OPERATION.write, first, offset });
    return done.result > first.length ? { ...done, result: first.length } : done;
  }

  close(): void {
    // Its handle goes with the descriptor.
  }
}

export class ServedFile extends Served implements HostFile {
  readonly kind = 'file';

  read(into: Uint8Array, offset: number): number {
    return this.fill(into, BigInt(offset));
  }
  write(_op: Operation, from: Uint8Array, offset: number): number {
    return this.give(from, BigInt(offset)).result;
  }
  /** Writes at the end: bytes taken, and where that ended. */
  append(from: Uint8Array): { taken: number; end: number } {
    const { result, value } = this.give(from, APPEND_OFFSET);
    return { taken: result, end: Number(BigInt.asUintN(53, value)) };
  }
  size(): number {
    const stat = this.stat();
    return typeof stat === 'number' ? stat : stat.size;
  }
  stat(): HostStat | number {
    return this.describe(NOTHING, true);
  }
  setSize(_op: Operation, size: number): number {
    return this.change(NOTHING, OPTION.size, size, { accessedNs: null, modifiedNs: null });
  }
  setTimes(_op: Operation, times: HostTimes): number {
    return this.change(NOTHING, 0, 0, times);
  }
  sync(): number {
    return this.result({ code: OPERATION.sync });
  }
}

export class ServedDirectory extends Served implements HostDirectory {
  readonly kind = 'directory';
  readonly readOnly = false;

  open(_op: Operation, path: Uint8Array, how: HostOpenOptions): ServedDirectory | ServedFile | number {
    const bit = (on: boolean, option: number): number => (on ? option : 0);
    const options =
      bit(how.create, OPTION.create) |
      bit(how.exclusive, OPTION.exclusive) |
      bit(how.truncate, OPTION.truncate) |
      bit(how.directory, OPTION.directory) |
      bit(how.follow, OPTION.follow) |
      bit(how.read, OPTION.read) |
      bit(how.write, OPTION.write);
    const { result, value } = this.ask({ code: OPERATION.open, first: path, options });
    if (result < 0) return result;
    const directory = value === BigInt(FILE_TYPE.directory);
    return directory ? new ServedDirectory(...this.place, result) : new ServedFile(...this.place, result);
  }

  stat(path: Uint8Array, follow: boolean): HostStat | number {
    return this.describe(path, follow);
  }
  setTimes(_op: Operation, path: Uint8Array, follow: boolean, times: HostTimes): number {
    return this.change(path, follow ? OPTION.follow : 0, 0, times);
  }
  makeDirectory(_op: Operation, path: Uint8Array): number {
    return this.result({ code: OPERATION.create, first: path, options: OPTION.directory });
  }
  removeDirectory(_op: Operation, path: Uint8Array): number {
    return this.result({ code: OPERATION.remove, first: path, options: OPTION.directory });
  }
  unlink(_op: Operation, path: Uint8Array): number {
    return this.result({ code: OPERATION.remove, first: path });
  }
  rename(_op: Operation, path: Uint8Array, to: HostDirectory, toPath: Uint8Array): number {
    if (!(to instanceof ServedDirectory)) return -ERRNO.XDEV;
    return this.result({ code: OPERATION.rename, first: path, second: toPath, other: to.id });
  }
  link(_op: Operation, path: Uint8Array, follow: boolean, to: HostDirectory, toPath: Uint8Array): number {
    if (!(to instanceof ServedDirectory)) return -ERRNO.XDEV;
    const options = follow ? OPTION.follow : 0;
    return this.result({ code: OPERATION.link, first: path, second: toPath, other: to.id, options });
  }
  symlink(_op: Operation, target: Uint8Array, path: Uint8Array): number {
    return this.result({ code: OPERATION.create, first: path, second: target, options: OPTION.symbolic });
  }
  readlink(path: Uint8Array): Uint8Array | number {
    const { result, data } = this.ask({ code: OPERATION.readLink, first: path, room: PATH_MAX_BYTES });
    return result < 0 ? result : data.subarray(0, Math.min(result, data.length));
  }
  list(): HostEntry[] | number {
    return -ERRNO.NOTSUP; // it is listed piece by piece
  }
  sync(): number {
    return this.result({ code: OPERATION.sync });
  }

  /** What is listed behind the cookie, as abi/ring.ts has it: so many bytes, the last entry perhaps cut. -errno. */
  listing(cookie: number, bytes: number): Uint8Array | number {
    const room = Math.min(bytes, SERVED_TRANSFER_BYTES);
    const { result, data } = this.ask({ code: OPERATION.list, room, offset: BigInt(cookie) });
    return result < 0 ? result : data.subarray(0, Math.min(result, room));
  }
}

export class ServedStream extends Served implements StreamObject {
  readonly kind = 'stream';
  readonly terminal = false;

  read(into: Uint8Array): number {
    return this.fill(into, STREAM_OFFSET);
  }
  write(from: Uint8Array): number {
    return this.give(from, STREAM_OFFSET).result;
  }
  ready(): Readiness {
    return { readable: true, writable: true, bytes: 0, hangup: false };
  }
  subscribe(): void {
    // It is always ready.
  }
}

/** Errors of Perdure's own are told by those that a program of preview 1 knows. */
function errnoKnown(result: number): number {
  if (-result <= LAST_ERRNO) return result;
  if (result === -ERRNO.REVOKED) return -ERRNO.BADF;
  return result === -ERRNO.GONE || result === -ERRNO.LEFT ? -ERRNO.STALE : -ERRNO.IO;
}
