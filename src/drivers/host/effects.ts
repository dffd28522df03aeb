/**
 * The queue of effects on host folders, in the space: what programs asked for and what has become of it. An effect is
 * queued (the intent), taken to the host once a checkpoint that holds it is durable, and then done. It stays in the
 * queue until nothing can take it back, so the queue of a recovered checkpoint holds every effect whose outcome is in
 * doubt, in order; apply.ts settles them.
 *
 * Two sorts: *writes* of bytes at an absolute offset, for which nobody waits and which may be applied again at will;
 * and all others, for which the caller waits and which have a result. The block of each is charged to who asked for it, and
 * where there is no room who asks waits.
 *
 * Why: RATIONALE.md#effects-on-host-files-are-settled-by-looking
 */
import { assert } from '../../base/assert.ts';
import { Block, blocksOf, pushBack, unlinkBlock } from '../../kernel/outbox-memory.ts';
import type { Meter } from '../../kernel/outbox-meter.ts';
import { type DriverState, STATE } from '../state.ts';

export const EFFECT = {
  write: 1,
  create: 2,
  makeDirectory: 3,
  removeDirectory: 4,
  unlink: 5,
  rename: 6,
  link: 7,
  symlink: 8,
  setSize: 9,
  setTimes: 10,
  sync: 11,
} as const;

/** Queued: nothing has reached the host, or nobody knows. Applied: the host has it, perhaps not on disk. */
export const QUEUED = 0;
export const APPLIED = 1;
export const DONE = 2;

/** A time that setTimes leaves as it is. */
export const KEEP_TIME = 0xffff_ffff_ffff_ffffn;

const FIELD = {
  next: 0,
  number: 8,
  kind: 16,
  state: 20,
  domain: 24,
  object: 32,
  result: 40,
  orphan: 44,
  folder: 48,
  toFolder: 56,
  offset: 64,
  device: 72,
  inode: 80,
  born: 88,
  time1: 96,
  time2: 104,
  length1: 112,
  length2: 116,
  capacity: 120,
  /** Who pays for the block, divided by PAYER_UNIT to fit. */
  payer: 124,
  data: 128,
} as const;
const PAYER_UNIT = 16;
/** Room in a block for small writes that follow one another. */
const WRITE_CAPACITY = 4096 - FIELD.data;

/** What an effect is made with. Paths are binary strings from the granted folder, without links. */
export interface Intent {
  readonly kind: number;
  readonly domain: number;
  /** The granted folder the path is in; and of the second path. */
  readonly folder: number;
  readonly toFolder?: number;
  /** The open object it is about, 0 where it is about a path. */
  readonly object?: number;
  readonly path?: string;
  readonly toPath?: string;
  /** The file the path named when it was asked for. */
  readonly device?: bigint;
  readonly inode?: bigint;
  readonly bornNs?: bigint;
  /** Size for setSize. */
  readonly offset?: number;
  /** Access and modification time for setTimes; the time of asking for what makes something. */
  readonly time1?: bigint;
  readonly time2?: bigint;
}

/** View of one effect's block. */
export class Effect {
  readonly block: Block;
  readonly number: number;
  readonly kind: number;
  constructor(block: Block) {
    this.block = block;
    this.number = block.u64(FIELD.number);
    this.kind = block.u32(FIELD.kind);
  }

  get state(): number {
    return this.block.u32(FIELD.state);
  }
  set state(value: number) {
    this.block.setU32(FIELD.state, value);
  }
  get result(): number {
    return this.block.i32(FIELD.result);
  }
  set result(value: number) {
    this.block.setI32(FIELD.result, value);
  }
  /** Nobody will ask for the result: the domain is gone. */
  get orphan(): boolean {
    return this.block.u32(FIELD.orphan) !== 0;
  }
  set orphan(value: boolean) {
    this.block.setU32(FIELD.orphan, value ? 1 : 0);
  }
  get domain(): number {
    return this.block.u64(FIELD.domain);
  }
  get object(): number {
    return this.block.u64(FIELD.object);
  }
  get folder(): number {
    return this.block.u64(FIELD.folder);
  }
  get toFolder(): number {
    return this.block.u64(FIELD.toFolder);
  }
  get offset(): number {
    return this.block.u64(FIELD.offset);
  }
  get device(): bigint {
    return this.block.big(FIELD.device);
  }
  get inode(): bigint {
    return this.block.big(FIELD.inode);
  }
  get bornNs(): bigint {
    return this.block.big(FIELD.born);
  }
  get time1(): bigint {
    return this.block.big(FIELD.time1);
  }
  get time2(): bigint {
    return this.block.big(FIELD.time2);
  }
  get path(): string {
    return this.#text(0, this.block.u32(FIELD.length1));
  }
  get toPath(): string {
    return this.#text(this.block.u32(FIELD.length1), this.block.u32(FIELD.length2));
  }
  /** Bytes of a write, a copy. */
  get bytes(): Uint8Array {
    return this.block.copy(FIELD.data, this.length);
  }
  get length(): number {
    return this.block.u32(FIELD.length1);
  }
  get payer(): number {
    return PAYER_UNIT * this.block.u32(FIELD.payer);
  }
  /** What it takes, in bytes. */
  get bytesKept(): number {
    return FIELD.data + this.block.u32(FIELD.capacity);
  }

  /** Adds to a write that ends where `from` begins; how much fitted. */
  extend(from: Uint8Array): number {
    const { length } = this;
    const taken = Math.min(from.length, this.block.u32(FIELD.capacity) - length);
    this.block.setBytes(FIELD.data + length, from.subarray(0, taken));
    this.block.setU32(FIELD.length1, length + taken);
    return taken;
  }

  #text(at: number, length: number): string {
    return Buffer.from(this.block.copy(FIELD.data + at, length)).toString('latin1');
  }
}

