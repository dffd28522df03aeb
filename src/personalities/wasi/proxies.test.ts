import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { guest } from '../../../guests/build.ts';
import { missingClang } from '../../../guests/toolchain.ts';
import { OBJECT } from '../../abi/objects.ts';
import { seedFrom } from '../../base/prng.ts';
import type { Held } from '../../kernel/capability/capabilities.ts';
import { Machine, type MachineOptions } from './machine.testing.ts';

const missing = missingClang();
const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Starts a proxy on what it stands for, and gives what it serves. */
function proxy(
  machine: Machine,
  program: Uint8Array,
  args: string[],
  named: Record<string, Held>,
  name = 'proxy',
): Held {
  const grants = Object.entries(named).map(([name, held]) => ({ name, ...held }));
  const id = machine.start(name, program, args, [], grants);
  machine.run();
  assert.equal(machine.status(id).state, 'blocked', machine.ports.stderr.text());
  const { core } = machine.kernel;
  const domain = core.peek(id);
  assert.ok(domain);
  // The last one is its own: what it was granted may be served as well.
  for (const handle of [...core.clists.handles(domain)].reverse()) {
    const found = core.clists.find(domain, handle);
    if (typeof found !== 'number' && found.kind === OBJECT.served) {
      return { capability: found.capability, turn: found.turn };
    }
  }
  throw new Error('it serves nothing');
}
const folder = (machine: Machine, path: string): Held =>
  machine.kernel.core.nodes.capability(machine.wasi.folder(path));
function put(machine: Machine, path: string, name: string, text: string): void {
  const { tree } = machine.wasi;
  const file = tree.createFile(machine.wasi.folder(path), bytes(name), 0n);
  assert.ok(file > 0);
  tree.space.segments.writeBytes(tree.segment(file), 0, bytes(text));
}
function text(machine: Machine, path: string, name: string): string | null {
  const { tree } = machine.wasi;
  const file = tree.lookup(machine.wasi.folder(path), bytes(name));
  return file < 0
    ? null
    : new TextDecoder().decode(tree.space.segments.readBytes(tree.segment(file), 0, 10000));
}

