/** The tool as users see it: real processes, real spaces, real signals. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import wabtReady from 'wabt';
import { canBuild, guest } from '../../guests/build.ts';
import { LAUNCHER, type Started, Tool } from './cli.testing.ts';

const programs: Record<string, string> = {};
const wat: Record<string, string> = {
  exit7: `(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 7))))`,
  trap: `(module (memory (export "memory") 1)
    (func $inner (param $depth i32) (drop (i32.load (i32.sub (i32.const 0) (local.get $depth)))))
    (func (export "_start") (call $inner (i32.const 1))))`,
  unknown: `(module (import "env" "launch" (func $launch (param i32))) (import "env" "abort" (func (param i32)))
    (import "wasi_snapshot_preview1" "fd_sync" (func (param i32) (result i32)))
    (memory (export "memory") 1) (func (export "_start") (call $launch (i32.const 1))))`,
  library:
    '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))',
  forever: '(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))',
};

before(async () => {
  for (const name of ['ticks', 'queens', 'primes']) programs[name] = await guest(name);
  const wabt = await wabtReady();
  for (const [name, text] of Object.entries(wat)) {
    const { buffer } = wabt.parseWat(name, text).toBinary({ write_debug_names: true });
    wat[name] = Buffer.from(buffer).toString('base64');
  }
});

/** A program of this file's, in the tool's folder. */
function write(tool: Tool, name: string): string {
  const file = join(tool.folder, `${name}.wasm`);
  writeFileSync(file, Buffer.from(wat[name]!, 'base64'));
  return file;
}

test('exit codes are the program’s own; traps and limits have theirs, with the reason in one line', async (t) => {
  const tool = new Tool(t);
  assert.equal((await tool.run('run', write(tool, 'exit7'))).code, 7);
  const trap = await tool.run('run', write(tool, 'trap'));
  assert.equal(trap.code, 134);
  assert.match(trap.stderr, /^perdure: trap: trap: out of bounds memory access\n/);
  assert.match(trap.stderr, /\$?inner/);
  const limit = await tool.run('run', '--cpu', '100ms', write(tool, 'forever'));
  assert.equal(limit.code, 137);
  assert.match(limit.stderr, /used up its processor time of 100ms/);
});

test('a program with unknown imports is refused with all their names, and let in on request', async (t) => {
  const tool = new Tool(t);
  const file = write(tool, 'unknown');
  const refused = await tool.run('run', file);
  assert.equal(refused.code, 126);
  assert.match(refused.stderr, /env\.launch, env\.abort/);
  assert.doesNotMatch(refused.stderr, /fd_sync/);
  assert.equal(refused.stderr.trim().split('\n').length, 1);
  const trapped = await tool.run('run', '--trap-unknown-imports', file);
  assert.equal(trapped.code, 134);
  assert.match(trapped.stderr, /unknown import env\.launch/);
});

test('what is no program is refused in one line that says what it is', async (t) => {
  const tool = new Tool(t);
  const none = await tool.run('run', 'none.wasm');
  assert.deepEqual([none.code, none.stderr], [127, 'perdure: there is no file none.wasm\n']);
  const library = await tool.run('run', write(tool, 'library'));
  assert.equal(library.code, 126);
  assert.match(library.stderr, /exports no _start/);
  const broken = join(tool.folder, 'broken.wasm');
  const bytes = Buffer.from(wat.trap!, 'base64');
  bytes[bytes.length - 40] = 0xff;
  writeFileSync(broken, bytes.subarray(0, bytes.length - 30));
  const refused = await tool.run('run', broken);
  assert.equal(refused.code, 126, refused.stderr);
  assert.match(refused.stderr, /at byte 0x/);
  assert.ok(refused.stderr.includes(broken), 'it says which file');
  assert.equal(refused.stderr.trim().split('\n').length, 1);
  assert.deepEqual((await tool.run('ps', '--names')).stdout, '', 'nothing of them is left');
});

test('kill -9 in the middle and up: the output is that of one run, and so is the exit code', async (t) => {
  const tool = new Tool(t);
  const whole = await tool.run('run', '--space', `${tool.space}-2`, programs.queens!, '10');
  const first = tool.start(['run', programs.queens!, '13']);
  await first.saw(/ 3: /);
  first.child.kill('SIGKILL');
  const before = await first.ended;
  assert.equal(before.signal, 'SIGKILL');
  const listed = JSON.parse((await tool.run('ps', '--json')).stdout);
  assert.equal(listed[0].name, 'queens');
  assert.equal(listed[0].state, 'suspended');
  const after = await tool.run('up', '--exit-when-idle');
  assert.equal(after.code, 0, after.stderr);
  assert.match(after.stderr, /going on with queens/);
  const numbers = [...`${before.stdout}${after.stdout}`.matchAll(/^ *(\d+): /gm)].map((found) =>
    Number(found[1]),
  );
  // A pipe: what left just before the end may come again, nothing may be missing.
  assert.deepEqual(
    [...new Set(numbers)],
    [...new Set(numbers)].sort((a, b) => a - b),
  );
  assert.equal(new Set(numbers).size, Math.max(...numbers));
  assert.match(after.stdout, /done: 73712 placements/);
  assert.match(whole.stdout, /done: 724 placements/);
});

