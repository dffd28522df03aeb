import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  access,
  assemble,
  baseOf,
  call,
  DROP,
  END,
  GT_U,
  get,
  global,
  I32,
  I64,
  IF,
  i32,
  i64,
  LOAD64,
  places,
  STORE64,
  set,
  UNREACHABLE,
  u,
  WINDOW_TEMPLATES,
} from '../../tools/fuzzing/assembly.ts';
import type { FunctionHints } from '../abi/hints.ts';
import { SYSTEM_IMPORTS } from '../abi/system.ts';
import { MalformedError, RefusedError } from '../base/errors.ts';
import { SPACE_MAX_FRAMES, SPACE_MIN_FRAMES } from '../base/limits.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import { encodeHints } from '../compiler/hints.ts';
import { verifyResume } from './resume.ts';
import { verify } from './verify.ts';

// The rewritten module that all resume modules here belong to: two globals and a table of the program, one memory.
const PARTS = {
  imports: [{ params: [], results: [] }],
  quick: [{ params: [], results: [], code: [] }],
  globals: 2,
  windows: true,
  templates: WINDOW_TEMPLATES,
};
const MAIN = verify(assemble(PARTS));
const AT = places(PARTS);
const HDR = AT.hdr;
const LIMIT = HDR + 1;

const FUNC = 0;
const TABLE = 1;
const GLOBAL = 3;
const text = (value: string): number[] => [value.length, ...new TextEncoder().encode(value)];
const vector = (items: readonly number[][]): number[] => [...u(items.length), ...items.flat()];
const section = (id: number, body: readonly number[]): number[] => [id, ...u(body.length), ...body];
const custom = (name: string, body: Iterable<number>): number[] => section(0, [...text(name), ...body]);

/** Types by their place: those of the system functions, then () -> (), (i32) -> (). */
const TYPES = [
  ...SYSTEM_IMPORTS.map(({ params, results }) => ({ params, results })),
  { params: [], results: [] },
  { params: [I32], results: [] },
  { params: [I64, I64, I64], results: [I64] },
];
const PLAIN = SYSTEM_IMPORTS.length;
const WINDOW = PLAIN + 2;

const fromMain = (name: string, ...desc: number[]): number[] => [...text('main'), ...text(name), ...desc];
const GLOBALS = ['k:global0', 'k:global1', 'k:hdr', 'k:limit0'].map((name) => fromMain(name, GLOBAL, I64, 1));

interface Change {
  /** Instead of the globals, in front of the function. */
  globals?: number[][];
  others?: number[][];
  /** The rewritten module's function that is imported. */
  named?: string;
  /** And its type. */
  callee?: number;
  code?: number[];
  locals?: number[];
  type?: number;
  hints?: FunctionHints[];
  sections?: { before: number; bytes: number[] }[];
  exported?: number[];
}

/** Its one imported function stands behind those of the system, its own behind that. */
const CALLEE = SYSTEM_IMPORTS.length;
const OWN = CALLEE + 1;

function resume(change: Change = {}): Uint8Array<ArrayBuffer> {
  const system = [
    [...text('perdure'), ...text('space'), 2, 7, ...u(SPACE_MIN_FRAMES), ...u(SPACE_MAX_FRAMES)],
    ...SYSTEM_IMPORTS.map(({ name }, i) => [...text('perdure'), ...text(name), 0, i]),
    [...text('perdure'), ...text('unwind'), 4, 0, PLAIN],
  ];
  const callee = fromMain(change.named ?? String(AT.quick), FUNC, change.callee ?? PLAIN);
  const body = [...vector((change.locals ?? []).map((type) => [1, type])), ...(change.code ?? []), END];
  const list: [number, number[]][] = [
    [
      1,
      vector(
        TYPES.map(({ params, results }) => [
          0x60,
          ...u(params.length),
          ...params,
          ...u(results.length),
          ...results,
        ]),
      ),
    ],
    [2, vector([...system, ...(change.globals ?? GLOBALS), ...(change.others ?? []), callee])],
    [3, [1, change.type ?? PLAIN]],
    [7, change.exported ?? vector([[...text('2:30:1'), FUNC, OWN]])],
    [10, vector([[...u(body.length), ...body]])],
  ];
  const bytes: number[] = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  for (const [id, content] of list) {
    for (const { before, bytes: extra } of change.sections ?? []) if (before === id) bytes.push(...extra);
    bytes.push(...section(id, content));
  }
  for (const { before, bytes: extra } of change.sections ?? []) if (before > 10) bytes.push(...extra);
  if (change.hints) bytes.push(...custom('perdure.hints', encodeHints(change.hints)));
  return Uint8Array.from(bytes);
}

