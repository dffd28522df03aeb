/**
 * The code of a switchboard (boards.ts): for each number of parameters two functions of WebAssembly.
 *
 *     call(gate, a...) -> i32    calls the procedure that a gate leads to
 *     go(gate, a...) -> i32      the same by the short way, with all that is compared and counted for it
 *
 * Both first make sure that GATE_HEADROOM_BYTES of native stack are left (headroom.ts), so that a caller who has used it up
 * cannot make the callee fault; else `RangeError` comes out, and nothing has been done: of `call` WORD.begun is 0 then, of `go`
 * WORD.current is still the caller.
 *
 * `go` enters a domain where what was looked up is of this epoch, nobody is inside or waits, and the call is nested no deeper than
 * may be; where a kind is asked before, its domain in the same way, and it has to say 0. Coming back it makes all as it was, where
 * nothing has happened meanwhile. In all other cases it calls what it imports, which does the rest and gives the result:
 *
 *     slow(gate, a...) -> i32            nothing was done
 *     judged(gate, answer, a...) -> i32  the kind has answered; it has not been left
 *     back(gate, result) -> i32          the callee has returned; it has not been left
 *
 * Memory 0 is the board's own, memory 1 the space, of which it reads the epoch.
 */
import { EPOCH_ADDRESS, TRANSFER_ADDRESS, VALUE_BYTES } from '../../abi/layout.ts';
import { RIGHT } from '../../abi/objects.ts';
import { pushSigned, pushUnsigned } from '../../base/leb.ts';
import { GATE_HEADROOM_BYTES, SPACE_MAX_FRAMES, SPACE_MIN_FRAMES } from '../../base/limits.ts';
import { code, probeBody, probeSource, section, vector } from '../headroom.ts';

/** The module's name, by which V8 tells its code from that of programs (native.ts). */
export const BOARD_NAME = 'gate-board';
/** Words of what runs: where they lie. */
export const WORD = { depth: 8, error: 12, current: 16, answered: 20, begun: 24 } as const;
/** The line of domains that are removed, and the first address of others. */
export const DEAD_LINE = 32;
export const LINES_ADDRESS = 64;
/** A domain's line: bits of its state. 0 is a domain that can be entered by the short way. */
export const LINE = { state: 0 } as const;
export const STATE_BIT = { inside: 1, shut: 2 } as const;
/** A gate's line: domains are lines of theirs, `slot` is of the table (its complement where there is no result). */
export const GATE = {
  ...{ callee: 0, caller: 4, epoch: 8, depth: 16, slot: 20 },
  // The kind that is asked before; `guard` is 0 where none is. `asking` is the guard's line while it is asked.
  // `values` is not 0 where the procedure's parameters lie in the transfer area meanwhile.
  ...{ guard: 24, guardSlot: 28, guardDepth: 32, asking: 36, badge: 40, values: 48 },
} as const;

const [I32, I64, V128] = [0x7f, 0x7e, 0x7b];
const [ADD, NE, GE, OR, XOR, LT, NE64] = [0x6a, 0x47, 0x4f, 0x72, 0x73, 0x48, 0x52];
const [END, RETURN, ELSE] = [0x0b, 0x0f, 0x05];

const unsigned = (value: number): number[] => {
  const out: number[] = [];
  pushUnsigned(out, value);
  return out;
};
const signed = (op: number, value: number): number[] => {
  const out = [op];
  pushSigned(out, value);
  return out;
};
const num = (value: number): number[] => signed(0x41, value);
const get = (i: number): number[] => [0x20, ...unsigned(i)];
const set = (i: number): number[] => [0x21, ...unsigned(i)];
const tee = (i: number): number[] => [0x22, ...unsigned(i)];
const call = (i: number): number[] => [0x10, ...unsigned(i)];
const callTable = (type: number): number[] => [0x11, ...unsigned(type), 0];
const brIf = (depth: number): number[] => [0x0d, depth];
/** What lies so far behind an address. */
const load = (address: number[], offset: number): number[] => [...address, 0x28, 2, ...unsigned(offset)];
const load64 = (address: number[], offset: number): number[] => [...address, 0x29, 3, ...unsigned(offset)];
const store = (address: number[], offset: number, value: number[]): number[] => [
  ...[...address, ...value],
  ...[0x36, 2, ...unsigned(offset)],
];
const word = (at: number): number[] => load(num(0), at);
const setWord = (at: number, value: number[]): number[] => store(num(0), at, value);
/** 1 where the epoch is not the one at which the gate was looked up. */
const moved = (): number[] => [
  ...load64(get(0), GATE.epoch),
  ...[...signed(0x42, 0), 0x29, 3 | 0x40, 1, ...unsigned(EPOCH_ADDRESS), NE64],
];

