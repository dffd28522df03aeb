import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UnsupportedError } from '../base/errors.ts';
import { verify } from '../verifier/verify.ts';
import { decodeModule } from '../wasm/module.ts';
import { FlatBody } from './body.ts';
import { compile } from './compile.ts';
import { LARGE } from './large.testing.ts';
import { Liveness } from './liveness.ts';

/** What is linear takes a second or two on these; a search at each step takes minutes. */
const N = 30_000;
const HANGS_MS = 60_000;
/** Refused, for no V8 takes what it becomes. */
const REFUSED = /locals as there may be/;

for (const [name, make] of Object.entries(LARGE)) {
  test(`${N} ${name}: takes time in proportion`, { timeout: HANGS_MS }, () => {
    const program = make(N);
    assert.ok(WebAssembly.validate(program), 'V8 takes it');
    if (REFUSED.test(name)) {
      assert.throws(() => compile(program), UnsupportedError);
    } else {
      const { bytes } = compile(program);
      verify(bytes);
      assert.ok(WebAssembly.validate(bytes));
    }
  });
}

/** The first function of a program, analysed. */
function analysed(program: Uint8Array, locals: number): { body: FlatBody; liveness: Liveness } {
  const { start, end } = decodeModule(program).codes[0]!;
  const body = new FlatBody(program);
  body.load(start, end, true, true);
  const liveness = new Liveness();
  liveness.run(body, locals, 1);
  return { body, liveness };
}

test('loops nested deep do not make passes without end; what they need is kept all the same', () => {
  const n = 300;
  const { body, liveness } = analysed(
    LARGE['loops in one another, each using what the next one out sets']!(n),
    n + 1,
  );
  assert.ok(liveness.passes <= 12, `${liveness.passes} passes`);
  for (let i = 0; i < n; i++) {
    const site = body.site[i * 3]!; // loop, local.get, drop
    if (site === 0) continue;
    const kept = new Set(liveness.at(site));
    for (let local = i; local < n; local++) assert.ok(kept.has(local), `loop ${i} needs local ${local}`);
  }
});

test('sets that would fill the memory are given up for all locals', () => {
  const n = 30_000;
  const { body, liveness } = analysed(
    LARGE['loops in one another, each using what the next one out sets']!(n),
    n + 1,
  );
  assert.equal(liveness.passes, 1);
  assert.equal(liveness.at(body.sites).length, n + 1);
});
