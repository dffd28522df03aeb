/** For tests only: domains that call what a test says, on segments and through pointers. */
import { RIGHTS_ALL } from '../../abi/objects.ts';
import { FakePorts } from '../../personalities/wasi/ports.testing.ts';
import { Space } from '../../space/index.ts';
import type { Held } from '../capability/capabilities.ts';
import type { Domain } from '../domain.ts';
import { program, TestSystem } from '../kernel.testing.ts';
import { Kernel } from '../kernel.ts';
import type { LoadedModule } from '../program.ts';
import { toNumber } from '../values.ts';
import { FakeFile } from './file.testing.ts';

const CALLS: readonly (readonly [name: string, params: string, result: string])[] = [
  ['seg_create', 'i64', 'i32'],
  ['seg_size', 'i32', 'i64'],
  ['seg_grow', 'i32 i64', 'i32'],
  ['seg_map', 'i32 i64 i64 i32 i32', 'i64'],
  ['seg_unmap', 'i32', 'i32'],
  ['seg_seal', 'i32', 'i32'],
  ['seg_freeze', 'i32', 'i32'],
  ['seg_thaw', 'i32', 'i32'],
  ['seg_copy', 'i32', 'i32'],
  ['seg_read', 'i32 i64 i32 i32', 'i32'],
  ['seg_write', 'i32 i64 i32 i32', 'i32'],
  ['cap_close', 'i32', 'i32'],
  ['cap_revoke', 'i32', 'i32'],
  ['cap_derive', 'i32 i32 i64', 'i32'],
];

const imports = CALLS.map(
  ([name, params, result]) =>
    `(import "perdure_kernel" "${name}" (func $${name} (param ${params}) (result ${result})))`,
);
const exported = CALLS.map(([name]) => `(export "${name}" (func $${name}))`);

/** Exports each call, and accesses by which pointers are used. */
export const PROGRAM: Promise<LoadedModule> = program(`(module ${imports.join('\n')}
  (memory (export "memory") 2) ${exported.join('\n')}
  (func (export "get") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "get8") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "set") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
  (func (export "set64") (param i32 i64) (i64.store (local.get 0) (local.get 1)))
  (func (export "add") (param i32 i32) (result i32) (i32.atomic.rmw.add (local.get 0) (local.get 1)))
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
  (func (export "sum") (param $p i32) (param $n i32) (result i32) (local $s i32)
    (loop $l (local.set $s (i32.add (local.get $s) (i32.load (local.get $p))))
      (local.set $p (i32.add (local.get $p) (i32.const 4)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s))
  ;; what the first pointer shows, asked for before and behind a store through the second
  (func (export "between") (param $p i32) (param $q i32) (param $v i32) (result i32)
    (drop (i32.load (local.get $p)))
    (i32.store (local.get $q) (local.get $v))
    (i32.load (local.get $p)))
  ;; what the first pointer shows, asked for before and behind a load through the second
  (func (export "again") (param $p i32) (param $q i32) (result i32)
    (drop (i32.load (local.get $p)))
    (drop (i32.load (local.get $q)))
    (i32.load (local.get $p)))
  (func (export "around") (param $p i32) (param $h i32) (result i32) (local $s i32)
    (local.set $s (i32.load (local.get $p)))
    (drop (call $cap_revoke (local.get $h)))
    (i32.add (local.get $s) (i32.load (local.get $p)))))`);

export type Result = number | string | undefined;

/** Near addresses are numbers from 0 up, and so are results of 64 bits. */
export class SegmentSystem extends TestSystem {
  readonly ports: FakePorts;
  constructor(options: ConstructorParameters<typeof TestSystem>[0] = {}, maxFrames?: number) {
    const ports = new FakePorts();
    super({ ports, ...options });
    this.ports = ports;
    if (maxFrames !== undefined) this.kernel = new Kernel(Space.create({ maxFrames }), this.kernelOptions());
  }

  /** A segment of a domain whose bytes come from a file of so many bytes. */
  over(name: string, bytes: number): { handle: number; file: FakeFile; held: Held } {
    const file = new FakeFile(this.ports.objects.size + 1, bytes);
    this.ports.objects.set(file.id, file);
    const { hosts, segments } = this.kernel.core;
    const held = hosts.capability({ kind: 'port', id: file.id });
    const handle = segments.createOver(this.domain(name), { ...held, stat: file.stat() }, RIGHTS_ALL);
    return { handle, file, held };
  }

  async domains(...names: string[]): Promise<void> {
    for (const name of names) this.add(name, await PROGRAM, { resident: true });
  }
  domain(name: string): Domain {
    return this.kernel.core.peek(this.kernel.find(name)) as Domain;
  }

  /** Calls an export: its result, or why it trapped. Arguments that are to be i64 are bigints. */
  call(name: string, what: string, ...args: (number | bigint)[]): Result {
    const given = args.map((arg) => (typeof arg === 'number' ? arg | 0 : arg));
    const outcome = this.kernel.invoke(this.kernel.find(name), what, given);
    if (outcome.kind !== 'returned') return outcome.kind === 'trap' ? outcome.reason : outcome.kind;
    const [result] = outcome.results;
    return result === undefined ? undefined : Number(toNumber(result));
  }
  /** A call that succeeds. */
  ok(name: string, what: string, ...args: (number | bigint)[]): number {
    const result = this.call(name, what, ...args);
    if (typeof result !== 'number' || result < 0) throw new Error(`${name}: ${what}(${args}) gave ${result}`);
    return result;
  }

  /** Passes a capability of one domain to another, with at most these rights. */
  pass(from: string, handle: number, to: string, rights = 255): number {
    return this.kernel.core.clists.pass(this.domain(from), handle, this.domain(to), rights);
  }

  /** Maps all of a segment; `writable`, also for writing. */
  map(name: string, handle: number, writable = true, near = 0): number {
    const bytes = this.ok(name, 'seg_size', handle);
    return this.ok(name, 'seg_map', handle, 0n, BigInt(bytes), writable ? 3 : 1, near);
  }
}
