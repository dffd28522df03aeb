/**
 * An operation: what a submission asks for, copied and decoded, or what a personality asks for a call of a program. It is
 * a plain object until it must wait; then `OperationRecord` keeps all of it, and this is the handle of that record.
 *
 * Its buffers are near ranges, turned into addresses only while they are used; or blocks of the kernel's heap that belong to the
 * operation. Ranges of its domain's memory 0 are checked when it is made (memory never shrinks). Those of windows may be gone
 * or closed for writing by then: whoever uses them asks `reach` first, within the same kernel call.
 */
import { ERRNO } from '../../abi/errno.ts';
import {
  APPEND_OFFSET,
  BROUGHT_MAX,
  OPERATION,
  OPERATION_LAST,
  OPTION,
  OPTIONS_ALL,
  STREAM_OFFSET,
  SUBMIT,
  SUBMIT_ALL,
} from '../../abi/ring.ts';
import { IOVECS_MAX, PATH_MAX_BYTES, TRANSFER_MAX_BYTES, WINDOW_BASE } from '../../base/limits.ts';
import type { Space } from '../../space/index.ts';
import type { Core } from '../core.ts';
import { type Domain, NO_DEADLINE } from '../domain.ts';
import type { Operation as PortOperation } from '../ports.ts';
import { addressInSegment, addressOf, isInMemory, type Memory } from './buffers.ts';
import type { Ring } from './ring.ts';

/** What an operation's two buffers are for: n nothing, i what the object is given, o what it fills, p a path given. */
const ROLES: readonly string[] = [
  'nn', 'pn', 'on', 'in', 'on', 'po', 'pi', 'pn', 'pp', 'pp', 'pi', 'po', 'nn', 'nn', 'io', 'nn', 'nn', 'nn', 'nn', 'nn', 'in',
]; // biome-ignore format: by number

const VECTORED = new Set<number>([OPERATION.read, OPERATION.write, OPERATION.list, OPERATION.invoke]);

/** An offset that is none. */
export const AT_END = -2;
export const NO_OFFSET = -1;

export class Operation implements PortOperation {
  readonly space: Space;
  readonly #core: Memory;
  /** Address of its record, 0 while it has none; the number in it. */
  at = 0;
  id = 0;
  row = 0;
  owner: Domain | null = null;
  domain = 0;
  /** The account that pays for its record, and bytes of RESOURCE.outbox that it is charged. */
  payer = 0;
  outbox = 0;
  ring: Ring | null = null;
  phase = 0;
  code = 0;
  flags = 0;
  linked = false;
  method = 0;
  handle = 0;
  other = 0;
  rights = 0;
  options = 0;
  userLow = 0;
  userHigh = 0;
  /** See OperationRecord; `own` bit 1: first is a heap block, bit 2: second is. */
  own = 0;
  first = 0;
  firstLength = 0;
  firstCount = 0;
  second = 0;
  secondLength = 0;
  offsetLow = 0;
  offsetHigh = 0;
  limitLow = 0;
  limitHigh = 0;
  deadline = NO_DEADLINE;
  after = 0;
  effect = 0;
  result = 0;
  value = 0n;
  table = 0;
  object = 0;
  badge = 0n;
  /** Rights of the capability it goes through; while it is under way it holds that (`holds`). */
  held = 0;
  capability = 0;
  turn = 0;
  holds = false;
  /** The kinds before its object have been asked: of the moment. */
  allowed = false;
  /** The badge that a kind gave to what is to be derived: of the moment. */
  known: bigint | null = null;
  brought = 0;
  otherObject = 0;
  /** Where in a segment `first`, then a handle, begins; what its server was lent. */
  segmentOffset = 0;
  loans = 0;

  constructor(core: Memory) {
    this.space = core.space;
    this.#core = core;
  }

  get firstRole(): string {
    return (ROLES[this.code] as string)[0] as string;
  }
  get secondRole(): string {
    return (ROLES[this.code] as string)[1] as string;
  }

