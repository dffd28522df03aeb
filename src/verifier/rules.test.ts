import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assemble, call, END, I32, I64, places, RETURN, u } from '../../tools/fuzzing/assembly.ts';
import { EVIDENCE_VERSION, type Evidence, encodeEvidence } from '../abi/evidence.ts';
import { type FunctionHints, HINTS_SECTION } from '../abi/hints.ts';
import { MalformedError, RefusedError } from '../base/errors.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { encodeHints } from '../compiler/hints.ts';
import { Cursor } from './cursor.ts';
import { verify } from './verify.ts';

// A module with everything in it, taken apart into sections so that each rule can be broken alone.
const PARTS = {
  memories: [
    { is64: false, min: 1, max: -1 },
    { is64: true, min: 1, max: 4 },
  ],
  imports: [{ params: [I32], results: [I64] }],
  templates: [
    { kind: 'fill' as const, a: 0, b: 0 },
    { kind: 'copy' as const, a: 1, b: 0 },
    { kind: 'init' as const, a: 0, b: 0 },
    { kind: 'frame' as const, a: 0, b: 0 },
  ],
  quick: [{ params: [I32], results: [], code: [RETURN] }],
  globals: 2,
  datas: [[7]],
  refs: true,
};
const BYTES = assemble(PARTS);
const AT = places(PARTS);
const TRUTH = verify(BYTES);

interface Section {
  id: number;
  payload: number[];
}

function sections(bytes: Uint8Array): Section[] {
  const c = new Cursor(bytes);
  c.pos = 8;
  const out: Section[] = [];
  while (c.pos < bytes.length) {
    const id = c.u8();
    const start = c.skip(c.u32());
    out.push({ id, payload: [...bytes.subarray(start, c.pos)] });
  }
  return out;
}

function join(list: readonly Section[]): Uint8Array<ArrayBuffer> {
  const body = list.flatMap(({ id, payload }) => [id, ...u(payload.length), ...payload]);
  return Uint8Array.from([...BYTES.subarray(0, 8), ...body]);
}

const NAME = [...new TextEncoder().encode('perdure.evidence')];
const evidenceSection = (evidence: Evidence): Section => ({
  id: 0,
  payload: [NAME.length, ...NAME, ...encodeEvidence(evidence)],
});

/** The module with one section's payload changed. */
function changed(id: number, change: (payload: number[]) => number[]): Uint8Array<ArrayBuffer> {
  return join(sections(BYTES).map((s) => (s.id === id ? { id, payload: change(s.payload) } : s)));
}
/** The module with a section put in front of the first whose id is `before`. */
function inserted(section: Section, before: number): Uint8Array<ArrayBuffer> {
  const list = sections(BYTES);
  list.splice(
    list.findIndex(({ id }) => id === before),
    0,
    section,
  );
  return join(list);
}
/** Some text in the module in place of other text of the same length. */
function renamed(from: string, to: string): Uint8Array<ArrayBuffer> {
  const [a, b] = [from, to].map((text) => [...new TextEncoder().encode(text)]) as [number[], number[]];
  const out = BYTES.slice();
  const at = out.findIndex((_, i) => a.every((byte, k) => out[i + k] === byte));
  assert.ok(at > 0 && a.length === b.length);
  out.set(b, at);
  return out;
}

function refused(bytes: Uint8Array, reason: RegExp): void {
  assert.throws(
    () => verify(bytes),
    (error) => {
      assert.ok(error instanceof MalformedError, String(error));
      assert.match(error.message, reason);
      return true;
    },
  );
}
function lie(change: Partial<Evidence>, reason: RegExp): void {
  refused(
    changed(0, () => evidenceSection({ ...TRUTH, ...change }).payload),
    reason,
  );
}
const moved = (range: { start: number; count: number }, start: number, count = 0) => ({
  start: range.start + start,
  count: range.count + count,
});

test('a whole module passes, and its evidence is given', () => {
  assert.equal(TRUTH.memories.length, 2);
  assert.ok(WebAssembly.validate(BYTES));
});

