/**
 * What a call from one domain into another costs, beside what a Node user does today: a call from wasm instance to wasm
 * instance, where nobody is protected from anybody; a word passed to another thread and back by Atomics; a message to a worker and
 * back; one to another process through pipes. `gate.i32.ns` is the median in nanoseconds of one call (i32, i32) -> i32, the
 * loop around it taken off; `gate.among.ns` the same with other callers in the process; `gate.i64`, `f64`, `v128` are
 * calls whose values cross by thunks; `gate.wait.us` is a call
 * whose callee waits and is woken, in microseconds: both unwind, and go on. `gate.kind.ns` and `gate.kindWide.ns` are the first two by a capability of a
 * kind, whose domain is asked before each.
 */
import { OBJECT, RIGHTS_ALL } from '../src/abi/objects.ts';
import { procedureNamed } from '../src/kernel/gate/procedures.ts';
import type { Kernel } from '../src/kernel/index.ts';
import { crossInstance, pipe, worker } from './baselines.ts';
import type { Group } from './groups.ts';
import { aim, type Figure, figure, short, table } from './stats.ts';
import { install, newKernel, reached } from './system.ts';

const CALLS = 5_000_000;
const RUNS = 9;
const WAITS = 2000;
const OTHERS = 8;
const SIGNATURES = { i32: 'i32', i64: 'i64', f64: 'f64', v128: 'v128' } as const;
type Signature = keyof typeof SIGNATURES;

const add = (type: Signature): string => (type === 'v128' ? 'i32x4.add' : `${type}.add`);
const CALLEE = `(module
  (import "bench" "reached" (func $reached))
  ${Object.keys(SIGNATURES)
    .map(
      (type) => `(func (export "gate:add_${type}") (param ${type} ${type}) (result ${type})
        (${add(type as Signature)} (local.get 0) (local.get 1)))`,
    )
    .join('\n')}
  (func (export "gate:check") (param $badge i64) (param $rights i32) (result i32) (i32.const 0))
  (func (export "gate:wait") (call $reached)))`;

