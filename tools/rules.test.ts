import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  codeLines,
  contractBreaches,
  importBreaches,
  importsOf,
  longestFunction,
  sizeBreaches,
  TRUSTED_LINES,
  VERIFIER_LINES,
  verifierBreaches,
  verifierFiles,
} from './rules.ts';

const rules = (file: string, text: string) => importBreaches(file, text).map((breach) => breach.rule);

test('imports are found in every form they are written in', () => {
  const text = `import a from './a.ts';
import {
  b,
  type C,
} from './b.ts';
import type { D } from './d.ts';
import { type E, type F } from './e.ts';
import './f.ts';
export * from './g.ts';
export type { H } from './h.ts';
const later = await import('./i.ts');
// import nothing
`;
  assert.deepEqual(
    importsOf(text).map(({ from, line, typeOnly }) => `${from} ${line} ${typeOnly}`),
    [
      './a.ts 1 false',
      './b.ts 2 false',
      './d.ts 6 true',
      './e.ts 7 true',
      './f.ts 8 false',
      './g.ts 9 false',
      './h.ts 10 true',
      './i.ts 11 false',
    ],
  );
});

test('the compiler and the verifier may not import each other', () => {
  assert.deepEqual(rules('src/compiler/a.ts', "import { v } from '../verifier/b.ts';\n"), [
    'compiler may not import verifier',
  ]);
  assert.deepEqual(rules('src/verifier/a.ts', "import type { v } from '../compiler/b.ts';\n"), [
    'verifier may not import compiler',
  ]);
});

test('the kernel may import types of the store and nothing of compiler, drivers, personalities', () => {
  assert.deepEqual(rules('src/kernel/a.ts', "import type { S } from '../store/index.ts';\n"), []);
  assert.deepEqual(rules('src/kernel/a.ts', "import { s } from '../store/index.ts';\n"), [
    'kernel may import only types from store',
  ]);
  for (const layer of ['compiler', 'drivers', 'personalities', 'cli']) {
    assert.equal(rules('src/kernel/a.ts', `import { x } from '../${layer}/b.ts';\n`).length, 1, layer);
  }
});

test('node: and packages are for drivers, the engine adapter and the composition roots', () => {
  const text = "import { readFileSync } from 'node:fs';\n";
  assert.equal(rules('src/kernel/a.ts', text).length, 1);
  assert.equal(rules('src/store/checkpoint.ts', text).length, 1);
  for (const file of [
    'src/drivers/a.ts',
    'src/store/engine-lmdb.ts',
    'src/cli/a.ts',
    'src/index.ts',
    'src/kernel/a.test.ts',
  ]) {
    assert.deepEqual(rules(file, text), [], file);
  }
});

test('a folder under src that the design does not know is a breach', () => {
  assert.match(rules('src/utils/a.ts', '')[0]!, /no layer/);
});

test('the longest function is measured, whatever kind it is', () => {
  const body = (count: number) => '    x();\n'.repeat(count);
  const text = `function a() {\n${body(3)}}\nclass B {\n  method(x: number): void {\n${body(9)}  }\n}\nconst c = () => {\n${body(5)}};\n`;
  assert.deepEqual(longestFunction(text), { lines: 11, at: 7 });
});

test('files and functions past their size are breaches, and exceptions are exact', () => {
  const text = `${'x();\n'.repeat(451)}`;
  assert.equal(sizeBreaches('a.ts', text, {}).length, 1);
  assert.equal(sizeBreaches('a.ts', text, { 'a.ts': 451 }).length, 0);
  assert.equal(sizeBreaches('a.ts', text, { 'a.ts': 450 }).length, 1);
  const long = `function a() {\n${'  x();\n'.repeat(69)}}\n`;
  assert.equal(sizeBreaches('a.ts', long, {}).length, 1);
  assert.equal(sizeBreaches('a.ts', long, { 'a.ts()': 71 }).length, 0);
});

test('each file opens with a comment that says what it is', () => {
  assert.equal(contractBreaches('a.ts', 'const a = 1;\n').length, 1);
  assert.equal(contractBreaches('a.ts', '/** This. */\n').length, 0);
  assert.equal(contractBreaches('a.mjs', '#!/usr/bin/env node\n/** This. */\n').length, 0);
});

test('the verifier is counted with all it imports, comments and blank lines left out', () => {
  const texts = new Map([
    ['src/verifier/verify.ts', "import { a } from './a.ts';\nimport type { B } from '../abi/b.ts';\n"],
    ['src/verifier/resume.ts', "import { a } from './a.ts';\n"],
    ['src/verifier/a.ts', ''],
    ['src/abi/b.ts', "export { c } from '../base/c.ts';\n"],
    ['src/base/c.ts', ''],
    ['src/base/d.ts', ''],
  ]);
  const files = ['abi/b', 'base/c', 'verifier/a', 'verifier/resume', 'verifier/verify'];
  assert.deepEqual(
    verifierFiles(texts),
    files.map((file) => `src/${file}.ts`),
  );
  assert.equal(
    codeLines('/** What\n * it is. */\n\nconst a = 1; // one\n  // two\n/* three */\n  b();\n'),
    2,
  );
  assert.equal(verifierBreaches(VERIFIER_LINES, TRUSTED_LINES).length, 0);
  assert.match(verifierBreaches(10, TRUSTED_LINES + 1)[0]!.rule, /imports: \d+ lines; at most/);
  assert.equal(verifierBreaches(VERIFIER_LINES + 1, TRUSTED_LINES + 1).length, 2);
});
