/** The table of codes says what the sources throw: no more, and, which the compiler sees to, no less. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ENVIRONMENT_CODES, isEnvironmentCode } from './codes.ts';
import { EnvironmentError } from './errors.ts';

const ROOT = join(import.meta.dirname, '../..');

/** Codes in a source text: the first arguments of EnvironmentErrors, and of functions that make them of a code. */
function codesIn(text: string): string[] {
  const made = [...text.matchAll(/new EnvironmentError\(\s*'([^']*)'/g)];
  const handed = /code: EnvironmentCode,[^)]*\)/.test(text)
    ? [...text.matchAll(/\brefuse\(\s*'([^']*)'/g)]
    : [];
  return [...made, ...handed].map((found) => found[1]!);
}

test('every code that the sources throw is in the table, and nothing else is', () => {
  const thrown = new Set<string>();
  for (const file of globSync('{src,tools,bench,guests}/**/*.ts', { cwd: ROOT })) {
    if (/\.test(ing)?\.ts$/.test(file)) continue;
    for (const code of codesIn(readFileSync(join(ROOT, file), 'utf8'))) thrown.add(code);
  }
  assert(thrown.size > 40, 'codes are found at all');
  assert.deepEqual([...thrown].sort(), Object.keys(ENVIRONMENT_CODES).sort());
  for (const says of Object.values(ENVIRONMENT_CODES)) assert.match(says, /^[A-Z].*\.$/);
});

test('names of what every object has are no codes', () => {
  assert(isEnvironmentCode('usage'));
  for (const name of ['constructor', '__proto__', 'toString', '']) assert(!isEnvironmentCode(name), name);
  assert.equal(new EnvironmentError('usage', 'so not').code, 'usage');
});