  /** The offset as a number of bytes; NO_OFFSET, AT_END, or -3 where it is past any file. */
  get offset(): number {
    if (this.offsetHigh === 0xffffffff) {
      return this.offsetLow === LOW_STREAM ? NO_OFFSET : this.offsetLow === LOW_APPEND ? AT_END : -3;
    }
    return this.offsetHigh >= 0x200000 ? -3 : this.offsetHigh * 0x100000000 + this.offsetLow;
  }
  get offset64(): bigint {
    return (BigInt(this.offsetHigh) << 32n) | BigInt(this.offsetLow);
  }
  set offset64(value: bigint) {
    this.offsetLow = Number(value & 0xffffffffn);
    this.offsetHigh = Number((value >> 32n) & 0xffffffffn);
  }

  /**
   * Takes a submission that was copied. 0, or -errno where it makes no sense; then nothing is to be undone.
   * @param words the 16 words of the copy
   * @param pairs what vectors hold; null: they are read where the words say
   */
  decode(words: Uint32Array, ring: Ring, owner: Domain, pairs: readonly number[] | null = null): number {
    const head = words[0] as number;
    this.#clear(owner);
    this.ring = ring;
    this.code = head & 0xff;
    this.flags = (head >>> 8) & 0xff;
    this.userLow = words[2] as number;
    this.userHigh = words[3] as number;
    if (this.code > OPERATION_LAST || (this.flags & ~SUBMIT_ALL) !== 0) {
      this.flags &= SUBMIT.link | SUBMIT.drain;
      return -ERRNO.INVAL;
    }
    if (this.code === OPERATION.nop) return 0;
    this.method = head >>> 16;
    this.handle = words[1] as number;
    this.offsetLow = words[6] as number;
    this.offsetHigh = words[7] as number;
    this.limitLow = words[8] as number;
    this.limitHigh = words[9] as number;
    this.other = words[12] as number;
    this.rights = words[13] as number;
    this.options = words[14] as number;
    if ((this.options & ~OPTIONS_ALL) !== 0 || words[15] !== 0) return -ERRNO.INVAL;
    return this.#buffers(words, pairs);
  }

  #buffers(words: Uint32Array, pairs: readonly number[] | null): number {
    const roles = ROLES[this.code] as string;
    const [pointer, length] = [words[4] as number, words[5] as number];
    if ((this.flags & SUBMIT.segment) !== 0) return this.#inSegment(words);
    if (roles === 'nn') {
      // A semaphore, perhaps: no buffer, and looked up where it is waited for.
      if (this.code === OPERATION.wait) this.first = pointer;
      return (this.flags & SUBMIT.vector) === 0 ? 0 : -ERRNO.INVAL;
    }
    if ((this.flags & SUBMIT.vector) !== 0) {
      if (!VECTORED.has(this.code)) return -ERRNO.INVAL;
      const result = pairs === null ? this.takeVectors(pointer, length) : this.#setPairs(pairs);
      if (result < 0) return result;
    } else {
      if (!this.#inside(pointer, length)) return -ERRNO.FAULT;
      if (roles[0] === 'p' && length > PATH_MAX_BYTES) return -ERRNO.NAMETOOLONG;
      this.first = pointer;
      this.firstLength = Math.min(length, TRANSFER_MAX_BYTES);
    }
    if (roles[1] === 'n') return 0;
    const [second, secondLength] = [words[10] as number, words[11] as number];
    if (!this.#inside(second, secondLength)) return -ERRNO.FAULT;
    if (roles[1] === 'p' && secondLength > PATH_MAX_BYTES) return -ERRNO.NAMETOOLONG;
    this.second = second;
    this.secondLength = secondLength;
    return this.#handles();
  }

  /** Of invoke: whether as many handles as it says can stand where its arguments begin. */
  #handles(): number {
    if (this.code !== OPERATION.invoke || (this.options & OPTION.handles) === 0) return 0;
    return this.other <= BROUGHT_MAX && 4 * this.other <= this.firstLength ? 0 : -ERRNO.INVAL;
  }

