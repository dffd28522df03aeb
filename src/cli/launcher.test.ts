import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { folderFor } from '../base/folder.testing.ts';
import { NODE_NEEDED } from '../base/limits.ts';

const root = join(import.meta.dirname, '..', '..');
const launcher = join(root, 'bin', 'perdure.mjs');
/** Makes a Node say that it is an old one. */
const OLD = `data:text/javascript,Object.defineProperty(process.versions,'node',{value:'20.1.0'})`;

function node(...args: string[]) {
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  return { stdout, stderr, status };
}

/** A package of which only the launcher is there. */
function bareCopy(t: TestContext): string {
  const folder = join(folderFor(t), 'perdure');
  mkdirSync(join(folder, 'bin'), { recursive: true });
  cpSync(launcher, join(folder, 'bin', 'perdure.mjs'));
  return folder;
}

test('on a Node that is too old, with none beside it, one line says what is needed', (t) => {
  const { stdout, stderr, status } = node('--import', OLD, join(bareCopy(t), 'bin', 'perdure.mjs'), 'ps');
  assert.equal(stdout, '');
  assert.match(stderr, /^perdure: needs Node 26 or later, and this is 20\.1\.0: .*npm install node@26`\n$/);
  assert.equal(status, 125);
});

test('on a Node that is too old it goes on with the one of the npm package beside it', (t) => {
  const folder = bareCopy(t);
  const binary = join(folder, '..', 'node_modules', 'node', 'bin', 'node');
  mkdirSync(join(binary, '..'), { recursive: true });
  writeFileSync(binary, '#!/bin/sh\nshift\necho "newer: $@"\nexit 7\n');
  chmodSync(binary, 0o755);
  const { stdout, status } = node('--import', OLD, join(folder, 'bin', 'perdure.mjs'), 'run', 'x.wasm', '-a');
  assert.equal(stdout, 'newer: run x.wasm -a\n');
  assert.equal(status, 7);
});

test('a signal that ends the newer Node ends the launcher by the same signal', (t) => {
  const folder = bareCopy(t);
  const binary = join(folder, 'node_modules', 'node', 'bin', 'node');
  mkdirSync(join(binary, '..'), { recursive: true });
  writeFileSync(binary, '#!/bin/sh\nkill -TERM $$\n');
  chmodSync(binary, 0o755);
  const { signal } = spawnSync(process.execPath, ['--import', OLD, join(folder, 'bin', 'perdure.mjs')]);
  assert.equal(signal, 'SIGTERM');
});

test('the launcher works on the Node of the system, whatever its age', (t) => {
  const old = spawnSync('/usr/bin/node', ['--version'], { encoding: 'utf8' });
  if (old.error) return t.skip('there is no other Node here');
  const { status, stdout, stderr } = spawnSync('/usr/bin/node', [launcher, '--version'], {
    encoding: 'utf8',
  });
  assert.equal(stderr, '');
  assert.match(stdout, /^perdure \d+\.\d+\.\d+\n$/);
  assert.equal(status, 0);
});

test('all that say which Node is needed say the same', () => {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  assert.equal(engines.node, `>=${NODE_NEEDED}`);
  assert.match(readFileSync(launcher, 'utf8'), new RegExp(`^const NEEDED = ${NODE_NEEDED};$`, 'm'));
});
