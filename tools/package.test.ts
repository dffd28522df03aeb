/** The package as users get it: packed, installed into an empty folder, and run there. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { guest } from '../guests/build.ts';

const root = dirname(import.meta.dirname);

/** npm of the Node that runs the tests, or of the system. */
function npm(args: string[], cwd: string) {
  const path = `${join(root, 'node_modules', '.bin')}:${process.env.PATH}`;
  // npm tells its children about itself; this one is to be on its own.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_|^NODE_TEST/i.test(name)),
  );
  return spawnSync('npm', args, { cwd, encoding: 'utf8', env: { ...env, PATH: path } });
}

/** Dependencies of the package without any network: copies of what this checkout was installed with. */
function linkDependencies(folder: string, packages: readonly string[]): void {
  for (const name of packages) {
    const from = join(root, 'node_modules', name);
    const to = join(folder, 'node_modules', name);
    if (existsSync(to) || !existsSync(from)) continue;
    cpSync(from, to, { recursive: true });
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(
      readFileSync(join(from, 'package.json'), 'utf8'),
    ) as Record<string, Record<string, string>>;
    linkDependencies(folder, [...Object.keys(dependencies), ...Object.keys(optionalDependencies)]);
  }
}

test('packed, installed into an empty folder and run there, it runs a program and gives types', async (t) => {
  if (npm(['--version'], root).error) return t.skip('npm is not here');
  const program = await guest('primes');
  const folder = mkdtempSync(join(tmpdir(), 'perdure-package-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const copy = join(folder, 'copy');
  // Packing writes dist/; a copy keeps the checkout as it is, and other tests undisturbed.
  mkdirSync(copy);
  for (const name of [
    'bin',
    'guests/assembly',
    'guests/include',
    'src',
    'tools',
    'package.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'README.md',
    'LICENSE',
  ]) {
    cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  const { symlinkSync } = await import('node:fs');
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  const packed = npm(['pack', '--pack-destination', folder], copy);
  assert.equal(packed.status, 0, packed.stderr);
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'));
  assert(tarball, 'npm pack made a file');

  const user = join(folder, 'user');
  const installed = join(user, 'node_modules', 'perdure');
  mkdirSync(installed, { recursive: true });
  writeFileSync(join(user, 'package.json'), '{"type":"module"}\n');
  const unpacked = spawnSync('tar', ['-xzf', join(folder, tarball), '-C', installed, '--strip-components=1']);
  assert.equal(unpacked.status, 0);
  const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  linkDependencies(user, Object.keys(dependencies));
  assert(!existsSync(join(installed, 'src')), 'the package ships no sources that Node would not run there');
  const shipped = readdirSync(join(installed, 'dist'), { recursive: true, encoding: 'utf8' });
  assert.deepEqual(
    shipped.filter((name) => /testing|\.test\./.test(name)),
    [],
  );

  for (const library of ['include/perdure.h', 'include/perdure/semaphore.h', 'assembly/perdure.as']) {
    assert(existsSync(join(installed, 'guests', library)), library);
  }

  const tool = join(installed, 'bin', 'perdure.mjs');
  const run = spawnSync(process.execPath, [tool, 'run', program, '2000'], { cwd: user, encoding: 'utf8' });
  assert.equal(run.status, 0, run.stderr);
  assert.match(run.stdout, /1000\. prime 7919/);

  writeFileSync(
    join(user, 'use.ts'),
    `import { Space } from 'perdure';\nexport const open: (folder: string) => Promise<Space> = (folder) => Space.open(folder);\n`,
  );
  const tsc = join(root, 'node_modules', '.bin', 'tsc');
  const typed = spawnSync(
    tsc,
    [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'esnext',
      '--types',
      'node',
      '--typeRoots',
      join(root, 'node_modules', '@types'),
      'use.ts',
    ],
    { cwd: user, encoding: 'utf8' },
  );
  assert.equal(typed.status, 0, typed.stdout);
});
