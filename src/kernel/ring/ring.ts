/**
 * One ring: its queues in the domain's memory or in a window, as abi/ring.ts lays them out. The kernel's indices are in its
 * record; the program's are read once for each call and checked, and an entry is copied before anything looks at it. So
 * whatever the program, or who shares the window with it, writes there, and when, nothing outside of its ring is touched.
 *
 * Where the ring lies is looked up each time. While its window is gone, or may not be written, nothing can be taken out, and what is
 * to be put in waits as where there is no room.
 */
import { ERRNO } from '../../abi/errno.ts';
import {
  COMPLETION_BYTES,
  REQUEST_BYTES,
  RING_HEADER,
  RING_HEADER_BYTES,
  RING_SERVES,
  RING_VERSION,
  ringBytes,
  SUBMISSION_BYTES,
} from '../../abi/ring.ts';
import { WINDOW_BASE } from '../../base/limits.ts';
import { type Space, SpaceFullError } from '../../space/index.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';
import type { Windows } from '../segment/windows.ts';
import type { Operation } from './operation.ts';
import { RingRecord } from './records.ts';

const R = RingRecord.fields;
const WORDS = SUBMISSION_BYTES / 4;

/** The program's words of the header, as they were when they were read. */
export interface Indices {
  /** Submissions that can be taken. */
  submitted: number;
  /** Completions there is room for, and those not yet taken out. */
  room: number;
  unread: number;
}

export class Ring {
  readonly space: Space;
  readonly #windows: Windows;
  readonly at: number;
  readonly domainId: number;
  readonly entries: number;
  readonly serves: boolean;
  readonly pointer: number;
  /** Operations under way, by number, oldest first. */
  readonly operations = new Map<number, Operation>();
  /** Requests that wait for room in its queue, oldest first. */
  readonly requests = new Map<number, Operation>();
  /** The handle of its domain, once it has been looked up. */
  domain: Domain | null = null;
  /** The number of the last operation that begins when all before it are over, while there is one; 0 for none. */
  draining = 0;
  /** Completions that wait for room. */
  backlog = 0;
  /** Nobody holds it any more. */
  closed = false;
  /** The submission that was copied last. */
  readonly taken = new Uint32Array(WORDS);

  constructor({ space, windows }: Pick<Core, 'space' | 'windows'>, at: number) {
    this.space = space;
    this.#windows = windows;
    this.at = at;
    this.domainId = R.domain.get(space, at);
    this.entries = R.entries.get(space, at);
    this.serves = (R.flags.get(space, at) & RING_SERVES) !== 0;
    this.pointer = R.pointer.get(space, at);
  }

