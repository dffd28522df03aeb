/**
 * For tests: a domain without a program. It has guest memory in a real space, between canaries, and calls WASI as code
 * would; ports are simple objects under the test's control. `recover` throws all JavaScript state away and goes on
 * from the pages a checkpoint would hold.
 */
import assert from 'node:assert/strict';
import { errnoName } from '../../abi/errno.ts';
import { FRAME_BYTES, PAGE_BYTES } from '../../base/limits.ts';
import { type Caller, SCRATCH_WORDS } from '../../kernel/caller.ts';
import { OWNER, Space } from '../../space/index.ts';
import { type Grant, homeOf } from './grants.ts';
import { WasiPersonality } from './personality.ts';
import { FakePorts } from './ports.testing.ts';

/** Thrown by `block`: the call is to be made again. `deadline` is in the guest's `now`. */
export class Blocked {
  readonly deadline: bigint | undefined;
  constructor(deadline: bigint | undefined) {
    this.deadline = deadline;
  }
}
export class Exited {
  readonly code: number;
  constructor(code: number) {
    this.code = code;
  }
}
export class Trapped {
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

const MEMORY_FRAMES = 4;
const CANARY = 0xa5;
export const MEMORY_BYTES = MEMORY_FRAMES * FRAME_BYTES;
/** Where `Guest` puts what it passes; results come below. */
const HEAP_START = 4096;

/** Calls that take two paths, which may lie over each other; each is copied once. */
const TWO_PATHS = ['path_link', 'path_rename', 'path_symlink'];

type Argument = number | bigint;

export class Guest {
  space: Space;
  wasi: WasiPersonality;
  readonly ports: FakePorts;
  state: number;
  now = 1000n;
  yields = 0;
  /** Whose functions `call` calls. */
  module = 'wasi_snapshot_preview1';
  /** Ranges of guest memory the running call has read, to find bytes read twice. */
  readonly #reads: [from: number, to: number][] = [];
  #readsOnce = true;
  readonly #region: number;
  readonly #stored = new Map<number, Uint8Array>();
  #scratch: bigint[] = new Array<bigint>(SCRATCH_WORDS).fill(0n);
  #top = HEAP_START;