test('to a regular file a run killed again and again is exactly one run', async (t) => {
  const tool = new Tool(t);
  const file = join(tool.folder, 'out');
  const launch = (...args: string[]) => {
    const fd = openSync(file, 'a');
    return spawn(process.execPath, [LAUNCHER, ...args], {
      stdio: ['ignore', fd, 'ignore'],
      env: { ...process.env, PERDURE_SPACE: tool.space },
    });
  };
  let child = launch('run', programs.queens!, '13');
  for (let kills = 0; kills < 4; kills++) {
    const size = existsSync(file) ? readFileSync(file).length : 0;
    const ended = new Promise((resolve) => child.on('exit', resolve));
    while (child.exitCode === null && readFileSync(file).length < size + 200) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    child.kill('SIGKILL');
    await ended;
    child = launch('up', '--exit-when-idle');
  }
  const code = await new Promise((resolve) => child.on('exit', resolve));
  assert.equal(code, 0);
  const whole = await tool.run('run', '--space', `${tool.space}-2`, programs.queens!, '13');
  assert.equal(readFileSync(file, 'utf8'), whole.stdout);
});

test('Ctrl-C suspends durably and says how to go on', async (t) => {
  const tool = new Tool(t);
  const running = tool.start(['run', '--name', 'q', programs.queens!, '13']);
  await running.saw(/ 2: /);
  running.child.kill('SIGINT');
  const { code, stderr, stdout } = await running.ended;
  assert.equal(code, 130);
  assert.match(stderr, /^perdure: suspended q; to go on: perdure up\n$/);
  const after = await tool.run('up', '--exit-when-idle', '--quiet');
  assert.equal(after.stderr, '');
  const next = Number(/^ *(\d+): /m.exec(after.stdout)?.[1]);
  const last = Number([...stdout.matchAll(/^ *(\d+): /gm)].at(-1)?.[1]);
  assert.equal(next, last + 1, 'a clean end repeats nothing');
});

test('inspect shows the call stack of a suspended program by function names', async (t) => {
  const tool = new Tool(t);
  const running = tool.start(['run', programs.queens!, '13']);
  await running.saw(/ 2: /);
  running.child.kill('SIGKILL');
  await running.ended;
  const page = await tool.run('inspect', 'queens');
  assert.equal(page.code, 0, page.stderr);
  assert.match(page.stdout, /call stack, innermost first:/);
  assert.match(page.stdout, /place/);
  const data = JSON.parse((await tool.run('inspect', 'queens', '--json')).stdout);
  assert.equal(data.state, 'suspended');
  assert(data.stack.length >= 3);
  assert.match(data.stack.at(-1).functionName, /_start/);
  const typo = await tool.run('inspect', 'quens');
  assert.equal(typo.code, 125);
  assert.match(typo.stderr, /there is no program called quens \(there are queens; see perdure ps\)/);
});

test('a second run is handed to the process that owns the space, shown here, and its exit code passed through', async (t) => {
  const tool = new Tool(t);
  const owner = tool.start(['run', '--name', 'first', write(tool, 'forever')]);
  await ownsSpace(tool, owner);
  const second = await tool.run('run', programs.primes!, '2000');
  assert.equal(second.code, 0, second.stderr);
  assert.match(second.stdout, /1000\. prime 7919/);
  assert.equal((await tool.run('run', write(tool, 'exit7'))).code, 7);
  const taken = await tool.run('run', '--name', 'first', write(tool, 'exit7'));
  assert.equal(taken.code, 125);
  assert.match(taken.stderr, /a program called first is there already/);
  assert.deepEqual(
    JSON.parse((await tool.run('ps', '--json')).stdout).map((domain: { name: string; state: string }) => [
      domain.name,
      domain.state,
    ]),
    [
      ['first', 'running'],
      ['primes', 'exited'],
      ['exit7', 'exited'],
    ],
  );
  assert.equal((await tool.run('stop', 'first')).code, 0);
  assert.equal((await owner.ended).code, 143);
});

