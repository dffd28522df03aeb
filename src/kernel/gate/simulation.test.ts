import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng, seedFrom } from '../../base/prng.ts';
import { wat } from '../../wasm/wat.testing.ts';
import { load } from '../kernel.testing.ts';
import { GateSystem } from './gates.testing.ts';

const NAMES = ['a', 'b', 'c'] as const;
const PROCEDURES = 3;
const ROUNDS = 12;

/**
 * A program of random procedures, each of which changes what its domain has (a global, memory), takes its time, and calls
 * others as long as `$n` lasts. `i` is (i32, i64) -> i64, which crosses by thunks, `d` is (i32, i32) -> i32, which does not.
 */
function randomProgram(random: Prng, name: (typeof NAMES)[number]): string {
  const others = NAMES.filter((other) => other !== name);
  const imports = others.flatMap((other) =>
    Array.from({ length: PROCEDURES }, (_, k) => [
      `(import "${other}" "i${k}" (func $${other}_i${k} (param i32 i64) (result i64)))`,
      `(import "${other}" "d${k}" (func $${other}_d${k} (param i32 i32) (result i32)))`,
    ]).flat(),
  );
  const less = '(i32.sub (local.get $n) (i32.const 1))';
  const step = (): string => {
    const [other, k] = [random.pick(others), random.below(PROCEDURES)];
    switch (random.below(8)) {
      case 0:
        return '(call $pause)';
      case 1:
        return `(call $sleep (i64.const ${random.below(30)}))`;
      case 2:
        return `(global.set $g (i64.add (i64.rotl (global.get $g) (i64.const ${random.below(64)})) (local.get $x)))`;
      case 3:
        return `(i64.store (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 0xff8)) (i64.xor (global.get $g) (local.get $x)))`;
      case 4:
        return `(local.set $x (i64.add (local.get $x) (i64.load (i32.and (i32.wrap_i64 (global.get $g)) (i32.const 0xff8)))))`;
      case 5:
        return `(if (local.get $n) (then (local.set $x (i64.xor (local.get $x) (i64.extend_i32_u
          (call $${other}_d${k} ${less} (i32.wrap_i64 (local.get $x))))))))`;
      case 6:
        return `(local.set $i (i32.const ${1 + random.below(20)})) (loop $l (local.set $x (i64.mul (i64.add (local.get $x) (i64.extend_i32_u (local.get $i))) (i64.const 0x9e3779b97f4a7c15)))
          (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))`;
      default:
        return `(if (local.get $n) (then (local.set $x (call $${other}_i${k} ${less} (local.get $x)))))`;
    }
  };
  const body = (): string => Array.from({ length: 2 + random.below(6) }, step).join('\n');
  const procedures = Array.from(
    { length: PROCEDURES },
    (_, k) => `
    (func (export "gate:i${k}!nested") (param $n i32) (param $x i64) (result i64) (local $i i32)
      ${body()} (i64.xor (local.get $x) (global.get $g)))
    (func (export "gate:d${k}!nested") (param $n i32) (param $v i32) (result i32) (local $i i32) (local $x i64)
      (local.set $x (i64.extend_i32_s (local.get $v)))
      ${body()} (i32.wrap_i64 (i64.xor (local.get $x) (i64.shr_u (global.get $g) (i64.const 7)))))`,
  );
  return `(module
    ${imports.join('\n')}
    (import "env" "pause" (func $pause)) (import "env" "sleep" (func $sleep (param i64)))
    (import "env" "log64" (func $log (param i64)))
    (memory 1) (global $g (mut i64) (i64.const ${random.below(2 ** 30)}))
    ${procedures.join('')}
    (func (export "run") (local $r i32) (local $x i64)
      (loop $l
        (local.set $x (call $${others[0]}_i0 (i32.const 4) (i64.add (local.get $x) (i64.extend_i32_u (local.get $r)))))
        (call $log (local.get $x))
        (call $log (i64.extend_i32_s (call $${others[1]}_d1 (i32.const 4) (local.get $r))))
        (br_if $l (i32.lt_u (local.tee $r (i32.add (local.get $r) (i32.const 1))) (i32.const ${ROUNDS})))))
    (func (export "gate:pure") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3))))`;
}

/** What the programs log where V8 links them to each other, with no kernel between. */
function linked(programs: ReadonlyMap<string, WebAssembly.Module>): bigint[] {
  const logs: bigint[] = [];
  const instances = new Map<string, WebAssembly.Instance>();
  const env = { pause: () => {}, sleep: () => {}, log64: (value: bigint) => logs.push(value) };
  for (const [name, module] of programs) {
    const imports: Record<string, Record<string, WebAssembly.Func>> = { env: env as never };
    for (const { module: from, name: what } of WebAssembly.Module.imports(module)) {
      if (from === 'env') continue;
      imports[from] ??= {};
      imports[from][what] = (...args: unknown[]) => {
        const procedure = instances.get(from)?.exports[`gate:${what}!nested`] as WebAssembly.Func;
        return procedure(...args) as never;
      };
    }
    instances.set(name, new WebAssembly.Instance(module, imports));
  }
  const run = instances.get('a')?.exports.run as (() => void) | undefined;
  run?.();
  return logs;
}

