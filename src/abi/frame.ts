/**
 * The saved call frame, version 2: the state of one suspended function in terms of the program as it was shipped.
 * Nothing in it depends on the compiler that made the running code, on the host, or on where the domain lies, so a
 * later compiler, another machine or a debugger can read it and go on from it.
 *
 * Frames lie on a domain's frame stack, which grows upwards, outermost frame first. One frame, little endian:
 *
 *   values    the live locals in index order, then the operands from the bottom of the operand stack upwards, without
 *             the arguments of the call the frame stands in. i32 and f32: 8 bytes, the upper four zero; i64, f64: 8;
 *             v128: 16; funcref: 8, the function's number or -1 for null as i32; externref: 8, -1 as i32 (null);
 *             exnref: see below
 *   masks     ceil(locals / 64) words of 8 bytes: bit i of word j tells that local 64*j + i is among the values
 *   trailer   u32 function number, u32 instruction offset, u8 format version, u8 kind, u16 operands, u16 mask words,
 *             u16 slots: bytes of the values, divided by 8 (16 bytes in all)
 *
 * Function number: `functionNumber` of a module of the domain and an index in that module's function index space; for the
 * program the index alone, for it is module 0. The others are made modules (made.ts). Instruction offset: bytes from the
 * start of the module to the instruction; for an imported function 0. Types of locals and operands are those the
 * module's validation gives at that instruction. A frame is read from its end, so the stack unwinds without lengths.
 * Version 1 was the same with no module but the program.
 *
 * An exnref operand or local: the exception's arguments, each as above; zero words up to the size of the largest
 * arguments of any tag of the module; last its tag's index in the module's tag index space, or -1 for null, as i32
 * in 8 bytes.
 *
 * Kinds: BEFORE: the instruction has not begun; operands hold what it will consume. CALLING: the instruction is a
 * call that has consumed its arguments; results are still to come, and lie in the frame above or the result area.
 * An imported function's frame is BEFORE with the arguments as locals: the call is to be made again.
 *
 * Code unwinds from the inside outwards, so it leaves the frames of one unwinding in the wrong order: innermost
 * first. Whoever caught the unwind exception puts them right with `reverseFrames`.
 *
 * Why: RATIONALE.md#saved-frames-are-the-programs-not-the-compilers
 */
import { assert } from '../base/assert.ts';

export const FRAME_VERSION = 2;
/** Whether frames of this version can be read. */
export const isFrameVersion = (version: number): boolean => version === FRAME_VERSION || version === 1;

/** Bits of a function's index: V8 takes a million functions at most. Modules of a domain are numbered below MODULES_END. */
export const FUNCTION_BITS = 20;
export const MODULES_END = 2048;
/** The number of a function among all of a domain's. */
export const functionNumber = (module: number, index: number): number => module * 2 ** FUNCTION_BITS + index;
export const moduleOf = (functionNumber: number): number => functionNumber >>> FUNCTION_BITS;
export const indexOf = (functionNumber: number): number => functionNumber & (2 ** FUNCTION_BITS - 1);

export const KIND_BEFORE = 0;
export const KIND_CALLING = 1;
export const TRAILER_BYTES = 16;

export interface FrameTrailer {
  /** The function's number. */
  functionNumber: number;
  instructionOffset: number;
  version: number;
  kind: number;
  operands: number;
  maskWords: number;
  /** Bytes of the values, divided by 8. */
  slots: number;
}

/** Largest count of operands, mask words or slots that a trailer can tell. */
export const FRAME_COUNT_MAX = 65535;

/** Writes a trailer at byte `at` of `bytes`: what `readTrailer` reads. */
export function writeTrailer(bytes: Uint8Array, at: number, trailer: Omit<FrameTrailer, 'version'>): void {
  const { functionNumber, instructionOffset, kind, operands, maskWords, slots } = trailer;
  assert(Math.max(operands, maskWords, slots) <= FRAME_COUNT_MAX, 'the compiler refuses larger frames');
  for (let i = 0; i < 4; i++) {
    bytes[at + i] = functionNumber >>> (8 * i);
    bytes[at + 4 + i] = instructionOffset >>> (8 * i);
  }
  bytes[at + 8] = FRAME_VERSION;
  bytes[at + 9] = kind;
  for (let i = 0; i < 2; i++) {
    bytes[at + 10 + i] = operands >>> (8 * i);
    bytes[at + 12 + i] = maskWords >>> (8 * i);
    bytes[at + 14 + i] = slots >>> (8 * i);
  }
}

/** Reads the trailer that ends at byte `end` of `view`. The caller has checked that 16 bytes lie there. */
export function readTrailer(view: DataView, end: number): FrameTrailer {
  const at = end - TRAILER_BYTES;
  return {
    functionNumber: view.getUint32(at, true),
    instructionOffset: view.getUint32(at + 4, true),
    version: view.getUint8(at + 8),
    kind: view.getUint8(at + 9),
    operands: view.getUint16(at + 10, true),
    maskWords: view.getUint16(at + 12, true),
    slots: view.getUint16(at + 14, true),
  };
}

/** Bytes of a whole frame. */
export function frameBytes(trailer: FrameTrailer): number {
  return TRAILER_BYTES + (trailer.maskWords + trailer.slots) * 8;
}

/**
 * Puts the frames that one unwinding left in [start, end) of `bytes` in order: outermost first.
 * Gives false, having changed nothing, where the bytes are not whole frames: then they are not what the compiler's
 * code writes, and the program that wrote them cannot go on.
 */
export function reverseFrames(bytes: Uint8Array, start: number, end: number): boolean {
  const copy = bytes.slice(start, end);
  const view = new DataView(copy.buffer, copy.byteOffset, copy.byteLength);
  const sizes: number[] = [];
  let at = copy.length;
  while (at > 0) {
    if (at < TRAILER_BYTES) return false;
    const size = frameBytes(readTrailer(view, at));
    if (size > at) return false;
    sizes.push(size);
    at -= size;
  }
  if (sizes.length < 2) return true;
  let from = copy.length;
  let to = start;
  for (const size of sizes) {
    from -= size;
    bytes.set(copy.subarray(from, from + size), to);
    to += size;
  }
  return true;
}

/** Words of mask for a function with this many locals, parameters included. */
export function maskWordsFor(locals: number): number {
  return (locals + 63) >>> 6;
}
