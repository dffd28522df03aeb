import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KIND_BEFORE, KIND_CALLING } from '../abi/frame.ts';
import { OP } from '../wasm/opcodes.ts';
import { wat } from '../wasm/wat.testing.ts';
import { compile, FULL } from './compile.ts';
import { TestHost } from './host.testing.ts';
import { programInfo } from './info.ts';

const TEXT = `(module
  (import "m" "id" (func $id (param i32) (result i32)))
  (memory (export "mem") 1)
  (func (export "f") (param i32 i64) (result i32) (local f32 i32)
    (f64.const 1)
    (local.set 3 (call $id (i32.const 5)))
    (i32.trunc_sat_f64_s)
    (i32.add (local.get 0)))
  (func (export "bad") (param i32) (result i32) (i32.div_u (i32.load (local.get 0)) (local.get 0)))
  (func (export "stop") unreachable))`;

test('a frame at a call holds what is read later and the operands below its arguments, and nothing else', async () => {
  const bytes = await wat(TEXT);
  const info = programInfo(bytes, null);
  const f = info.exportedFunction('f');
  const first = info.firstInstruction(f);
  const callAt = bytes.indexOf(OP.call, first + 9); // behind the f64.const
  const layout = info.frameLayout(f, callAt, KIND_CALLING);
  assert.deepEqual(layout?.live, [0]);
  assert.deepEqual(layout.operands, [0x7c]);
  assert.deepEqual(layout.locals, [0x7f, 0x7e, 0x7d, 0x7f]);
  assert.equal(info.frameLayout(f, callAt, KIND_BEFORE), null);
  assert.equal(info.frameLayout(f, callAt + 1, KIND_CALLING), null);
  assert.equal(info.frameLayout(99, callAt, KIND_CALLING), null);
  assert.deepEqual(info.frameLayout(f, first, KIND_BEFORE)?.live, [0]);
  assert.deepEqual(info.frameLayout(0, 0, KIND_BEFORE)?.live, [0]);
  assert.equal(info.functionName(0), 'id', 'from the name section');
  assert.equal(info.exportedMemory('mem'), 0);
  assert.equal(info.exportedFunction('mem'), -1);
});

test('a trap is told by its place and kind in the program as it was shipped', async () => {
  const bytes = await wat(TEXT);
  const { bytes: rewritten } = compile(bytes, FULL);
  const info = programInfo(bytes, rewritten);
  const host = new TestHost(bytes, { m: { id: (x: number) => x } });
  const described = (name: string, ...args: number[]) => {
    try {
      host.call(name, ...args);
    } catch (error) {
      const { stack, message } = error as Error;
      const at = /at .*?(wasm:\S*):wasm-function\[(\d+)\]:0x([0-9a-f]+)/.exec(stack!)!;
      const place = { module: at[1]!, functionIndex: Number(at[2]), offset: Number.parseInt(at[3]!, 16) };
      const trap = info.describeTrap(place, message)!;
      return { ...trap, op: bytes[trap.offset] };
    }
    return undefined;
  };
  const bad = info.exportedFunction('bad');
  const out = described('bad', 65536);
  assert.deepEqual(
    [out?.functionIndex, out?.kind, out?.op],
    [bad, 'out of bounds memory access', OP.i32_load],
  );
  const zero = described('bad', 0);
  assert.deepEqual([zero?.kind, zero?.op], ['integer divide by zero', OP.i32_div_u]);
  const stop = described('stop');
  assert.deepEqual([stop?.kind, stop?.op], ['unreachable', OP.unreachable]);
});
