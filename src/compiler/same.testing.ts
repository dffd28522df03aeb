/**
 * Runs calls on plain V8, rewritten, and rewritten with an unwind at every safepoint, each of these in the shared space, with
 * and without windows, and with memories of its own; all must agree, and the verifier must take what runs in the space.
 */
import assert from 'node:assert/strict';
import { verify } from '../verifier/verify.ts';
import { wat } from '../wasm/wat.testing.ts';
import { TestHost, type Value } from './host.testing.ts';

export type Call = readonly [name: string, ...args: Value[]];

/** Programs and what they import: the imports are made once for each of the three runs. */
export type Imports = () => Record<string, Record<string, unknown>>;

/** As `sameBytes`, from text. */
export async function same(text: string, calls: readonly Call[], imports: Imports = () => ({})) {
  return sameBytes(await wat(text), calls, imports);
}

/** Results, traps, exported memories and marks of changed pages agree; gives the two hosts. */
export function sameBytes(bytes: Uint8Array, calls: readonly Call[], imports: Imports) {
  const plain = new WebAssembly.Instance(
    new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>),
    imports() as WebAssembly.Imports,
  );
  const quick = new TestHost(bytes, imports());
  verify(quick.compiled.bytes);
  const always = new TestHost(bytes, imports(), true);
  const windowed = [false, true].map((unwinding) => new TestHost(bytes, imports(), unwinding, false, true));
  verify(windowed[0]!.compiled.bytes);
  const alone = [false, true].map((unwinding) => new TestHost(bytes, imports(), unwinding, true));
  for (const [name, ...args] of calls) {
    const expected = outcome(() => (plain.exports[name] as (...a: Value[]) => Value | Value[])(...args));
    for (const host of [quick, always, ...windowed, ...alone]) {
      const { isolate, windows } = host.compiled.evidence;
      const kind = isolate ? (windows ? ', with windows' : '') : ', alone';
      const how = `${name}(${args}) ${host.always ? 'unwound everywhere' : 'rewritten'}${kind}`;
      const before = quick.compiled.evidence.memories.map((_, m) => host.memory(m));
      host.clearMarks();
      const { moves } = host;
      assert.deepEqual(
        outcome(() => host.call(name, ...args)),
        expected,
        how,
      );
      sameMemories(plain, host, how);
      if (isolate && host.moves > moves) continue; // marks say where pages were when they were written
      before.forEach((was, m) => {
        assert.deepEqual(host.unmarked(m, was), [], `${how}: pages changed unmarked`);
      });
    }
  }
  return { quick, always };
}

function sameMemories(plain: WebAssembly.Instance, host: TestHost, how: string): void {
  for (const [name, item] of Object.entries(plain.exports)) {
    if (!(item instanceof WebAssembly.Memory)) continue;
    const is = host.memory(host.info.exportedMemory(name));
    const expected = new Uint8Array(item.buffer);
    assert.equal(is.length, expected.length, `${how}: size of memory ${name}`);
    if (Buffer.compare(is, expected) === 0) continue;
    const at = is.findIndex((byte, i) => byte !== expected[i]);
    assert.fail(`${how}: memory ${name} at ${at}: ${is[at]} is not ${expected[at]}`);
  }
}

/** What a call comes to: its results as a list, 'trap' or 'exception'. */
export function outcome(run: () => Value | Value[] | undefined): unknown {
  try {
    const result = run();
    return result === undefined ? [] : Array.isArray(result) ? result : [result];
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) return 'trap';
    if (error instanceof WebAssembly.Exception) return 'exception';
    throw error;
  }
}