/** Each `run` counts down CALLS; `empty` does what the loop does beside calling. */
const CALLER = `(module
  (import "bench" "reached" (func $reached))
  (import "callee" "wait" (func $wait))
  ${Object.keys(SIGNATURES)
    .map(
      (type) =>
        `(import "callee" "add_${type}" (func $add_${type} (param ${type} ${type}) (result ${type})))`,
    )
    .join('\n')}
  ${Object.keys(SIGNATURES)
    .flatMap((type) => [
      [type, `(call $add_${type} (local.get $x) (local.get $x))`],
      [`empty_${type}`, `(${add(type as Signature)} (local.get $x) (local.get $x))`],
    ])
    .map(
      (
        [name, body],
        i,
      ) => `(func (export "${name}") (param $n i32) (local $x ${Object.keys(SIGNATURES)[i >> 1]})
        (call $reached)
        (loop $again
          (local.set $x ${body})
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (call $reached))`,
    )
    .join('\n')}
  (func (export "wait") (param $n i32)
    (loop $again
      (call $wait)
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))`;

async function callingKernel(): Promise<{ kernel: Kernel; caller: number }> {
  const kernel = newKernel();
  const callee = kernel.createDomain({ name: 'callee', module: await install(CALLEE) });
  const held = kernel.authority.domain(callee);
  const grants = [{ name: 'callee', ...held }];
  const module = await install(CALLER);
  return { kernel, caller: kernel.createDomain({ name: 'caller', module, grants, resident: true }) };
}

/** So many other callers, which have all called: V8 then knows that there is more than one gate. */
async function othersCall(kernel: Kernel, count: number): Promise<void> {
  const module = await install(CALLER);
  const held = kernel.authority.domain(kernel.find('callee'));
  for (let i = 0; i < count; i++) {
    const grants = [{ name: 'callee', ...held }];
    const id = kernel.createDomain({ name: `other ${i}`, module, grants, resident: true });
    for (const name of Object.keys(SIGNATURES)) kernel.invoke(id, name, [100_000]);
  }
}

/** Another caller, which has the callee by a capability of a kind. Returns its number. */
async function callerByKind(kernel: Kernel): Promise<number> {
  const { authority, core } = kernel;
  const module = await install(CALLEE);
  const guard = core.peek(kernel.createDomain({ name: 'guard', module }));
  const offered = procedureNamed(module, 'check');
  if (guard === undefined || offered === undefined) throw new Error('there is no guard');
  const { capability, turn } = authority.domain(kernel.find('callee'));
  const target = core.clists.insert(guard, capability, turn, RIGHTS_ALL);
  const check = core.clists.make(guard, OBJECT.gate, guard.id, offered.functionIndex);
  const kind = core.kinds.create(guard, { check, derive: 0, revoked: 0 });
  const made = core.clists.look(guard, core.kinds.wrap(guard, kind, target, RIGHTS_ALL, 1n));
  if (typeof made === 'number') throw new Error(`no capability: ${made}`);
  const grants = [{ name: 'callee', capability: made.capability, turn: made.turn }];
  return kernel.createDomain({ name: 'by kind', module: await install(CALLER), grants, resident: true });
}

/** Nanoseconds of each turn of the loop that a function of the caller runs. */
function loops(kernel: Kernel, caller: number, name: string, calls = CALLS): number[] {
  const run = (): number => {
    const times: number[] = [];
    reached.hook = () => times.push(performance.now());
    const { kind } = kernel.invoke(caller, name, [calls]);
    reached.hook = undefined;
    if (kind !== 'returned') throw new Error(`${name}: ${kind}`);
    return ((times[1]! - times[0]!) * 1e6) / calls;
  };
  run();
  run();
  return Array.from({ length: RUNS }, run);
}

/** Microseconds of a call whose callee unwinds through the gate and goes on. */
function waits(kernel: Kernel, caller: number): number {
  let blocked = false;
  reached.hook = () => {
    blocked = !blocked;
    if (blocked) kernel.core.raiseFlag();
  };
  const before = performance.now();
  const { kind } = kernel.invoke(caller, 'wait', [WAITS]);
  reached.hook = undefined;
  if (kind !== 'returned') throw new Error(`wait: ${kind}`);
  return ((performance.now() - before) * 1000) / WAITS;
}

export const gate: Group = async (_args, print) => {
  const { kernel, caller } = await callingKernel();
  const calls = Object.fromEntries(
    Object.keys(SIGNATURES).map((type) => {
      const [full, empty] = [loops(kernel, caller, type), loops(kernel, caller, `empty_${type}`)];
      return [type, figure(full.map((ns, i) => ns - empty[i]!))];
    }),
  ) as Record<Signature, Figure>;
  await othersCall(kernel, OTHERS);
  const among = figure(loops(kernel, caller, 'i32'));
  const byKind = await callerByKind(kernel);
  const kind = figure(loops(kernel, byKind, 'i32'));
  const kindWide = figure(loops(kernel, byKind, 'i64'));
  const unwound = waits(kernel, caller);
  const plain = figure((await crossInstance()).ns);
  const thread = await worker();
  const atomics = figure((await thread.wakeUps(500)).map((ms) => ms * 1e6));
  const message = figure((await thread.handOver(8, 'copy', 500)).map((ms) => ms * 1e6));
  await thread[Symbol.asyncDispose]();
  const child = await pipe();
  const piped = figure((await child.handOver(8, 500)).map((ms) => ms * 1e6));
  await child[Symbol.asyncDispose]();
  const row = (name: string, { value, min, max }: Figure): string[] => [
    ...[name, short(value), `${short(min)}-${short(max)}`, short(value / calls.i32.value)],
  ];
  print(
    table([
      ['call and answer', 'ns', 'least-most', 'gates'],
      ...Object.keys(SIGNATURES).map((type) =>
        row(`gate, (${type}, ${type}) -> ${type}`, calls[type as Signature]),
      ),
      row(`gate, i32, ${OTHERS} other callers in the process`, among),
      row('gate, i32, by a capability of a kind', kind),
      row('gate, i64, by a capability of a kind', kindWide),
      row('wasm instance to wasm instance', plain),
      row('Atomics, two threads', atomics),
      row('worker, postMessage', message),
      row('pipes, two processes', piped),
    ]),
  );
  print(`a call that is unwound on both sides and goes on: ${short(unwound)} us`);
  print(aim('gate call, ns', among.value, 15));
  print(aim('through a kind, gate calls', kind.value / calls.i32.value, 2));
  return { ...calls, among, kind, kindWide, wait: { us: unwound }, plain, atomics, message, pipe: piped };
};