  #inSegment(words: Uint32Array): number {
    const bare = (this.flags & SUBMIT.vector) === 0 && (words[11] as number) < 0x100000;
    if (!bare || (this.code !== OPERATION.read && this.code !== OPERATION.write)) return -ERRNO.INVAL;
    this.first = words[4] as number;
    this.firstLength = Math.min(words[5] as number, TRANSFER_MAX_BYTES);
    this.segmentOffset = (words[11] as number) * 0x100000000 + (words[10] as number);
    return 0;
  }

  /** Makes `first` a list of buffers: a copy of `count` pairs at a near address. 0 or -errno. */
  takeVectors(pointer: number, count: number): number {
    const taken = Math.min(count, IOVECS_MAX);
    const at = this.#address(pointer, taken * 8, false);
    if (at < 0) return at;
    const { view } = this.space;
    return this.#setPairs(Array.from({ length: 2 * taken }, (_, i) => view.getUint32(at + 4 * i, true)));
  }

  /** Makes `first` a list of these: address, length, address, ... 0 or -errno. */
  #setPairs(given: readonly number[]): number {
    const pairs: number[] = [];
    let total = 0;
    for (let i = 0; i < given.length; i += 2) {
      const [address, length] = [given[i] as number, given[i + 1] as number];
      if (!this.#inside(address, length)) return -ERRNO.FAULT;
      const part = Math.min(length, TRANSFER_MAX_BYTES - total);
      if (part === 0) continue;
      pairs.push(address, part);
      total += part;
    }
    this.firstLength = total;
    this.first = pairs[0] ?? 0;
    this.pairs = pairs.length > 2 ? pairs : null;
    this.firstCount = pairs.length > 2 ? pairs.length / 2 : 0;
    return 0;
  }
  /** Near addresses and lengths of `first`, where there are several. */
  pairs: readonly number[] | null = null;

  /** Whether a range may be a buffer: of memory, or where windows can be. */
  #inside(pointer: number, length: number): boolean {
    return isInMemory(this.owner, pointer, length) || (pointer >= WINDOW_BASE && pointer + length <= 2 ** 32);
  }
  /** Global address of a near range now, or -errno (buffers.ts). */
  #address(pointer: number, length: number, writes: boolean): number {
    return addressOf(this.#core, this.owner, pointer, length, writes);
  }

  /** `first` is part of a segment; then what a capability list has said before is not good any more when it has been reached. */
  get bringsSegment(): boolean {
    return (this.flags & SUBMIT.segment) !== 0;
  }
  #segment(writes: boolean): number {
    const { owner, first, segmentOffset, firstLength } = this;
    return addressInSegment(this.#core, owner, first, segmentOffset, firstLength, writes);
  }

  /**
   * Whether buffers of these roles (ROLES) can be reached now: 0, -FAULT where one lies in a window that is gone or may
   * not be written, -NOSPC where there is no room to lay such a window out; of a segment, what its handle gives.
   */
  reach(roles = 'ipo'): number {
    let bad = 0;
    const look = (which: 1 | 2, role: string): void => {
      if (bad !== 0 || (this.own & which) !== 0 || !roles.includes(role)) return;
      if (which === 1 && this.bringsSegment) {
        bad = Math.min(0, this.#segment(role === 'o'));
        return;
      }
      this.#ranges(which, (pointer, length) => {
        bad = Math.min(0, this.#address(pointer, length, role === 'o'));
        return bad === 0;
      });
    };
    look(1, this.firstRole);
    look(2, this.secondRole);
    return bad;
  }

  #clear(owner: Domain): void {
    this.owner = owner;
    this.domain = owner.id;
    this.own = 0;
    this.first = 0;
    this.firstLength = 0;
    this.firstCount = 0;
    this.pairs = null;
    this.second = 0;
    this.secondLength = 0;
    this.effect = 0;
    this.value = 0n;
    this.deadline = NO_DEADLINE;
    this.linked = false;
    this.after = 0;
    this.other = 0;
    this.rights = 0;
    this.options = 0;
    this.id = 0;
    this.phase = 0;
    this.table = 0;
    this.object = 0;
    this.brought = 0;
    this.segmentOffset = 0;
    this.loans = 0;
    this.otherObject = 0;
    this.holds = false;
    this.allowed = false;
    this.known = null;
  }

  /** How long it may take, ns; 0 for no limit. */
  get limit(): bigint {
    return (BigInt(this.limitHigh) << 32n) | BigInt(this.limitLow);
  }

  /** An operation that a personality asks for, for a domain that waits. Blocks in `own` are given back with it. */
  static of(core: Core, owner: Domain, fields: Partial<OperationFields>): Operation {
    const op = new Operation(core);
    op.#clear(owner);
    Object.assign(op, fields);
    return op;
  }

  /** Calls back with each range of a buffer as it was given. Stops where it is told false. */
  #ranges(which: 1 | 2, each: (pointer: number, length: number) => boolean): void {
    if (which === 1 && this.pairs !== null) {
      const { pairs } = this;
      for (let i = 0; i < pairs.length; i += 2) {
        if (!each(pairs[i] as number, pairs[i + 1] as number)) return;
      }
      return;
    }
    const [at, length] = which === 1 ? [this.first, this.firstLength] : [this.second, this.secondLength];
    if (length > 0) each(at, length);
  }

  /**
   * Calls back with address and length of each piece of a buffer in the space. Stops where it is told false, and where the
   * buffer cannot be reached.
   */
  pieces(which: 1 | 2, each: (address: number, length: number) => boolean): void {
    if ((this.own & which) !== 0) {
      this.#ranges(which, each);
      return;
    }
    const writes = (which === 1 ? this.firstRole : this.secondRole) === 'o';
    if (which === 1 && this.bringsSegment) {
      const address = this.firstLength === 0 ? -1 : this.#segment(writes);
      if (address >= 0) each(address, this.firstLength);
      return;
    }
    this.#ranges(which, (pointer, length) => {
      const address = this.#address(pointer, length, writes);
      return address >= 0 && each(address, length);
    });
  }

  /** A copy of what the first or second buffer holds. */
  bytes(which: 1 | 2): Uint8Array<ArrayBuffer> {
    const length = which === 1 ? this.firstLength : this.secondLength;
    const copy = new Uint8Array(length);
    let done = 0;
    this.pieces(which, (address, count) => {
      copy.set(this.space.u8.subarray(address, address + count), done);
      done += count;
      return true;
    });
    return copy;
  }

  /** The buffer that the object fills: 1, 2, or 0 for none. */
  get outBuffer(): 0 | 1 | 2 {
    return this.firstRole === 'o' ? 1 : this.secondRole === 'o' ? 2 : 0;
  }
  /** Bytes there is room for. */
  get room(): number {
    const which = this.outBuffer;
    return which === 0 ? 0 : which === 1 ? this.firstLength : this.secondLength;
  }
  /** Bytes the object is given. */
  get givenFirst(): number {
    return 'ip'.includes(this.firstRole) ? this.firstLength : 0;
  }
  get given(): number {
    return this.givenFirst + ('ip'.includes(this.secondRole) ? this.secondLength : 0);
  }

  /** Copies to what the object fills, from `offset` on; what does not fit is left out. Returns the bytes. */
  fill(data: Uint8Array, offset = 0): number {
    return this.walk(true, offset, data.length, (address, length, done) =>
      this.space.writeBytes(address, data.subarray(done, done + length)),
    );
  }

  /** A copy of `length` bytes, from `offset` on, of what the object is given: first, then second. */
  copyGiven(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(Math.max(0, Math.min(length, this.given - offset)));
    const { u8 } = this.space;
    this.walk(false, offset, out.length, (address, count, done) =>
      out.set(u8.subarray(address, address + count), done),
    );
    return out;
  }

  /**
   * Calls back with each piece of `length` bytes, from `offset` on, of what the object is given, first then second, or with `fills`
   * of what it fills: address and bytes, and how many came before. Returns the bytes.
   */
  walk(
    fills: boolean,
    offset: number,
    length: number,
    each: (address: number, length: number, done: number) => void,
  ): number {
    let [skip, done] = [offset, 0];
    const take = (address: number, count: number): boolean => {
      const from = Math.min(skip, count);
      skip -= from;
      const n = Math.min(count - from, length - done);
      if (n > 0) each(address + from, n, done);
      done += n;
      return done < length;
    };
    const out = this.outBuffer;
    if (fills) {
      if (out !== 0) this.pieces(out, take);
      return done;
    }
    if (this.givenFirst > 0) this.pieces(1, take);
    if (done < length && this.given > this.givenFirst) this.pieces(2, take);
    return done;
  }
}

export type OperationFields = Pick<
  Operation,
  | 'code'
  | 'flags'
  | 'method'
  | 'handle'
  | 'other'
  | 'rights'
  | 'options'
  | 'own'
  | 'first'
  | 'firstLength'
  | 'second'
  | 'secondLength'
  | 'offset64'
  | 'deadline'
>;

const LOW_STREAM = Number(STREAM_OFFSET & 0xffffffffn);
const LOW_APPEND = Number(APPEND_OFFSET & 0xffffffffn);