test('evidence is there, once, and is what it must be', () => {
  const list = sections(BYTES);
  refused(join(list.filter(({ id }) => id !== 0)), /no evidence/);
  refused(join([...list, evidenceSection(TRUTH)]), /more than one/);
  refused(
    changed(0, (p) => p.slice(0, -1)),
    /not JSON/,
  );
  lie({ isolate: false }, /not made to share/);
  lie({ version: EVIDENCE_VERSION + 1 }, /version/);
});

test('evidence that places functions, globals or tables wrongly is refused', () => {
  const { imports, prelude, templates, wrappers, quick, systemGlobals } = TRUTH;
  lie({ imports: moved(imports, 0, 1) }, /imported functions/);
  lie({ prelude: moved(prelude, 1) }, /prelude/);
  lie({ prelude: moved(prelude, 0, -1), templates: moved(templates, -1, 1) }, /prelude is not complete/);
  lie({ templates: moved(templates, 0, 1) }, /templates|out of place/);
  lie({ templates: moved(templates, 0, -1), wrappers: moved(wrappers, -1, 1) }, /templates differ/);
  lie({ wrappers: moved(wrappers, 0, 1), quick: moved(quick, 1, -1) }, /wrappers differ/);
  lie({ quick: moved(quick, 0, 1) }, /init, save, restore/);
  lie({ init: TRUTH.save }, /init, save, restore/);
  lie({ hdrGlobal: TRUTH.hdrGlobal + 1 }, /hdr/);
  lie({ systemGlobals: moved(systemGlobals, 1, -1), hdrGlobal: TRUTH.hdrGlobal + 1 }, /number|globals/);
  lie({ systemGlobals: moved(systemGlobals, 0, 1) }, /globals of the system differ in number/);
  lie({ functionAt: TRUTH.restore }, /functionAt/);
  lie({ functionAt: -1 }, /functionAt/);
  lie({ suspend: false }, /functionAt/);
  lie({ refsTable: -1 }, /tables differ/);
  lie({ refsTable: 0 }, /refs table/);
  lie({ programTables: 2, refsTable: -1 }, /export|reference/);
});

test('hints are there once at most, and speak of functions that are looked at', () => {
  const name = [...new TextEncoder().encode(HINTS_SECTION)];
  const withHints = (...lists: FunctionHints[][]): Uint8Array<ArrayBuffer> =>
    join([
      ...sections(BYTES),
      ...lists.map((list) => ({ id: 0, payload: [name.length, ...name, ...encodeHints(list)] })),
    ]);
  const hint = (index: number): FunctionHints[] => [{ index, limits: [{ local: 0, memory: 0 }], loops: [] }];
  verify(withHints([]));
  refused(withHints([], []), /hints: more than one section/);
  refused(withHints(hint(AT.quick)), /not a local of its own/);
  refused(withHints(hint(AT.imports)), /no function to be looked at/);
  refused(withHints(hint(AT.prelude)), /no function to be looked at/);
  refused(withHints(hint(AT.templates)), /no function to be looked at/);
  refused(withHints(hint(AT.init + 4)), /no function to be looked at/);
});

test('evidence of impossible memories is refused', () => {
  const [one, two] = TRUTH.memories as [Evidence['memories'][0], Evidence['memories'][0]];
  lie({ memories: [one] }, /globals of the system/);
  lie({ memories: [two, one] }, /globals of memory/);
  lie({ memories: [{ ...one, limitGlobal: one.baseGlobal }, two] }, /globals of memory/);
  lie({ memories: [one, { ...two, max: 0 }] }, /size of memory/);
  lie({ memories: [one, { ...two, min: 2 ** 40, max: -1 }] }, /does not fit/);
  lie({ controlBytes: 0 }, /control area/);
  lie({ controlBytes: 4096 }, /control area/);
  lie({ controlBytes: 2 ** 31 }, /control area/);
  lie({ controlBytes: 131072 }, /template/); // the templates have another H in them
});

