import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MalformedError } from '../base/errors.ts';
import { compile, FULL } from '../compiler/index.ts';
import { type Code, emptyModule, encodeModule } from '../wasm/module.ts';
import { OP } from '../wasm/opcodes.ts';
import { I32 } from '../wasm/types.ts';
import { Writer } from '../wasm/writer.ts';
import { installProgram } from './install.ts';

/** A program with 4 MB of code in 400 functions, and one more behind them. */
function large(last: Code): Uint8Array<ArrayBuffer> {
  const module = emptyModule();
  module.types = [{ params: [], results: [] }];
  module.memories = [{ min: 1n, max: undefined, is64: false, shared: false }];
  const w = new Writer();
  for (let i = 0; w.length < 10_000; i++) {
    w.raw(Uint8Array.of(OP.local_get, 0, OP.i32_load, 2, i & 63, OP.local_set, 0));
    if (i % 40 === 0) w.raw(Uint8Array.of(OP.call, i % 7));
  }
  w.u8(OP.end);
  const code: Code = { locals: [{ count: 1, type: I32 }], source: w.bytes, start: 0, end: w.length };
  module.codes = [...Array.from({ length: 400 }, () => code), last];
  module.functions = module.codes.map(() => 0);
  return encodeModule(module);
}

const END = Uint8Array.of(OP.end);

test('a large program installed by several threads is what one makes of it', async () => {
  const program = large({ locals: [], source: END, start: 0, end: 1 });
  const { bytes } = compile(program, FULL);
  const installed = await installProgram('hash', program, 'space', () => {});
  assert.ok(Buffer.from(bytes).equals(installed.rewritten));
  assert.ok(installed.program instanceof WebAssembly.Module);
});

test('what a helping thread refuses is refused with its reason', async () => {
  const w = new Writer();
  for (let i = 0; i < 20; i++) w.raw(Uint8Array.of(OP.i32_const, 1));
  w.raw(Uint8Array.of(OP.call, 0));
  for (let i = 0; i < 20; i++) w.u8(OP.drop);
  w.u8(OP.end);
  const locals = [{ count: 49_999, type: I32 }];
  const program = large({ locals, source: w.bytes, start: 0, end: w.length });
  assert.ok(WebAssembly.validate(program));
  await assert.rejects(
    installProgram('hash', program, 'space', () => {}),
    (error) => error instanceof MalformedError && /too large once it is rewritten/.test(error.message),
  );
});
