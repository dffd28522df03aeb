/**
 * A keyed 64-bit hash of 4 KiB pages, fast enough to run inside a checkpoint's pause. It tells whether a page changed
 * since it was stored and whether it came back from the disk as it went there.
 *
 * What it is: NH (the universal hash of UMAC) twice, with keys shifted by four words, so that two pages chosen by
 * somebody who does not know the key agree with probability about 2^-64; then a mix to 64 bits. The key matters: a page
 * whose hash did not change is not written, so a program that could build collisions could make pages go stale. Hence:
 * a fresh random key for each store, and the hashes never shown to programs. It is no cryptographic hash: never use it
 * where the one who picks the data also knows the key.
 *
 * How: a small SIMD module, assembled below, run on a memory of its own (`hash`, `hashBytes`) or straight on the pages
 * of a space (`hashPages` with a target), without copying. Two 32-bit halves stand for a hash, as JavaScript has no
 * cheap 64-bit integer. Two values are special: 0 is the hash of a page of zeros and of nothing else, and
 * UNKNOWN_HASH is the hash of no page.
 *
 * Why: RATIONALE.md#a-keyed-hash-tells-whether-a-page-changed
 */
import { assert } from './assert.ts';
import { PAGE_BYTES, PAGE_SHIFT, SPACE_MAX_FRAMES } from './limits.ts';

/** Bytes of a key. */
export const HASH_KEY_BYTES = 16;
/** Both halves of a hash no page has: stands for "stored content not known". */
export const UNKNOWN_HASH = 0xffff_ffff;
/** Most pages of one `hashPages` call. */
export const HASH_BATCH = 2048;

/** What the hasher needs of a `WebAssembly.Memory`; the space's is shared, 64-bit and of SPACE_MAX_FRAMES at most. */
export interface SpaceMemory {
  readonly buffer: ArrayBufferLike;
}

interface Wasm {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: Record<string, unknown> };
  Memory: new (descriptor: { initial: number; maximum: number }) => SpaceMemory;
}

// The hasher's own memory: the key, page numbers in, hashes out, and room for pages that lie elsewhere.
const OWN_FRAMES = 2;
const TAIL_KEYS_AT = 4160; // after 1024 + 8 + 8 words of NH key: two u64 of the final mix, then the zero page's hash
const ZERO_AT = TAIL_KEYS_AT + 16;
const LIST_AT = 0x2000;
const OUT_AT = LIST_AT + HASH_BATCH * 4;
const STAGE_AT = OUT_AT + HASH_BATCH * 8;
const STAGE_PAGES = (OWN_FRAMES * 65536 - STAGE_AT) >> PAGE_SHIFT;
/** `hashBytes` takes this many bytes at a time, after the hash of what went before. */
const CHAIN_BYTES = PAGE_BYTES - 8;

assert(STAGE_AT % PAGE_BYTES === 0 && STAGE_PAGES > 0, 'the stage is whole pages');

/** A hasher for one key. Not shared between threads; make one for each. */
export class PageHasher {
  /** Halves of the last results, low then high: two words for each page given. */
  readonly out: Uint32Array;
  readonly #list: Uint32Array;
  readonly #stage: Uint8Array;
  readonly #runOwn: (count: number) => void;
  readonly #runTarget: ((count: number) => void) | null;

