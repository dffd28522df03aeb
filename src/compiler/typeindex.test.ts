import assert from 'node:assert/strict';
import { test } from 'node:test';
import { F64, I32, I64 } from '../wasm/types.ts';
import { TypeIndex } from './typeindex.ts';

test('equal types are found, and types that only begin alike are not', () => {
  const index = new TypeIndex();
  const lists = [[], [I32], [I32, I64], [I64], [I32, I32]];
  let next = 0;
  for (const params of lists) {
    for (const results of lists) {
      assert.equal(index.place(params, results, next), next);
      next++;
    }
  }
  assert.equal(index.place([I32, I64], [I64], 99), 13);
  assert.equal(index.place([F64], [], 99), 99);
  assert.equal(index.place([F64], [], 100), 99);
});
