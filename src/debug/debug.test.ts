/** Debug information made by hand, by clang, and by nobody in his right mind. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { canBuild, guest } from '../../guests/build.ts';
import type { SourceFrame } from '../abi/program.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { compactMap, debugSections, programSources, sourceMapUrl } from './index.ts';

const text = (string: string): number[] => [...new TextEncoder().encode(string), 0];
const u32 = (value: number): number[] =>
  [value, value >> 8, value >> 16, value >> 24].map((byte) => byte & 0xff);
const leb = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)]);
const sized = (bytes: number[]): number[] => [...leb(bytes.length), ...bytes];

/** A module with a code section of one function and these custom sections. */
function moduleWith(customs: Record<string, number[]>): Uint8Array {
  const code = [1, ...sized([0, ...new Array<number>(60).fill(1), 0x0b])];
  const pieces: number[][] = [[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 10], sized(code)];
  for (const [name, bytes] of Object.entries(customs)) {
    const title = sized([...new TextEncoder().encode(name)]);
    pieces.push([0, ...leb(title.length + bytes.length)], title, bytes);
  }
  return Uint8Array.from(pieces.flat());
}

/** Rows at 10: line 7 column 3, at 20: line 9; a sequence of a function that is gone; the end at 40. */
const PROGRAM = [
  ...[0, 5, 2, ...u32(0)], // set address
  ...[3, 99, 1, 2, 50, 0, 1, 1], // advance line, copy, advance pc, end
  ...[0, 5, 2, ...u32(10)],
  ...[3, 6, 5, 3, 1], // advance line by 6, column 3, copy
  ...[13 + 10 * 14 + (2 + 5)], // special: address + 10, line + 2
  ...[2, 20, 0, 1, 1],
];
const OPERANDS = [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];

function lineTable(version: number, tables: number[], program = PROGRAM): number[] {
  const rest = [1, ...(version >= 4 ? [1] : []), 1, 0xfb, 14, 13, ...OPERANDS, ...tables];
  const head = [version, 0, ...(version >= 5 ? [4, 0] : []), ...u32(rest.length), ...rest, ...program];
  return [...u32(head.length), ...head];
}
const OLD_TABLES = [...text('include'), 0, ...text('a.c'), 0, 0, 0, ...text('b.h'), 1, 0, 0, 0];
const NEW_TABLES = [
  ...[1, 1, 8, 2, ...text('/src'), ...text('/src/include')],
  ...[2, 1, 8, 2, 11, 2, ...text('a.c'), 0, ...text('b.h'), 1],
];

/** What is told at offsets of the code section's contents. */
function told(module: Uint8Array, ...addresses: number[]): (readonly SourceFrame[])[] {
  const { code } = debugSections(module);
  const sources = programSources(module);
  return addresses.map((address) => sources.at(code + address));
}
const at = (file: string, line: number, column: number): SourceFrame[] => [
  { inlined: null, source: { file, line, column } },
];

test('line tables of versions 2 to 5 are read, files relative to where the compiler ran', () => {
  for (const version of [2, 3, 4]) {
    const module = moduleWith({ '.debug_line': lineTable(version, OLD_TABLES) });
    assert.deepEqual(told(module, 9, 10, 19, 20, 39, 40), [
      ...[[], at('a.c', 7, 3), at('a.c', 7, 3)],
      ...[at('a.c', 9, 3), at('a.c', 9, 3), []],
    ]);
  }
  const other = [...PROGRAM.slice(0, 15), 0, 5, 2, ...u32(10), 4, 2, 1, 2, 9, 0, 1, 1];
  const older = moduleWith({ '.debug_line': lineTable(4, OLD_TABLES, other) });
  assert.deepEqual(told(older, 12), [at('include/b.h', 1, 0)]);
  const newer = moduleWith({ '.debug_line': lineTable(5, NEW_TABLES, other) });
  assert.deepEqual(told(newer, 12), [[]]); // of version 5, files count from 0: there is no second
  const first = [...other];
  first[first.indexOf(4, 15) + 1] = 1;
  assert.deepEqual(told(moduleWith({ '.debug_line': lineTable(5, NEW_TABLES, first) }), 12), [
    at('include/b.h', 1, 0),
  ]);
});

