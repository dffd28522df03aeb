import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ERRNO, errnoName } from '../../abi/errno.ts';
import { FILE_TYPE, type HostDirectory } from '../../kernel/ports.ts';
import { openOptions, scratch, TestProcess } from './testing.ts';

const name = (result: unknown): unknown => (typeof result === 'number' ? errnoName(-result) : result);
const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** A granted folder beside one that must not be reached. */
function world(t: { after(callback: () => void): void }): { inside: string; outside: string; whole: string } {
  const whole = scratch(t);
  const inside = join(whole, 'granted');
  const outside = join(whole, 'outside');
  fs.mkdirSync(join(inside, 'sub', 'deep'), { recursive: true });
  fs.mkdirSync(outside);
  fs.writeFileSync(join(outside, 'secret'), 'SECRET');
  fs.writeFileSync(join(inside, 'file'), 'public');
  fs.writeFileSync(join(inside, 'sub', 'inner'), 'inner');
  return { inside, outside, whole };
}

const LINKS: Record<string, string> = {
  up: '..',
  upfile: '../outside/secret',
  root: '/',
  self: '/proc/self/root',
  chain1: 'chain2',
  chain2: 'sub/chain3',
  'sub/chain3': '../../outside/secret',
  loop: 'loop',
  loopa: 'loopb',
  loopb: 'loopa',
  ok: 'sub/../sub/inner',
  oksub: 'sub',
  'sub/back': '../file',
  dots: 'sub/deep/../../../outside',
  dangling: 'sub/nothing',
};

/** What opening a path gives: an error, or what is there. */
const PATHS: Record<string, string> = {
  '..': 'PERM',
  '../outside/secret': 'PERM',
  'sub/../../outside/secret': 'PERM',
  'sub/deep/../../../outside/secret': 'PERM',
  '/etc/passwd': 'PERM',
  '//file': 'PERM',
  up: 'PERM',
  'up/outside/secret': 'PERM',
  upfile: 'PERM',
  'absolute/secret': 'PERM',
  absolute: 'PERM',
  'root/etc/passwd': 'PERM',
  'self/etc/passwd': 'PERM',
  chain1: 'PERM',
  dots: 'PERM',
  'dots/secret': 'PERM',
  loop: 'LOOP',
  loopa: 'LOOP',
  dangling: 'NOENT',
  'file/..': 'NOTDIR',
  'file/.': 'NOTDIR',
  'file/': 'NOTDIR',
  'nothing/../file': 'NOENT',
  'fi\0le': 'INVAL',
  '': 'NOENT',
  ['x'.repeat(256)]: 'NAMETOOLONG',
  ['a/'.repeat(3000)]: 'NAMETOOLONG',
  file: 'public',
  './/sub/../file': 'public',
  'sub/deep/../../file': 'public',
  'sub/deep/../..': 'directory',
  '.': 'directory',
  'sub/': 'directory',
  ok: 'inner',
  'oksub/inner': 'inner',
  'sub/back': 'public',
  'oksub/': 'directory',
};

/** A granted folder full of links that try to lead out. */
function linked(t: { after(callback: () => void): void }): {
  p: TestProcess;
  root: HostDirectory;
  inside: string;
  outside: string;
  open: (path: string, from?: HostDirectory) => Promise<unknown>;
} {
  const { inside, outside } = world(t);
  for (const [link, target] of Object.entries(LINKS)) fs.symlinkSync(target, join(inside, link));
  fs.symlinkSync(outside, join(inside, 'absolute'));
  const p = new TestProcess();
  const root = p.folders.grant(1, inside, false);
  const open = async (path: string, from: HostDirectory = root): Promise<unknown> => {
    const result = await p.run((op) => from.open(op, bytes(path), openOptions({})));
    if (typeof result === 'number') return name(result);
    if (result.kind === 'directory') return 'directory';
    const into = new Uint8Array(20);
    const text = Buffer.from(into.subarray(0, result.read(into, 0))).toString();
    result.close();
    return text;
  };
  return { p, root, inside, outside, open };
}

test('no path leads out of a granted folder: dots, absolute paths, links and chains of links', async (t) => {
  const { p, root, inside, open } = linked(t);
  for (const [path, result] of Object.entries(PATHS)) assert.equal(await open(path), result, path);
  assert.equal(
    await open(join(inside, 'file')),
    'PERM',
    'an absolute path is none of ours, even if it leads back',
  );
  const sub = (await p.run((op) =>
    root.open(op, bytes('sub'), openOptions({ directory: true })),
  )) as HostDirectory;
  assert.equal(sub.kind, 'directory');
  assert.equal(await open('back', sub), 'PERM', 'a directory opened below is a sandbox of its own');
  assert.equal(await open('../file', sub), 'PERM');
  assert.equal(await open('inner', sub), 'inner');
  await p.folders.close();
});

