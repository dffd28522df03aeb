import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { RESOURCE } from '../src/abi/account.ts';
import { DOMAIN_FLAG } from '../src/abi/domains.ts';
import { ERRNO } from '../src/abi/errno.ts';
import { OBJECT, RIGHT } from '../src/abi/objects.ts';
import { OPERATION, OPTION, SUBMIT, TABLE_KIND } from '../src/abi/ring.ts';
import { load, TestSystem } from '../src/kernel/kernel.testing.ts';
// @ts-expect-error: AssemblyScript's compiler loads this transform as JavaScript, so it has no types
import Gates from './assembly/gates.mjs';
import { ASSEMBLY_SCRIPT, C, declaredIn, type Example, examplesOf } from './examples.ts';
import { clang, missingClang } from './toolchain.ts';

const INCLUDE = join(import.meta.dirname, 'include');
const PARTS = join(INCLUDE, 'perdure');
const headers = readdirSync(PARTS).map((name) => ({ name, text: readFileSync(join(PARTS, name), 'utf8') }));

/** Runs an exported function in a domain of its own that was granted "peer", one of the same program; what it said, and how it ended. */
async function run(bytes: Uint8Array, entry: string): Promise<{ end: string; texts: string[] }> {
  const system = new TestSystem();
  const module = load(bytes);
  // Of a program that calls another the peer is never run itself, so it needs no grant of its own.
  const peer = system.add('peer', module, { trapUnknownImports: true });
  const grants = [{ name: 'peer', ...system.kernel.authority.domain(peer) }];
  const id = system.add('example', module, { grants });
  system.kernel.start(id, entry);
  const over = (): boolean => ['exited', 'idle'].includes(system.kernel.status(id).state);
  for (let i = 0; i < 100 && !over(); i++) {
    system.runAll();
    system.powers.ns += 1_000_000n;
  }
  const { end, reason, state } = system.kernel.status(id);
  // A domain with procedures lives on when it has nothing to do.
  const done = state === 'idle' ? 'exit' : end;
  return { end: end === 'trap' ? reason : done, texts: system.personality.texts };
}

const PROLOGUE = `#include "perdure.h"
__attribute__((import_module("env"), import_name("text"))) void say(const char *text);
#define assert(condition) do { if (!(condition)) { say(#condition); __builtin_trap(); } } while (0)
`;

/** A program by itself, instead of lines for a function. */
const MAIN = 'int main(void) {';
const isWhole = ({ code }: Example): boolean => code.includes(MAIN);

