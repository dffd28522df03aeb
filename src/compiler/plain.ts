/**
 * Instructions without control flow: most are copied as they are, and only what they do to the operand stack is
 * followed; those that name functions, memories or segments are rewritten.
 */
import { assert } from '../base/assert.ts';
import { OP } from '../wasm/opcodes.ts';
import { ACCESS_NONE, OP_ACCESS, OP_POPS, OP_PUSHES, OP_WRITES } from '../wasm/optable.ts';
import { FUNCREF, I32, I64, type ValueType } from '../wasm/types.ts';
import { emitSetFlag } from './frames.ts';
import { addressType, emitAccess } from './memory.ts';
import { emitSize } from './memoryops.ts';
import { emitOwnMark, emitOwnRangeMark } from './own.ts';
import { segmentKey } from './scan.ts';
import type { FunctionState } from './state.ts';

/** Writes entry `i`; `op` is its instruction. */
export type Handler = (f: FunctionState, i: number, op: number) => void;

// What is copied as it is, whatever stands before and behind it, by number.
const NOT_COPIED = 0;
/** Takes OP_TAKES operands, gives one of the type OP_GIVES, or nothing. */
const FIXED = 1;
const GET = 2;
const SET = 3;
const TEE = 4;

const COPIED: Uint8Array = OP_ACCESS.map((access, op) =>
  access === ACCESS_NONE && OP_POPS[op] ? FIXED : NOT_COPIED,
);
const OP_TAKES: Uint8Array = OP_ACCESS.map((_, op) => OP_POPS[op]?.length ?? 0);
const OP_GIVES: Uint8Array = OP_ACCESS.map((_, op) => OP_PUSHES[op]?.[0] ?? 0);
COPIED[OP.local_get] = GET;
COPIED[OP.local_set] = SET;
COPIED[OP.local_tee] = TEE;

/** Follows what entry i does to the operands if it is one that is copied as it is; false for all others. */
export function isCopied({ e, body, input }: FunctionState, i: number, op: number): boolean {
  switch (COPIED[op]) {
    case FIXED:
      e.replace(OP_TAKES[op]!, OP_GIVES[op]!);
      return true;
    case GET:
      e.push(input.locals[body.a[i]!]!);
      return true;
    case SET:
      e.replace(1, 0);
      e.varying.sets(body.a[i]!);
      return true;
    case TEE:
      e.varying.sets(body.a[i]!);
      return true;
    default:
      return false;
  }
}

/** Writes the entries [from, to), which are all copied as they are. */
export function copyRun({ e, body }: FunctionState, from: number, to: number): void {
  if (from < to) e.w.rawRange(body.bytes, body.start[from]!, body.end[to - 1]!);
}

/** The program's own bytes of the instruction. */
export function copy(f: FunctionState, i: number): void {
  const { body } = f;
  f.e.w.rawRange(body.bytes, body.start[i]!, body.end[i]!);
}

/** An instruction that is copied, takes `pops` operands and gives one of a type that depends on what it names. */
function copied(pops: number, result?: (f: FunctionState, a: number, i: number) => ValueType): Handler {
  return (f, i) => {
    if (pops > 0) f.e.pop(pops);
    if (result) f.e.push(result(f, f.body.a[i]!, i));
    copy(f, i);
  };
}

const indexOfTable = (f: FunctionState, a: number): ValueType => (f.e.plan.tables[a]!.is64 ? I64 : I32);

/** fill, copy, init: a call of the template for these two indices. */
function bulk(
  kind: 'fill' | 'copy' | 'init',
  order: (a: number, b: number) => readonly [number, number],
): Handler {
  return (f, i, op) => {
    const { e, body } = f;
    const origin = body.start[i]!;
    const [middle, count] = e.operands(e.height - 2) as [ValueType, ValueType];
    e.pop(3);
    const [to, from] = order(body.a[i]!, body.b[i]!);
    if (!e.plan.options.isolate) {
      if (e.plan.options.track) emitOwnRangeMark(e, to, middle, count, origin);
      return kind === 'init' ? onSegment(f, i, op) : copy(f, i);
    }
    e.call(e.plan.template(kind, to, from));
  };
}