test('nothing outside a granted folder is changed, but links themselves are files like others', async (t) => {
  const { p, root, inside, outside, open } = linked(t);
  const changes: [string, (op: { domain: number; effect: number }) => number][] = [
    ['mkdir', (op) => root.makeDirectory(op, bytes('up/outside/new'))],
    ['mkdir', (op) => root.makeDirectory(op, bytes('../new'))],
    ['rmdir', (op) => root.removeDirectory(op, bytes('absolute/'))],
    ['unlink', (op) => root.unlink(op, bytes('absolute/secret'))],
    ['rename', (op) => root.rename(op, bytes('file'), root, bytes('../stolen'))],
    ['rename', (op) => root.rename(op, bytes('dots/secret'), root, bytes('stolen'))],
    ['link', (op) => root.link(op, bytes('upfile'), true, root, bytes('stolen'))],
    ['symlink', (op) => root.symlink(op, bytes('/etc/passwd'), bytes('passwd'))],
    ['symlink', (op) => root.symlink(op, bytes('x'), bytes('up/x'))],
    ['times', (op) => root.setTimes(op, bytes('upfile'), true, { accessedNs: 1n, modifiedNs: 1n })],
  ];
  for (const [what, call] of changes) assert.equal(name(await p.run(call)), 'PERM', what);
  const options = openOptions({ create: true, write: true });
  assert.equal(name(await p.run((op) => root.open(op, bytes('dots/new'), options))), 'PERM');
  assert.deepEqual(fs.readdirSync(outside), ['secret']);

  assert.equal(await p.run((op) => root.symlink(op, bytes('../../outside'), bytes('mine'))), 0);
  assert.equal(await open('mine/secret'), 'PERM', 'a link may say what it likes; following it is refused');
  assert.equal(await p.run((op) => root.link(op, bytes('upfile'), false, root, bytes('again'))), 0);
  assert.equal(fs.readlinkSync(join(inside, 'again')), '../outside/secret');
  const times = { accessedNs: null, modifiedNs: 5_000_000_000n };
  assert.equal(await p.run((op) => root.setTimes(op, bytes('upfile'), false, times)), 0);
  assert.equal(fs.lstatSync(join(inside, 'upfile')).mtimeMs, 5000);
  assert.equal(await p.run((op) => root.unlink(op, bytes('upfile'))), 0);
  assert.equal(fs.readFileSync(join(outside, 'secret'), 'utf8'), 'SECRET');
  assert.equal(Buffer.from(root.readlink(bytes('root')) as Uint8Array).toString(), '/');
  await p.folders.close();
});

test('links of /proc lead nowhere, and what is no file is not opened', async (t) => {
  const p = new TestProcess();
  const proc = p.folders.grant(1, '/proc', true);
  const open = (from: HostDirectory, path: string): unknown =>
    name(from.open({ domain: 1, effect: 0 }, bytes(path), openOptions({})));
  for (const path of ['self/root', 'self/cwd', 'self/exe', 'self/root/etc', `${process.pid}/cwd/x`]) {
    assert.equal(open(proc, path), 'PERM', path);
  }
  const { inside } = world(t);
  const fd = fs.openSync(join(inside, 'file'), 'r');
  assert.equal(open(proc, `self/fd/${fd}`), 'PERM');
  fs.closeSync(fd);

  const granted = p.folders.grant(1, inside, false);
  const { promise, resolve } = Promise.withResolvers<void>();
  spawn('mkfifo', [join(inside, 'fifo')]).on('close', () => resolve());
  await promise;
  assert.equal(open(granted, 'fifo'), 'NOTSUP');
  const stat = granted.stat(bytes('fifo'), true);
  assert.equal(typeof stat === 'number' ? stat : stat.type, FILE_TYPE.unknown);
  const dev = p.folders.grant(1, '/dev', false);
  assert.equal(open(dev, 'null'), 'NOTSUP');
  await p.folders.close();
});

test('names the host allows work, whatever bytes they have', async (t) => {
  const { inside } = world(t);
  const p = new TestProcess();
  const root = p.folders.grant(1, inside, false);
  const names = [
    'new\nline',
    ' ',
    '...',
    '-rf',
    '\xff\xfe',
    '\u00e9',
    'a'.repeat(255),
    '%00',
    '\\..\\',
    '..\x01',
    '~',
    '*',
  ];
  for (const each of names) {
    const file = await p.open(root, each, { create: true, exclusive: true, write: true });
    assert.equal(file.write({ domain: 1, effect: 0 }, bytes(each), 0), each.length);
    file.close();
  }
  await p.checkpoint();
  const listed = root.list();
  assert.ok(typeof listed !== 'number');
  const found = new Set(listed.map((entry) => Buffer.from(entry.name).toString('latin1')));
  for (const each of names) {
    assert.ok(found.has(each), JSON.stringify(each));
    const path = Buffer.concat([Buffer.from(`${inside}/`), bytes(each)]);
    assert.equal(fs.readFileSync(path, 'latin1'), each);
    assert.equal(await p.run((op) => root.unlink(op, bytes(each))), 0);
  }
  assert.deepEqual(fs.readdirSync(inside).sort(), ['file', 'sub']);
  await p.folders.close();
});