describe('proxies, of which neither side knows', { skip: missing ?? false }, () => {
  const programs = new Map<string, Uint8Array>();
  const names = ['firewall', 'logger', 'readonly', 'union'].map((name) => `proxies/${name}`);
  before(async () => {
    console.log(`PERDURE_SEED=${seed}`);
    for (const name of [...names, 'files', 'cat', 'tree', 'proxies/lend']) {
      programs.set(name, readFileSync(await guest(name)));
    }
  });
  const program = (name: string): Uint8Array => programs.get(name) as Uint8Array;

  /** A machine, and the same killed again and again. */
  const machines: MachineOptions[] = [{ seed }, { seed, yieldChance: 0.3, crashChance: 0.2 }];

  it('firewall: lines with the word do not get through', () => {
    for (const options of machines) {
      const machine = new Machine(options);
      const out = machine.kernel.core.hosts.capability({ kind: 'stream', domain: 1, which: 1 });
      const stream = proxy(machine, program('proxies/firewall'), ['secret'], { stream: out });
      machine.ports.stdin.say('one\na secret line\ntwo\nsecret\nthree\n');
      machine.ports.stdin.ended = true;
      const id = machine.start('client', program('cat'), ['--echo'], [{ kind: 'stream', fd: 1, ...stream }]);
      machine.run();
      const { end, exitCode, reason } = machine.status(id);
      assert.deepEqual([end, exitCode, reason], ['exit', 0, '']);
      assert.equal(machine.ports.stdout.text(), 'one\ntwo\nthree\n');
    }
  });

  it('a program behind a proxy is carried elsewhere, and goes on behind another where it is granted that', () => {
    const begin = (): { machine: Machine; stream: Held } => {
      const machine = new Machine({ seed });
      const out = machine.kernel.core.hosts.capability({ kind: 'stream', domain: 1, which: 1 });
      return { machine, stream: proxy(machine, program('proxies/firewall'), ['secret'], { stream: out }) };
    };
    const { machine, stream } = begin();
    machine.ports.stdin.say('one\na secret line\n');
    const id = machine.start('client', program('cat'), ['--echo'], [{ kind: 'stream', fd: 1, ...stream }]);
    machine.run();
    assert.equal(machine.ports.stdout.text(), 'one\n');
    for (const granted of [true, false]) {
      const there = begin();
      const grants = granted ? [{ name: 'stdout', ...there.stream }] : [];
      const arrived = there.machine.take(machine, id, grants);
      for (const lives of [1, 2]) {
        there.machine.ports.stdin.say(`${lives}\nsecret ${lives}\n`);
        there.machine.run();
        there.machine.crash();
      }
      there.machine.ports.stdin.ended = true;
      there.machine.kernel.wake(arrived);
      there.machine.run();
      assert.equal(there.machine.status(arrived).end, 'exit');
      assert.equal(there.machine.ports.stdout.text(), granted ? '1\n2\n' : '');
    }
  });

  it('a program in a logged folder is carried elsewhere: its handles are STALE until the folder is granted again', () => {
    const begin = (): { machine: Machine; tree: Held } => {
      const machine = new Machine({ seed });
      put(machine, '/behind', 'text', 'behind');
      return {
        machine,
        tree: proxy(machine, program('proxies/logger'), [], { tree: folder(machine, '/behind') }),
      };
    };
    const { machine, tree } = begin();
    const id = machine.start(
      'client',
      program('tree'),
      ['cat', 'text'],
      [{ kind: 'served', guest: '/', ...tree }],
    );
    for (const grants of [true, false]) {
      const there = begin();
      const arrived = there.machine.take(machine, id, grants ? [{ name: '/', ...there.tree }] : []);
      const { core } = there.machine.kernel;
      const domain = core.peek(arrived);
      assert.ok(domain);
      there.machine.run();
      const { end, exitCode } = there.machine.status(arrived);
      assert.deepEqual([end, exitCode], ['exit', 0]);
      const said = there.machine.ports.stdout.text().split('\n').at(-2);
      assert.equal(said, grants ? 'cat text: behind' : 'cat text: error 72');
    }
  });

  it('logger: a program does with a logged tree what it does with the tree itself', () => {
    const plain = new Machine({ seed });
    plain.start('guest', program('files'), ['.']);
    plain.run();
    for (const options of machines) {
      const machine = new Machine(options);
      const tree = proxy(machine, program('proxies/logger'), [], { tree: folder(machine, '/behind') });
      machine.ports.stdout.bytes = [];
      const id = machine.start('guest', program('files'), ['.'], [{ kind: 'served', guest: '/', ...tree }]);
      machine.run();
      assert.equal(machine.status(id).exitCode, 0, machine.ports.stderr.text());
      const lines = machine.ports.stdout.text().split('\n');
      const logged = /^(open|read|write|list|describe|create|remove|rename|link|change|read-link|sync) /;
      const said = lines.filter((line) => !logged.test(line)).join('\n');
      assert.equal(said, plain.ports.stdout.text());
      assert.ok(lines.filter((line) => line.startsWith('open ')).length > 3);
    }
  });

  it('a segment is passed on as it is, through one proxy after the other; a firewall looks at a copy', () => {
    for (const options of machines) {
      const machine = new Machine(options);
      const behind = { tree: folder(machine, '/behind') };
      const first = proxy(machine, program('proxies/logger'), [], behind);
      const tree = proxy(machine, program('proxies/logger'), [], { tree: first }, 'second');
      const out = machine.kernel.core.hosts.capability({ kind: 'stream', domain: 1, which: 1 });
      const stream = proxy(machine, program('proxies/firewall'), ['secret'], { stream: out }, 'third');
      machine.ports.stdout.bytes = [];
      const named = Object.entries({ tree, stream }).map(([name, held]) => ({ name, ...held }));
      machine.start('client', program('proxies/lend'), [], [], named);
      machine.run();
      const lines = machine.ports.stdout.text().trim().split('\n');
      // More than a proxy copies at once, so it was not copied.
      assert.deepEqual(
        lines.filter((line) => !/^(open|sync|write|read) .*:/.test(line)),
        ['one', 'two', 'said 22', 'wrote 300000', 'read 300000', 'wrong 0'],
      );
      assert.equal(lines.filter((line) => line === 'write : 300000').length, 2);
    }
  });

  it('readonly: everything can be read, and nothing changed', () => {
    const machine = new Machine({ seed });
    put(machine, '/behind/sub', 'file', 'hello');
    const tree = proxy(machine, program('proxies/readonly'), [], { tree: folder(machine, '/behind') });
    const script = [
      'ls',
      '.',
      'cat',
      'sub/file',
      'write',
      'sub/file',
      'mkdir',
      'new',
      'rm',
      'sub/file',
      'mv',
      'sub',
    ];
    machine.start('client', program('tree'), script, [{ kind: 'served', guest: '/', ...tree }]);
    machine.run();
    const readOnly = 69;
    assert.deepEqual(machine.ports.stdout.text().trim().split('\n'), [
      'ls .: sub/',
      'cat sub/file: hello',
      ...['write sub/file', 'mkdir new', 'rm sub/file', 'mv sub'].map((what) => `${what}: error ${readOnly}`),
    ]);
  });

  it('union: the upper folder covers the lower one, and takes what is written', () => {
    for (const options of machines) {
      const machine = new Machine(options);
      put(machine, '/up', 'both', 'upper');
      put(machine, '/up/dir', 'x', '1');
      put(machine, '/down', 'both', 'lower');
      put(machine, '/down', 'below', 'deep');
      put(machine, '/down/dir', 'y', '2');
      const behind = { upper: folder(machine, '/up'), lower: folder(machine, '/down') };
      const tree = proxy(machine, program('proxies/union'), [], behind);
      const script =
        'ls . ls dir cat both cat below cat dir/y rm below write below rm below cat below write new mkdir dir/made rm both cat both';
      machine.start('client', program('tree'), script.split(' '), [{ kind: 'served', guest: '/', ...tree }]);
      machine.run();
      assert.deepEqual(machine.ports.stdout.text().trim().split('\n'), [
        'ls .: below both dir/',
        'ls dir: x y',
        'cat both: upper',
        'cat below: deep',
        'cat dir/y: 2',
        'rm below: error 63',
        'write below: ok',
        'rm below: ok',
        'cat below: deep',
        'write new: ok',
        'mkdir dir/made: ok',
        'rm both: ok',
        'cat both: lower',
      ]);
      assert.equal(text(machine, '/down', 'below'), 'deep');
      assert.equal(text(machine, '/up', 'new'), 'written');
      assert.equal(text(machine, '/down', 'both'), 'lower');
    }
  });
});
