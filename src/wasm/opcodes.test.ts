import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { OP } from './opcodes.ts';

test('the numbers of instructions are no hash table: every pass of the compiler looks them up all the time', () => {
  setFlagsFromString('--allow-natives-syntax');
  const isFast = new Function('object', 'return %HasFastProperties(object)') as (object: object) => boolean;
  assert.equal(isFast(OP), true);
});