test('when the owner is killed, a program that another process shows goes on there', async (t) => {
  const tool = new Tool(t);
  const owner = tool.start(['run', '--name', 'first', write(tool, 'forever')]);
  await ownsSpace(tool, owner);
  const second = tool.start(['run', programs.queens!, '12']);
  await second.saw(/ 1: /);
  owner.child.kill('SIGKILL');
  const { code, stdout, stderr } = await second.ended;
  assert.equal(code, 0, stderr);
  assert.match(stdout, /done: 14200 placements/);
  const [first] = JSON.parse((await tool.run('ps', '--json')).stdout);
  assert.deepEqual([first.name, first.state], ['first', 'suspended']);
});

test('detached programs run in the background; attach shows all they wrote and passes their exit code', async (t) => {
  const tool = new Tool(t);
  const started = await tool.run('run', '--detach', '--name', 'p', programs.primes!, '3000');
  assert.equal(started.code, 0, started.stderr);
  assert.match(started.stderr, /p runs in the background; to see it: perdure attach p/);
  const attached = await tool.run('attach', 'p');
  assert.equal(attached.code, 0, attached.stderr);
  assert.match(attached.stdout, /1000\. prime 7919.*\n.*2000\. prime 17389.*\n.*3000\. prime/);
});

test('stop without a name suspends the space and ends its process; up goes on', async (t) => {
  const tool = new Tool(t);
  assert.equal((await tool.run('run', '--detach', write(tool, 'forever'))).code, 0);
  const stopped = await tool.run('stop');
  assert.match(stopped.stderr, /suspended everything/);
  const [domain] = JSON.parse((await tool.run('ps', '--json')).stdout);
  assert.equal(domain.state, 'suspended');
  const up = await tool.run('up', '--detach');
  assert.match(up.stderr, /in the background, process \d+/);
  assert.equal(JSON.parse((await tool.run('ps', '--json')).stdout)[0].state, 'running');
  const refused = await tool.run('rm', 'forever');
  assert.equal(refused.code, 125);
  assert.match(refused.stderr, /has not ended/);
  assert.equal((await tool.run('rm', '--force', 'forever')).code, 0);
  assert.equal((await tool.run('ps', '--names')).stdout, '');
});

test('commands on a folder that holds no space, or something else, say so and change nothing', async (t) => {
  const tool = new Tool(t);
  const none = await tool.run('ps');
  assert.equal(none.code, 125);
  assert.match(none.stderr, /there is no space in/);
  assert(!existsSync(tool.space));
  mkdirSync(tool.space);
  writeFileSync(join(tool.space, 'letter.txt'), 'dear');
  const foreign = await tool.run('run', programs.primes!);
  assert.equal(foreign.code, 125);
  assert.equal(foreign.stderr.trim().split('\n').length, 1, foreign.stderr);
  assert.equal(readFileSync(join(tool.space, 'letter.txt'), 'utf8'), 'dear');
});

test('granted folders are seen, read only where asked for; without a grant files stay in the space', async (t) => {
  const missing = canBuild('files');
  if (missing !== undefined) return t.skip(missing); // no tools to build the guest: it names them
  const tool = new Tool(t);
  const files = await guest('files');
  mkdirSync(join(tool.folder, 'shared'));
  const granted = await tool.run('run', '--dir', 'shared::/data', files, '/data', '4');
  assert.equal(granted.code, 0, granted.stdout + granted.stderr);
  assert(readdirSync(join(tool.folder, 'shared')).length > 0);
  const readOnly = await tool.run('run', '--dir', 'shared::/data:ro', files, '/data', '4');
  assert.equal(readOnly.code, 1);
  assert.match(readOnly.stdout, /FAILED/);
  const nowhere = await tool.run('run', '--dir', 'nowhere::/d', files);
  assert.equal(nowhere.code, 125);
  assert.match(nowhere.stderr, /cannot grant nowhere: there is none/);

  const inside = await tool.run('run', '--name', 'mine', files, '/', '4');
  assert.equal(inside.code, 0, inside.stdout + inside.stderr);
  const listed = JSON.parse((await tool.run('files', 'mine', '--json')).stdout) as {
    name: string;
    size: number;
  }[];
  assert(listed.length > 0);
  const { name, size } = listed[0]!;
  const hosted = readFileSync(join(tool.folder, 'shared', name));
  assert.equal(hosted.length, size);
  const taken = await tool.run('files', 'mine', `/${name}`);
  assert.equal(Buffer.compare(Buffer.from(taken.stdout), Buffer.from(hosted.toString())), 0);
  assert.match((await tool.run('files', 'mine', '/none')).stderr, /no file \/none: there is none/);
  assert.equal((await tool.run('rm', 'mine')).code, 0);
  assert.match((await tool.run('files', 'mine')).stderr, /has no files/);
});

