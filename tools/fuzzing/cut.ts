/**
 * Code cut into its instructions, for what changes them or looks at them one by one. It need not be a whole body, and
 * what no rewritten module has is cut as well. Code that cannot be reached can be taken out: the verifier wants none.
 */
import { MalformedError } from '../../src/base/errors.ts';
import { Cursor } from '../../src/verifier/cursor.ts';
import * as table from '../../src/verifier/opcodes.ts';

/** The instructions of a body, or of a part of one. */
export type Code = Uint8Array[];

/** @throws MalformedError for bytes that are no instruction */
export function cut(bytes: Uint8Array, start = 0, end: number = bytes.length): Code {
  const c = new Cursor(bytes);
  c.pos = start;
  c.end = end;
  const code: Code = [];
  while (c.pos < end) {
    const at = c.pos;
    skip(c);
    code.push(bytes.slice(at, c.pos));
  }
  return code;
}

/** Steps over one instruction. */
export function skip(c: Cursor): void {
  const op = c.u8();
  const prefix = table.PREFIXED[op];
  if (prefix === undefined) {
    const entry = table.PLAIN[op]!;
    if (entry === 0) other(c, op);
    else immediate(c, table.follows(entry));
    return;
  }
  const at = c.pos;
  const entry = prefix[c.u32()];
  if (entry) immediate(c, table.follows(entry));
  else if (op === 0xfc) {
    const code = c.bytes[at]!;
    if (code < 8 || code > 11) c.fail('no instruction', at);
    c.u32();
    if (code !== 11) c.u32(); // memory.init and copy, not fill
  } else if (op === 0xfe) immediate(c, table.MEMARG);
  else c.fail('no instruction', at);
}

function immediate(c: Cursor, kind: number): void {
  switch (kind) {
    case table.MEMARG:
    case table.MEMARG_LANE:
      c.u32();
      c.u64();
      if (kind === table.MEMARG_LANE) c.u8();
      return;
    case table.BYTE:
      c.skip(1);
      return;
    case table.BYTES_4:
      c.skip(4);
      return;
    case table.BYTES_8:
      c.skip(8);
      return;
    case table.BYTES_16:
      c.skip(16);
      return;
    case table.SEGMENT:
    case table.GLOBAL:
    case table.FUNCTION:
    case table.TABLE_READ:
    case table.TABLE:
      c.u32();
      return;
    case table.TABLE_TABLE:
    case table.SEGMENT_TABLE:
      c.u32();
      c.u32();
      return;
    case table.HEAP_TYPE:
      return table.heapType(c);
    case table.VALUE_TYPE_LIST:
      for (let n = c.count(); n > 0; n--) c.u8();
  }
}

function other(c: Cursor, op: number): void {
  if (op <= 0x05 || op === 0x0b) {
    if (op >= 0x02 && op <= 0x04) table.blockType(c);
  } else if (op === 0x0e) {
    for (let n = c.count(); n >= 0; n--) c.u32();
  } else if (op === 0x1f) {
    table.blockType(c);
    for (let n = c.count(); n > 0; n--) {
      if (c.u8() < 2) c.u32();
      c.u32();
    }
  } else if (op === 0x11 || op === 0x13) {
    c.u32();
    c.u32();
  } else if (op === 0x41) c.i32();
  else if (op === 0x42) c.s64();
  else if ([0x08, 0x0c, 0x0d, 0x10, 0x12, 0x20, 0x21, 0x22, 0x23, 0x3f, 0x40].includes(op)) c.u32();
  else if (op !== 0x0a && op !== 0x0f) c.fail('no instruction', c.pos - 1);
}

const LEAVING: readonly number[] = [0x00, 0x08, 0x0a, 0x0c, 0x0e, 0x0f, 0x12, 0x13];

/** The code without what stands behind a branch, a return or the like in the same construct. */
export function reachable(code: Code): Code {
  const out: Code = [];
  let isDead = false;
  let open = 0;
  for (const one of code) {
    const op = one[0]!;
    if (!isDead) {
      out.push(one);
      isDead = LEAVING.includes(op);
      open = 0;
    } else if ((op >= 0x02 && op <= 0x04) || op === 0x1f) open++;
    else if (op === 0x0b && open > 0) open--;
    else if ((op === 0x0b || op === 0x05) && open === 0) {
      out.push(one);
      isDead = false;
    }
  }
  return out;
}

/** The same of code that changes have left in any state: as it is where it cannot be read. */
export function tidy(code: Code): Code {
  try {
    return reachable(cut(Uint8Array.from(code.flatMap((one) => [...one]))));
  } catch (error) {
    if (error instanceof MalformedError) return code;
    throw error;
  }
}