function accepts(change?: Change): void {
  const bytes = resume(change);
  verifyResume(bytes, MAIN);
  assert.ok(WebAssembly.validate(bytes), 'V8 takes what the verifier takes here');
}
function refuses(reason: RegExp, change: Change): void {
  const bytes = resume(change);
  assert.ok(WebAssembly.validate(bytes), 'the attack is a module that V8 would run');
  assert.throws(
    () => verifyResume(bytes, MAIN),
    (error) => error instanceof RefusedError && reason.test(error.message),
  );
}

test('a resume module that imports what it must and exports continuations is accepted', () => {
  accepts();
  accepts({ code: [...call(CALLEE), ...call(1)] });
  accepts({ others: [fromMain('k:table0', TABLE, 0x70, 0, 0)] });
  accepts({ code: [...i64(1), 0x24, 1] }); // a global of the program
  for (const index of [AT.prelude, AT.wrappers, AT.quick, AT.init + 3]) accepts({ named: String(index) });
});

test('what it imports is what has that name and place in the rewritten module, or nothing', () => {
  const [first, second, hdr, limit] = GLOBALS as [number[], number[], number[], number[]];
  refuses(/global 0 is not "k:hdr"/, { globals: [hdr, second, hdr, limit] });
  refuses(/global 1 is not "k:limit0"/, { globals: [first, limit, hdr, limit] });
  refuses(/global 2 is not "k:limit0"/, { globals: [first, second, limit, hdr] });
  refuses(/not all/, { globals: [first, second, hdr] });
  refuses(/global 4 is not/, { globals: [...GLOBALS, hdr] });
  refuses(/global 2 of the system/, { globals: [first, second, fromMain('k:hdr', GLOBAL, I64, 0), limit] });
  refuses(/table 0 is not/, { others: [fromMain('k:refs', TABLE, 0x70, 0, 0)] });
  refuses(/table 1 is not/, {
    others: [fromMain('k:table0', TABLE, 0x70, 0, 0), fromMain('k:table1', TABLE, 0x70, 0, 0)],
  });
  refuses(/tag 1 is not/, { others: [fromMain('k:tag0', 4, 0, PLAIN), fromMain('k:tag0', 4, 0, PLAIN)] });
  refuses(/from elsewhere/, { others: [[...text('env'), ...text('0'), FUNC, PLAIN]] });
  refuses(/from elsewhere/, { others: [[...text('perdure'), ...text('grow'), FUNC, PLAIN]] });
});

test('it gets no function that only some may call', () => {
  for (const index of [0, SYSTEM_IMPORTS.length, AT.init, AT.init + 1, AT.init + 2]) {
    refuses(/for nobody to call/, { named: String(index) });
  }
  for (const name of [
    'k:init',
    'k:function',
    `0${AT.quick}`,
    `${AT.quick} `,
    '-1',
    '1e9',
    '9999999999',
    '',
  ]) {
    refuses(/for nobody to call/, { named: name });
  }
});

