/**
 * The binary modules of the specification's own tests: those it calls malformed are refused, the others are read. The
 * scripts are looked for in the folder PERDURE_TESTSUITE, or in ../shared/testsuite.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MalformedError, UnsupportedError } from '../base/errors.ts';
import { decodeAll, encodeModule } from './module.ts';
import { parts } from './wat.testing.ts';

const FOLDER = process.env.PERDURE_TESTSUITE ?? join(import.meta.dirname, '../../../shared/testsuite');

interface BinaryModule {
  bytes: Uint8Array<ArrayBuffer>;
  /** What the script says about it: 'module', 'assert_malformed', 'assert_invalid'… */
  command: string;
  line: number;
}

const TOKEN = /;;[^\n]*|\(;[\s\S]*?;\)|"(?:[^"\\]|\\[\s\S])*"|[()]|[^\s()";]+/g;

/** All `(module binary "…")` of a script, with the command around each. */
function binaryModules(script: string): BinaryModule[] {
  const tokens = [...script.matchAll(TOKEN)].filter(([token]) => !/^(;;|\(;)/.test(token));
  const text = (i: number): string => tokens[i]?.[0] ?? '';
  const modules: BinaryModule[] = [];
  let command = '';
  for (let i = 0; i < tokens.length; i++) {
    if (text(i - 1) !== '(') continue;
    if (text(i).startsWith('assert_')) command = text(i);
    if (text(i) !== 'module') continue;
    const outer = text(i - 2) === command ? command : 'module';
    const line = script.slice(0, tokens[i]!.index).split('\n').length;
    let at = i + 1;
    while (text(at) === 'definition' || text(at).startsWith('$')) at++;
    if (text(at) !== 'binary') continue;
    let bytes = '';
    for (at++; text(at).startsWith('"'); at++) bytes += unquote(text(at));
    modules.push({ bytes: Uint8Array.from(Buffer.from(bytes, 'latin1')), command: outer, line });
  }
  return modules;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };

/** A string of the text format as one character a byte. */
function unquote(token: string): string {
  const bytes = Buffer.from(token.slice(1, -1), 'utf8').toString('latin1');
  return bytes.replace(/\\(?:([0-9a-fA-F]{2})|([\s\S]))/g, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? (ESCAPES[letter] ?? letter) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

const skip = existsSync(FOLDER) ? false : `no scripts in ${FOLDER}: set PERDURE_TESTSUITE to their folder`;

test('the malformed modules of the specification are refused, and the others read', { skip }, () => {
  const counts = { malformed: 0, read: 0, unsupported: 0 };
  const wrong: string[] = [];
  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.wast'))) {
    for (const { bytes, command, line } of binaryModules(readFileSync(join(FOLDER, file), 'utf8'))) {
      const where = `${file}:${line}`;
      try {
        const module = decodeAll(bytes);
        if (command === 'assert_malformed') wrong.push(`${where}: accepted`);
        assert.deepEqual(parts(decodeAll(encodeModule(module))), parts(module), where);
        counts.read++;
      } catch (error) {
        if (error instanceof UnsupportedError) counts.unsupported++;
        else if (!(error instanceof MalformedError)) throw error;
        else if (command === 'assert_malformed') counts.malformed++;
        else if (WebAssembly.validate(bytes)) wrong.push(`${where}: ${error.message}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(counts.malformed > 200 && counts.read > 50, JSON.stringify(counts));
});