test('on a terminal Ctrl-C suspends, colours are used, and what is typed reaches the program', async (t) => {
  const missing = canBuild('cat') ?? (spawnSync('script', ['--version']).error && 'there is no script(1)');
  if (missing !== undefined) return t.skip(String(missing));
  const tool = new Tool(t);
  const command = `${process.execPath} ${LAUNCHER} run --space ${tool.space} ${await guest('cat')}`;
  const { NO_COLOR: _, ...env } = process.env;
  const terminal = spawn('script', ['-qec', command, '/dev/null'], { env: { ...env, TERM: 'xterm' } });
  let seen = '';
  const saw = async (pattern: RegExp) => {
    while (!pattern.test(seen)) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  terminal.stdout.on('data', (bytes) => {
    seen += bytes;
  });
  await ownsSpace(tool);
  terminal.stdin.write('hello\n');
  await saw(/1: 6 bytes/);
  terminal.stdin.write('\x03');
  const code = await new Promise((resolve) => terminal.on('close', resolve));
  assert.equal(code, 130);
  assert(seen.includes('\x1b[2mperdure:\x1b[0m suspended \x1b[1mcat\x1b[0m; to go on: perdure up'), seen);
});

test('under an old Node the launcher takes the program with it when it is killed, and hands signals on', async (t) => {
  const old = '/usr/bin/node';
  const version = Number(
    /^v(\d+)/.exec(spawnSync(old, ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[1],
  );
  if (!(version < 26)) return t.skip('the system has no older Node');
  const tool = new Tool(t);
  const env = { ...process.env, PERDURE_SPACE: tool.space };
  const file = join(tool.folder, 'out');
  const launch = async (...args: string[]) => {
    const size = existsSync(file) ? statSync(file).size : 0;
    const fd = openSync(file, 'a');
    const child = spawn(old, [LAUNCHER, ...args], { stdio: ['ignore', fd, 'ignore'], env });
    while (statSync(file).size < size + 100) await new Promise((resolve) => setTimeout(resolve, 20));
    return child;
  };
  const killed = await launch('run', '--name', 'q', programs.queens!, '16');
  killed.kill('SIGKILL');
  // The space is free again: its owner died with the launcher.
  const next = await launch('up');
  next.kill('SIGINT');
  assert.equal(await new Promise((resolve) => next.on('exit', resolve)), 130);
  const [domain] = JSON.parse((await tool.run('ps', '--json')).stdout);
  assert.deepEqual([domain.name, domain.state], ['q', 'suspended']);
});

test('several programs of one space are told apart by their names', async (t) => {
  const tool = new Tool(t);
  const a = tool.start(['run', '--name', 'a', programs.queens!, '16']);
  await a.saw(/ 1: /);
  const b = tool.start(['run', '--name', 'b', programs.queens!, '16']);
  await b.saw(/ 1: /);
  a.child.kill('SIGKILL');
  b.child.kill('SIGKILL');
  await Promise.all([a.ended, b.ended]);
  const up = tool.start(['up'], { input: '' });
  await up.saw(/^a \| +\d+: queens at/m);
  await up.saw(/^b \| +\d+: queens at/m);
  up.child.kill('SIGINT');
  assert.match((await up.ended).stderr, /suspended a, b; to go on: perdure up/);
});

/** Resolves when a process owns the space: as soon as it does, however long it takes to begin, while one is left. */
async function ownsSpace(tool: Tool, owner?: Started): Promise<void> {
  let over = false;
  void owner?.ended.then(() => {
    over = true;
  });
  for (const until = performance.now() + 120_000; performance.now() < until && !over; ) {
    if (existsSync(join(tool.space, 'control'))) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(over ? `the owner ended: ${(await owner?.ended)?.stderr}` : 'nobody came to own the space');
}

test('a program exported in the middle of its work goes on in another space, and its output joins up', async (t) => {
  const tool = new Tool(t);
  const running = tool.start(['run', programs.queens!, '13']);
  await running.saw(/ 2: /);
  running.child.kill('SIGINT');
  const before = (await running.ended).stdout;
  const exported = await tool.run('export', 'queens', 'q.perdure');
  assert.equal(exported.code, 0, exported.stderr);
  assert.match(exported.stderr, /exported queens to q\.perdure/);
  const other = ['--space', `${tool.space}-2`];
  const imported = await tool.run('import', ...other, '--name', 'moved', 'q.perdure');
  assert.match(imported.stderr, /imported moved \(suspended\); perdure up lets it go on/);
  const after = await tool.run('up', ...other, '--exit-when-idle', '--quiet');
  assert.equal(after.code, 0, after.stderr);
  const whole = await tool.run('run', '--space', `${tool.space}-3`, programs.queens!, '13');
  assert.equal(before + after.stdout, whole.stdout);

  const bytes = readFileSync(join(tool.folder, 'q.perdure'));
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(join(tool.folder, 'bad.perdure'), bytes);
  const damaged = await tool.run('import', 'bad.perdure');
  assert.equal(damaged.code, 126);
  assert.match(damaged.stderr, /checksum.*at byte 0x/);
});