export class EffectQueue {
  readonly #state: DriverState;
  readonly #effects = new Map<number, Effect>();
  readonly #meter: Meter;
  #last: Effect | undefined;
  /** Effects with smaller numbers are held by some cut. */
  #covered: number;
  /** Effects with smaller numbers may be applied. */
  #limit: number;
  #cuts: { seq: number; tail: number }[] = [];

  constructor(state: DriverState, meter: Meter) {
    this.#state = state;
    this.#meter = meter;
    for (const block of blocksOf(state.root, STATE.effects, FIELD.next)) this.#note(new Effect(block));
    this.#limit = state.effectTail;
    this.#covered = this.#limit;
  }

  /** In the order they were asked for. */
  all(): IterableIterator<Effect> {
    return this.#effects.values();
  }

  get(number: number): Effect | undefined {
    return this.#effects.get(number);
  }

  /** The one asked for last. */
  get last(): Effect | undefined {
    return this.#last;
  }

  /** Whether an effect may be taken to the host now. */
  mayApply(effect: Effect): boolean {
    return effect.number < this.#limit;
  }

  /** Something is queued that no cut holds yet. */
  get waiting(): boolean {
    return this.#last !== undefined && this.#last.state === QUEUED && this.#last.number >= this.#covered;
  }

  /** Queues an intent; undefined where there is no room for it. */
  add(intent: Intent): Effect | undefined {
    const path = Buffer.from(intent.path ?? '', 'latin1');
    const toPath = Buffer.from(intent.toPath ?? '', 'latin1');
    const bytes = path.length + toPath.length;
    const block = this.roomFor(intent.domain) < bytes ? undefined : this.#block(intent, bytes);
    if (block === undefined) return undefined;
    block.setBytes(FIELD.data, path);
    block.setBytes(FIELD.data + path.length, toPath);
    block.setU32(FIELD.length1, path.length);
    block.setU32(FIELD.length2, toPath.length);
    return this.#append(block);
  }

  /** Bytes that fit into an effect of a domain, by what its account may have at the moment; below 0 where none can be. */
  roomFor(domain: number): number {
    return this.#meter.room(this.#meter.payer(domain)) - FIELD.data;
  }

  /** Queues bytes for an open file, as many as fit; 0 where there is no room. */
  addWrite(intent: Intent, from: Uint8Array, offset: number): number {
    const joined = this.#extendLast(intent, from, offset);
    const room = this.roomFor(intent.domain);
    const rest = from.subarray(joined, joined + Math.max(room, 0));
    if (rest.length === 0) return joined;
    const capacity = Math.max(rest.length, Math.min(WRITE_CAPACITY, room));
    const block = this.#block({ ...intent, offset: offset + joined }, capacity);
    if (block === undefined) return joined;
    block.setBytes(FIELD.data, rest);
    block.setU32(FIELD.length1, rest.length);
    this.#append(block);
    return joined + rest.length;
  }

  /** Takes an effect out: nothing about it is in doubt and nobody waits for it. */
  remove(effect: Effect): void {
    assert(this.#effects.delete(effect.number), 'an effect is taken out once');
    unlinkBlock(this.#state.root, STATE.effects, effect.block, FIELD.next);
    if (this.#last === effect) this.#last = [...this.#effects.values()].at(-1);
    const { payer, bytesKept } = effect;
    effect.block.release();
    this.#meter.refund(payer, bytesKept);
  }

  cut(seq: number): void {
    this.#covered = this.#state.effectTail;
    this.#cuts.push({ seq, tail: this.#covered });
  }

  durable(seq: number): void {
    for (const cut of this.#cuts) if (cut.seq <= seq) this.#limit = Math.max(this.#limit, cut.tail);
    this.#cuts = this.#cuts.filter((cut) => cut.seq > seq);
  }

  /** A write right behind the last effect, which no cut holds yet, joins it. */
  #extendLast(intent: Intent, bytes: Uint8Array, offset: number): number {
    const last = this.#last;
    if (last?.kind !== EFFECT.write || last.number < this.#covered || last.object !== intent.object) return 0;
    if (last.offset + last.length !== offset) return 0;
    return last.extend(bytes);
  }

  #block(intent: Intent, dataBytes: number): Block | undefined {
    const block = Block.create(this.#state.memory, FIELD.data + dataBytes);
    if (block === undefined) return undefined;
    block.setU32(FIELD.kind, intent.kind);
    block.setU64(FIELD.domain, intent.domain);
    block.setU64(FIELD.object, intent.object ?? 0);
    block.setU64(FIELD.folder, intent.folder);
    block.setU64(FIELD.toFolder, intent.toFolder ?? 0);
    block.setU64(FIELD.offset, intent.offset ?? 0);
    block.setBig(FIELD.device, intent.device ?? 0n);
    block.setBig(FIELD.inode, intent.inode ?? 0n);
    block.setBig(FIELD.born, intent.bornNs ?? 0n);
    block.setBig(FIELD.time1, intent.time1 ?? 0n);
    block.setBig(FIELD.time2, intent.time2 ?? 0n);
    block.setU32(FIELD.capacity, dataBytes);
    const payer = this.#meter.payer(intent.domain);
    block.setU32(FIELD.payer, payer / PAYER_UNIT);
    this.#meter.charge(payer, FIELD.data + dataBytes);
    return block;
  }

  #append(block: Block): Effect {
    block.setU64(FIELD.number, this.#state.nextEffect());
    pushBack(this.#state.root, STATE.effects, block, FIELD.next, this.#last?.block);
    return this.#note(new Effect(block));
  }

  #note(effect: Effect): Effect {
    this.#effects.set(effect.number, effect);
    this.#last = effect;
    return effect;
  }
}
