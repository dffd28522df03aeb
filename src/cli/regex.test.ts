/** The example of code made at run time: a regular expression compiler in C (guests/c/regex.c), under the tool. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { canBuild, guest } from '../../guests/build.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { Tool } from './cli.testing.ts';

const skip = canBuild('regex');
const regex = skip ? '' : await guest('regex');
const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
console.log(`PERDURE_SEED=${seed}`);

function randomExpression(random: Prng, depth: number): string {
  const part = (): string => {
    const kind = random.below(depth > 0 ? 12 : 8);
    if (kind < 5) return random.pick(['a', 'b', 'c', '0', ' ', '\\.', '\\*']);
    if (kind === 5) return random.pick(['.', '\\d', '\\w', '\\s']);
    if (kind === 6) return random.pick(['[ab]', '[^a-c]', '[a-b0-9]', '[^\\s]', '[.*]']);
    if (kind === 7) return random.pick(['^', '$', 'a', 'b']);
    if (kind < 10) return `(${randomExpression(random, depth - 1)})`;
    const repeated = random.pick(['a', 'b', '[ab]', '.', `(${randomExpression(random, depth - 1)})`]);
    return repeated + random.pick(['*', '+', '?']);
  };
  const sequence = (): string => Array.from({ length: 1 + random.below(4) }, part).join('');
  return Array.from({ length: 1 + (random.below(3) === 0 ? 1 : 0) }, sequence).join('|');
}

function randomText(random: Prng, lines: number): string[] {
  return Array.from({ length: lines }, () =>
    Array.from({ length: random.below(12) }, () => random.pick([...'aabbcd01 .*'])).join(''),
  );
}

const run = (tool: Tool, file: string, ...rest: string[]): string[] => [
  ...['run', '--grant', 'compiler', '--dir', `${tool.folder}::/d:ro`, '--name', 'regex'],
  ...[regex, `/d/${file}`, ...rest],
];

test('what it makes finds the lines that JavaScript finds', { skip }, async (t) => {
  const random = new Prng(seed);
  const tool = new Tool(t);
  const lines = randomText(random, 300);
  writeFileSync(join(tool.folder, 'text'), lines.map((line) => `${line}\n`).join(''));
  const expressions: string[] = [];
  while (expressions.length < 60) {
    const expression = randomExpression(random, 2);
    // Those that match everything are refused.
    if (!new RegExp(expression).test('\x01')) expressions.push(expression);
  }
  const expected = expressions.flatMap((expression) => {
    const found = lines.filter((line) => new RegExp(expression).test(line));
    return [...found, `${expression}: ${found.length}`];
  });
  const { code, stdout, stderr } = await tool.run(...run(tool, 'text', ...expressions));
  assert.deepEqual([code, stderr], [0, '']);
  assert.deepEqual(stdout.split('\n').slice(0, -1), expected);
});

test('killed in the middle of code that it made, it goes on there', { skip }, async (t) => {
  const random = new Prng(seed + 1);
  const tool = new Tool(t);
  const lines = randomText(random, 20_000);
  writeFileSync(join(tool.folder, 'text'), lines.join('\n'));
  // Hardly a line matches, so that nearly all the time is spent in what it made.
  const expressions = ['d(b|c)+0+a$', '^\\*+[01 ]+\\*$'];
  const rounds = 3000;
  const first = tool.start(run(tool, 'text', ...expressions, '-n', String(rounds)));
  const inside = async (): Promise<boolean> => {
    const { stdout } = await tool.run('inspect', '--json', 'regex');
    if (stdout === '') return false; // it has not begun
    const { stack } = JSON.parse(stdout) as { stack: { functionName: string; made?: number }[] };
    return stack.some(({ functionName, made }) => functionName === 'find' && made === 1);
  };
  while (!(await inside())) assert.equal(first.child.exitCode, null, 'it runs long enough to be looked at');
  first.child.kill('SIGKILL');
  await first.ended;
  assert.ok(await inside(), 'the last checkpoint has it in what it made');
  const { code, stdout } = await tool.run('up', '--exit-when-idle');
  assert.equal(code, 0);
  const counts = expressions.map((each) => lines.filter((line) => new RegExp(each).test(line)).length);
  assert.equal(stdout, expressions.map((each, i) => `${each}: ${counts[i]! * rounds}\n`).join(''));
});

test('without the grant it is refused with what to do, and in a process of its own as well', {
  skip,
}, async (t) => {
  const tool = new Tool(t);
  const { code, stderr } = await tool.run('run', regex, '-', 'a');
  assert.equal(code, 126);
  assert.match(stderr, /wants the compiler.*--grant compiler/s);
  const alone = await tool.run('run', '--grant', 'compiler', '--isolation', 'process', regex, '-', 'a');
  assert.equal(alone.code, 126);
  assert.match(alone.stderr, /process of its own cannot make code.*--isolation space/s);
  assert.match((await tool.run('run', '--grant', 'moon', regex)).stderr, /nothing called "moon".*compiler/s);
  assert.match((await tool.run('run', '--grant', 'compler', regex)).stderr, /did you mean "compiler"/);
});
