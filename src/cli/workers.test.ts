/** A program in C that makes domains of itself and talks with them through shared memory (guests/c/workers.c), under the tool. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { longest } from '../../conformance/kill-programs.ts';
import { canBuild, guest } from '../../guests/build.ts';
import { Tool } from './cli.testing.ts';

const skip = canBuild('workers');

/** Lines, without the name that stands before each where there are several programs. */
const linesOf = (text: string): string[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^\w+ \| /, ''));

test('a program that is several domains gives one answer, killed in the middle of their talk as well', {
  skip,
}, async (t) => {
  const tool = new Tool(t);
  const program = await guest('workers');
  const want = longest(2000);
  const whole = await tool.run('run', '--name', 'whole', program, '3', '2000');
  assert.deepEqual([whole.code, linesOf(whole.stdout)], [0, want], whole.stderr);
  const first = tool.start(['run', '--name', 'killed', program, '4', '2000']);
  await first.saw(/up to [35]00000:/);
  first.child.kill('SIGKILL');
  const { stdout: before } = await first.ended;
  const list = JSON.parse((await tool.run('ps', '--json')).stdout) as { name: string; state: string }[];
  const alive = list.filter(({ state }) => state !== 'exited').map(({ name }) => name);
  assert.deepEqual(alive.toSorted(), ['killed', ...[0, 1, 2, 3].map((i) => `killed/w${i}`)]);
  const { code, stdout, stderr } = await tool.run('up', '--exit-when-idle');
  assert.equal(code, 0, stderr);
  const after = linesOf(stdout);
  // What was on its way when the process died is said again; nothing else is, and nothing is left out.
  const said = linesOf(before).filter((line) => want.includes(line));
  const again = said.filter((line) => after.includes(line));
  assert.deepEqual([...said.slice(0, said.length - again.length), ...after], want);
  const left = JSON.parse((await tool.run('ps', '--json')).stdout) as { name: string }[];
  assert.deepEqual(left.map(({ name }) => name).toSorted(), ['killed', 'whole'], 'the workers went with it');
});
