/**
 * For tests: a resident domain whose exports are the kernel's calls, and a ring in its memory that the test fills and
 * empties from outside as the program would.
 */
import { KERNEL_MODULE } from '../../abi/objects.ts';
import {
  COMPLETION,
  COMPLETION_BYTES,
  REQUEST,
  REQUEST_BYTES,
  REQUEST_DATA_BYTES,
  RING_HEADER,
  RING_HEADER_BYTES,
  RING_SERVES,
  SUBMISSION,
  SUBMISSION_BYTES,
} from '../../abi/ring.ts';
import { WINDOW_BASE } from '../../base/limits.ts';
import type { Domain } from '../domain.ts';
import { program, type TestSystem } from '../kernel.testing.ts';
import type { Outcome } from '../kernel.ts';
import { RingRecord } from './records.ts';

const CALLS: Readonly<Record<string, string>> = {
  ring_create: 'iii',
  ring_enter: 'iiiI',
  table_create: 'iii',
  table_object: 'iIi',
  request_read: 'Iiii',
  request_take: 'Ii',
  request_write: 'Iiii',
  cap_close: 'i',
  cap_copy: 'ii',
  cap_derive: 'iiI',
  cap_revoke: 'i',
  cap_count: '',
  granted: 'ii',
  sem_wait: 'iI',
  sem_wake: 'i',
  waitset_create: '',
  waitset_add: 'iiI',
  waitset_remove: 'ii',
  waitset_wait: 'iiiI',
};
const params = (types: string): string =>
  types === '' ? '' : `(param ${[...types].map((c) => (c === 'i' ? 'i32' : 'i64')).join(' ')})`;

/** Exports each call under its name. It can have windows. */
export const CALLER = program(`(module
  ${Object.entries(CALLS)
    .map(([name, t]) => `(import "${KERNEL_MODULE}" "${name}" (func $${name} ${params(t)} (result i32)))`)
    .join('\n')}
  (import "${KERNEL_MODULE}" "seg_map" (func (param i32 i64 i64 i32 i32) (result i64)))
  (memory (export "memory") 16)
  ${Object.entries(CALLS)
    .map(
      ([name, t]) => `(func (export "${name}") ${params(t)} (result i32)
    (call $${name} ${[...t].map((_, i) => `(local.get ${i})`).join(' ')}))`,
    )
    .join('\n')})`);

export interface Submission {
  op: number;
  flags?: number;
  method?: number;
  handle?: number;
  user?: bigint;
  first?: number;
  firstLength?: number;
  offset?: bigint;
  limit?: bigint;
  second?: number;
  secondLength?: number;
  other?: number;
  rights?: number;
  options?: number;
}
export interface Completion {
  user: bigint;
  result: number;
  value: bigint;
}
export interface Request {
  number: bigint;
  object: bigint;
  badge: bigint;
  op: number;
  method: number;
  options: number;
  offset: bigint;
  given: number;
  givenFirst: number;
  room: number;
  rights: number;
  held: number;
  other: bigint;
  brought: number;
  data: Uint8Array;
}

const RING_AT = 0x1000;

/** One program with one ring. It finds its domain by name, so it goes on after a crash. */
export class RingUser {
  readonly system: TestSystem;
  readonly name: string;
  readonly entries: number;
  readonly flags: number;
  handle = -1;
  #near = RING_AT;
  #head = 0;
  #requestHead = 0;
  #tail = 0;

  private constructor(system: TestSystem, name: string, entries: number, flags: number) {
    this.system = system;
    this.name = name;
    this.entries = entries;
    this.flags = flags;
  }

  /** @param more options of the domain */
  static async make(
    system: TestSystem,
    name: string,
    entries = 8,
    flags = 0,
    more: object = {},
  ): Promise<RingUser> {
    const user = new RingUser(system, name, entries, flags);
    system.add(name, await CALLER, { resident: true, ...more });
    user.handle = user.call('ring_create', RING_AT, entries, flags);
    return user;
  }

