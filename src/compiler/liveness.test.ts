import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeModule } from '../wasm/module.ts';
import { OP } from '../wasm/opcodes.ts';
import { wat } from '../wasm/wat.testing.ts';
import { BODY_LABEL, CAUGHT, FlatBody } from './body.ts';
import { Liveness } from './liveness.ts';

/** The first function of a program that imports one, laid out. */
async function flat(func: string): Promise<FlatBody> {
  const bytes = await wat(`(module (import "m" "f" (func $f (param i32))) (memory 1) (tag $e) ${func})`);
  const code = decodeModule(bytes).codes[0]!;
  const body = new FlatBody(bytes);
  body.load(code.start, code.end, true, false);
  return body;
}

const ops = (body: FlatBody): number[] => [...body.op.subarray(0, body.count)];

test('instructions that cannot be reached are left out, with the blocks in them', async () => {
  const body = await flat(
    '(func (param i32) (block (br 0) (block (drop (i32.const 1)) (loop (br 0)))) (return) (call $f (local.get 0)))',
  );
  assert.deepEqual(ops(body), [OP.block, OP.br, OP.end, OP.return, OP.end]);
  assert.deepEqual([body.calls, body.hasSites], [false, false]);
});

test('branches name the entries of their blocks, and sites are numbered within them', async () => {
  const body = await flat(`(func (param i32)
    (block (loop (br_table 0 1 2 (local.get 0))))
    (if (local.get 0) (then (call $f (i32.const 1))) (else (call $f (i32.const 2))))
    (block $c (try_table (catch_all $c) (nop))))`);
  const list = ops(body);
  const [block, loop, table] = [0, 1, list.indexOf(OP.br_table)];
  assert.deepEqual([...body.targets.get(table)!], [loop, block, BODY_LABEL]);
  // Site 1 is the entry, 2 the loop, 3 and 4 the calls.
  assert.ok(body.entryPoll);
  assert.deepEqual([body.site[loop], body.firstSite[block], body.lastSite[block]], [2, 2, 2]);
  const branch = list.indexOf(OP.if);
  assert.deepEqual([body.firstSite[branch], body.lastSite[branch]], [3, 4]);
  assert.equal(body.lastSite[body.elseAt[branch]!], 3);
  const caught = list.lastIndexOf(OP.block);
  assert.ok(body.flags[caught]! & CAUGHT);
  assert.equal(body.lastSite[caught], 0);
});

test('a local is live at a call when some way leads from there to its reading', async () => {
  const body = await flat(`(func (param i32 i32 i32 i32) (local i32)
    (call $f (local.get 0))
    (if (local.get 1) (then (local.set 2 (i32.const 1))))
    (call $f (local.get 2))
    (loop $l (call $f (local.get 3)) (local.set 3 (local.get 4)) (br_if $l (local.get 1))))`);
  const liveness = new Liveness();
  liveness.run(body, 5, 1);
  assert.deepEqual(liveness.at(1), [0, 1, 2, 3, 4]);
  assert.deepEqual(liveness.at(2), [1, 2, 3, 4]);
  assert.deepEqual(liveness.at(3), [1, 3, 4]);
  assert.deepEqual(liveness.at(4), [1, 3, 4], 'the head of the loop');
  assert.deepEqual(liveness.at(5), [1, 4], 'local 3 is set before it is read again');
});

test('what a catch clause reads is live at the calls that may throw to it', async () => {
  const body = await flat(`(func (param i32 i32)
    (block $c (try_table (catch $e $c) (call $f (i32.const 0)) (return)))
    (call $f (local.get 1)))`);
  const liveness = new Liveness();
  liveness.run(body, 2, 1);
  assert.deepEqual(liveness.at(2), [1]);
  assert.deepEqual(liveness.at(3), []);
});

test('base and limit are read again behind a call only where an access follows', async () => {
  const body = await flat('(func (call $f (i32.load (i32.const 0))) (call $f (i32.load (i32.const 0))))');
  const liveness = new Liveness();
  liveness.run(body, 0, 1);
  const calls = ops(body).flatMap((op, i) => (op === OP.call ? [i] : []));
  assert.deepEqual(
    calls.map((i) => liveness.reload[i]),
    [1, 0],
  );
  assert.equal(liveness.entryRoles, 1);
});