test('it brings nothing of its own but functions, and exports only those', () => {
  // A limit of its own in the place of the domain's, which nobody keeps true.
  const limit = section(6, [1, I64, 1, 0x42, ...[0xff, 0xff, 0xff, 0xff, 0x0f], 0x0b]);
  refuses(/a global of its own/, { globals: GLOBALS.slice(0, -1), sections: [{ before: 7, bytes: limit }] });
  const extra = (before: number, bytes: number[]): Change => ({ sections: [{ before, bytes }] });
  refuses(/a global of its own|not all/, extra(7, section(6, [1, I64, 1, 0x42, 0, END])));
  refuses(/table of its own/, extra(7, section(4, [1, 0x70, 0, 1])));
  refuses(/tag of its own/, extra(7, section(13, [1, 0, PLAIN])));
  refuses(/element segment/, extra(10, section(9, [1, 3, 0, 1, OWN])));
  refuses(/data segment/, extra(11, section(11, [1, 1, 1, 7])));
  refuses(/data segment/, extra(11, section(11, [1, 0, 0x42, 0, END, 1, 7])));
  refuses(/start function/, extra(10, section(8, [OWN])));
  refuses(/no continuation/, { exported: vector([[...text('x'), FUNC, CALLEE]]) });
  refuses(/no continuation/, { exported: vector([[...text('x'), GLOBAL, HDR]]) });
  refuses(/no continuation/, { type: PLAIN + 1 });
  refuses(/reference to function/, {
    code: [0xd2, ...u(OWN), DROP],
    exported: vector([[...text('x'), FUNC, OWN]]),
  });
});

test('its code is held to the rules for code', () => {
  const [E, B, L] = [0, 1, 2];
  const locals = [I64, I64, I64];
  const limits = [{ local: L, memory: 0 }];
  const hints = [{ index: OWN, limits, loops: [] }];
  const checked = [
    ...[...baseOf(HDR, 0), ...set(B), ...global(LIMIT), ...set(L)],
    ...[
      ...i32(5),
      0x67,
      0xad,
      ...set(E),
      ...get(E),
      ...i64(8),
      0x7c,
      ...get(L),
      GT_U,
      ...IF,
      UNREACHABLE,
      END,
    ],
  ];
  const load = (offset: number): number[] => [...get(B), ...get(E), 0x7c, ...access(LOAD64, offset), DROP];
  accepts({ locals, hints, code: [...checked, ...load(0)] });
  refuses(/./, { locals, hints, code: [...checked, ...load(1)] });
  refuses(/./, { locals, hints, code: [...checked, ...i64(0), ...set(B), ...load(0)] });
  refuses(/./, { locals, hints: [{ ...hints[0]!, limits: [{ ...limits[0]!, local: 9 }] }] });
  refuses(/no function to be looked at/, { hints: [{ ...hints[0]!, index: OWN + 1 }] });
  refuses(/global of the system/, { code: [...i64(0), 0x24, HDR] });
  refuses(/./, { code: [...i64(0), ...access(LOAD64, 0), DROP] });
});

test('its windows are those that the rewritten module has templates for', () => {
  const asks = [...i64(2 ** 31), ...i64(8), ...i64(8), ...call(CALLEE)];
  const window = (which: number, code: number[]): Change => ({
    ...{ named: String(AT.templates + which), callee: WINDOW, code: [...asks, ...code] },
  });
  const load = [...access(LOAD64, 8), DROP];
  const store = [...i64(7), ...access(STORE64, 8)];
  accepts(window(0, load));
  accepts(window(1, load));
  accepts(window(1, store));
  refuses(/may only be read/, window(0, store));
  refuses(/reaches into/, window(1, [...access(LOAD64, 7), DROP]));
  refuses(/./, { code: [...i64(2 ** 31), ...access(LOAD64, 8), DROP] });
});

test('whatever is cut, turned or thrown in, the verifier only ever refuses', () => {
  const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
  console.log(`PERDURE_SEED=${seed}`);
  const prng = new Prng(seed);
  const whole = resume({ code: call(CALLEE), hints: [{ index: OWN, limits: [], loops: [] }] });
  let refusals = 0;
  for (let i = 0; i < 1500; i++) {
    let bytes = whole.slice();
    if (prng.chance(0.3)) bytes = bytes.slice(0, prng.below(bytes.length));
    else for (let n = prng.below(4); n >= 0; n--) bytes[prng.below(bytes.length)] = prng.below(256);
    try {
      verifyResume(bytes, MAIN);
    } catch (error) {
      assert.ok(error instanceof RefusedError || error instanceof MalformedError, String(error));
      refusals++;
    }
  }
  assert.ok(refusals > 500, `${refusals} refusals`);
});