  /** `key`: HASH_KEY_BYTES random bytes. `target`: the space whose pages `hashPages` reads; none for copies only. */
  constructor(key: Uint8Array, target: SpaceMemory | null = null) {
    assert(key.length === HASH_KEY_BYTES, 'a hash key has its length');
    const wasm = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;
    const own = new wasm.Memory({ initial: OWN_FRAMES, maximum: OWN_FRAMES });
    this.out = new Uint32Array(own.buffer, OUT_AT, HASH_BATCH * 2);
    this.#list = new Uint32Array(own.buffer, LIST_AT, HASH_BATCH);
    this.#stage = new Uint8Array(own.buffer, STAGE_AT, STAGE_PAGES * PAGE_BYTES);
    const instance = (bytes: object, memory: SpaceMemory) =>
      new wasm.Instance(bytes, { '': { m: memory, own } }).exports.run as (n: number) => void;
    this.#runOwn = instance(compiled(wasm, false), own);
    this.#runTarget = target ? instance(compiled(wasm, true), target) : null;
    expandKey(key, new Uint32Array(own.buffer, 0, ZERO_AT / 4));
    this.#stage.fill(0, 0, PAGE_BYTES); // the zero page's hash is learnt, then maps to 0
    this.#runStage(1);
    new Uint32Array(own.buffer, ZERO_AT, 2).set(this.out.subarray(0, 2));
  }

  /** Hashes `count` pages of the target, numbers in `pages` from `from`; results in `out` from 0. */
  hashPages(pages: Uint32Array, from: number, count: number): void {
    assert(this.#runTarget !== null && count <= HASH_BATCH, 'hashPages has a target and at most a batch');
    this.#list.set(pages.subarray(from, from + count));
    this.#runTarget(count);
  }

  /** Hashes the page at `offset` of `bytes`; the result is in `out[0]`, `out[1]`. */
  hash(bytes: Uint8Array, offset: number): void {
    this.#stage.set(bytes.subarray(offset, offset + PAGE_BYTES));
    this.#runStage(1);
  }

  /**
   * Hashes `count` (at most `stagePages`) pages that lie one after another in `bytes` from `offset`; results in `out`.
   */
  hashRun(bytes: Uint8Array, offset: number, count: number): void {
    assert(count <= STAGE_PAGES, 'a run fits the stage');
    this.#stage.set(bytes.subarray(offset, offset + count * PAGE_BYTES));
    this.#runStage(count);
  }

  /** Most pages of one `hashRun`. */
  get stagePages(): number {
    return STAGE_PAGES;
  }

  /**
   * Room for one page. Whoever fills it himself and calls `hashStage` saves a copy. The next call of any method may
   * overwrite it.
   */
  get stage(): Uint8Array {
    return this.#stage.subarray(0, PAGE_BYTES);
  }

  /** Hashes the page in `stage`; the result is in `out[0]`, `out[1]`. */
  hashStage(): void {
    this.#runStage(1);
  }

  /** Hashes any number of bytes, chained page by page, with their length; the result is in `out[0]`, `out[1]`. */
  hashBytes(bytes: Uint8Array): void {
    const halves = new Uint32Array(this.#stage.buffer, STAGE_AT, 2);
    halves[0] = bytes.length >>> 0;
    halves[1] = Math.floor(bytes.length / 0x1_0000_0000) + 1; // never zero, so the first page is not the zero page
    let at = 0;
    do {
      const part = bytes.subarray(at, at + CHAIN_BYTES);
      this.#stage.set(part, 8);
      if (part.length < CHAIN_BYTES) this.#stage.fill(0, 8 + part.length, PAGE_BYTES);
      this.#runStage(1);
      halves[0] = this.out[0]!;
      halves[1] = this.out[1]!;
      at += CHAIN_BYTES;
    } while (at < bytes.length);
  }

  #runStage(count: number): void {
    for (let i = 0; i < count; i++) this.#list[i] = (STAGE_AT >> PAGE_SHIFT) + i;
    this.#runOwn(count);
  }
}

const modules: { own?: object; space?: object } = {};

/** The compiled module of either kind, made once a thread. */
function compiled(wasm: Wasm, space: boolean): object {
  const kind = space ? 'space' : 'own';
  modules[kind] ??= new wasm.Module(assemble(space));
  return modules[kind];
}

/** Fills `words` from a key (xoshiro128**, seeded with the key): the attacker sees neither key nor hashes. */
function expandKey(key: Uint8Array, words: Uint32Array): void {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  let a = view.getUint32(0, true);
  let b = view.getUint32(4, true);
  let c = view.getUint32(8, true);
  let d = view.getUint32(12, true) ^ 0x9e3779b9;
  if ((a | b | c | d) === 0) d = 1;
  for (let i = -16; i < words.length; i++) {
    const m = Math.imul(b, 5);
    if (i >= 0) words[i] = Math.imul((m << 7) | (m >>> 25), 9);
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
  }
}

// --- the module: run(count) hashes the pages whose numbers are in the list, one u64 each into the results ---

const leb = (value: number): number[] => {
  const out: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) out.push((value & 127) | 128);
  return [...out, value];
};
const sleb = (value: bigint): number[] => {
  const out: number[] = [];
  for (; value < -64n || value > 63n; value >>= 7n) out.push(Number(value & 127n) | 128);
  return [...out, Number(value & 127n)];
};
const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const i32 = (value: number): number[] => [0x41, ...sleb(BigInt(value))];
const i64 = (value: bigint): number[] => [0x42, ...sleb(BigInt.asIntN(64, value))];
const simd = (opcode: number): number[] => [0xfd, ...leb(opcode)];
/** A memory argument: memory 1 is the hasher's own, 0 the one the pages lie in. */
const at = (memory: 0 | 1, offset: number): number[] =>
  memory ? [0x40, 1, ...leb(offset)] : [0x00, ...leb(offset)];