/** Loads, stores and read-modify-writes. */
export function access(f: FunctionState, i: number, op: number): void {
  const { e } = f;
  if (e.plan.options.isolate) emitAccess(f, i);
  else {
    if (e.plan.options.track && OP_WRITES[op] === 1) {
      emitOwnMark(f, i);
    }
    copy(f, i);
  }
  e.replace(OP_TAKES[op]!, OP_GIVES[op]!);
}

function select(f: FunctionState, i: number): void {
  f.e.pop(2);
  f.e.push(f.e.pop()); // a new operand, in no slot yet, of the first one's type
  copy(f, i);
}

function throws(f: FunctionState, i: number, op: number): void {
  const { e } = f;
  const tag = f.body.a[i]!;
  const { params } = e.plan.types[e.plan.tags[tag]!.type]!;
  if (params.length > 0) e.pop(params.length);
  e.op(op, tag + 1); // behind the unwind tag
}

function memorySize(f: FunctionState, i: number): void {
  const { e } = f;
  const memory = f.body.a[i]!;
  if (e.plan.options.isolate) emitSize(e, memory);
  else copy(f, i);
  e.push(addressType(e, memory));
}

/** An instruction on a segment of the rewritten module; of a resume module, a call of the helper that makes it. */
function onSegment(f: FunctionState, i: number, op: number): void {
  const { e, body } = f;
  if (e.links === null) return copy(f, i);
  const b = op === OP.data_drop || op === OP.elem_drop ? 0 : body.b[i]!; // those name one index
  const helper = e.plan.helpers.segments.get(segmentKey({ op, a: body.a[i]!, b }));
  assert(helper !== undefined, 'the scan saw every instruction on a segment');
  e.call(helper);
}

/** data.drop, elem.drop: also noted in the state zone, for the next instance. */
function drops(flags: (f: FunctionState) => number): Handler {
  return (f, i, op) => {
    onSegment(f, i, op);
    emitSetFlag(f.e, flags(f) + f.body.a[i]! * 16);
  };
}

/** What is neither control flow, nor a call, nor a memory access, nor of a fixed signature. */
export const PLAIN: readonly (readonly [op: number, handler: Handler])[] = [
  [OP.unreachable, copied(0)],
  [OP.drop, copied(1)],
  [OP.select, select],
  [OP.select_t, copied(3, (f, _, i) => f.body.selects.get(i)!)],
  [OP.global_get, copied(0, (f, a) => f.e.plan.globals[a]!.type)],
  [OP.global_set, copied(1)],
  [OP.table_get, copied(1, (f, a) => f.e.plan.tables[a]!.element)],
  [OP.table_set, copied(2)],
  [OP.table_size, copied(0, indexOfTable)],
  [OP.table_grow, copied(2, indexOfTable)],
  [OP.table_fill, copied(3)],
  [OP.table_copy, copied(3)],
  [
    OP.table_init,
    (f, i, op) => {
      f.e.pop(3);
      onSegment(f, i, op);
    },
  ],
  [OP.ref_null, copied(0, (_, a) => a)],
  [OP.ref_is_null, copied(1, () => I32)],
  [
    OP.ref_func,
    ({ e, body }, i, op) => {
      e.push(FUNCREF);
      if (e.links === null) return e.op(op, e.plan.functionIndex(body.a[i]!));
      e.i32(body.a[i]!);
      e.call(e.plan.helpers.functionOf);
    },
  ],
  [OP.throw, throws],
  [OP.throw_ref, copied(1)],
  [OP.memory_size, memorySize],
  [OP.memory_fill, bulk('fill', (a) => [a, 0])],
  [OP.memory_copy, bulk('copy', (a, b) => [a, b])],
  [OP.memory_init, bulk('init', (a, b) => [b, a])],
  [OP.data_drop, drops((f) => f.e.plan.dataFlags)],
  [OP.elem_drop, drops((f) => f.e.plan.elementFlags)],
];
for (const op of [...PLAIN.map(([op]) => op), OP.memory_grow]) COPIED[op] = NOT_COPIED;
