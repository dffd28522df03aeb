/**
 * Where things lie in the space. Everything on both sides of a trust boundary agrees on these numbers: the compiler
 * emits them, the verifier demands them, the kernel keeps them true.
 *
 * Global addresses are bytes from the start of the one memory. The fixed part of the space:
 *
 *   0x000000  superblock page: the kernel's root record; the safepoint word at FLAG_ADDRESS
 *   0x001000  revocation page: the epoch at EPOCH_ADDRESS
 *   0x002000  transfer area of gates
 *   0x100000  page marks: one byte a page of the whole space; non-zero means changed since the last checkpoint
 *   0x500000  frame table: one u32 a frame: who owns it
 *   0x600000  first frame that can be allocated
 *
 * A domain's region, at its base (`hdr`, a multiple of FRAME_BYTES):
 *
 *   +0            control page: only the kernel and the prelude (abi/prelude.ts) touch it
 *   +STATE_OFFSET state zone up to `controlBytes` (H): the program's globals, results, flags; the rewritten code may
 *                 touch it at constant offsets
 *   +H            the program's memory 0: near address a lies at hdr + H + a
 *
 * Memories 1.. of a module lie in extents of their own, near address a at base_i + a.
 */
import { assert } from '../base/assert.ts';
import { FRAME_BYTES, GATE_VALUES_MAX, PAGE_SHIFT, SPACE_MAX_FRAMES } from '../base/limits.ts';

/** The safepoint word, u32: non-zero asks running code to unwind. Written by any thread, read by polls. */
export const FLAG_ADDRESS = 64;
/** u32 behind it: ticks that whoever raises the word at each of them is to let pass. Set by the core, counted down by that. */
export const GRACE_ADDRESS = FLAG_ADDRESS + 4;
/**
 * The epoch, u64: goes up whenever a capability is revoked, or anything else happens by which what was looked up before may
 * not be true any more (an object is gone, a mapping has changed). Written by the kernel; read by gates and windows.
 */
export const EPOCH_ADDRESS = 0x1000;
/**
 * The transfer area: parameters and results on their way between two domains, VALUE_BYTES each. Only from one end of a gate
 * to the other; between, none but the kernel runs. Its contents in a checkpoint mean nothing.
 */
export const TRANSFER_ADDRESS = 0x2000;
/** Page marks: byte n tells whether page n of the space changed since the last checkpoint. */
export const MARKS_ADDRESS = 0x100000;
export const MARKS_BYTES = SPACE_MAX_FRAMES << (16 - PAGE_SHIFT);
/** Frame table: u32 for each frame of the space. */
export const FRAME_TABLE_ADDRESS = 0x500000;
export const FRAME_TABLE_BYTES = SPACE_MAX_FRAMES * 4;
/** The first address the frame allocator hands out. */
export const FIRST_FREE_ADDRESS = 0x600000;

/**
 * A mark on page p stands for stores to any byte of pages p-1, p and p+1: a store may be marked by the page its
 * pointer lies in although its bytes lie up to this many bytes before or after. Whoever collects marks looks at
 * the neighbours too.
 */
export const MARK_SLOP_BYTES = 4096;

/** Control page of a domain, offsets from hdr. Absolute addresses; the kernel rewrites them when it moves things. */
export const CONTROL = {
  /** u64: address past the last saved call frame of the activation that runs here. */
  stackPointer: 8,
  /** u64: where the frame stack begins, and ends. A push past the end asks the kernel for more. */
  stackBase: 16,
  stackLimit: 24,
  /** u64: the domain's window table (WINDOW), and how many entries it has. */
  windows: 32,
  windowCount: 40,
} as const;

/**
 * An entry of the window table: for 64 KiB of near addresses, the first for those at WINDOW_BASE. Zero where nothing is
 * mapped. Its fields are true as long as the epoch is the space's.
 */
export const WINDOW = {
  bytes: 40,
  /** u64: what to add to a near address, modulo 2^64. */
  delta: 0,
  /** u64: near address where the bytes end that may be read, or also written, 0 where none may. */
  readEnd: 8,
  writeEnd: 16,
  /** u64 */
  epoch: 24,
  /** u64: what the kernel keeps. */
  mapping: 32,
} as const;

/** The state zone begins here; below it only the prelude and the kernel write. */
export const STATE_OFFSET = 4096;
/** u32 in the state zone: how a resumed call site goes on; see RESUME_*. The 12 bytes behind it are free. */
export const RESUME_MODE_OFFSET = STATE_OFFSET;
/** The callee returned: its results are in the result area. */
export const RESUME_RESULTS = 0;
/** The callee threw: the site calls the system import `rethrow`. */
export const RESUME_THROW = 1;
/** Results of the last function that ended in a resumed activation: 16 bytes each, from here. */
export const RESULTS_OFFSET = STATE_OFFSET + 16;
/** Bytes a result or a saved global takes. */
export const VALUE_BYTES = 16;

/**
 * A program that is alone in its process keeps memories of its own, and a space of its own beside them for its frames,
 * state zone and safepoint word. There the first frames hold page marks, for each memory from its address 0 on: half
 * of them for addresses, the other half for what an access adds to them.
 */
export const OWN_MARKS_BYTES = 0x800000;
/** Where the marks of one of the memories begin. */
export function ownMarks(memory: number): number {
  return FIRST_FREE_ADDRESS + memory * OWN_MARKS_BYTES;
}

assert(FLAG_ADDRESS % 4 === 0 && FLAG_ADDRESS < 4096, 'the safepoint word is aligned, in the first page');
assert(EPOCH_ADDRESS >= 4096 && EPOCH_ADDRESS + 8 <= MARKS_ADDRESS, 'the epoch lies behind the superblock');
assert(TRANSFER_ADDRESS + GATE_VALUES_MAX * VALUE_BYTES <= MARKS_ADDRESS, 'values in transfer have room');
assert(MARKS_ADDRESS + MARKS_BYTES <= FRAME_TABLE_ADDRESS, 'marks end before the frame table');
assert(
  FRAME_TABLE_ADDRESS + FRAME_TABLE_BYTES <= FIRST_FREE_ADDRESS,
  'the frame table ends before free frames',
);
assert(FIRST_FREE_ADDRESS % FRAME_BYTES === 0, 'free frames are aligned');