const v128Load = (memory: 0 | 1, offset: number): number[] => [...simd(0), ...at(memory, offset)];
const addWords = simd(0xae); // i32x4.add
const addLongs = simd(0xce); // i64x2.add
const mulLow = simd(0xde); // i64x2.extmul_low_i32x4_u
const mulHigh = simd(0xdf); // i64x2.extmul_high_i32x4_u

// locals of `run`: count; then i, key pointer (i32), page address, h, S (i64), then vectors
const [COUNT, I, KEY, ADDRESS, H, S] = [0, 1, 2, 3, 4, 5];
const [K0, K1, K2, A, B, LOW1, HIGH1, LOW2, HIGH2] = [6, 7, 8, 9, 10, 11, 12, 13, 14];

/** One step of both NH sums over the 32 bytes at ADDRESS + `offset`. K0 holds the key words at KEY + `offset`. */
function step(offset: number, address: number[]): number[] {
  const nh = (ka: number, kb: number, low: number, high: number): number[] => [
    ...[...get(A), ...get(ka), ...addWords],
    ...[...get(B), ...get(kb), ...addWords],
    ...mulLow,
    ...[...get(low), ...addLongs, ...set(low)],
    ...[...get(A), ...get(ka), ...addWords],
    ...[...get(B), ...get(kb), ...addWords],
    ...mulHigh,
    ...[...get(high), ...addLongs, ...set(high)],
  ];
  return [
    ...[...address, ...v128Load(0, offset), ...set(A)],
    ...[...address, ...v128Load(0, offset + 16), ...set(B)],
    ...[...get(KEY), ...v128Load(1, offset + 16), ...set(K1)],
    ...[...get(KEY), ...v128Load(1, offset + 32), ...set(K2)],
    ...nh(K0, K1, LOW1, HIGH1),
    ...nh(K1, K2, LOW2, HIGH2),
    ...[...get(K2), ...set(K0)],
  ];
}

/** h = mix(h), the finalizer of MurmurHash3 (public domain). */
function mix(): number[] {
  const shift = (by: bigint): number[] => [...get(H), ...get(H), ...i64(by), 0x88, 0x85, ...set(H)];
  const multiply = (by: bigint): number[] => [...get(H), ...i64(by), 0x7e, ...set(H)];
  return [
    ...shift(33n),
    ...multiply(0xff51afd7ed558ccdn),
    ...shift(33n),
    ...multiply(0xc4ceb9fe1a85ec53n),
    ...shift(33n),
  ];
}