  constructor(
    options: { args?: string[]; env?: string[]; grants?: Grant[]; ports?: FakePorts; space?: Space } = {},
  ) {
    this.space = options.space ?? Space.create();
    this.ports = options.ports ?? new FakePorts();
    this.wasi = new WasiPersonality(this.space, this.ports);
    this.#region = this.space.frames.alloc(MEMORY_FRAMES + 2, OWNER.domain) + FRAME_BYTES;
    this.space.u8.fill(CANARY, this.#region - FRAME_BYTES, this.#region);
    this.space.u8.fill(CANARY, this.#region + MEMORY_BYTES, this.#region + MEMORY_BYTES + FRAME_BYTES);
    this.space.mark(this.#region - FRAME_BYTES, MEMORY_BYTES + 2 * FRAME_BYTES);
    this.state = this.wasi.createState({
      args: options.args ?? ['program'],
      env: options.env ?? [],
      grants: options.grants ?? [homeOf('test')],
    });
  }

  /** Guest memory, for the test to look at and to change. */
  get memory(): Uint8Array {
    return this.space.u8.subarray(this.#region, this.#region + MEMORY_BYTES);
  }

  /** Asserts that nothing outside of guest memory was written. */
  checkCanaries(): void {
    const { u8 } = this.space;
    const end = this.#region + MEMORY_BYTES;
    for (const from of [this.#region - FRAME_BYTES, end]) {
      assert.ok(
        u8.subarray(from, from + FRAME_BYTES).every((byte) => byte === CANARY),
        'canaries are untouched',
      );
    }
  }

  /** A crash: everything but pages and the outside is lost. What it waited in stays in the scratch. */
  recover(): void {
    const cut = this.space.dirty.collect();
    const data = this.space.dirty.copyPages(cut.pages);
    for (const page of cut.freed) this.#stored.delete(page);
    for (const [i, page] of cut.pages.entries()) {
      this.#stored.set(page, data.slice(i * PAGE_BYTES, (i + 1) * PAGE_BYTES));
    }
    this.space = Space.load(Array.from(this.#stored, ([page, bytes]) => ({ page, bytes })));
    this.wasi = new WasiPersonality(this.space, this.ports);
  }

  /** Makes a call. A result is an errno; waiting, exiting and trapping throw what is above. */
  call(name: string, ...args: Argument[]): number {
    const call = this.wasi.resolve(this.module, name);
    assert.ok(call, name);
    this.#reads.length = 0;
    this.#readsOnce = !TWO_PATHS.includes(name);
    try {
      const result = (call as (caller: Caller, ...args: Argument[]) => number)(this.#caller(), ...args);
      this.#scratch.fill(0n);
      return result;
    } catch (error) {
      if (!(error instanceof Blocked)) this.#scratch.fill(0n);
      throw error;
    }
  }

  /** `call`, by names of errnos, for readable failures. */
  errno(name: string, ...args: Argument[]): string {
    return errnoName(this.call(name, ...args));
  }

  /** Asserts that the call waits, and returns the deadline it gave. */
  waits(name: string, ...args: Argument[]): bigint | undefined {
    try {
      const result = this.call(name, ...args);
      return assert.fail(`${name} returned ${errnoName(result)} and should wait`);
    } catch (error) {
      if (error instanceof Blocked) return error.deadline;
      throw error;
    }
  }

  /** Asserts success. */
  ok(name: string, ...args: Argument[]): void {
    assert.equal(this.errno(name, ...args), 'SUCCESS', name);
  }

  // ---- passing things in and out of guest memory
  /** Room for `bytes`, zeroed. */
  room(bytes: number): number {
    const at = (this.#top + 15) & ~15;
    this.#top = at + bytes;
    if (this.#top > MEMORY_BYTES) {
      this.#top = HEAP_START;
      return this.room(bytes);
    }
    this.memory.fill(0, at, at + bytes);
    return at;
  }
  put(data: Uint8Array | string): [pointer: number, length: number] {
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
    const at = this.room(bytes.length);
    this.space.writeBytes(this.#region + at, bytes);
    return [at, bytes.length];
  }
  /** Iovecs over these [pointer, length] pairs. */
  vectors(...list: [number, number][]): [pointer: number, count: number] {
    const at = this.room(list.length * 8);
    for (const [i, [pointer, length]] of list.entries()) {
      this.setU32(at + i * 8, pointer);
      this.setU32(at + i * 8 + 4, length);
    }
    return [at, list.length];
  }
  u32(at: number): number {
    return this.space.view.getUint32(this.#region + at, true);
  }
  u16(at: number): number {
    return this.space.view.getUint16(this.#region + at, true);
  }
  u8(at: number): number {
    return this.memory[at] as number;
  }
  u64(at: number): bigint {
    return this.space.view.getBigUint64(this.#region + at, true);
  }
  setU32(at: number, value: number): void {
    this.space.view.setUint32(this.#region + at, value, true);
    this.space.mark(this.#region + at, 4);
  }
  bytesAt(at: number, length: number): Uint8Array {
    return this.memory.slice(at, at + length);
  }
  textAt(at: number, length: number): string {
    return new TextDecoder().decode(this.bytesAt(at, length));
  }

  // ---- calls that most tests make
  /** Opens and returns the descriptor, or the name of the errno. */
  tryOpen(path: string, options: Partial<OpenArguments> = {}): number | string {
    const o = { fd: 3, lookup: 0, oflags: 0, rights: RIGHTS_RW, inheriting: 0n, fdflags: 0, ...options };
    const out = this.room(4);
    const result = this.errno(
      'path_open',
      o.fd,
      o.lookup,
      ...this.put(path),
      o.oflags,
      o.rights,
      o.inheriting,
      o.fdflags,
      out,
    );
    return result === 'SUCCESS' ? this.u32(out) : result;
  }
  open(path: string, options: Partial<OpenArguments> = {}): number {
    const fd = this.tryOpen(path, options);
    assert.equal(typeof fd, 'number', `${path}: ${fd}`);
    return fd as number;
  }
  write(fd: number, data: Uint8Array | string): number {
    const out = this.room(4);
    this.ok('fd_write', fd, ...this.vectors(this.put(data)), out);
    return this.u32(out);
  }
  read(fd: number, length: number): string {
    const [out, buffer] = [this.room(4), this.room(length)];
    this.ok('fd_read', fd, ...this.vectors([buffer, length]), out);
    return this.textAt(buffer, this.u32(out));
  }
  seek(fd: number, offset: number, whence: number): number {
    const out = this.room(8);
    this.ok('fd_seek', fd, BigInt(offset), whence, out);
    return Number(this.u64(out));
  }
  size(fd: number): number {
    const out = this.room(64);
    this.ok('fd_filestat_get', fd, out);
    return Number(this.u64(out + 32));
  }

  #caller(): Caller {
    const guest = this;
    const { space } = this;
    const range = (pointer: number, length: number): number =>
      pointer >= 0 && length >= 0 && pointer + length <= MEMORY_BYTES ? guest.#region + pointer : -1;
    const get = <T>(pointer: number, bytes: number, none: T, read: (at: number) => T): T => {
      const at = range(pointer, bytes);
      if (at < 0) return none;
      for (const [from, to] of guest.#readsOnce ? guest.#reads : []) {
        assert.ok(pointer + bytes <= from || pointer >= to, 'a call reads each byte of guest memory once');
      }
      guest.#reads.push([pointer, pointer + bytes]);
      return read(at);
    };
    const set = (pointer: number, bytes: number, write: (at: number) => void): boolean => {
      const at = range(pointer, bytes);
      if (at < 0) return false;
      write(at);
      space.mark(at, bytes);
      return true;
    };
    return {
      space,
      domainId: 1,
      name: 'test',
      get personalityState() {
        return guest.state;
      },
      set personalityState(address: number) {
        guest.state = address;
      },
      memoryBytes: MEMORY_BYTES,
      range,
      readBytes: (pointer, length) => get(pointer, length, null, (at) => space.readBytes(at, length)),
      writeBytes: (pointer, data) => set(pointer, data.length, (at) => space.writeBytes(at, data)),
      getU8: (pointer) => get(pointer, 1, -1, (at) => space.u8[at] as number),
      getU16: (pointer) => get(pointer, 2, -1, (at) => space.view.getUint16(at, true)),
      getU32: (pointer) => get(pointer, 4, -1, (at) => space.view.getUint32(at, true)),
      getU64: (pointer) => get(pointer, 8, -1n, (at) => space.view.getBigUint64(at, true)),
      setU8: (pointer, value) => set(pointer, 1, (at) => space.view.setUint8(at, value)),
      setU16: (pointer, value) => set(pointer, 2, (at) => space.view.setUint16(at, value, true)),
      setU32: (pointer, value) => set(pointer, 4, (at) => space.view.setUint32(at, value, true)),
      setU64: (pointer, value) => set(pointer, 8, (at) => space.view.setBigUint64(at, value, true)),
      getScratch: (word) => guest.#scratch[word] as bigint,
      setScratch: (word, value) => {
        guest.#scratch[word] = value;
      },
      now: () => guest.now,
      cpuTime: () => 5_000n,
      block: (deadline) => {
        throw new Blocked(deadline);
      },
      yield: () => {
        guest.yields++;
      },
      exit: (code) => {
        throw new Exited(code);
      },
      trap: (reason) => {
        throw new Trapped(reason);
      },
    };
  }
}

export interface OpenArguments {
  fd: number;
  lookup: number;
  oflags: number;
  rights: bigint;
  inheriting: bigint;
  fdflags: number;
}
/** Read, write, seek, tell, sizes, times: what a program opening a file asks for. */
export const RIGHTS_RW = 0x08e001fdn | 0x2n;