  /** Global address of the ring now, good until anything is called; 0 where it lies nowhere, or may not be written there. */
  get #base(): number {
    const { domain, pointer } = this;
    if (domain === null || !domain.alive) return 0;
    if (pointer + this.bytes <= domain.bytesOf(0)) return domain.addressOf(0) + pointer;
    return pointer < WINDOW_BASE ? 0 : this.#inWindow(domain);
  }
  #inWindow(domain: Domain): number {
    try {
      return Math.max(0, this.#windows.resolve(domain, this.pointer, this.bytes, true));
    } catch (error) {
      if (error instanceof SpaceFullError) return 0; // a window that cannot be laid out is not there
      throw error;
    }
  }
  /** Whether its queues can be read and written now. */
  get isThere(): boolean {
    return this.#base !== 0;
  }
  get bytes(): number {
    return ringBytes(this.entries, R.flags.get(this.space, this.at));
  }

  /** Writes what a new ring begins with: all zeros but its own description. */
  format(): void {
    const { space } = this;
    const base = this.#base;
    space.zero(base, RING_HEADER_BYTES);
    space.setU32(base + RING_HEADER.version, RING_VERSION);
    space.setU32(base + RING_HEADER.entries, this.entries);
    space.setU32(base + RING_HEADER.flags, R.flags.get(space, this.at));
  }

  /** Reads the program's indices; -BADMSG where they cannot be, -FAULT where the ring is not there. */
  read(): Indices | number {
    const { space, entries } = this;
    const base = this.#base;
    if (base === 0) return -ERRNO.FAULT;
    const submitted = this.#word(base, RING_HEADER.submissionTail, R.submissionHead.get(space, this.at));
    const unread = this.#unread(base);
    if (submitted > entries || unread > 2 * entries) return -ERRNO.BADMSG;
    return { submitted, unread, room: 2 * entries - unread };
  }

  /** Completions that the program has not taken out; more than there can be where it says nonsense. */
  #unread(base: number): number {
    const head = this.space.u32[(base + RING_HEADER.completionHead) / 4] as number;
    return (R.completionTail.get(this.space, this.at) - head) >>> 0;
  }

  /** Requests that the program has not taken out. */
  unreadRequests(): number {
    const base = this.#base;
    if (base === 0 || !this.serves) return 0;
    const head = this.space.u32[(base + RING_HEADER.requestHead) / 4] as number;
    const unread = (R.requestTail.get(this.space, this.at) - head) >>> 0;
    return Math.min(unread, this.entries);
  }

  /** How far the program's index is ahead of ours. */
  #word(base: number, offset: number, ours: number): number {
    return ((this.space.u32[(base + offset) / 4] as number) - ours) >>> 0;
  }

  /** Copies submission number `i` of those not taken into `taken`. False where the ring is not there. */
  copy(i: number): boolean {
    const { space, taken } = this;
    const base = this.#base;
    if (base === 0) return false;
    const index = (R.submissionHead.get(space, this.at) + i) & (this.entries - 1);
    const from = (base + RING_HEADER_BYTES + index * SUBMISSION_BYTES) / 4;
    const { u32 } = space;
    for (let word = 0; word < WORDS; word++) taken[word] = u32[from + word] as number;
    return true;
  }

  /** Submissions that were taken are the program's again. */
  advance(count: number): void {
    if (count === 0) return;
    const { space } = this;
    const head = (R.submissionHead.get(space, this.at) + count) >>> 0;
    R.submissionHead.set(space, this.at, head);
    const base = this.#base;
    if (base !== 0) space.setU32(base + RING_HEADER.submissionHead, head);
  }

  /** Puts a completion in. False where there is no room, or no ring any more. */
  post(userLow: number, userHigh: number, result: number, value: bigint): boolean {
    if (this.closed) return true;
    const base = this.#base;
    if (base === 0 || this.#unread(base) >= 2 * this.entries) return false;
    const { space, entries } = this;
    const { u32 } = space;
    const tail = R.completionTail.get(space, this.at);
    const at =
      base + RING_HEADER_BYTES + entries * SUBMISSION_BYTES + (tail & (2 * entries - 1)) * COMPLETION_BYTES;
    const word = at / 4;
    u32[word] = userLow;
    u32[word + 1] = userHigh;
    u32[word + 2] = result;
    u32[word + 3] = 0;
    if (value === 0n) {
      u32[word + 4] = 0;
      u32[word + 5] = 0;
    } else space.view.setBigInt64(at + 16, value, true);
    u32[word + 6] = 0;
    u32[word + 7] = 0;
    space.mark(at, COMPLETION_BYTES);
    const next = (tail + 1) >>> 0;
    R.completionTail.set(space, this.at, next);
    space.setU32(base + RING_HEADER.completionTail, next);
    return true;
  }

  /** Whether a request can be put in. */
  get hasRequestRoom(): boolean {
    return this.serves && this.#base !== 0 && this.unreadRequests() < this.entries;
  }

  /** Puts a request in; there was room. False where the ring is not there any more. */
  deliver(request: Uint8Array): boolean {
    const base = this.#base;
    if (base === 0) return false;
    const { space, entries } = this;
    const tail = R.requestTail.get(space, this.at);
    const queues = base + RING_HEADER_BYTES + entries * (SUBMISSION_BYTES + 2 * COMPLETION_BYTES);
    space.writeBytes(queues + (tail & (entries - 1)) * REQUEST_BYTES, request);
    const next = (tail + 1) >>> 0;
    R.requestTail.set(space, this.at, next);
    space.setU32(base + RING_HEADER.requestTail, next);
    return true;
  }

  /** Tells the program how much is under way, and what was taken while the ring was not there. */
  tell(): void {
    const base = this.#base;
    if (base === 0) return;
    this.#set(base + RING_HEADER.submissionHead, R.submissionHead.get(this.space, this.at));
    this.#set(base + RING_HEADER.underWay, this.operations.size - this.backlog);
    this.#set(base + RING_HEADER.waiting, this.backlog);
  }

  /** Writes a word where it is another: what does not change makes no page dirty. */
  #set(at: number, value: number): void {
    if (this.space.u32[at / 4] !== value) this.space.setU32(at, value);
  }
}
