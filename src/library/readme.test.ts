/** README's example for embedders is run as it stands there, by the package as it is shipped, and prints what README shows. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { guest } from '../../guests/build.ts';
import { NODE_NEEDED } from '../base/limits.ts';

const ROOT = join(import.meta.dirname, '../..');
const run = promisify(execFile);

/** The package in a project's node_modules, built as `npm pack` would, with what it depends on. */
async function installInto(folder: string): Promise<void> {
  const modules = join(folder, 'node_modules');
  const own = join(modules, 'perdure');
  mkdirSync(own, { recursive: true });
  copyFileSync(join(ROOT, 'package.json'), join(own, 'package.json'));
  const tsc = join(ROOT, 'node_modules/.bin/tsc');
  await run(process.execPath, [tsc, '--project', 'tsconfig.build.json', '--outDir', join(own, 'dist')], {
    cwd: ROOT,
  });
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies)) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  }
}

/** The Node of the system, where it is one that is too old but can read the package. */
async function oldNode(): Promise<string | undefined> {
  const path = '/usr/bin/node';
  const { stdout } = await run(path, ['--version']).catch(() => ({ stdout: '' }));
  const version = Number(/^v(\d+)/.exec(stdout)?.[1]);
  return version >= 20 && version < NODE_NEEDED ? path : undefined;
}

test('the example of README prints what README says', async (t) => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const part = readme.slice(readme.indexOf('### As a library'));
  const [, example, printed] = /```ts\n(.*?)```.*?```\n(.*?)```/s.exec(part) ?? [];
  assert(example !== undefined && printed !== undefined);
  const folder = mkdtempSync(join(tmpdir(), 'perdure-readme-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  await installInto(folder);
  copyFileSync(await guest('primes'), join(folder, 'primes.wasm'));
  writeFileSync(join(folder, 'example.mts'), example);
  const { stdout, stderr } = await run(process.execPath, ['example.mts'], { cwd: folder });
  assert.equal(stdout, printed);
  assert.equal(stderr, '');
  const old = await oldNode();
  if (old !== undefined) {
    writeFileSync(
      join(folder, 'old.mjs'),
      "import { Space } from 'perdure';\nawait Space.open('old').catch((e) => console.log(e.code));\n",
    );
    assert.equal((await run(old, ['old.mjs'], { cwd: folder })).stdout, 'old-node\n');
  }
  const types = ['--noEmit', '--strict', '--target', 'esnext', '--module', 'nodenext', '--types', 'node'];
  const roots = ['--typeRoots', join(ROOT, 'node_modules/@types')];
  const tsc = join(ROOT, 'node_modules/.bin/tsc');
  await run(process.execPath, [tsc, ...types, ...roots, 'example.mts'], { cwd: folder });
});