test('tables that cannot be tell nothing, and take no time', () => {
  const hostile: Record<string, number[]> = {
    'entries without bytes': lineTable(5, [0, ...leb(2 ** 31 - 1), 0, 0]),
    'more entries than bytes': lineTable(5, [1, 1, 8, ...leb(2 ** 30)]),
    'a line range of zero': lineTable(4, OLD_TABLES).map((byte, i) => (i === 14 ? 0 : byte)),
    'a header past its unit': [...u32(20), 4, 0, ...u32(1e9), 1, 1, 1, 0xfb, 14, 13, ...OPERANDS],
    'a length past the section': [...u32(0x7fffffff), 4, 0],
    '64-bit DWARF': [...u32(0xffffffff), ...u32(30), ...u32(0), 4, 0],
    'a version to come': lineTable(6, NEW_TABLES),
    'an opcode cut short': lineTable(4, OLD_TABLES, [...PROGRAM.slice(0, 20), 0, 200, 2]),
    'no end of a text': lineTable(4, [1, 2, 3]),
    nothing: [],
  };
  for (const [what, bytes] of Object.entries(hostile)) {
    const [frames] = told(moduleWith({ '.debug_line': bytes }), 12);
    assert.ok(frames!.length === 0 || frames![0]!.source === null, what);
  }
});

test('entries that name themselves, nest without end or share a long abbreviation end the reading', () => {
  const line = lineTable(4, OLD_TABLES);
  // 1: unit with children, low and high; 2: function; 3: inlined call that is its own origin.
  const own = [
    ...[1, 0x11, 1, 0x11, 1, 0x12, 6, 0, 0, 2, 0x2e, 1, 0x11, 1, 0x12, 6, 0, 0],
    ...[3, 0x1d, 1, 0x31, 0x13, 0x11, 1, 0x12, 6, 0x58, 11, 0x59, 11, 0, 0, 0],
  ];
  const unit = (entries: number[]): number[] => {
    const body = [4, 0, ...u32(0), 4, 1, ...u32(5), ...u32(50), ...entries];
    return [...u32(body.length), ...body];
  };
  const call = [3, ...u32(29), ...u32(8), ...u32(9), 1, 77];
  const inlined = moduleWith({
    '.debug_line': line,
    '.debug_abbrev': own,
    '.debug_info': unit([2, ...u32(10), ...u32(30), ...call, 0, 0, 0]),
  });
  assert.deepEqual(told(inlined, 12), [
    [
      { inlined: '?', source: { file: 'a.c', line: 7, column: 3 } },
      { inlined: null, source: null }, // the unit names no line table
    ],
  ]);
  const deep = moduleWith({
    '.debug_line': line,
    '.debug_abbrev': own,
    '.debug_info': unit(new Array<number[]>(5000).fill([2, ...u32(10), ...u32(30)]).flat()),
  });
  assert.deepEqual(told(deep, 12), [at('a.c', 7, 3)]);
  const attributes = new Array<number[]>(100_000).fill([0x3f, 0x19]).flat();
  const wide = moduleWith({
    '.debug_line': line,
    '.debug_abbrev': [1, 0x11, 1, 0x11, 1, 0x12, 6, 0, 0, 2, 0x34, 0, ...attributes, 0, 0, 0],
    '.debug_info': unit(new Array<number>(300_000).fill(2)),
  });
  assert.deepEqual(told(wide, 12), [at('a.c', 7, 3)]);
});

const missing = canBuild('debug/faults-O2');
const symbolizer = spawnSync('llvm-symbolizer', ['--version']).status === 0;