  /** The same program in another space, where it was carried to. */
  carriedTo(system: TestSystem): RingUser {
    const user = new RingUser(system, this.name, this.entries, this.flags);
    user.handle = this.handle;
    user.#head = this.#head;
    user.#requestHead = this.#requestHead;
    user.#tail = this.#tail;
    return user;
  }

  get id(): number {
    return this.system.kernel.find(this.name);
  }
  /** Where its memory begins in the space. */
  get base(): number {
    const domain = this.system.kernel.core.peek(this.id);
    if (domain === undefined) throw new Error(`${this.name} is gone`);
    return domain.addressOf(0);
  }
  get #ring(): number {
    const { core } = this.system.kernel;
    const inMemory = this.#near < WINDOW_BASE;
    return inMemory
      ? this.base + this.#near
      : core.windows.resolve(core.peek(this.id) as Domain, this.#near, 64, false);
  }
  /** Goes on with a new ring, at another address. */
  place(near: number): number {
    [this.#near, this.#head, this.#requestHead, this.#tail] = [near, 0, 0, 0];
    this.handle = this.call('ring_create', near, this.entries, this.flags);
    return this.handle;
  }

  outcome(name: string, ...args: (number | bigint)[]): Outcome {
    return this.system.kernel.invoke(this.id, name, args);
  }
  /** The result of a call that does not wait. */
  call(name: string, ...args: (number | bigint)[]): number {
    return this.result(this.outcome(name, ...args));
  }
  result(outcome: Outcome): number {
    if (outcome.kind !== 'returned') throw new Error(`${this.name}: ${JSON.stringify(outcome.kind)}`);
    return Number(BigInt.asIntN(32, outcome.results[0]?.low ?? 0n));
  }

  write(at: number, data: Uint8Array | string): number {
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
    this.system.space.writeBytes(this.base + at, bytes);
    return bytes.length;
  }
  read(at: number, length: number): Uint8Array {
    return this.system.space.readBytes(this.base + at, length);
  }
  text(at: number, length: number): string {
    return new TextDecoder().decode(this.read(at, length));
  }
  /** A word of the ring's header. */
  header(word: keyof typeof RING_HEADER): number {
    return this.system.space.view.getUint32(this.#ring + RING_HEADER[word], true);
  }
  setHeader(word: keyof typeof RING_HEADER, value: number): void {
    this.system.space.setU32(this.#ring + RING_HEADER[word], value);
  }

  /** Goes on with empty queues, as the kernel has them, whatever has been written there. */
  clear(): void {
    const { core } = this.system.kernel;
    const domain = core.peek(this.id) as Domain;
    const ring = core.rings.ring(core.objects.a(core.clists.objectAt(domain, this.handle)));
    if (ring === undefined) return;
    const R = RingRecord.fields;
    this.#tail = R.submissionHead.get(this.system.space, ring.at);
    this.#head = R.completionTail.get(this.system.space, ring.at);
    this.#requestHead = R.requestTail.get(this.system.space, ring.at);
    this.setHeader('submissionTail', this.#tail);
    this.setHeader('completionHead', this.#head);
    this.setHeader('requestHead', this.#requestHead);
    this.setHeader('requestTail', this.#requestHead);
    this.setHeader('completionTail', this.#head);
  }

  /** Puts submissions in the queue. */
  push(...list: Submission[]): void {
    const { space } = this.system;
    for (const s of list) {
      const at = this.#ring + RING_HEADER_BYTES + (this.#tail % this.entries) * SUBMISSION_BYTES;
      space.zero(at, SUBMISSION_BYTES);
      space.setU8(at + SUBMISSION.operation, s.op);
      space.setU8(at + SUBMISSION.flags, s.flags ?? 0);
      space.setU16(at + SUBMISSION.method, s.method ?? 0);
      space.setU32(at + SUBMISSION.handle, s.handle ?? 0);
      space.setU64(at + SUBMISSION.userData, s.user ?? 0n);
      space.setU32(at + SUBMISSION.first, s.first ?? 0);
      space.setU32(at + SUBMISSION.firstLength, s.firstLength ?? 0);
      space.setU64(at + SUBMISSION.offset, s.offset ?? 0n);
      space.setU64(at + SUBMISSION.limit, s.limit ?? 0n);
      space.setU32(at + SUBMISSION.second, s.second ?? 0);
      space.setU32(at + SUBMISSION.secondLength, s.secondLength ?? 0);
      space.setU32(at + SUBMISSION.other, s.other ?? 0);
      space.setU32(at + SUBMISSION.rights, s.rights ?? 0);
      space.setU32(at + SUBMISSION.options, s.options ?? 0);
      this.#tail = (this.#tail + 1) >>> 0;
    }
    this.setHeader('submissionTail', this.#tail);
  }

  /** Puts them in and enters. */
  submit(...list: Submission[]): number {
    this.push(...list);
    return this.enter(list.length);
  }
  enter(submit = 0, complete = 0, timeout = 0n): number {
    return this.call('ring_enter', this.handle, submit, complete, timeout);
  }

  /** What has completed, left where it is. */
  peek(): Completion[] {
    const head = this.#head;
    const found = this.completions();
    this.#head = head;
    this.setHeader('completionHead', head);
    return found;
  }

  /** Takes out what has completed. */
  completions(): Completion[] {
    const { view } = this.system.space;
    const found: Completion[] = [];
    // Tests put anything there: no more is taken than there can be.
    for (let n = 0; n < 2 * this.entries && this.#head !== this.header('completionTail'); n++) {
      const queue = this.#ring + RING_HEADER_BYTES + this.entries * SUBMISSION_BYTES;
      const at = queue + (this.#head % (2 * this.entries)) * COMPLETION_BYTES;
      found.push({
        user: view.getBigUint64(at + COMPLETION.userData, true),
        result: view.getInt32(at + COMPLETION.result, true),
        value: view.getBigInt64(at + COMPLETION.value, true),
      });
      this.#head = (this.#head + 1) >>> 0;
      this.setHeader('completionHead', this.#head);
    }
    return found;
  }
  /** Results by user data, of what has completed. */
  results(): Record<string, number> {
    return Object.fromEntries(this.completions().map(({ user, result }) => [String(user), result]));
  }
  /** Submits one operation that completes at once. */
  run(s: Submission): Completion {
    this.submit(s);
    const all = this.completions();
    if (all.length !== 1) throw new Error(`${all.length} completions`);
    return all[0] as Completion;
  }

  /** Takes out requests. */
  requests(): Request[] {
    const { view } = this.system.space;
    const found: Request[] = [];
    if ((this.flags & RING_SERVES) === 0) return found;
    const queue = this.#ring + RING_HEADER_BYTES + this.entries * (SUBMISSION_BYTES + 2 * COMPLETION_BYTES);
    for (let n = 0; n < this.entries && this.#requestHead !== this.header('requestTail'); n++) {
      const at = queue + (this.#requestHead % this.entries) * REQUEST_BYTES;
      const inside = Math.min(view.getUint32(at + REQUEST.inside, true), REQUEST_DATA_BYTES);
      found.push({
        number: view.getBigUint64(at + REQUEST.number, true),
        object: view.getBigUint64(at + REQUEST.object, true),
        badge: view.getBigUint64(at + REQUEST.badge, true),
        op: view.getUint8(at + REQUEST.operation),
        method: view.getUint16(at + REQUEST.method, true),
        options: view.getUint32(at + REQUEST.options, true),
        offset: view.getBigUint64(at + REQUEST.offset, true),
        given: view.getUint32(at + REQUEST.given, true),
        givenFirst: view.getUint32(at + REQUEST.givenFirst, true),
        room: view.getUint32(at + REQUEST.room, true),
        rights: view.getUint32(at + REQUEST.rights, true),
        held: view.getUint32(at + REQUEST.held, true),
        other: view.getBigUint64(at + REQUEST.other, true),
        brought: view.getUint32(at + REQUEST.brought, true),
        data: this.system.space.readBytes(at + REQUEST.data, inside),
      });
      this.#requestHead = (this.#requestHead + 1) >>> 0;
      this.setHeader('requestHead', this.#requestHead);
    }
    return found;
  }
}