test('templates are the fixed bodies for the memories the evidence names', () => {
  const [fill, copy, init, frame] = TRUTH.templateList as [
    ...[Evidence['templateList'][0], Evidence['templateList'][0]],
    ...[Evidence['templateList'][0], Evidence['templateList'][0]],
  ];
  lie({ templateList: [{ ...fill, a: 1 }, copy, init, frame] }, /template/);
  lie({ templateList: [fill, { ...copy, a: 0, b: 1 }, init, frame] }, /template/);
  lie({ templateList: [fill, copy, { ...init, b: 1 }, frame] }, /data segment 1/);
  lie({ templateList: [fill, copy, { ...init, a: 2 }, frame] }, /memory 2/);
  lie({ templateList: [fill, copy, init, { ...init }] }, /template/);
  // Any byte of a fixed body changed: it is refused as such, or the module is not well formed.
  const code = sections(BYTES).find(({ id }) => id === 10)!;
  const fixed = TRUTH.prelude.count + TRUTH.templates.count;
  const c = new Cursor(Uint8Array.from(code.payload));
  c.u32();
  for (let i = 0; i < fixed; i++) {
    const end = c.u32() + c.pos;
    for (let at = c.pos; at < end; at++) {
      refused(
        changed(10, (p) => p.with(at, p[at]! ^ 1)),
        /body of its template/,
      );
    }
    c.pos = end;
  }
  // Longer, shorter, or of another type.
  const first = code.payload.findIndex((_, i) => i > 0 && code.payload[i - 1]! < 0x80); // behind the count
  const size = code.payload[first]!;
  const resized = (p: number[], body: number[]): number[] => [
    ...[...p.slice(0, first), body.length, ...body],
    ...p.slice(first + 1 + size),
  ];
  const body = code.payload.slice(first + 1, first + 1 + size);
  for (const other of [[...body, END], body.slice(0, -1), []])
    refused(
      changed(10, (p) => resized(p, other)),
      /body of its template/,
    );
  refused(
    changed(3, (p) => p.with(1, p[1] === 0 ? 1 : 0)),
    /type of its template/,
  );
});

test('imports are the system’s, in their order, and then only the program’s', () => {
  refused(renamed('space', 'spacf'), /not the space/);
  refused(renamed('grow', 'grox'), /system function grow/);
  refused(renamed('rethrow', 'notifyx'), /system function rethrow/);
  refused(renamed('unwind', 'unwinx'), /unwind tag/);
  const second = renamed('env', 'env');
  verify(second);
  const early = changed(2, (p) => {
    const at = p.findIndex((_, i) => p[i] === 3 && p[i + 1] === 0x65 && p[i + 2] === 0x6e); // "env"
    return [p[0]!, ...p.slice(at), ...p.slice(1, at)];
  });
  refused(early, /not the space/);
  const smaller = changed(2, (p) => {
    const at = p.findIndex((_, i) => p[i] === 2 && p[i + 1] === 7 && p[i + 2] === 0x80);
    return p.with(at + 3, 4);
  });
  refused(smaller, /not the space/);
});

/** The module with the import of this name changed: `change` gets what is behind the name. */
function imported(name: string, change: (rest: number[]) => number[]): Uint8Array<ArrayBuffer> {
  return changed(2, (p) => {
    const text = [...new TextEncoder().encode(name)];
    const at = p.findIndex((_, i) => p[i] === text.length && text.every((byte, k) => p[i + 1 + k] === byte));
    assert.ok(at > 0);
    const behind = at + 1 + text.length;
    return [...p.slice(0, behind), ...change(p.slice(behind))];
  });
}

test('imports of the system have their types, and there are no more of them', () => {
  const otherType = (rest: number[]): number[] => rest.with(1, rest[1] === 0 ? 1 : 0);
  refused(imported('rethrow', otherType), /not the system function rethrow/);
  refused(imported('stack', otherType), /not the system function stack/);
  refused(
    imported('unwind', (rest) => rest.with(2, 0)),
    /unwind tag is not/,
  );
  const more = (item: number[]): Uint8Array<ArrayBuffer> =>
    changed(2, (p) => [p[0]! + 1, ...p.slice(1), ...item]);
  const named = (module: string, kind: number[]): number[] => {
    const text = [...new TextEncoder().encode(module)];
    return [text.length, ...text, 1, 0x78, ...kind];
  };
  refused(more(named('perdure', [3, I64, 1])), /import of the system is out of place/);
  refused(more(named('env', [2, 0, 1])), /a second memory/);
  verify(more(named('env', [4, 0, 1])));
});

