import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { canBuild, guest, kernelNames } from '../guests/build.ts';
import { decodeModule } from '../src/wasm/module.ts';
import { withPolls } from './asyncify.ts';
import { makeVariant, VARIANTS, type VariantName } from './variants.ts';

/** Small enough for a test, and not what the kernel does by default. */
const ROUNDS: Readonly<Record<string, string>> = {
  nbody: '1000',
  chase: '3',
  stencil: '3',
  'rs-particles': '10',
};

async function outputs(path: string, args: string[], names: readonly VariantName[]): Promise<string[]> {
  const bytes = readFileSync(path);
  const list: string[] = [];
  for (const name of names) {
    const variant = await makeVariant(name, bytes);
    const first = variant.run(args);
    const again = variant.run(args);
    assert.equal(again.output, first.output, `${name} gives the same when run again`);
    list.push(`${first.code} ${first.output}`);
  }
  return list;
}

test('every bench kernel gives the same checksum in every variant', async (t) => {
  for (const name of kernelNames()) {
    await t.test(name, { skip: canBuild(`kernels/${name}`) ?? false }, async () => {
      const ours = VARIANTS.filter((v) => v !== 'asyncify');
      const [plain, ...others] = await outputs(
        await guest(`kernels/${name}`),
        [name, ROUNDS[name] ?? '1'],
        ours,
      );
      assert.match(plain!, /^0 [0-9a-f]{8,20}\n$/);
      for (const other of others) assert.equal(other, plain);
    });
  }
});

test('an AssemblyScript program, start function and all, does the same under Asyncify and in the space', async () => {
  const list = await outputs(await guest('queens'), ['queens', '6'], VARIANTS);
  assert.match(list[0]!, /done: 4 placements/);
  assert.equal(new Set(list).size, 1);
});

test('polls are put at every function entry and loop head', async () => {
  const original = readFileSync(await guest('ticks'));
  const polled = withPolls(original);
  assert.ok(WebAssembly.validate(polled as Uint8Array<ArrayBuffer>));
  const [before, after] = [original, polled].map((b) => decodeModule(b).codes.length);
  assert.equal(after, before! + 1);
  const size = (b: Uint8Array): number => decodeModule(b).codes.reduce((n, c) => n + c.end - c.start, 0);
  // three functions and two loops, seven bytes a poll, and the body of the poll itself
  assert.equal(size(polled) - size(original), 5 * 7 + 1);
});
