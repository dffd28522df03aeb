import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { guest } from '../../../guests/build.ts';
import { missingClang } from '../../../guests/toolchain.ts';
import { seedFrom } from '../../base/prng.ts';
import { DriverMachine } from './drivers.testing.ts';

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());

describe('host folders through WASI', { skip: missingClang() ?? false }, () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'perdure-wasi-host-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));
  const fresh = (name: string): string => {
    const path = join(folder, name);
    mkdirSync(path);
    return path;
  };
  const contents = (path: string): Record<string, string> =>
    Object.fromEntries(
      readdirSync(path, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .map((file) => [file.slice(path.length), readFileSync(file, 'latin1')])
        .sort(),
    );

  it("serve every function of preview 1 as the space's own tree does", async () => {
    const machine = new DriverMachine(seed);
    const id = machine.start(readFileSync(await guest('wasi')), ['.'], [machine.folder(fresh('all'))]);
    await machine.run(id);
    const output = machine.ports.stdout.text();
    assert.deepEqual(
      output.split('\n').filter((line) => line.startsWith('FAIL')),
      [],
    );
    assert.equal(machine.kernel.status(id).exitCode, 0, machine.kernel.status(id).reason);
  });

  it('hold the same files after a run that was killed again and again', async () => {
    console.log(`seed ${seed}`);
    const bytes = readFileSync(await guest('files'));
    const [plain, killed] = [fresh('plain'), fresh('killed')];
    const one = new DriverMachine(seed);
    const first = one.start(bytes, ['/', '6', '8'], [one.folder(plain)]);
    await one.run(first);
    assert.equal(one.kernel.status(first).exitCode, 0, one.ports.stdout.text());
    const two = new DriverMachine(seed);
    const second = two.start(bytes, ['/', '6', '8'], [two.folder(killed)]);
    await two.run(second, 0.15);
    assert.equal(two.kernel.status(second).exitCode, 0, two.ports.stdout.text());
    assert.ok(two.crashes > 2, `${two.crashes} crashes`);
    assert.deepEqual(contents(killed), contents(plain));
    assert.ok(Object.keys(contents(plain)).length > 3);
  });

  it('change nothing when they are granted read-only', async () => {
    const path = fresh('readonly');
    writeFileSync(join(path, 'file'), 'kept');
    const machine = new DriverMachine(seed);
    const id = machine.start(
      readFileSync(await guest('files')),
      ['/', '1', '1'],
      [machine.folder(path, true)],
    );
    await machine.run(id);
    assert.match(machine.ports.stdout.text(), /FAILED create .*Read-only/);
    assert.deepEqual(contents(path), { '/file': 'kept' });
  });
});
