/**
 * The native call stack below a trap, as V8 tells it: which functions of which rewritten modules, and where in them.
 * V8's texts decide nothing, they are only reported; should they change, reports get poorer.
 *
 * V8 takes a stack down when an error is made, and only as far as `Error.stackTraceLimit` says. Programs run with a
 * limit of NATIVE_FRAMES_MAX (`deepStacks`), and system calls with an ordinary one (`plainStacks`): errors that kernel
 * and drivers make and handle there should not cost more the deeper the program is.
 */
import { resumeModuleNumber } from '../abi/resume.ts';
import { NATIVE_FRAMES_MAX } from '../base/limits.ts';
import { BOARD_NAME } from './gate/board-code.ts';
import type { NativePlace } from './program.ts';

export interface NativeStack {
  /** Innermost first. */
  readonly frames: readonly (() => NativePlace | null)[];
  /** There are more frames outside of these. */
  readonly cut: boolean;
}

/** How V8's names for the code of a module begin that is named like this. */
const BOARD = `/${BOARD_NAME}-`;
/** Frames of our own errors. */
const PLAIN_FRAMES = 64;

/** Errors made from now on tell the whole stack of the program that runs. */
export function deepStacks(): void {
  Error.stackTraceLimit = NATIVE_FRAMES_MAX;
}
/** Errors made from now on tell as much as is useful of our own code. */
export function plainStacks(): void {
  Error.stackTraceLimit = PLAIN_FRAMES;
}

/** An error of this very moment, with the whole stack; `nativeStack` reads it later, when there is room to work. */
export function captureStack(): Error {
  const limit = Error.stackTraceLimit;
  deepStacks();
  const error = new Error();
  Error.stackTraceLimit = limit;
  return error;
}

/** A frame as V8 shows it, by its text or its call site. */
type Shown = string | NodeJS.CallSite;

function shownFrames(error: Error): readonly Shown[] {
  const before = Error.prepareStackTrace;
  Error.prepareStackTrace = (_error, sites) => sites;
  try {
    const stack: unknown = error.stack;
    if (Array.isArray(stack)) return stack as NodeJS.CallSite[];
    // Somebody has looked at it before, and it is text for ever.
    return typeof stack === 'string' ? stack.split('\n').filter((line) => /^\s+at /.test(line)) : [];
  } finally {
    Error.prepareStackTrace = before;
  }
}

/** Whether it is a program's: of WebAssembly, and not of the switchboard of gates. */
function isProgram(shown: Shown): boolean {
  if (typeof shown === 'string') return shown.includes('wasm-function[') && !shown.includes(BOARD);
  const url = shown.getScriptNameOrSourceURL();
  return url?.startsWith('wasm:') === true && !url.includes(BOARD);
}

function frameOf(shown: Shown): NativePlace | null {
  const match = /([^\s(]*):wasm-function\[(\d{1,9})\]:0x([0-9a-f]{1,12})\)?$/.exec(String(shown));
  return (
    match && {
      module: match[1] as string,
      functionIndex: Number(match[2]),
      offset: Number.parseInt(match[3] as string, 16),
    }
  );
}

function isResumed(shown: Shown): boolean {
  const place = frameOf(shown);
  return place !== null && resumeModuleNumber(place.module) !== undefined;
}

/**
 * The program's frames on the stack of an error: the innermost run of WebAssembly frames. Outside of it is the kernel,
 * and perhaps another program that an embedder linked to this one.
 */
export function nativeStack(error: Error): NativeStack {
  const shown = shownFrames(error);
  let from = 0;
  while (from < shown.length && !isProgram(shown[from] as Shown)) from++;
  let to = from;
  while (to < shown.length && isProgram(shown[to] as Shown)) to++;
  const cut = to === shown.length && shown.length >= NATIVE_FRAMES_MAX;
  // What the kernel called of a resume module is an entry, which calls what the program knows.
  if (!cut && to > from && isResumed(shown[to - 1] as Shown)) to--;
  return { frames: shown.slice(from, to).map((each) => () => frameOf(each)), cut };
}
