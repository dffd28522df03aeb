import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { EnvironmentError } from '../base/errors.ts';
import { parse } from './args.ts';
import { COMMANDS } from './commands.ts';
import { completionScript } from './completion.ts';
import { commandHelp, overview } from './help.ts';
import { clean } from './output.ts';
import { suggest } from './suggest.ts';
import { parseSize, parseTime, showSize, showTime } from './units.ts';

function refusal(...words: string[]): string {
  try {
    parse(words);
  } catch (error) {
    assert(error instanceof EnvironmentError);
    assert.equal(error.code, 'usage');
    assert.doesNotMatch(error.message + error.hint, /\n/);
    return `${error.message} (${error.hint})`;
  }
  throw new Error(`accepted: ${words.join(' ')}`);
}

test('options before the program are ours and everything after it is the program’s', () => {
  const parsed = parse([
    'run',
    '--memory',
    '64M',
    '-e',
    'A=1',
    '--env=B=2',
    'p.wasm',
    '--memory',
    '-x',
    '--',
  ]);
  assert.equal(parsed.command.name, 'run');
  assert.equal(parsed.values.get('memory'), '64M');
  assert.deepEqual(parsed.lists.get('env'), ['A=1', 'B=2']);
  assert.deepEqual(parsed.positionals, ['p.wasm', '--memory', '-x', '--']);
});

test('two dashes end our options, also for a program whose name begins with a dash', () => {
  assert.deepEqual(parse(['run', '-d', '--', '-odd.wasm', '-v']).positionals, ['-odd.wasm', '-v']);
  assert.deepEqual(parse(['rm', '--force', '--', '-odd']).positionals, ['-odd']);
});

test('options of other commands may stand on both sides of their arguments', () => {
  const parsed = parse(['inspect', 'db', '--json', '-s', 'folder']);
  assert(parsed.flags.has('json'));
  assert.equal(parsed.values.get('space'), 'folder');
  assert.deepEqual(parsed.positionals, ['db']);
});

test('options with values may stand before the command', () => {
  const parsed = parse(['--space', 'folder', '--json', 'ps']);
  assert.equal(parsed.command.name, 'ps');
  assert.equal(parsed.values.get('space'), 'folder');
  assert(parsed.flags.has('json'));
  assert.deepEqual(parse(['-s', 'folder', 'run', 'p.wasm', '-s']).positionals, ['p.wasm', '-s']);
  assert.match(refusal('--space', 'folder', 'rnu'), /no command "rnu" \(did you mean "run"\?\)/);
  assert.match(refusal('--space=folder', 'rnu'), /no command "rnu"/);
  assert.match(refusal('--spaec', 'folder', 'ps'), /no option --spaec/);
});

test('a typo is answered with what was probably meant', () => {
  assert.match(refusal('rnu', 'p.wasm'), /no command "rnu" \(did you mean "run"\?\)/);
  assert.match(refusal('atach', 'x'), /did you mean "attach"/);
  assert.match(refusal('run', '--memroy', '1', 'p.wasm'), /no option --memroy \(did you mean --memory\?\)/);
  assert.match(refusal('frobnicate'), /see perdure help/);
  assert.match(refusal('p.wasm'), /perdure run p\.wasm/);
});

test('missing and surplus arguments are named', () => {
  assert.match(refusal('run'), /needs PROGRAM\.wasm/);
  assert.match(refusal('run', '--name'), /--name needs a value: --name NAME/);
  assert.match(refusal('attach'), /needs NAME/);
  assert.match(refusal('ps', 'x'), /takes no "x"/);
  assert.match(refusal('run', '--detach=yes', 'p'), /--detach takes no value/);
});

test('no arguments at all mean help, and so do --help and --version anywhere', () => {
  assert.equal(parse([]).command.name, 'help');
  assert(parse(['--version']).flags.has('version'));
  assert(parse(['run', '--help']).flags.has('help'));
  assert.equal(parse(['-h', 'run']).command.name, 'run');
  assert(parse(['-h', 'run']).flags.has('help'));
});

test('every command has help that names each of its options and fits the screen', () => {
  assert(
    overview()
      .split('\n')
      .every((line) => line.length <= 120),
    'overview too wide',
  );
  for (const command of COMMANDS) {
    const text = commandHelp(command);
    for (const option of command.options) assert.match(text, new RegExp(`--${option.name}\\b`));
    assert(
      text.split('\n').every((line) => line.length <= 120),
      `${command.name} too wide`,
    );
    assert.match(overview(), new RegExp(`^  ${command.name} `, 'm'));
  }
});

test('every example in the help is accepted by the parser', () => {
  for (const command of COMMANDS) {
    for (const [line] of command.examples) {
      const first = line.split(/ \|| >|&&|\)/)[0]!.replace(/^source <\(/, '');
      assert.equal(parse(first.trim().split(' ').slice(1)).command.name, command.name);
    }
  }
});

test('sizes and times are read strictly and shown briefly', () => {
  assert.equal(parseSize('64M', 'memory'), 64 << 20);
  assert.equal(parseSize('1.5GiB', 'memory'), 1.5 * 2 ** 30);
  assert.equal(parseSize('65536', 'memory'), 65536);
  for (const bad of ['', 'x', '-1', '1T', '0', '1e9', ' 1']) assert.throws(() => parseSize(bad, 'memory'));
  assert.equal(parseTime('500ms', 'cpu'), 500);
  assert.equal(parseTime('2', 'cpu'), 2000);
  assert.equal(parseTime('1.5m', 'cpu'), 90_000);
  for (const bad of ['', 's', '0s', '-1s', '1d', '1 0s']) assert.throws(() => parseTime(bad, 'cpu'));
  assert.equal(showSize(1536), '1.5 KiB');
  assert.equal(showSize(3), '3 B');
  assert.equal(showTime(61_500), '1m01s');
  assert.equal(showTime(12), '12ms');
});

test('suggestions stay near what was typed', () => {
  assert.equal(suggest('rn', ['run', 'up']), 'run');
  assert.equal(suggest('xyz', ['run', 'up']), undefined);
  assert.equal(suggest('urn', ['run', 'up']), 'run');
});

test('names from elsewhere cannot drive the terminal', () => {
  assert.equal(clean('a\x1b[2Jb\u202e'), 'a\\x1b[2Jb\\x202e');
});

test('the bash completion script completes commands and options', { skip: !hasBash() }, () => {
  const ask = (line: string) => {
    const script = `${completionScript('bash')}
COMP_WORDS=(${line}); COMP_CWORD=$((\${#COMP_WORDS[@]}-1)); _perdure; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stdout.trim().split('\n');
  };
  assert.deepEqual(ask('perdure in'), ['inspect']);
  assert.deepEqual(ask('perdure run --vol'), ['--volatile']);
  assert.deepEqual(ask('perdure help at'), ['attach']);
  assert.deepEqual(ask('perdure run --isolation p'), ['process']);
  assert.deepEqual(ask('perdure run --isolation process --ma'), ['--map']);
  assert.deepEqual(ask('perdure up --output at-l'), ['at-least-once']);
  assert.match(completionScript('fish'), /-a run/);
  assert.match(completionScript('zsh'), /^#compdef perdure/);
  assert.throws(() => completionScript('bsh'), /no completion/);
});

function hasBash(): boolean {
  return spawnSync('bash', ['-c', 'true']).status === 0;
}
