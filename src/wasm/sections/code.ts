/**
 * The code section. A body is not decoded here: it stays a range of bytes, which an `InstructionCursor` walks
 * and which is written back as it is.
 */
import type { Reader } from '../reader.ts';
import { decodeValueType } from '../typecodec.ts';
import type { ByteRange, ValueType } from '../types.ts';
import { Writer } from '../writer.ts';

/** `count` locals of one type, next to each other. */
export interface LocalRun {
  readonly count: number;
  readonly type: ValueType;
}

/**
 * One function: its locals beside the parameters, and its instructions [start, end) with the closing `end`.
 */
export interface Code extends ByteRange {
  readonly locals: readonly LocalRun[];
}

export function decodeCodes(r: Reader): Code[] {
  const count = r.count('function bodies');
  const codes: Code[] = [];
  for (let i = 0; i < count; i++) codes.push(decodeCode(r));
  return codes;
}

function decodeCode(r: Reader): Code {
  const at = r.pos;
  const size = r.u32();
  const sectionEnd = r.end;
  const end = r.pos + size;
  if (end > sectionEnd) r.fail('the function body does not fit in its section', at);
  r.end = end;
  const locals = decodeLocals(r);
  const start = r.pos;
  r.pos = end;
  r.end = sectionEnd;
  return { locals, source: r.bytes, start, end };
}

function decodeLocals(r: Reader): LocalRun[] {
  const runs = r.count('runs of locals');
  const locals: LocalRun[] = [];
  let total = 0;
  for (let i = 0; i < runs; i++) {
    const at = r.pos;
    const count = r.u32();
    total += count;
    if (total > 0xffffffff) r.fail('too many locals', at);
    locals.push({ count, type: decodeValueType(r) });
  }
  return locals;
}

/** `written` is told of each array that bodies lie in, when the last of them was written. */
export function encodeCodes(w: Writer, codes: readonly Code[], written?: (source: Uint8Array) => void): void {
  w.u32(codes.length);
  const locals = new Writer(64);
  const last = new Map<Uint8Array, Code>();
  if (written) for (const code of codes) last.set(code.source, code);
  for (const code of codes) {
    locals.clear();
    encodeLocals(locals, code.locals);
    w.u32(locals.length + code.end - code.start);
    w.rawRange(locals.bytes, 0, locals.length);
    w.rawRange(code.source, code.start, code.end);
    if (last.get(code.source) === code) written?.(code.source);
  }
}

/** The head of a function body. */
export function encodeLocals(w: Writer, locals: readonly LocalRun[]): void {
  w.u32(locals.length);
  for (const { count, type } of locals) {
    w.u32(count);
    w.u8(type);
  }
}