/** Calls `pure` of c in a loop: whoever is inside has to be waited for. */
const BYSTANDER = `(module
  (import "c" "pure" (func $pure (param i32) (result i32)))
  (import "perdure_kernel" "gate_error" (func $error (result i32)))
  (import "env" "log" (func $log (param i32))) (import "env" "sleep" (func $sleep (param i64)))
  (func (export "run") (local $i i32) (local $x i32)
    (loop $l
      (local.set $x (call $pure (local.get $i)))
      (call $log (if (result i32) (call $error) (then (i32.sub (i32.const 0) (call $error))) (else (local.get $x))))
      (call $sleep (i64.const 40))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20))))))`;

async function begin(random: Prng, stress: boolean): Promise<{ system: GateSystem; want: bigint[] }> {
  const bytes = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const name of NAMES) bytes.set(name, await wat(randomProgram(random, name)));
  const want = linked(new Map([...bytes].map(([name, code]) => [name, new WebAssembly.Module(code)])));
  const system = new GateSystem({ stress });
  for (const [name, code] of bytes) system.add(name, load(code), { trapUnknownImports: true });
  system.add('d', load(await wat(BYSTANDER)));
  for (const name of ['a', 'd']) system.kernel.start(system.kernel.find(name), 'run');
  return { system, want };
}

/** Something that a program must not notice. */
function disturb(system: GateSystem, random: Prng, kept: { logs: number }): void {
  const { kernel } = system;
  const live = kernel.ids().filter((id) => kernel.status(id).state !== 'exited');
  if (live.length === 0) return;
  const any = random.pick(live);
  switch (random.below(9)) {
    case 0:
    case 1:
    case 2:
      system.checkpoint();
      kept.logs = system.personality.logs.length;
      break;
    case 3:
      system.crash();
      system.personality.logs.length = kept.logs;
      break;
    case 4:
      kernel.relocate(any);
      break;
    case 5:
      kernel.compact();
      break;
    case 6:
      kernel.wake(any);
      break;
    case 7:
      kernel.core.moveEpoch();
      break;
    default: {
      // One that nobody calls may be stopped without anybody being told.
      const d = kernel.find('d');
      if (d >= 0 && kernel.stop(d)) kernel.resume(d);
    }
  }
}

function nothingLeft({ kernel }: GateSystem): void {
  assert.equal(kernel.core.activations.count, 0);
  for (const id of kernel.ids()) {
    const domain = kernel.core.peek(id);
    assert.deepEqual(
      [domain?.visits, domain?.present, domain?.waiters.length],
      [0, 0, 0],
      domain?.name ?? '',
    );
  }
}

const done = (system: GateSystem): boolean =>
  ['a', 'd'].every((name) => {
    const id = system.kernel.find(name);
    return id < 0 || ['exited', 'idle'].includes(system.kernel.status(id).state);
  });

test('programs that call each other compute what they do when V8 links them, whatever happens around them', async () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const random = new Prng(seed);
  for (let life = 0; life < 3; life++) {
    const stress = life % 3 === 2;
    const { system, want } = await begin(random, stress);
    const kept = { logs: 0 };
    system.checkpoint();
    for (let step = 0; !done(system); step++) {
      assert.ok(step < 50_000, 'it gets on');
      system.powers.ns += BigInt(random.below(60));
      if (random.chance(0.8)) system.kernel.run({ maxSlices: 1 + random.below(stress ? 200 : 5) });
      if (random.chance(0.3)) disturb(system, random, kept);
    }
    assert.deepEqual(system.values('a'), want, `life ${life}`);
    assert.deepEqual(
      system.values('d'),
      Array.from({ length: 20 }, (_, i) => 3 * i),
    );
    nothingLeft(system);
  }
});

test('whoever goes while programs call each other, all others come to an end, and nobody is left inside of anything', async () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const random = new Prng(seed);
  for (let life = 0; life < 10; life++) {
    const { system } = await begin(random, random.chance(0.3));
    const kept = { logs: 0 };
    system.checkpoint();
    const when = random.below(60);
    for (let step = 0; !done(system); step++) {
      assert.ok(step < 50_000, 'it gets on');
      system.powers.ns += BigInt(random.below(60));
      system.kernel.run({ maxSlices: 1 + random.below(20) });
      if (random.chance(0.2)) disturb(system, random, kept);
      if (step < when || random.chance(0.7)) continue;
      const id = system.kernel.find(random.pick(NAMES));
      if (id < 0) continue;
      const how = random.below(3);
      if (how === 0) system.kernel.remove(id);
      else if (how === 1) system.kernel.kill(id);
      else if (system.kernel.stop(id)) system.kernel.resume(id);
    }
    for (let n = 0; n < 200; n++) {
      system.powers.ns += 100n;
      system.runAll();
    }
    nothingLeft(system);
    for (const id of system.kernel.ids()) system.kernel.remove(id);
  }
});