/** Types: 0 and 1 are the probe's, 2 is `back`, 3 a kind's procedure; from 4 on five for each number of parameters. */
const typesOf = (i: number): Record<'plain' | 'silent' | 'go' | 'judged', number> => ({
  plain: 4 + 4 * i,
  silent: 5 + 4 * i,
  go: 6 + 4 * i,
  judged: 7 + 4 * i,
});
const [BACK_TYPE, KIND_TYPE] = [2, 3];

/** Functions: imports first, then the probe's two, then `call` and `go` for each number of parameters. */
interface Numbers {
  readonly back: number;
  readonly slow: (i: number) => number;
  readonly judged: (i: number) => number;
  readonly probe: number;
}

/** The procedure of gate 0, with parameters 1 to `params`. */
function procedure(params: number, { plain, silent }: ReturnType<typeof typesOf>, slot: number): number[] {
  const args = Array.from({ length: params }, (_, i) => get(i + 1)).flat();
  return [
    ...[...load(get(0), GATE.slot), ...tee(slot), ...num(0), LT, 0x04, I32],
    ...[...args, ...get(slot), ...num(-1), XOR, ...callTable(silent), ...num(0)],
    ELSE,
    ...[...args, ...get(slot), ...callTable(plain)],
    END,
  ];
}

/** Goes into a domain: its line, and how deep that is. */
const enter = (line: number, depth: number): number[] => [
  ...store(get(line), LINE.state, num(STATE_BIT.inside)),
  ...setWord(WORD.depth, [...get(depth), ...num(1), ADD]),
  ...setWord(WORD.current, get(line)),
];
const comeBack = (depth: number, error: number[]): number[] => [
  ...setWord(WORD.depth, get(depth)),
  ...setWord(WORD.error, error),
  ...setWord(WORD.current, load(get(0), GATE.caller)),
];
/** 1 where somebody has to be told that a domain was left, or the epoch has moved. */
const disturbed = (line: number): number[] => [
  ...[...load(get(line), LINE.state), ...num(STATE_BIT.inside), NE],
  ...[...moved(), OR],
];

/** Most values of the transfer area that are kept while a kind is asked. */
export const KEPT_VALUES_MAX = 8;
/** Value n of the transfer area, and putting one there that a local has. */
const place = (n: number): number[] => [...[4 | 0x40, 1], ...unsigned(TRANSFER_ADDRESS + VALUE_BYTES * n)];
const eachKept = (of: (n: number) => number[]): number[] => [
  ...[...load(get(0), GATE.values), 0x04, 0x40],
  ...Array.from({ length: KEPT_VALUES_MAX }, (_, n) => of(n)).flat(),
  END,
];
const keepValues = (local: number): number[] =>
  eachKept((n) => [...signed(0x42, 0), 0xfd, 0, ...place(n), ...set(local + n)]);
const putBack = (local: number): number[] =>
  eachKept((n) => [...signed(0x42, 0), ...get(local + n), 0xfd, 11, ...place(n)]);

