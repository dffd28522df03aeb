/**
 * Programs that work in windows, against plain V8 with a memory that is large enough for all addresses: there a function
 * of the test is asked before each access whether it may be made. Segments move, and what they leave is overwritten, at every
 * call of an import; with an unwind at every safepoint, at each of these.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FRAME_BYTES, WINDOW_BASE } from '../base/limits.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { verify } from '../verifier/verify.ts';
import { wat } from '../wasm/wat.testing.ts';
import { SEGMENTS, TestHost, type TestWindow, type Value } from './host.testing.ts';
import { outcome } from './same.testing.ts';

const ROUNDS = Number(process.env.PERDURE_ROUNDS ?? 40);
const OWN = FRAME_BYTES;
/** Some that end anywhere, one that may only be read, and always a gap between them. */
const SHAPES = [
  { near: WINDOW_BASE + FRAME_BYTES, bytes: 3 * FRAME_BYTES, writable: true },
  { near: WINDOW_BASE + 5 * FRAME_BYTES, bytes: 70_000, writable: false },
  { near: WINDOW_BASE + 8 * FRAME_BYTES, bytes: 5001, writable: true },
];
const PLAIN_PAGES = WINDOW_BASE / FRAME_BYTES + 10;

/** Where segments lie: each place is as far from the next as all of them are long. */
const placed = (turn: number): TestWindow[] =>
  SHAPES.map((shape, i) => ({ ...shape, at: SEGMENTS + ((turn % 2) * 4 + i) * 4 * FRAME_BYTES }));

/** A function's text, with a question before each access or without. */
class Text {
  readonly #asks: boolean;
  constructor(asks: boolean) {
    this.#asks = asks;
  }
  access(op: string, address: string, offset: number, bytes: number, rest = ''): string {
    const writes = /store|rmw/.test(op) ? 1 : 0;
    const wide = `(i64.add (i64.extend_i32_u ${address}) (i64.const ${offset}))`;
    const asked = this.#asks ? `(call $ask ${wide} (i64.const ${bytes}) (i32.const ${writes}))` : '';
    return `(${op} offset=${offset} (block (result i32) ${asked} ${address}) ${rest})`;
  }
  range(op: string, to: string, from: string, count: number): string {
    const ask = (address: string, writes: number): string =>
      `(call $ask (i64.extend_i32_u ${address}) (i64.const ${count}) (i32.const ${writes}))`;
    const source = op === 'memory.copy' ? ask(from, 0) : '';
    const asked = this.#asks ? `${ask(to, 1)} ${source}` : '';
    return `${asked} (${op} ${to} ${op === 'memory.copy' ? from : '(i32.const 7)'} (i32.const ${count}))`;
  }
}

type Statement = (text: Text) => string;
const OFFSETS = [0, 0, 0, 1, 4, 8, 16, 24, 100, 4092, 4096, 8000, 65_520, 70_000, FRAME_BYTES * 5];
const LOADS = [
  ['i64.load', 8],
  ['i64.load32_u', 4],
  ['i64.load8_u', 1],
  ['i64.load16_s', 2],
  ['i64.atomic.load32_u', 4],
] as const;
const STORES = [
  ['i64.store', 8],
  ['i64.store32', 4],
  ['i64.store8', 1],
  ['i64.store16', 2],
] as const;

/** Random statements over pointers $p and $q, the count $n and the sum $s. */
class Statements {
  readonly #prng: Prng;
  #labels = 0;
  constructor(prng: Prng) {
    this.#prng = prng;
  }

  body(depth: number): Statement {
    const list = Array.from({ length: 2 + this.#prng.below(5) }, () => this.#one(depth));
    return (text) => list.map((one) => one(text)).join('\n');
  }

  #pointer(): string {
    return this.#prng.pick([
      '(local.get $p)',
      '(local.get $p)',
      '(local.get $q)',
      '(i32.add (local.get $p) (i32.const 12))',
    ]);
  }
  #load(): Statement {
    const [op, bytes] = this.#prng.pick(LOADS);
    const [pointer, offset] = [this.#pointer(), this.#prng.pick(OFFSETS) & (op.includes('atomic') ? -4 : -1)];
    return (text) => `(local.set $s (i64.add (local.get $s) ${text.access(op, pointer, offset, bytes)}))`;
  }
  #store(): Statement {
    const [op, bytes] = this.#prng.pick(STORES);
    const [pointer, offset] = [this.#pointer(), this.#prng.pick(OFFSETS)];
    return (text) => text.access(op, pointer, offset, bytes, '(local.get $s)');
  }
  #one(depth: number): Statement {
    const prng = this.#prng;
    const kind = prng.below(depth > 0 ? 12 : 9);
    if (kind < 3) return this.#load();
    if (kind < 5) return this.#store();
    if (kind === 5) return () => '(call $other)';
    if (kind === 6) {
      const [op, count] = [prng.pick(['memory.fill', 'memory.copy']), prng.pick([0, 1, 9, 3000])];
      const [to, from] = [this.#pointer(), this.#pointer()];
      return (text) => text.range(op, to, from, count);
    }
    if (kind === 7) return () => '(local.set $q (i32.add (local.get $q) (i32.const 8)))';
    if (kind === 8) {
      const pointer = this.#pointer();
      return (text) =>
        `(local.set $s (i64.add (local.get $s) ${text.access('i64.atomic.rmw8.add_u', pointer, 0, 1, '(i64.const 3)')}))`;
    }
    const inner = this.body(depth - 1);
    if (kind === 9) return (text) => `(if (i32.and (local.get $n) (i32.const 1)) (then ${inner(text)}))`;
    const label = `$l${this.#labels++}`;
    const step = prng.pick([8, 4, 1, -8, 16, 0, 200]);
    const [load, store] = [this.#load(), this.#store()];
    const parts = kind === 10 ? [load] : prng.pick([[load, store], [store], [load, load, inner]]);
    return (text) => `(local.set $i (local.get $n))
      (loop ${label} ${parts.map((part) => part(text)).join('\n')}
        (local.set $p (i32.add (local.get $p) (i32.const ${step})))
        (br_if ${label} (i32.gt_s (local.tee $i (i32.sub (local.get $i) (i32.const 1))) (i32.const 0))))`;
  }
}

