import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeModule, emptyModule, encodeModule } from './module.ts';
import { decodeNameBytes, decodeNames, encodeNames, type Names } from './names.ts';
import { wat } from './wat.testing.ts';

const NAMES: Names = {
  module: 'müsli',
  functions: new Map([
    [0, 'main'],
    [300, 'a name that is rather long'],
  ]),
  locals: new Map([
    [
      300,
      new Map([
        [0, 'x'],
        [7, 'y'],
      ]),
    ],
  ]),
};

test('names that a tool wrote are read', async () => {
  const bytes = await wat('(module $m (func $first (param $p i32) (local $l i64)) (func $second))');
  const names = decodeNames(decodeModule(bytes).customs);
  assert.deepEqual([...names.functions.values()], ['first', 'second']);
  assert.deepEqual([...names.locals.get(0)!.values()], ['p', 'l']);
});

test('names are written and read back, and V8 takes the module', () => {
  const module = emptyModule();
  module.customs = [encodeNames(NAMES)];
  const bytes = encodeModule(module);
  assert.ok(WebAssembly.validate(bytes));
  assert.deepEqual(decodeNames(decodeModule(bytes).customs), NAMES);
});

test('indices are written in ascending order', () => {
  const functions = new Map([
    [5, 'five'],
    [2, 'two'],
  ]);
  const section = encodeNames({ module: undefined, functions, locals: new Map() });
  assert.deepEqual([...decodeNameBytes(section).functions.keys()], [2, 5]);
});

test('a broken name section never fails, and what stands before the damage is kept', () => {
  const whole = encodeNames(NAMES);
  for (let end = 0; end < whole.end; end++) {
    const names = decodeNameBytes({ ...whole, end });
    assert.ok(names.module === undefined || names.module === NAMES.module);
    assert.ok(names.functions.size === 0 || names.functions.size === 2);
    assert.equal(names.locals.size, 0);
  }
  for (let at = 0; at < whole.end; at++) {
    for (const value of [0, 0x7f, 0x80, 0xff]) {
      const source = whole.source.slice();
      source[at] = value;
      decodeNameBytes({ ...whole, source });
    }
  }
  assert.equal(decodeNameBytes({ ...whole, end: 9 }).module, 'müsli');
  assert.deepEqual(decodeNames([]), { module: undefined, functions: new Map(), locals: new Map() });
});
