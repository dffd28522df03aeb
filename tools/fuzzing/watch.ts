/**
 * The exact oracle: a rewritten module with a question before every access. `Watcher.watched` gives a copy in which each
 * instruction that touches memory is a call of a function that first looks whether the bytes are the domain's, and
 * stops the run where they are not, reading or writing, be it one byte. Loops and entries burn fuel, so every run ends;
 * the safepoint word is raised after as many polls as one likes. What may be touched stands in a small memory of the
 * watcher's own, which the host writes (`Watch`).
 *
 * It reads modules with `src/wasm`, which the verifier does not use. Made after verification, from the very bytes that
 * were verified; never trusted to be right alone: the canaries of `arena.ts` judge some of the same modules.
 */
import wabt from 'wabt';
import { FLAG_ADDRESS } from '../../src/abi/layout.ts';
import { assert } from '../../src/base/assert.ts';
import { InstructionCursor } from '../../src/wasm/instructions.ts';
import { type Code, decodeModule, encodeModule, type Module } from '../../src/wasm/module.ts';
import { OP } from '../../src/wasm/opcodes.ts';
import {
  ADDRESS,
  IMM_MEMARG_LANE,
  OP_ACCESS,
  OP_ACCESS_BYTES,
  OP_IMMEDIATE,
  OP_POPS,
  OP_PUSHES,
  OP_WRITES,
} from '../../src/wasm/optable.ts';
import { type FuncType, I32, I64, type ValueType } from '../../src/wasm/types.ts';
import { Writer } from '../../src/wasm/writer.ts';

/** Kinds of places, as bits: who may touch them. */
export const OWN = 1;
/** Frame stack and its words in the control page: for the prelude alone. */
export const PRELUDE = 2;
/** Marks: a single byte 1 may be written. */
export const MARK = 4;
/** The safepoint word: a single read of four bytes. */
export const POLL = 8;
/** What may only be read. */
export const READ = 16;

/** Module and name of the watcher's memory. */
const WATCH = 'watch';
// Its words: see `Watch`.
const FUEL = 0;
const POLLS = 4;
const PLACES_END = 8;
const BAD = 12;
const BAD_AT = 16;
const BAD_BYTES = 24;
const PLACES = 64;
const PLACE_BYTES = 24;

/** More than the types of the package know of. */
const FEATURES = { multi_memory: true, memory64: true };
const CHECK_TEXT = `(module
  (memory i64 1) (memory $w 1)
  (func $burn
    (i32.store $w (i32.const ${FUEL}) (i32.sub (i32.load $w (i32.const ${FUEL})) (i32.const 1)))
    (if (i32.lt_s (i32.load $w (i32.const ${FUEL})) (i32.const 0)) (then (unreachable))))
  (func $check (param $near i64) (param $offset i64) (param $bytes i64) (param $may i32)
    (local $at i64) (local $end i64) (local $place i32) (local $kind i32)
    (call $burn)
    (if (i64.eqz (local.get $bytes)) (then (return)))
    (local.set $at (i64.add (local.get $near) (local.get $offset)))
    (local.set $end (i64.add (local.get $at) (local.get $bytes)))
    (local.set $place (i32.const ${PLACES}))
    (block $bad
      (br_if $bad (i64.lt_u (local.get $at) (local.get $near)))
      (br_if $bad (i64.lt_u (local.get $end) (local.get $at)))
      (loop $next
        (br_if $bad (i32.ge_u (local.get $place) (i32.load $w (i32.const ${PLACES_END}))))
        (if (i32.and (i32.and
              (i64.ge_u (local.get $at) (i64.load $w (local.get $place)))
              (i64.le_u (local.get $end) (i64.load $w offset=8 (local.get $place))))
              (i32.ne (i32.const 0) (local.tee $kind (i32.and (i32.load $w offset=16 (local.get $place)) (local.get $may)))))
          (then
            (if (i32.eq (local.get $kind) (i32.const ${POLL})) (then
              (if (i32.load $w (i32.const ${POLLS})) (then
                (i32.store $w (i32.const ${POLLS}) (i32.sub (i32.load $w (i32.const ${POLLS})) (i32.const 1)))
                (if (i32.eqz (i32.load $w (i32.const ${POLLS}))) (then (i32.store (i64.const ${FLAG_ADDRESS}) (i32.const 1))))))))
            (return)))
        (local.set $place (i32.add (local.get $place) (i32.const ${PLACE_BYTES})))
        (br $next)))
    (if (i32.eqz (i32.load $w (i32.const ${BAD}))) (then
      (i32.store $w (i32.const ${BAD}) (i32.or (local.get $may) (i32.const 256)))
      (i64.store $w (i32.const ${BAD_AT}) (local.get $at))
      (i64.store $w (i32.const ${BAD_BYTES}) (local.get $bytes))))
    (unreachable)))`;