function goBody(params: number, i: number, numbers: Numbers): number[] {
  const [callee, depth, result, guard, error, slot] = [1, 2, 3, 4, 5, 6].map((n) => params + n) as [
    ...[number, number, number, number, number, number],
  ];
  const types = typesOf(i);
  const args = Array.from({ length: params }, (_, n) => get(n + 1)).flat();
  // Only a gate without parameters of its own can have any there.
  const kept = params === 0 ? slot + 1 : -1;
  const ask = [
    ...[...load(get(guard), LINE.state), ...brIf(1)],
    ...[...get(depth), ...load(get(0), GATE.guardDepth), GE, ...brIf(1)],
    ...[...word(WORD.error), ...set(error)],
    ...(kept < 0 ? [] : keepValues(kept)),
    ...store(get(0), GATE.asking, get(guard)),
    ...enter(guard, depth),
    ...[...load64(get(0), GATE.badge), ...num(RIGHT.invoke), ...load(get(0), GATE.guardSlot)],
    ...[...callTable(KIND_TYPE), ...set(result)],
    ...comeBack(depth, get(error)),
    ...store(get(0), GATE.asking, num(0)),
    ...(kept < 0 ? [] : putBack(kept)),
    // Whom it has called may have left the callee to others.
    ...[...disturbed(guard), ...get(result), OR, ...load(get(callee), LINE.state), OR, 0x04, 0x40],
    ...[...get(0), ...get(result), ...args, ...call(numbers.judged(i)), RETURN],
    END,
    ...store(get(guard), LINE.state, num(0)),
  ];
  return [
    ...(kept < 0 ? [1, 6, I32] : [2, 6, I32, KEPT_VALUES_MAX, V128]),
    ...[...num(0), ...call(numbers.probe)],
    ...[0x02, 0x40],
    ...[...moved(), ...brIf(0)],
    ...[
      ...word(WORD.answered),
      ...load([...load(get(0), GATE.callee), ...tee(callee)], LINE.state),
      OR,
      ...brIf(0),
    ],
    ...[...word(WORD.depth), ...tee(depth), ...load(get(0), GATE.depth), GE, ...brIf(0)],
    ...[...load(get(0), GATE.guard), ...tee(guard), 0x04, 0x40, ...ask, END],
    ...enter(callee, depth),
    ...[...procedure(params, types, slot), ...set(result)],
    ...comeBack(depth, num(0)),
    ...[...disturbed(callee), 0x04, 0x40],
    ...[...get(0), ...get(result), ...call(numbers.back), RETURN],
    END,
    ...store(get(callee), LINE.state, num(0)),
    ...[...get(result), RETURN],
    END,
    ...[...get(0), ...args, ...call(numbers.slow(i))],
    END,
  ];
}
const callBody = (params: number, i: number, { probe }: Numbers): number[] => [
  ...[1, 1, I32],
  ...setWord(WORD.begun, num(0)),
  ...[...num(0), ...call(probe)],
  ...setWord(WORD.begun, num(1)),
  ...procedure(params, typesOf(i), params + 1),
  END,
];

const name = (text: string): number[] => [text.length, ...Buffer.from(text)];
const memory64 = (): number[] => [0x02, 0x07, ...unsigned(SPACE_MIN_FRAMES), ...unsigned(SPACE_MAX_FRAMES)];

/** A module with functions for such numbers of parameters, the first named `call0` and `go0`, and so on. */
export function boardModule(arities: readonly number[]): Uint8Array<ArrayBuffer> {
  const n = arities.length;
  const imported = 1 + 2 * n;
  const numbers: Numbers = {
    back: 0,
    slow: (i) => 1 + i,
    judged: (i) => 1 + n + i,
    probe: imported + 1,
  };
  const ints = (count: number): number[] => vector(Array.from({ length: count }, () => [I32]));
  const one = [1, I32];
  const types = arities.flatMap((params) => [
    [0x60, ...ints(params), ...one],
    [0x60, ...ints(params), 0],
    [0x60, ...ints(params + 1), ...one],
    [0x60, ...ints(params + 2), ...one],
  ]);
  const functions = arities.flatMap((params, i) => [
    code(callBody(params, i, numbers)),
    code(goBody(params, i, numbers)),
  ]);
  const field = (text: string, ...what: number[]): number[] => [0, ...name(text), ...what];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      vector([
        [0x60, 0, 1, 0x7b],
        [0x60, 1, I32, 0],
        [0x60, 2, I32, I32, ...one],
        [0x60, 2, I64, I32, ...one],
        ...types,
      ]),
    ),
    ...section(
      2,
      vector([
        field('board', 0x02, 0x00, 1),
        field('space', ...memory64()),
        field('table', 0x01, 0x70, 0, 0),
        field('back', 0, BACK_TYPE),
        ...arities.map((_, i) => field(`slow${i}`, 0, ...unsigned(typesOf(i).go))),
        ...arities.map((_, i) => field(`judged${i}`, 0, ...unsigned(typesOf(i).judged))),
      ]),
    ),
    ...section(
      3,
      vector([[0], [1], ...arities.flatMap((_, i) => [unsigned(typesOf(i).go), unsigned(typesOf(i).go)])]),
    ),
    ...section(6, vector([[I32, 1, 0x41, 0, 0x0b]])),
    ...section(
      7,
      vector([
        [...name('probe'), 0, ...unsigned(numbers.probe)],
        ...arities.flatMap((_, i) => [
          [...name(`call${i}`), 0, ...unsigned(imported + 2 + 2 * i)],
          [...name(`go${i}`), 0, ...unsigned(imported + 3 + 2 * i)],
        ]),
      ]),
    ),
    ...section(10, vector([probeSource(), probeBody(GATE_HEADROOM_BYTES, imported), ...functions])),
    ...section(0, [...name('name'), ...section(0, name(BOARD_NAME))]),
  ]);
}