test('a read-only folder cannot be changed', async (t) => {
  const { inside } = world(t);
  const p = new TestProcess();
  const root = p.folders.grant(1, inside, true);
  const calls: ((op: { domain: number; effect: number }) => unknown)[] = [
    (op) => root.makeDirectory(op, bytes('x')),
    (op) => root.removeDirectory(op, bytes('sub')),
    (op) => root.unlink(op, bytes('file')),
    (op) => root.rename(op, bytes('file'), root, bytes('x')),
    (op) => root.link(op, bytes('file'), false, root, bytes('x')),
    (op) => root.symlink(op, bytes('file'), bytes('x')),
    (op) => root.setTimes(op, bytes('file'), true, { accessedNs: 1n, modifiedNs: 1n }),
    (op) => root.open(op, bytes('x'), openOptions({ create: true })),
    (op) => root.open(op, bytes('file'), openOptions({ write: true })),
    (op) => root.open(op, bytes('file'), openOptions({ truncate: true })),
  ];
  for (const call of calls) assert.equal(name(call({ domain: 1, effect: 0 })), 'ROFS');
  const file = await p.open(root, 'file', {});
  assert.equal(file.write({ domain: 1, effect: 0 }, bytes('x'), 0), -ERRNO.BADF);
  assert.equal(file.setTimes({ domain: 1, effect: 0 }, { accessedNs: 1n, modifiedNs: 1n }), -ERRNO.ROFS);
  const writable = p.folders.grant(1, inside, false);
  assert.equal(name(writable.rename({ domain: 1, effect: 0 }, bytes('file'), root, bytes('x'))), 'ROFS');
  await p.folders.close();
});

/** Swaps `sub` between the real directory and a link that leads out, as fast as it can, until it is killed. */
const SWAPPER = `
const fs = require('node:fs');
process.chdir(process.argv[1]);
process.stdout.write('ready');
for (;;) {
  fs.renameSync('sub', 'real'); fs.renameSync('evil', 'sub');
  fs.renameSync('sub', 'evil'); fs.renameSync('real', 'sub');
}`;

test('a process that swaps a directory for a link all the time gains nothing', async (t) => {
  const { inside, outside } = world(t);
  fs.symlinkSync('../outside', join(inside, 'evil'));
  fs.writeFileSync(join(outside, 'inner'), 'SECRET');
  const swapper = spawn(process.execPath, ['-e', SWAPPER, inside], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => swapper.kill('SIGKILL'));
  await new Promise((resolve) => swapper.stdout.once('data', resolve));
  const p = new TestProcess();
  const root = p.folders.grant(1, inside, false);
  const seen = new Map<unknown, number>();
  const note = (result: unknown): void => void seen.set(result, (seen.get(result) ?? 0) + 1);
  const into = new Uint8Array(10);
  const met = (): boolean => seen.has('inner') && seen.has('PERM');
  for (let round = 0; round < 3000 || (!met() && round < 100_000); round++) {
    const opened = root.open({ domain: 1, effect: 0 }, bytes('sub/inner'), openOptions({}));
    if (typeof opened === 'number') note(name(opened));
    else if (opened.kind === 'file') {
      note(Buffer.from(into.subarray(0, opened.read(into, 0))).toString());
      opened.close();
    }
    if (round % 10 === 0) {
      // Intents are resolved, and applied later, at moments the swapper may have chosen well.
      note(
        name(
          await p.run((op) =>
            root.open(op, bytes(`sub/n${round}`), openOptions({ create: true, write: true })),
          ),
        ),
      );
      note(name(await p.run((op) => root.unlink(op, bytes('sub/secret')))));
      note(name(await p.run((op) => root.makeDirectory(op, bytes(`sub/d${round}`)))));
    }
  }
  swapper.kill('SIGKILL');
  assert.ok(!seen.has('SECRET'));
  assert.ok((seen.get('inner') ?? 0) > 0, 'the directory was met');
  assert.ok((seen.get('PERM') ?? 0) > 0, 'the link was met');
  assert.deepEqual(fs.readdirSync(outside).sort(), ['inner', 'secret'], 'nothing changed outside');
  await p.folders.close();
});