/** The host's side: what may be touched, and what was found. */
export class Watch {
  readonly memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  readonly #view = new DataView(this.memory.buffer);

  set fuel(steps: number) {
    this.#view.setInt32(FUEL, steps, true);
  }
  get fuel(): number {
    return this.#view.getInt32(FUEL, true);
  }
  /** The safepoint word is raised after so many polls; 0 for never. */
  set polls(count: number) {
    this.#view.setInt32(POLLS, count, true);
  }

  /** What may be touched from now on: [start, end), and one of the kinds. */
  set places(list: readonly (readonly [start: number, end: number, kind: number])[]) {
    list.forEach(([start, end, kind], i) => {
      const at = PLACES + PLACE_BYTES * i;
      this.#view.setBigUint64(at, BigInt(start), true);
      this.#view.setBigUint64(at + 8, BigInt(end), true);
      this.#view.setInt32(at + 16, kind, true);
    });
    this.#view.setInt32(PLACES_END, PLACES + PLACE_BYTES * list.length, true);
  }

  /** The first access that was none of the domain's since this was last asked, or null. */
  takeBad(): { at: bigint; bytes: bigint } | null {
    if (this.#view.getInt32(BAD, true) === 0) return null;
    this.#view.setInt32(BAD, 0, true);
    return { at: this.#view.getBigUint64(BAD_AT, true), bytes: this.#view.getBigUint64(BAD_BYTES, true) };
  }
}

/** Which functions of a module are the prelude's and the templates'. */
export interface Fixed {
  readonly start: number;
  readonly end: number;
}

/** An access as a function of its own. */
interface Accessor {
  readonly type: FuncType;
  readonly body: Uint8Array;
}

/** Makes watched copies; keeps what it made of bodies that come again, so use one for many mutants of a module. */
export class Watcher {
  readonly #burn: Uint8Array;
  readonly #check: Uint8Array;
  readonly #checkLocals: Code['locals'];
  readonly #accessors: Accessor[] = [];
  readonly #byText = new Map<string, number>();
  #bodies = new Map<string, Uint8Array>();
  /** Index of the first function that is added; what was kept is for this alone. */
  #first = -1;
  /** How many data segments there are: what was kept names them. */
  #segments = -1;
  readonly #w = new Writer(4096);

  private constructor(parts: Module) {
    const [burn, check] = parts.codes as [Code, Code];
    this.#burn = burn.source.slice(burn.start, burn.end);
    this.#check = check.source.slice(check.start, check.end);
    this.#checkLocals = check.locals;
  }

  static async make(): Promise<Watcher> {
    const tools = await wabt();
    const parsed = tools.parseWat('check.wat', CHECK_TEXT, FEATURES);
    try {
      return new Watcher(decodeModule(Uint8Array.from(parsed.toBinary({}).buffer)));
    } finally {
      parsed.destroy();
    }
  }

  /** @param frames how many the space has here, instead of what the module asks for */
  watched(bytes: Uint8Array, fixed: Fixed, frames: number): Uint8Array<ArrayBuffer> {
    const m = decodeModule(bytes);
    const imported = m.imports.filter(({ kind }) => kind === 'func').length;
    const first = imported + m.functions.length;
    const segments = m.datas.length;
    const other = first !== this.#first || segments !== this.#segments;
    if (other || this.#accessors.length > 2000) this.#forget(first, segments);
    const codes = m.codes.map((code, i) => {
      const source = this.#body(code, imported + i, fixed);
      return { locals: code.locals, source, start: 0, end: source.length };
    });
    const types = [...m.types];
    const typeOf = (type: FuncType): number => types.push(type) - 1;
    const burn = this.#burn;
    const added: { type: number; code: Code }[] = [
      {
        type: typeOf({ params: [], results: [] }),
        code: { locals: [], source: burn, start: 0, end: burn.length },
      },
      { type: typeOf({ params: [I64, I64, I64, I32], results: [] }), code: this.#checkCode(first) },
      ...this.#accessors.map(({ type, body }) => ({
        type: typeOf(type),
        code: { locals: [], source: body, start: 0, end: body.length },
      })),
    ];
    return encodeModule({
      ...m,
      types,
      imports: [
        ...m.imports.map((item) =>
          item.kind === 'memory' ? { ...item, memory: { ...item.memory, min: BigInt(frames) } } : item,
        ),
        {
          module: WATCH,
          name: 'memory',
          kind: 'memory',
          memory: { min: 1n, max: 1n, is64: false, shared: false },
        },
      ],
      functions: [...m.functions, ...added.map(({ type }) => type)],
      codes: [...codes, ...added.map(({ code }) => code)],
      customs: [],
    }) as Uint8Array<ArrayBuffer>;
  }

  #forget(first: number, segments: number): void {
    this.#first = first;
    this.#segments = segments;
    this.#accessors.length = 0;
    this.#byText.clear();
    this.#bodies = new Map();
  }