const moduleText = (body: string): string => `(module
  (import "m" "memory" (memory 1 65536))
  (import "m" "ask" (func $ask (param i64 i64 i32)))
  (import "m" "other" (func $other))
  (func (export "f") (param $p i32) (param $q i32) (param $n i32) (result i64)
    (local $s i64) (local $i i32)
    ${body}
    (local.get $s)))`;

class Trapped extends WebAssembly.RuntimeError {}

function mayTouch(near: bigint, bytes: bigint, writes: number): boolean {
  const [at, size] = [Number(near), Number(bytes)];
  if (at + size <= OWN) return true;
  // An empty range may lie where a mapping ends, and so may none that is not.
  return SHAPES.some((w) => at >= w.near && at + size <= w.near + w.bytes && (w.writable || writes === 0));
}

/** The host's windows go to and fro. */
class Moving {
  #turn = 0;
  readonly host: TestHost;
  constructor(bytes: Uint8Array, always: boolean) {
    const other = (): void => this.move();
    this.host = new TestHost(bytes, { m: { ask: () => {}, other } }, always, false, true);
    this.host.map(placed(0));
  }
  get windows(): TestWindow[] {
    return placed(this.#turn);
  }
  move(): void {
    const before = this.windows;
    this.#turn++;
    const u8 = new Uint8Array(this.host.space.buffer);
    this.windows.forEach(({ at, bytes }, i) => {
      u8.copyWithin(at, before[i]!.at, before[i]!.at + bytes);
      u8.fill(0xa5, before[i]!.at, before[i]!.at + bytes);
    });
    this.host.map(this.windows);
  }
  read(i: number): Uint8Array {
    const { at, bytes } = this.windows[i]!;
    return new Uint8Array(this.host.space.buffer, at, bytes).slice();
  }
}

const near = (prng: Prng): number => {
  const ends = [0, OWN, ...SHAPES.flatMap((w) => [w.near, w.near + w.bytes])];
  const inside = [100, 30_000, SHAPES[0]!.near + 5000, SHAPES[1]!.near + 900, SHAPES[2]!.near + 8];
  const at = prng.chance(0.6)
    ? prng.pick(inside)
    : prng.pick(ends) + prng.pick([0, -1, -8, -16, 1, -700, -5000]);
  return (prng.chance(0.9) ? at & -4 : at) | 0;
};

test('random programs do in windows what they do on plain V8 in one large memory', async () => {
  const first = seedFrom(process.env.PERDURE_SEED, Date.now());
  const memory = new WebAssembly.Memory({ initial: PLAIN_PAGES, maximum: 65536 });
  let [traps, ends] = [0, 0];
  for (let round = 0; round < ROUNDS; round++) {
    const seed = (first + round) >>> 0;
    const prng = new Prng(seed);
    try {
      const body = new Statements(prng).body(2);
      const ask = (at: bigint, bytes: bigint, writes: number): void => {
        if (!mayTouch(at, bytes, writes)) throw new Trapped();
      };
      const imports = { m: { memory, ask, other: () => {} } };
      const asking = new WebAssembly.Module(await wat(moduleText(body(new Text(true)))));
      const plain = new WebAssembly.Instance(asking, imports).exports.f as (...a: Value[]) => bigint;
      const program = await wat(moduleText(body(new Text(false))));
      const hosts = [false, true].map((always) => new Moving(program, always));
      verify(hosts[0]!.host.compiled.bytes);
      new Uint8Array(memory.buffer, 0, OWN).fill(0);
      for (const w of SHAPES) new Uint8Array(memory.buffer, w.near, w.bytes).fill(0);
      for (let call = 0; call < 6; call++) {
        const args = [near(prng), near(prng), prng.pick([1, 2, 7, 40, 600])];
        const expected = outcome(() => plain(...args));
        if (expected === 'trap') traps++;
        else ends++;
        for (const moving of hosts) {
          const how = `f(${args}) ${moving.host.always ? 'unwound everywhere' : ''}`;
          assert.deepEqual(
            outcome(() => moving.host.call('f', ...args)),
            expected,
            how,
          );
          const own = new Uint8Array(memory.buffer, 0, OWN);
          assert.equal(Buffer.compare(moving.host.memory(0), own), 0, `${how}: own memory`);
          SHAPES.forEach((w, i) => {
            const is = new Uint8Array(memory.buffer, w.near, w.bytes);
            assert.equal(Buffer.compare(moving.read(i), is), 0, `${how}: window ${i}`);
          });
          if (prng.chance(0.3)) moving.move();
        }
      }
    } catch (error) {
      console.log(`PERDURE_SEED=${seed} PERDURE_ROUNDS=1 replays this`);
      throw error;
    }
  }
  assert.ok(ROUNDS < 40 || (traps > ROUNDS && ends > ROUNDS), `${traps} traps, ${ends} ends`);
});
