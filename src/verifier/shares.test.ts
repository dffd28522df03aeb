import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assemble } from '../../tools/fuzzing/assembly.ts';
import { RefusedError } from '../base/errors.ts';
import { module_ } from './attacks.testing.ts';
import { verify } from './verify.ts';

/** A module of seven functions, of which the one at `broken` reads the space without a check. */
function withBroken(broken: number): Uint8Array<ArrayBuffer> {
  const sound = module_([]);
  const loads = [0x42, 0, 0x28, 0, 0, 0x1a]; // i64.const 0, i32.load, drop
  const [one] = sound.quick!;
  return assemble({
    ...sound,
    quick: Array.from({ length: 7 }, (_, i) => ({ ...one!, code: i === broken ? loads : [] })),
  });
}

test('a body that breaks a rule is refused with exactly one share, and with the whole', () => {
  for (const count of [1, 2, 3, 5]) {
    const parts = Array.from({ length: count }, (_, part) => ({ part, of: count }));
    for (const share of parts) verify(withBroken(-1), share);
    for (let broken = 0; broken < 7; broken++) {
      const bytes = withBroken(broken);
      assert.throws(() => verify(bytes), RefusedError);
      const refused = parts.filter((share) => {
        try {
          verify(bytes, share);
          return false;
        } catch (error) {
          assert.ok(error instanceof RefusedError);
          return true;
        }
      });
      assert.equal(refused.length, 1, `function ${broken} of ${count} shares`);
    }
  }
});

test('what is wrong outside all bodies is refused with every share', () => {
  const bytes = assemble({ ...module_([]), datas: [[1]] });
  const broken = bytes.slice();
  broken[8 + 1] = 0x7f; // the length of the first section
  for (const part of [0, 1]) assert.throws(() => verify(broken, { part, of: 2 }));
});