async function compileExamples(
  name: string,
  examples: readonly Example[],
  flags: readonly string[],
): Promise<Uint8Array> {
  const folder = mkdtempSync(join(tmpdir(), 'perdure-examples-'));
  try {
    const functions = examples.map((example) => {
      const exported = `__attribute__((export_name("${example.name}")))`;
      const line = `#line ${example.line} "${name}"\n`;
      if (isWhole(example)) return line + example.code.replace(MAIN, `${exported} int run_example(void) {`);
      return `${exported} void example_${example.name}(void) {\n${line}${example.code}\n}\n`;
    });
    writeFileSync(join(folder, 'examples.c'), PROLOGUE + functions.join(''));
    const out = join(folder, 'examples.wasm');
    const all = ['-I', INCLUDE, '-nostartfiles', '-Wl,--no-entry', '-Wl,-z,stack-size=65536', ...flags];
    await clang([join(folder, 'examples.c'), '-Wno-unused-variable', ...all, '-o', out]);
    return readFileSync(out);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

for (const { name, text } of headers) {
  const examples = examplesOf(text, C);
  test(`each function of perdure/${name} has an example, which does what it says`, {
    skip: missingClang(),
  }, async () => {
    const told = new Set(examples.map((example) => example.name));
    for (const declared of declaredIn(text, C)) assert.ok(told.has(declared), `${declared} has an example`);
    if (examples.length === 0) return;
    for (const flags of [[], ['-O0'], ['-matomics', '-mbulk-memory']]) {
      const snippets = examples.filter((example) => !isWhole(example));
      const together = snippets.length > 0 ? await compileExamples(name, snippets, flags) : null;
      for (const example of examples) {
        const bytes = isWhole(example) ? await compileExamples(name, [example], flags) : together;
        const { end, texts } = await run(bytes as Uint8Array, example.name);
        assert.deepEqual([end, texts], ['exit', []], `${name}:${example.line} ${example.name} ${flags}`);
      }
    }
  });
}

test('the headers are C11 and C++17, without a warning', { skip: missingClang() }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'perdure-headers-'));
  try {
    const file = join(folder, 'headers.c');
    writeFileSync(file, '#include "perdure.h"\nint main(void) { return perdure_count(); }\n');
    for (const language of [
      ['-x', 'c', '-std=c11', '-pedantic'],
      ['-x', 'c++', '-std=c++17'],
    ]) {
      await clang([...language, '-Werror', '-fsyntax-only', '-I', INCLUDE, file]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

const ASSEMBLY = readFileSync(join(import.meta.dirname, 'assembly', 'perdure.as'), 'utf8');

test('each function of the library for AssemblyScript has an example, which does what it says', async () => {
  const examples = examplesOf(ASSEMBLY, ASSEMBLY_SCRIPT);
  const told = new Set(examples.map((example) => example.name));
  const names = declaredIn(ASSEMBLY, ASSEMBLY_SCRIPT).filter((name) => name !== 'Description');
  for (const name of names) assert.ok(told.has(name), `${name} has an example`);
  assert.ok(names.length >= 10);
  const imports = `import { ${[...names, 'DomainFlag', 'Errno', 'Operation', 'Resource', 'Right', 'Submit', 'TableKind', 'FOREVER'].join(', ')} } from "./perdure";\n`;
  const whole = (example: Example): boolean => example.code.includes(ASSEMBLY_MAIN);
  const together = examples
    .filter((example) => !whole(example))
    .map(({ name, code }) => `export function example_${name}(): void {\n${code}\n}\n`)
    .join('');
  for (const runtime of ['stub', 'incremental']) {
    const bytes = await compileAssembly(imports + together, runtime);
    for (const example of examples) {
      const { name, line, code } = example;
      if (whole(example) && runtime === 'stub') continue;
      const alone = whole(example) ? await compileAssembly(imports + code, runtime) : null;
      const { end } = await run(alone ?? bytes, alone === null ? `example_${name}` : 'main');
      assert.equal(end, 'exit', `perdure.as:${line} ${name} ${runtime}`);
    }
  }
});

/** A program by itself, instead of lines for a function. */
const ASSEMBLY_MAIN = 'export function main()';

async function compileAssembly(source: string, runtime: string): Promise<Uint8Array> {
  const { main } = await import('assemblyscript/asc');
  let bytes: Uint8Array | undefined;
  const files: Record<string, string> = { 'main.ts': source, 'perdure.ts': ASSEMBLY };
  const flags = ['--runtime', runtime, '--use', 'abort=', '-O2', '--outFile', 'out.wasm'];
  const { error, stderr } = await main(['main.ts', ...flags], {
    readFile: (name: string) => files[name] ?? null,
    writeFile: (_name: string, contents: Uint8Array | string) => {
      if (typeof contents !== 'string') bytes = contents;
    },
    listFiles: () => [],
    transforms: [Gates as never],
  });
  assert.ok(error === null && bytes !== undefined, stderr.toString());
  return bytes;
}

test("each of the kernel's calls is in both libraries", () => {
  const calls = new TestSystem().kernel.core.calls.names();
  const c = headers.map((header) => header.text).join('\n');
  const missing = (text: string, pattern: (name: string) => string): string[] =>
    calls.filter((name) => !text.includes(pattern(name)));
  assert.deepEqual(
    missing(c, (name) => `PERDURE_KERNEL("${name}")`),
    [],
  );
  assert.deepEqual(
    missing(ASSEMBLY, (name) => `@external("perdure_kernel", "${name}")`),
    [],
  );
});

test('the numbers in the libraries are those of the kernel', () => {
  const text = headers.map((header) => header.text).join('\n');
  const numbers = new Map(
    [...text.matchAll(/^ {2}PERDURE_(\w+) = (\d+),/gm)].map(([, name, value]) => [
      name as string,
      Number(value),
    ]),
  );
  const upper = (name: string): string => name.replace(/[A-Z]/g, '_$&').toUpperCase();
  for (const [name, value] of Object.entries(ERRNO)) {
    if (numbers.has(name) || value >= 128) assert.equal(numbers.get(name), value, name);
  }
  for (const [name, value] of Object.entries(RIGHT)) assert.equal(numbers.get(upper(name)), value, name);
  for (const [name, value] of Object.entries(OBJECT)) {
    assert.equal(numbers.get(name === 'kind' ? 'PROGRAMMED' : upper(name)), value, name);
  }
  for (const [name, value] of Object.entries(OPERATION))
    assert.equal(numbers.get(`OP_${upper(name)}`), value, name);
  for (const [name, value] of Object.entries(OPTION))
    assert.equal(numbers.get(`OPTION_${upper(name)}`), value, name);
  for (const [name, value] of Object.entries(SUBMIT))
    assert.equal(numbers.get(`SUBMIT_${upper(name)}`), value, name);
  for (const [name, value] of Object.entries(DOMAIN_FLAG))
    assert.equal(numbers.get(`DOMAIN_${upper(name)}`), value, name);
  for (const [name, value] of Object.entries(RESOURCE)) assert.equal(numbers.get(upper(name)), value, name);
  const tables: Record<string, Readonly<Record<string, number>>> = {
    ...{
      Errno: ERRNO,
      Right: RIGHT,
      Operation: OPERATION,
      Resource: RESOURCE,
      Option: OPTION,
      Submit: SUBMIT,
    },
    ...{ DomainFlag: DOMAIN_FLAG, TableKind: TABLE_KIND },
  };
  for (const [title, table] of Object.entries(tables)) {
    const body = new RegExp(`namespace ${title} \\{([^}]*)\\}`).exec(ASSEMBLY)?.[1] ?? '';
    const told = [...body.matchAll(/const (\w+): i32 = (\d+)/g)];
    // Of the errors only those that the kernel gives.
    const all = title === 'Errno' ? [] : Object.keys(table).map(upper);
    const names = told.map(([, key]) => key);
    assert.deepEqual(
      all.filter((key) => !names.includes(key)),
      [],
      title,
    );
    for (const [, key = '', value = ''] of told) {
      const known = Object.keys(table).find((each) => upper(each) === key || each === key);
      if (!['ALL', 'COUNT', 'CANCELED', 'RELEASED'].includes(key) || title === 'Errno')
        assert.equal(table[known ?? ''], Number(value), `${title}.${key}`);
    }
  }
});
