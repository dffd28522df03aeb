/**
 * What the kernel asks about a program beyond its rewritten module: its names, types and the shape of its saved
 * frames, all in terms of the program as it was shipped. Types only: the compiler supplies them (kernel and compiler do
 * not know each other), and what they say is used for reporting and for checking saved frames, never for safety.
 */
import type { MadeZone } from './made.ts';
import type { FrameSite } from './resume.ts';

export type { FrameSite } from './resume.ts';

/** A value type by its binary code. */
export type ValueType = number;

export interface FunctionShape {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** Types at a safepoint of a function: what a frame standing there holds (abi/frame.ts). */
export interface FrameLayout {
  /** The locals, ascending, that this compiler's code expects among the values (the frame's masks must say the same). */
  readonly live: readonly number[];
  /** Types of all locals, parameters included, by index. The frame's masks tell which are among its values. */
  readonly locals: readonly ValueType[];
  /** Types of the operands from the bottom up, without the arguments of a call the frame stands in. */
  readonly operands: readonly ValueType[];
}

/** A place in the program as it was shipped. */
export interface ProgramPlace {
  readonly functionIndex: number;
  /** Bytes from the start of the program's module; 0 for an imported function. */
  readonly offset: number;
}

/** A place in rewritten code, as V8 tells it. */
export interface NativePlace {
  /** V8's name for the module's code: equal for places in the same module. */
  readonly module: string;
  /** Index in that module's function index space. */
  readonly functionIndex: number;
  /** Bytes from the start of that module. */
  readonly offset: number;
}

/** A place in a program's sources, as its debug information names it. */
export interface SourcePlace {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1; 0 where it is not told. */
  readonly column: number;
}

/** A function of the sources at a place in the program. */
export interface SourceFrame {
  /** Its name where its code was inlined there; null for the function that has the code. */
  readonly inlined: string | null;
  readonly source: SourcePlace | null;
}

/** What a program's debug information tells. It is of the program's own making: only for reports. */
export interface ProgramSources {
  /** What is at an offset in the program, innermost first; empty where nothing is known. Never throws. */
  at(offset: number): readonly SourceFrame[];
}

export interface TrapDescription extends ProgramPlace {
  /** As the core specification's tests name it: "out of bounds memory access", "integer divide by zero", … */
  readonly kind: string;
}

/** A piece of the state zone that outlives the run: a mutable global, or whether a segment was dropped. */
export interface StateSlot {
  readonly kind: 'global' | 'data' | 'element';
  /** Index in the program's own index space of that kind. */
  readonly index: number;
  /** The global's type; i32 for flags. */
  readonly type: ValueType;
  /** Bytes from hdr. The value takes up to 16. */
  readonly offset: number;
}

/** Something the program imports; `kind` as the text format names it: func, table, memory, global, tag. */
export interface ImportName {
  readonly module: string;
  readonly name: string;
  readonly kind: string;
}

export interface ProgramInfo {
  /** All its imports, in order. */
  readonly imports: readonly ImportName[];
  /** Functions of the program, imported ones first. */
  readonly functionCount: number;
  readonly importedFunctionCount: number;
  functionShape(functionIndex: number): FunctionShape;
  /** From the name section, or the import's or export's name, or "function 12". */
  functionName(functionIndex: number): string;
  /** The local's name where the name section has one. */
  localName(functionIndex: number, local: number): string | undefined;
  /** Function index of an exported function, -1 where no function has that export name. */
  exportedFunction(name: string): number;
  /** Memory index of an exported memory, -1 where no memory has that export name. */
  exportedMemory(name: string): number;
  /** Function index of the start function, -1 where there is none. */
  readonly startFunction: number;
  /** Offset of the first instruction of a function, 0 for an imported one. */
  firstInstruction(functionIndex: number): number;
  /** Shape of a frame of this kind (KIND_*) at this place, or null where there is no such safepoint. */
  frameLayout(functionIndex: number, offset: number, kind: number): FrameLayout | null;
  /** Types of a tag's arguments, null where there is no such tag. */
  tagParams(tagIndex: number): readonly ValueType[] | null;
  /**
   * A module with the continuations of these places (abi/resume.ts), each of which has a `frameLayout`. `number`, other
   * for each module in use, tells it from others when code of it traps.
   * @throws UnsupportedError where a continuation is larger than V8 takes functions
   */
  resumeModule(sites: readonly FrameSite[], number: number): Uint8Array<ArrayBuffer>;
  /** Where and why rewritten code trapped; V8's message says what it was for V8. */
  describeTrap(at: NativePlace, message: string): TrapDescription | null;
  /** The program's place for one in rewritten code, null inside functions of the system. */
  placeOf(at: NativePlace): ProgramPlace | null;
  /** Tables that the program's code may change after its start (table.set and the like), by index. */
  readonly mutableTables: readonly number[];
  readonly stateSlots: readonly StateSlot[];
  /** Where modules that it makes at run time (made.ts) keep theirs; null for a program that makes none. */
  readonly madeZone: MadeZone | null;
}