test('lines and inlined calls are those that LLVM tells', {
  skip: missing ?? (symbolizer ? false : 'there is no llvm-symbolizer'),
}, async () => {
  for (const level of ['-O0', '-O2']) {
    const path = await guest(`debug/faults${level}`);
    const module = readFileSync(path);
    const addresses = Array.from({ length: 2000 }, (_, i) => 2 + 11 * i);
    const { stdout } = spawnSync('llvm-symbolizer', [`--obj=${path}`, '--output-style=JSON'], {
      input: addresses.map((address) => `0x${address.toString(16)}\n`).join(''),
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
    const answers = stdout.trim().split('\n');
    const mine = told(module, ...addresses);
    for (const [i, address] of addresses.entries()) {
      const { Symbol: theirs } = JSON.parse(answers[i]!) as {
        Symbol: { FileName: string; FunctionName: string; Line: number; Column: number }[];
      };
      const frames = mine[i]!.length > 0 ? mine[i]! : [{ inlined: null, source: null }];
      assert.deepEqual(
        frames.map(({ inlined, source }) => [inlined, source?.line ?? 0, source?.column ?? 0]),
        theirs.map(({ FunctionName, Line, Column }, k) => [
          k < theirs.length - 1 ? FunctionName : null,
          Line,
          Line === 0 ? 0 : Column,
        ]),
        `${level} at ${address}`,
      );
      frames.forEach(({ source }, k) => {
        assert.ok(source === null || theirs[k]!.FileName.endsWith(source.file.replace(/^.*\//, '')));
      });
    }
  }
});

test('whatever bytes are in debug sections, an answer comes', { skip: missing ?? false }, async (t) => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  t.diagnostic(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  for (const level of ['-O0', '-O2']) {
    const module = new Uint8Array(readFileSync(await guest(`debug/faults${level}`)));
    const { code, customs } = debugSections(module);
    const sections = [...customs].filter(([name]) => name.startsWith('.debug_')).map(([, bytes]) => bytes);
    for (let round = 0; round < 60; round++) {
      const changed: [Uint8Array, number, number][] = [];
      for (let n = 1 + prng.below(6); n > 0; n--) {
        const bytes = prng.pick(sections);
        // The first bytes hold what all others depend on.
        const place = prng.below(prng.below(2) === 0 ? Math.min(200, bytes.length) : bytes.length);
        changed.push([bytes, place, bytes[place]!]);
        bytes[place] = prng.below(256);
      }
      const sources = programSources(module);
      for (let i = 0; i < 20; i++) {
        for (const { inlined, source } of sources.at(code + prng.below(30_000))) {
          assert.ok(inlined === null || typeof inlined === 'string');
          assert.ok(source === null || (source.line > 0 && source.column >= 0));
        }
      }
      for (const [bytes, place, value] of changed.reverse()) bytes[place] = value;
    }
  }
});

test('a source map is taken from a data URL, and what is none is no map', () => {
  const { code } = debugSections(moduleWith({}));
  // Column code + 2: source 0, line 5, column 1.
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const vlq = (value: number): string => {
    const [low, rest] = [(value << 1) & 31, value >> 4];
    return rest === 0 ? digits[low]! : digits[low | 32]! + digits[rest]!;
  };
  const mappings = `${vlq(code + 2)}${vlq(0)}${vlq(4)}${vlq(1)}`;
  const map = JSON.stringify({
    version: 3,
    sources: ['x.ts'],
    names: [],
    mappings,
    sourcesContent: ['secret'],
  });
  const url = (address: string): Uint8Array =>
    moduleWith({ sourceMappingURL: sized([...new TextEncoder().encode(address)]) });
  const base64 = url(`data:application/json;base64,${Buffer.from(map).toString('base64')}`);
  assert.deepEqual(told(base64, 1, 2, 30), [[], at('x.ts', 5, 2), at('x.ts', 5, 2)]);
  assert.deepEqual(told(url(`data:application/json,${encodeURIComponent(map)}`), 2), [at('x.ts', 5, 2)]);
  assert.equal(sourceMapUrl(url('./x.map')), './x.map');
  assert.deepEqual(told(url('https://127.0.0.1/x.map'), 2), [[]]);
  assert.doesNotMatch(new TextDecoder().decode(compactMap(Buffer.from(map))), /secret/);
  for (const bad of ['', '{', 'null', '[]', '{"version":2}', '{"version":3,"sources":[1],"mappings":""}']) {
    assert.throws(() => compactMap(Buffer.from(bad)), { name: 'MalformedError' }, bad);
  }
  for (const odd of ['%', 'A,A,A', '////////////', 'zzzzzzzzzzzzzzzzzzzzzzzz', ';;;;', 'gB']) {
    const odder = JSON.stringify({ version: 3, sources: ['x.ts', null], mappings: odd });
    told(url(`data:,${encodeURIComponent(odder)}`), 2, 30);
  }
});