  /** The check calls the other function, whose index it was not made for. */
  #checkCode(first: number): Code {
    const cursor = new InstructionCursor(this.#check);
    cursor.reset(0, this.#check.length);
    const w = new Writer(512);
    while (cursor.next()) {
      if (cursor.op === OP.call) {
        w.u8(0x10);
        w.u32(first);
      } else w.rawRange(this.#check, cursor.offset, cursor.end);
    }
    const source = w.toBytes();
    return { locals: this.#checkLocals, source, start: 0, end: source.length };
  }

  #body(code: Code, index: number, fixed: Fixed): Uint8Array {
    const isFixed = index >= fixed.start && index < fixed.end;
    const key =
      (isFixed ? 'p' : 'c') +
      Buffer.from(code.source.buffer, code.source.byteOffset + code.start, code.end - code.start).toString(
        'latin1',
      );
    const known = this.#bodies.get(key);
    if (known !== undefined) return known;
    const made = this.#rewritten(code, isFixed ? PRELUDE : 0);
    if (this.#bodies.size > 3000) this.#bodies.clear();
    this.#bodies.set(key, made);
    return made;
  }

  #rewritten({ source, start, end }: Code, may: number): Uint8Array {
    const w = this.#w;
    w.clear();
    const burn = (): void => {
      w.u8(0x10);
      w.u32(this.#first);
    };
    burn();
    const cursor = new InstructionCursor(source);
    cursor.reset(start, end);
    while (cursor.next()) {
      const { op } = cursor;
      if (OP_ACCESS[op] !== 0 || isBulk(op)) {
        w.u8(0x10);
        w.u32(this.#first + 2 + this.#accessor(cursor, source, may));
      } else w.rawRange(source, cursor.offset, cursor.end);
      if (op === OP.loop) burn();
    }
    return w.toBytes();
  }

  #accessor(cursor: InstructionCursor, source: Uint8Array, may: number): number {
    const text = `${may}:${Buffer.from(source.buffer, source.byteOffset + cursor.offset, cursor.end - cursor.offset).toString('hex')}`;
    const known = this.#byText.get(text);
    if (known !== undefined) return known;
    const made = isBulk(cursor.op) ? this.#bulk(cursor, source, may) : this.#plain(cursor, source, may);
    this.#byText.set(text, this.#accessors.push(made) - 1);
    return this.#accessors.length - 1;
  }

  /** A question: address and offset, bytes, and what they may be, are as `check` takes them. */
  #ask(w: Writer, address: number, offset: bigint, bytes: bigint | number, may: () => void): void {
    w.u8(0x20);
    w.u32(address);
    w.u8(0x42);
    w.s64(offset);
    if (typeof bytes === 'number') {
      w.u8(0x20);
      w.u32(bytes);
    } else {
      w.u8(0x42);
      w.s64(bytes);
    }
    may();
    w.u8(0x10);
    w.u32(this.#first + 1);
  }

  #plain(cursor: InstructionCursor, source: Uint8Array, may: number): Accessor {
    const { op } = cursor;
    assert(cursor.imm0 === 0, 'the verifier lets no access pass that names another memory');
    const wide = (type: ValueType): ValueType => (type === ADDRESS ? I64 : type);
    const params = OP_POPS[op]!.map(wide);
    const w = new Writer(64);
    const offset = memoryOffset(source, cursor);
    const reads = OP_WRITES[op] === 1 ? 0 : READ;
    const kinds = OWN | may | reads | (op === OP.i32_load && offset === BigInt(FLAG_ADDRESS) ? POLL : 0);
    this.#ask(w, 0, offset, BigInt(OP_ACCESS_BYTES[op]!), () => {
      w.u8(0x41);
      w.s32(kinds);
      if (op === OP.i32_store8) orMark(w);
    });
    params.forEach((_, i) => {
      w.u8(0x20);
      w.u32(i);
    });
    w.rawRange(source, cursor.offset, cursor.end);
    w.u8(0x0b);
    return { type: { params, results: OP_PUSHES[op]!.map(wide) }, body: w.toBytes() };
  }