test('sections stand in their order, and functions have their bodies', () => {
  const list = sections(BYTES);
  const swapped = [...list];
  const at = swapped.findIndex(({ id }) => id === 6);
  [swapped[at], swapped[at + 1]] = [swapped[at + 1]!, swapped[at]!];
  refused(join(swapped), /out of order/);
  refused(join(list.flatMap((one) => (one.id === 3 ? [one, one] : [one]))), /out of order/);
  refused(
    changed(3, (p) => [p[0]! + 1, ...p.slice(1), 0]),
    /differ in number/,
  );
  refused(
    changed(1, (p) => p.with(1, 0x5f)),
    /not a function type/,
  );
});

test('a memory, an active segment or a start function of its own is refused', () => {
  refused(inserted({ id: 5, payload: [1, 0, 1] }, 6), /a second memory/);
  refused(inserted({ id: 8, payload: [AT.init] }, 9), /start function/);
  refused(
    changed(11, () => [1, 0, 0x42, 0, END, 1, 7]),
    /active data segment/,
  );
});

test('globals of the system begin as 0, and nothing is computed from them', () => {
  const global = (index: number, bytes: number[]) =>
    changed(6, (p) => [...p.slice(0, 1 + 5 * index), ...bytes, ...p.slice(1 + 5 * (index + 1))]);
  refused(global(AT.hdr, [I64, 1, 0x42, 1, END]), /global 2 of the system/);
  refused(global(AT.hdr, [I64, 0, 0x42, 0, END]), /global 2 of the system/);
  refused(global(AT.hdr + 1, [I64, 1, 0x23, 0, END]), /global 3 of the system/);
  refused(global(0, [I64, 1, 0x23, AT.hdr, END]), /reads a global of the system/);
  verify(global(0, [I64, 1, 0x42, 9, END]));
});

test('refs is a table of functions with 32-bit addresses, and the module’s own', () => {
  const at = (p: number[]): number => p.lastIndexOf(0x70);
  verify(changed(4, (p) => p.with(at(p), 0x70)));
  refused(
    changed(4, (p) => p.with(at(p), 0x6f)),
    /wrong type/,
  );
  refused(
    changed(4, (p) => p.with(at(p) + 1, 4)),
    /wrong type/,
  );
  const table = (name: number): number[] => [3, 0x65, 0x6e, 0x76, 1, name, 1, 0x70, 0, 9]; // from "env"
  const imports = (p: number[]): number[] => [p[0]! + 2, ...p.slice(1), ...table(0x61), ...table(0x62)];
  const foreign = sections(BYTES).flatMap(({ id, payload }) => {
    if (id === 4) return [];
    return [{ id, payload: id === 2 ? imports(payload) : payload }];
  });
  assert.ok(WebAssembly.validate(join(foreign)));
  refused(join(foreign), /table of the system is imported/);
});

test('only functions that all code may call become references', () => {
  const element = (segments: number[][]) => changed(9, () => [segments.length, ...segments.flat()]);
  const first = [0, 0x41, 0, END, 1];
  for (const index of [AT.prelude, AT.templates, AT.quick, AT.init + 3]) verify(element([[...first, index]]));
  for (const index of [0, 2, AT.prelude - 1, AT.init, AT.init + 1, AT.init + 2]) {
    refused(element([[...first, index]]), /reference to function/);
    refused(element([[1, 0, 1, index]]), /reference to function/);
    refused(element([[5, 0x70, 1, 0xd2, index, END]]), /reference to function/);
    refused(element([[3, 0, 1, index]]), /reference to function/);
  }
  verify(element([[2, 1, 0x41, 0, END, 0, 1, AT.quick]]));
  assert.ok(!WebAssembly.validate(element([[2, 2, 0x41, 0, END, 0, 1, AT.quick]])), 'there is no table 2');
  refused(element([[0, 0x23, AT.hdr, END, 1, AT.quick]]), /reads a global of the system/);
});