/** The four 64-bit lanes of two vectors, added. */
function lanes(low: number, high: number): number[] {
  const both = [...get(low), ...get(high), ...addLongs];
  return [...both, ...simd(0x1d), 0, ...both, ...simd(0x1d), 1, 0x7c]; // i64x2.extract_lane, i64.add
}

/** After a page: S and H to the one hash, with the special values kept apart, stored. */
function finish(): number[] {
  const own64 = (offset: number): number[] => [...i32(0), 0x29, ...at(1, offset)];
  const replace = (when: number[], by: bigint): number[] => [...i64(by), ...get(H), ...when, 0x1b, ...set(H)];
  return [
    ...[...lanes(LOW1, HIGH1), ...own64(TAIL_KEYS_AT), 0x7c, ...set(S)],
    ...[...lanes(LOW2, HIGH2), ...own64(TAIL_KEYS_AT + 8), 0x7c, ...set(H)],
    ...mix(),
    ...[...get(H), ...get(S), 0x85, ...set(H)],
    ...mix(),
    // 0 and UNKNOWN are taken: give their pages a neighbour's; then the zero page, and it alone, becomes 0
    ...replace([...get(H), 0x50], 1n),
    ...replace([...get(H), ...i64(-1n), 0x51], -2n),
    ...replace([...get(H), ...own64(ZERO_AT), 0x51], 0n),
    ...[...get(I), ...i32(3), 0x74, ...get(H), 0x37, ...at(1, OUT_AT)],
  ];
}

/** The module's bytes. `space`: pages lie in a shared 64-bit memory; otherwise in the hasher's own. */
function assemble(space: boolean): Uint8Array {
  const UNROLL = 8;
  const address = space ? get(ADDRESS) : [...get(ADDRESS), 0xa7];
  const steps: number[] = [];
  for (let i = 0; i < UNROLL; i++) steps.push(...step(i * 32, address));
  const body = [
    ...[3, 2, 0x7f, 3, 0x7e, 9, 0x7b], // locals: i32 ×2, i64 ×3, v128 ×9
    ...[0x02, 0x40, 0x03, 0x40], // block, loop over the pages
    ...[...get(I), ...get(COUNT), 0x4f, 0x0d, 1], // i >= count: leave
    ...[...get(I), ...i32(2), 0x74, 0x28, ...at(1, LIST_AT), 0xad, ...i64(12n), 0x86, ...set(ADDRESS)],
    ...[...i32(0), ...set(KEY), ...i32(0), ...v128Load(1, 0), ...set(K0)],
    ...[LOW1, HIGH1, LOW2, HIGH2].flatMap((v) => [...simd(12), ...new Array<number>(16).fill(0), ...set(v)]),
    ...[0x03, 0x40], // loop over the page
    ...steps,
    ...[...get(ADDRESS), ...i64(BigInt(UNROLL * 32)), 0x7c, ...set(ADDRESS)],
    ...[...get(KEY), ...i32(UNROLL * 32), 0x6a, ...set(KEY)],
    ...[...get(KEY), ...i32(PAGE_BYTES), 0x49, 0x0d, 0, 0x0b],
    ...finish(),
    ...[...get(I), ...i32(1), 0x6a, ...set(I), 0x0c, 0],
    ...[0x0b, 0x0b, 0x0b],
  ];
  const section = (id: number, bytes: number[]): number[] => [id, ...leb(bytes.length), ...bytes];
  const own = [0x01, OWN_FRAMES, OWN_FRAMES];
  const target = space ? [0x07, 1, ...leb(SPACE_MAX_FRAMES)] : own; // shared, 64-bit, with a maximum
  const imports = [2, 0, 1, 0x6d, 0x02, ...target, 0, 3, 0x6f, 0x77, 0x6e, 0x02, ...own]; // ''.m, ''.own
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 1, 0x7f, 0]),
    ...section(2, imports),
    ...section(3, [1, 0]),
    ...section(7, [1, 3, 0x72, 0x75, 0x6e, 0, 0]),
    ...section(10, [1, ...leb(body.length), ...body]),
  ]);
}