  /** memory.fill, copy and init of the templates; the counts of init are i32. */
  #bulk(cursor: InstructionCursor, source: Uint8Array, may: number): Accessor {
    const { op } = cursor;
    const w = new Writer(64);
    const kinds =
      (mark: boolean, reads = 0) =>
      (): void => {
        w.u8(0x41);
        w.s32(OWN | may | reads);
        if (mark) orMark(w);
      };
    const params =
      op === OP.memory_copy ? [I64, I64, I64] : op === OP.memory_fill ? [I64, I32, I64] : [I64, I32, I32];
    if (op === OP.memory_init) {
      // A local for the widened count: a fourth parameter that nobody passes would change the type, so ask by hand.
      w.u8(0x20);
      w.u32(0);
      w.u8(0x42);
      w.s64(0n);
      w.u8(0x20);
      w.u32(2);
      w.u8(0xad);
      kinds(false)();
      w.u8(0x10);
      w.u32(this.#first + 1);
    } else {
      this.#ask(w, 0, 0n, 2, kinds(op === OP.memory_fill));
      if (op === OP.memory_copy) this.#ask(w, 1, 0n, 2, kinds(false, READ));
    }
    for (let i = 0; i < 3; i++) {
      w.u8(0x20);
      w.u32(i);
    }
    w.rawRange(source, cursor.offset, cursor.end);
    w.u8(0x0b);
    return { type: { params, results: [] }, body: w.toBytes() };
  }
}

const isBulk = (op: number): boolean =>
  op === OP.memory_fill || op === OP.memory_copy || op === OP.memory_init;

/** Marks may be written too, where parameter 1 is a byte 1. */
function orMark(w: Writer): void {
  for (const byte of [0x20, 1, 0x41]) w.u8(byte);
  w.s32(255);
  for (const byte of [0x71, 0x41, 1, 0x46, 0x41, 2, 0x74, 0x72]) w.u8(byte);
}

/** The constant offset, exactly: the cursor gives it as a double. */
function memoryOffset(source: Uint8Array, cursor: InstructionCursor): bigint {
  if (cursor.memOffset < 2 ** 53) return BigInt(cursor.memOffset);
  // Opcode, alignment, offset: the last number but for a lane's byte.
  const end = OP_IMMEDIATE[cursor.op] === IMM_MEMARG_LANE ? cursor.end - 1 : cursor.end;
  let at = end - 1;
  while (at > cursor.offset && (source[at - 1]! & 0x80) !== 0) at--;
  let value = 0n;
  for (let shift = 0n; at < end; at++, shift += 7n) value |= BigInt(source[at]! & 0x7f) << shift;
  return value;
}
