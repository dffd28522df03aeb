/** Source lines in what the tool says of programs: when they trap, while they are suspended, after a crash. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { canBuild, guest } from '../../guests/build.ts';
import { Tool } from './cli.testing.ts';
import type { ExitReport } from './types.ts';

const guests = join(import.meta.dirname, '..', '..', 'guests', 'debug');

/** The line of a guest's source that says so in a comment. */
function line(file: string, what: string): number {
  const lines = readFileSync(join(guests, file), 'utf8').split('\n');
  return lines.findIndex((text) => text.includes(`line: ${what}`)) + 1;
}
const c = (what: string): string => `faults.c:${line('faults.c', what)}`;

/** `name file:line` of the frames of a printed stack, without columns and what follows. */
function shown(text: string): string[] {
  return [...text.matchAll(/^ +(?:at|#\d+) +(\S+) \((?:\S*\/)?(\S+?:\d+)(?::\d+)?\)/gm)].map(
    ([, name, place]) => `${name} ${place}`,
  );
}

const missing = { skip: canBuild('debug/faults-O2') ?? false };
const below = [`fault ${c('fault')}`, `twice ${c('twice')}`, `work ${c('work')}`];

for (const level of ['-O0', '-O2']) {
  test(
    `a trap of a program with DWARF is told by source lines, as text, as JSON and later (${level})`,
    missing,
    async (t) => {
      const tool = new Tool(t);
      const file = await guest(`debug/faults${level}`);
      const said = await tool.run('run', '--name', 'a', file);
      assert.equal(said.code, 134);
      assert.match(said.stderr, /^perdure: a: trap: out of bounds memory access\n {2}at fault \(/);
      assert.deepEqual(shown(said.stderr).slice(0, 3), below);
      assert.equal(/\) {2}inlined\n/.test(said.stderr), level === '-O2');
      const { stdout } = await tool.run('inspect', 'a');
      assert.match(stdout, /call stack when it ended, innermost first:/);
      assert.deepEqual(shown(stdout), shown(said.stderr));
      const json = await tool.run('run', '--json', '--name', 'b', file);
      const { exitCode, reason, frames } = JSON.parse(json.stderr) as ExitReport;
      assert.deepEqual([exitCode, reason], [134, 'trap: out of bounds memory access']);
      assert.deepEqual(
        frames.slice(0, 3).map(({ functionName, source, inlined }) => [functionName, source?.line, inlined]),
        ['fault', 'twice', 'work'].map((name) => [
          name,
          line('faults.c', name),
          level === '-O2' && name !== 'work',
        ]),
      );
      assert.ok(frames.every((frame) => frame.source !== null || frame.offset > 0));
    },
  );
}

test('a deep recursion is told from both ends; an abort begins in the library', missing, async (t) => {
  const tool = new Tool(t);
  const file = await guest('debug/faults-O2');
  const deep = shown((await tool.run('run', '--name', 'a', file, 'deep')).stderr);
  assert.deepEqual(deep.slice(0, 3), below);
  assert.equal(deep[4], `deep ${c('deep')}`);
  assert.match(deep.at(-1)!, /^_start crt1-command\.c:/);
  assert.match(
    (await tool.run('run', '--name', 'b', file, 'deep')).stderr,
    /\n {2}… \d{4} frames left out …\n/,
  );
  const abort = await tool.run('run', '--name', 'c', file, 'abort');
  assert.match(abort.stderr, /trap: unreachable\n {2}at abort/);
});

test(
  'a killed program is inspected with lines, goes on, and its trap tells the frames from before',
  missing,
  async (t) => {
    const tool = new Tool(t);
    const grant = ['--dir', `${tool.folder}::/d`];
    const run = tool.start([
      'run',
      '--name',
      'late',
      ...grant,
      await guest('debug/faults-O2'),
      'late',
      '/d/go',
    ]);
    const sleeps = async (): Promise<boolean> =>
      shown((await tool.run('inspect', 'late')).stdout).includes(`late ${c('sleep')}`);
    while (!(await sleeps())) await new Promise((resolve) => setTimeout(resolve, 20));
    run.child.kill('SIGKILL');
    await run.ended;
    const suspended = shown((await tool.run('inspect', 'late')).stdout);
    assert.ok(suspended.includes(`late ${c('sleep')}`), suspended.join('\n'));
    assert.ok(suspended.includes(`main ${c('main')}`), suspended.join('\n'));
    writeFileSync(join(tool.folder, 'go'), '');
    const up = await tool.run('up', '--exit-when-idle');
    assert.equal(up.code, 134);
    assert.deepEqual(shown(up.stderr).slice(0, 5), [...below, `late ${c('late')}`, `main ${c('main')}`]);
  },
);

test('a source map beside the program is kept with it, and goes where it goes', async (t) => {
  const tool = new Tool(t);
  const built = await guest('debug/faults-as');
  const [file, map] = [join(tool.folder, 'as.wasm'), join(tool.folder, 'faults-as.wasm.map')];
  copyFileSync(built, file);
  copyFileSync(`${built}.map`, map);
  // What AssemblyScript inlines itself, its map knows nothing of.
  const expected = ['inner', 'start'].map((what) => line('faults.as', what));
  const lines = (text: string) =>
    [...text.matchAll(/\/faults\.ts:(\d+):\d+\)/g)].map(([, number]) => Number(number));
  const first = await tool.run('run', '--name', 'a', file);
  assert.equal(first.code, 134);
  assert.deepEqual(lines(first.stderr), expected);
  rmSync(map);
  assert.deepEqual(lines((await tool.run('run', '--name', 'b', file)).stderr), lines(first.stderr));
  assert.deepEqual(lines((await tool.run('inspect', 'a')).stdout), lines(first.stderr));
});

test('a source map is looked for below the folder of the program only, and has to be one', async (t) => {
  const tool = new Tool(t);
  const [file, map] = [join(tool.folder, 'as.wasm'), join(tool.folder, 'faults-as.wasm.map')];
  const built = await guest('debug/faults-as');
  copyFileSync(built, file);
  symlinkSync(`${built}.map`, map);
  const outside = await tool.run('run', '--name', 'a', file);
  assert.doesNotMatch(outside.stderr, /faults\.ts/);
  rmSync(map);
  writeFileSync(map, '{"version":3}');
  const broken = await tool.run('run', '--name', 'b', file);
  assert.match(
    broken.stderr,
    /faults-as\.wasm\.map: the source map has no sources or no mappings; call stacks/,
  );
  assert.match(broken.stderr, /at \S*_start {2}\+0x/);
});