/** What every module that has two memories and references exports for the kernel. */
const SYSTEM_EXPORTS = [
  ...['k:hdr', 'k:limit0', 'k:limit1', 'k:base1', 'k:function', 'k:refs'],
  ...['k:init', 'k:save', 'k:restore'],
];

test('exports of the system are complete and true, and others show the program only', () => {
  for (const name of SYSTEM_EXPORTS) {
    refused(renamed(name, `x${name.slice(1)}`), /export/);
    refused(renamed(name, `g:${'x'.repeat(name.length - 2)}`), /export/);
  }
  refused(renamed('k:limit0', 'k:limit2'), /export "k:limit2"/);
  // Another index, another kind, or nothing at all.
  const entries = (p: number[]): number[][] => {
    const c = new Cursor(Uint8Array.from(p));
    return Array.from({ length: c.u32() }, () => {
      const at = c.pos;
      c.name();
      c.u8();
      c.u32();
      return p.slice(at, c.pos);
    });
  };
  const named = (name: string, change: (entry: number[]) => number[][]): Uint8Array<ArrayBuffer> =>
    changed(7, (p) => {
      const text = String.fromCharCode;
      const list = entries(p).flatMap((one) => (text(...one.slice(1, -2)) === name ? change(one) : [one]));
      return [list.length, ...list.flat()];
    });
  for (const name of SYSTEM_EXPORTS) {
    const off = (one: number[]): number[][] => [one.with(-1, one.at(-1)! - 1)];
    refused(named(name, off), /is something else/);
    refused(
      named(name, () => []),
      /is missing/,
    );
  }
  const exported = (extra: number[]) => changed(7, (p) => [p[0]! + 1, ...p.slice(1), ...extra]);
  const x = [3, 0x67, 0x3a, 0x78]; // "g:x"
  verify(exported([...x, 0, AT.wrappers]));
  for (const index of [0, 2, AT.imports, AT.prelude, AT.templates, AT.init, AT.init + 3]) {
    refused(exported([...x, 0, index]), /not the program/);
  }
  refused(exported([...x, 2, 0]), /not the program/); // the space
  refused(exported([...x, 3, AT.hdr]), /not the program/);
  refused(exported([...x, 1, 1]), /not the program/);
  refused(exported([...x, 4, 0]), /not the program/); // the unwind tag
  verify(exported([...x, 3, 1]));
});

test('a call of a fixed or foreign function through a hole in the ranges is refused', () => {
  const parts = { ...PARTS, quick: [{ params: [], results: [], code: call(AT.init) }] };
  refused(assemble(parts), /for the kernel/);
});

test('whatever is cut, turned or thrown in, the verifier only ever refuses', () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  let refusals = 0;
  for (let i = 0; i < 1500; i++) {
    let bytes = BYTES.slice();
    const kind = prng.below(4);
    if (kind === 0) bytes = bytes.slice(0, prng.below(bytes.length));
    else if (kind === 1)
      for (let n = prng.below(4); n >= 0; n--) bytes[prng.below(bytes.length)] = prng.below(256);
    else if (kind === 2)
      bytes.copyWithin(prng.below(bytes.length), prng.below(bytes.length), prng.below(bytes.length));
    else {
      const text = JSON.stringify(TRUTH);
      const at = prng.below(text.length);
      const noise = prng.pick(['null', '-1', '1e9', '[]', '{}', '"', '9007199254740993', '0.5', 'true', '']);
      const mutated = text.slice(0, at) + noise + text.slice(at + prng.below(6));
      const payload = [NAME.length, ...NAME, ...new TextEncoder().encode(mutated)];
      bytes = changed(0, () => payload);
    }
    try {
      verify(bytes);
    } catch (error) {
      assert.ok(error instanceof MalformedError, `case ${i}: ${String(error)}\n${(error as Error).stack}`);
      if (error instanceof RefusedError) refusals++;
    }
  }
  assert.ok(refusals > 10);
});
