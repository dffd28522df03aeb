/**
 * The domain record and its handle. Everything a domain is lies in the record and what hangs off it; `Domain` objects
 * are handles that cache nothing but the name and the running instance, and are rebuilt after recovery.
 *
 * Use the accessors; never keep what they return over a call that may change it.
 */
import { RESOURCE } from '../abi/account.ts';
import { CONTROL } from '../abi/layout.ts';
import { assert } from '../base/assert.ts';
import { DOMAIN_NAME_MAX_BYTES, FRAME_BYTES } from '../base/limits.ts';
import { bytes, defineRecord, i32, num, type Space, SpaceFullError, u8, u32, u64 } from '../space/index.ts';
import { charge, left, refund } from './account/account.ts';
import { SCRATCH_WORDS } from './caller.ts';
import type { Seat } from './enforced.ts';
import type { Activation } from './gate/activations.ts';
import type { Boards } from './gate/boards.ts';
import type { Gate } from './gate/gates.ts';
import { isCrowded } from './gate/procedures.ts';
import { Visited } from './gate/visited.ts';
import type { Instance } from './instance.ts';
import type { Maker } from './maker.ts';
import type { OwnMemory } from './own.ts';
import type { LoadedModule, ProgramInfo } from './program.ts';
import type { Ends, Place } from './trace.ts';
import type { RawStack } from './traps.ts';
import { innerStackOffset } from './zone.ts';

/** States of a domain. Numbers are part of the checkpoint. */
export const STATE = {
  /** No frames: nothing to run (not started, or resident between calls). */
  created: 1,
  /** Wants to run. */
  ready: 2,
  running: 3,
  /** Waits in a system call. */
  blocked: 4,
  /** Will not run again; memory and frames are given back. */
  exited: 5,
  /** Suspended by its owner until resumed. */
  stopped: 6,
  /** What it was started with has returned; its procedures can be called. */
  idle: 7,
} as const;
export type StateName = keyof typeof STATE;
export const STATE_NAMES: readonly (StateName | undefined)[] = Object.entries(STATE).reduce<StateName[]>(
  (names, [name, value]) => {
    names[value] = name as StateName;
    return names;
  },
  [],
);

/** How a domain ended. Numbers are part of the checkpoint. */
export const END = { none: 0, exit: 1, trap: 2, limit: 3, killed: 4, exception: 5 } as const;
export type EndName = keyof typeof END;
export const END_NAMES = Object.keys(END) as EndName[];

export const FLAG = {
  /** Not part of checkpoints; gone after a restart. */
  volatile: 1,
  /** Nobody is attached to its streams. */
  detached: 2,
  /** Goes on to exist when its function has returned or trapped: for embedders that call it again. */
  resident: 4,
  /** Its data segments are in place and its state zone is valid: instances restore instead of initialise. */
  initialised: 8,
  /** Imports nobody supplies are functions that trap. */
  trapUnknown: 16,
  /** Its start function has been called. */
  started: 32,
  /** It asked for memory past its limit and got none. */
  memoryRefused: 64,
  /** Its code runs in a process of its own. */
  enforced: 128,
} as const;

export const NO_DEADLINE = 0xffff_ffff_ffff_ffffn;

export const DomainRecord = defineRecord('domain', {
  id: u32('kernel', 'Number of the domain; never used twice.'),
  state: u8('core', 'One of STATE; ready stands for all states of the activation it was started with.'),
  flags: u8('kernel', 'FLAG bits.'),
  end: u8('core', 'One of END.'),
  oldScratchUsed: u8(
    'core',
    'In spaces of version 2, as the four fields below that say so: see ActivationRecord.',
  ),
  exitCode: i32('core', 'Exit code, for END.exit.'),
  memories: u32('kernel', 'Memories of the program.'),
  nameBytes: u32('kernel', 'Length of the name.'),
  row: u32('kernel', 'Its row in the domain table.'),
  name: bytes(DOMAIN_NAME_MAX_BYTES, 'kernel', 'UTF-8.'),
  hash: bytes(32, 'kernel', 'SHA-256 of its program.'),
  region: num('core', 'Address of its region (hdr).'),
  regionFrames: u32('core', 'Frames of the region.'),
  stackFrames: u32('core', 'Frames of that extent.'),
  pages: num('core', 'WebAssembly pages of memory 0.'),
  stack: num('core', 'Address of the extent for saved frames; 0 while they lie in the control area.'),
  more: num('core', 'Heap block: address, frames, pages (u64 each) of each further memory.'),
  memoryLimit: num('kernel', 'Before version 3: most bytes of all its memories. Its account has it since.'),
  cpuLimit: num(
    'kernel',
    'Before version 3: most processor time, µs; 0 for no limit. Its account has it since.',
  ),
  cpuUsed: num('core', 'Processor time used, microseconds.'),
  created: u64('kernel', 'Time of the space when it was made, ns.'),
  personality: num('owner', "Address of the personality's state, 0 for none."),
  tables: num('kernel', 'Heap block with saved tables, 0 for none.'),
  reason: num('core', 'Heap block: why it ended (UTF-8), 0 for none.'),
  reasonBytes: u32('core', 'Length of it.'),
  traceBytes: u32('core', 'Length of the call stack text.'),
  trace: num('core', 'Heap block: the call stack at the end (UTF-8), 0 for none.'),
  oldEntry: u32('core', 'In spaces of version 2.'),
  windowed: u32('kernel', '1 where its program was compiled with windows, though it does not ask for them.'),
  oldDeadline: u64('core', 'In spaces of version 2.'),
  clockOffset: u64(
    'kernel',
    "Its time less the time of the space (two's complement): it keeps its own when carried over.",
  ),
  oldScratch: bytes(8 * SCRATCH_WORDS, 'core', 'In spaces of version 2.'),
  clist: num('core', 'Heap block: its capability list (capability/clists.ts), 0 while it is empty.'),
  grants: num('kernel', 'Heap block: names of entries of that list (capability/grants.ts), 0 for none.'),
  capability: num('kernel', 'The capability record to the domain itself, 0 while nobody has asked for one.'),
  account: num('kernel', 'The account that pays for it (account/account.ts).'),
  memoryCharged: num('core', 'Bytes of memory that were charged to that.'),
  paidBy: num('kernel', 'The account that was charged for it as a domain, 0 for none.'),
  windows: num('kernel', 'Heap block: its window table (abi/layout.ts), 0 for none.'),
  windowCount: num('kernel', 'Entries of it.'),
  linkedTo: u32('kernel', 'The domain that it ends with, 0 for none.'),
});
const R = DomainRecord.fields;
const [encoder, decoder] = [new TextEncoder(), new TextDecoder()];

/** How the kernel wants a domain to end, decided inside a system call. */
export interface Ended {
  readonly end: number;
  readonly code: number;
  readonly reason: string;
  /** For a trap: where the program stood. */
  readonly stack?: RawStack;
}

/** One memory's extent: memory 0 without the control area. */
export interface Extent {
  address: number;
  frames: number;
  pages: number;
}

/** A memory.grow that cannot be done in place. */
export interface Growth {
  readonly memory: number;
  /** Pages the memory is to have. */
  readonly pages: number;
  /** Moving was tried, and there is no room: the instruction, begun again, gives -1. */
  refused: boolean;
}

export class Domain extends Visited {
  readonly space: Space;
  /** Address of the record. */
  readonly at: number;
  readonly id: number;
  readonly name: string;
  readonly module: LoadedModule;
  /** The running form; null until needed. */
  instance: Instance | null = null;
  /** It is to be removed when its code has unwound. */
  doomed = false;
  /** False once it was removed: its record may be another's now. */
  alive = true;
  /** The memory.grow that unwound, for its memory had to be moved to grow: see memory.ts. */
  growth: Growth | null = null;
  /** Its memories, where they are not in the space: it is alone in this process (alone.ts). */
  own: readonly OwnMemory[] | null = null;
  /** The process in which its code runs, where that is not this one (enforced.ts). */
  seat: Seat | null = null;
  /** Bytes from the stack's base that saved frames have kept since somebody set this; for whoever copies what changed. */
  stackLow = 0;
  /** The modules it has made at run time, where it may make any. */
  maker: Maker | null = null;
  /** Released modules are to be looked through for those that nothing can reach: see sweep.ts. */
  sweep: 'none' | 'wanted' | 'done' = 'none';
  /** The activation it was started with, while that is not over. */
  main: Activation | null = null;
  /** Saved visits of it, those that wait at its door included. */
  present = 0;
  /** Activations that wait in system calls its code has made. */
  readonly sleepers = new Set<Activation>();
  /** None of its code may run: it is ending, or is stopped until it is resumed. */
  halted = false;
  /** A wake came while something ran: the next block in it returns to the queue at once. */
  wakePending = false;
  /** Set by the kernel inside a system call: the domain ends as soon as it has unwound. */
  ending: Ended | null = null;
  /** Bytes on the frame stack below the code that runs, or ran last: frames of functions outside of it. */
  liveFrom = 0;
  /** Where else frames outside of it lie: [from, end) of the space, in place of those below. */
  outside: readonly [from: number, end: number] | null = null;
  /** Functions that the exception on its way has left, innermost first; null while none has left one. */
  left: Ends<Place> | null = null;
  /** The function that returned last had references among its results, which are only in its instance. */
  carriesReferences = false;
  /** The module that function is of. */
  returnedFrom = 0;
  /** The exception a resumed call site is to throw. Never lives over a safepoint. */
  pending: unknown = null;

  constructor(space: Space, at: number, module: LoadedModule, boards: Boards) {
    super(boards);
    this.space = space;
    this.at = at;
    this.module = module;
    this.id = R.id.get(space, at);
    this.name = decoder.decode(R.name.get(space, at).subarray(0, R.nameBytes.get(space, at)));
  }

  /** A module of the domain: 0 is the program, the others it has made at run time. */
  moduleAt(number: number): LoadedModule | null {
    return number === 0 ? this.module : (this.maker?.module(number) ?? null);
  }
  /** What is known of one. */
  readonly infos = (number: number): ProgramInfo | null => this.moduleAt(number)?.info ?? null;

  /** One of STATE: of the domain, or, where it runs something, of the activation that it was started with. */
  get state(): number {
    const state = R.state.get(this.space, this.at);
    return state === STATE.ready ? (this.main?.state ?? STATE.idle) : state;
  }
  set state(value: number) {
    const own = value === STATE.ready || value === STATE.running || value === STATE.blocked;
    R.state.set(this.space, this.at, own ? STATE.ready : value);
    if (own && this.main !== null) this.main.state = value;
  }
  /** Results may have to make way for those of another activation that is inside. */
  get crowded(): boolean {
    return this.visits > 1 || isCrowded(this.module);
  }
  get ended(): boolean {
    return R.state.get(this.space, this.at) === STATE.exited;
  }
  get stopped(): boolean {
    return R.state.get(this.space, this.at) === STATE.stopped;
  }
  hasFlag(flag: number): boolean {
    return (R.flags.get(this.space, this.at) & flag) !== 0;
  }
  setFlag(flag: number, on: boolean): void {
    const flags = R.flags.get(this.space, this.at);
    R.flags.set(this.space, this.at, on ? flags | flag : flags & ~flag);
  }

  /** hdr: where the region begins. */
  get region(): number {
    return R.region.get(this.space, this.at);
  }
  get controlBytes(): number {
    return this.module.evidence.controlBytes;
  }
  /** WebAssembly pages of one memory. */
  pagesOf(memory: number): number {
    return memory === 0 ? R.pages.get(this.space, this.at) : this.extent(memory).pages;
  }
  /** Bytes of one memory. */
  bytesOf(memory: number): number {
    return this.pagesOf(memory) * FRAME_BYTES;
  }
  /** Global address of near address 0. */
  addressOf(memory: number): number {
    return memory === 0 ? this.region + this.controlBytes : this.extent(memory).address;
  }
  /** Bytes of all memories. */
  get memoryBytes(): number {
    let pages = 0;
    for (let i = 0; i < R.memories.get(this.space, this.at); i++) pages += this.pagesOf(i);
    return pages * FRAME_BYTES;
  }
  /** The account that pays for what it does. */
  get account(): number {
    return R.account.get(this.space, this.at);
  }
  /**
   * Charges its account with the memory that it has now: memories, and code it has made. Returns how many bytes more it
   * may have.
   */
  settleMemory(): number {
    const { space, at, account } = this;
    const now = this.memoryBytes + (this.maker?.codeBytes ?? 0);
    const before = R.memoryCharged.get(space, at);
    if (now > before) charge(space, account, RESOURCE.memory, now - before);
    else if (now < before) refund(space, account, RESOURCE.memory, before - now);
    if (now !== before) R.memoryCharged.set(space, at, now);
    return left(space, account, RESOURCE.memory);
  }
  get memoryCount(): number {
    return R.memories.get(this.space, this.at);
  }

  /** The extent of a memory; of memory 0 the region, whose frames include the control area. */
  extent(memory: number): Extent {
    const space = this.space;
    if (memory === 0) {
      return {
        address: this.region,
        frames: R.regionFrames.get(space, this.at),
        pages: R.pages.get(space, this.at),
      };
    }
    const block = R.more.get(space, this.at) + 24 * (memory - 1);
    return {
      address: space.getNumber(block),
      frames: space.getNumber(block + 8),
      pages: space.getNumber(block + 16),
    };
  }
  setExtent(memory: number, extent: Extent): void {
    const space = this.space;
    if (memory === 0) {
      R.region.set(space, this.at, extent.address);
      R.regionFrames.set(space, this.at, extent.frames);
      R.pages.set(space, this.at, extent.pages);
      return;
    }
    const block = R.more.get(space, this.at) + 24 * (memory - 1);
    space.setNumber(block, extent.address);
    space.setNumber(block + 8, extent.frames);
    space.setNumber(block + 16, extent.pages);
  }

  /**
   * The frame stack lies in the unused end of the control area until it needs more room than that; then it has an
   * extent of its own. The program's code may reach it there, which is no loss: it can push what it likes anyway.
   */
  get hasOwnStack(): boolean {
    return R.stack.get(this.space, this.at) !== 0;
  }
  get stackBase(): number {
    const own = R.stack.get(this.space, this.at);
    return own !== 0 ? own : this.region + innerStackOffset(this.module);
  }
  get stackLimit(): number {
    const own = R.stack.get(this.space, this.at);
    if (own !== 0) return own + R.stackFrames.get(this.space, this.at) * FRAME_BYTES;
    return this.region + this.controlBytes;
  }
  /** Past the last saved frame. */
  get stackPointer(): number {
    const value = this.space.getNumber(this.region + CONTROL.stackPointer);
    assert(value >= this.stackBase && value <= this.stackLimit, 'the stack pointer stays on the frame stack');
    return value;
  }
  setStackPointer(value: number): void {
    this.space.setNumber(this.region + CONTROL.stackPointer, value);
  }

  get clockOffset(): bigint {
    return BigInt.asIntN(64, R.clockOffset.get(this.space, this.at));
  }
  set clockOffset(value: bigint) {
    R.clockOffset.set(this.space, this.at, BigInt.asUintN(64, value));
  }

  /** Why it ended, and its call stack then; empty where there is none. */
  get reason(): string {
    return this.#text(R.reason.get(this.space, this.at), R.reasonBytes.get(this.space, this.at));
  }
  get trace(): string {
    return this.#text(R.trace.get(this.space, this.at), R.traceBytes.get(this.space, this.at));
  }
  /** Keeps these: an end needs no room, so where there is none for a text it is left out. */
  setTexts(reason: string, trace: string): void {
    const { space, at } = this;
    for (const [field, length, text] of [
      [R.reason, R.reasonBytes, reason],
      [R.trace, R.traceBytes, trace],
    ] as const) {
      const old = field.get(space, at);
      if (old !== 0) space.heap.free(old);
      if (old === 0 && text === '') continue;
      const encoded = encoder.encode(text);
      const block = this.#keep(encoded);
      field.set(space, at, block);
      length.set(space, at, block === 0 ? 0 : encoded.length);
    }
  }
  #keep(text: Uint8Array): number {
    try {
      return text.length === 0 ? 0 : this.space.heap.allocBytes(text);
    } catch (error) {
      if (error instanceof SpaceFullError) return 0;
      throw error;
    }
  }
  #text(block: number, length: number): string {
    return block === 0 ? '' : decoder.decode(this.space.readBytes(block, length));
  }

  /** Host references in saved frames of a volatile domain. They are kept as long as it lives. */
  keepExtern(reference: unknown): number {
    const known = this.#externs.indexOf(reference);
    return known >= 0 ? known : this.#externs.push(reference) - 1;
  }
  externOf(id: number): unknown {
    return this.#externs[id] ?? null;
  }
  readonly #externs: unknown[] = [];

  /** Lets go of the running form. */
  dropInstance(): void {
    this.instance = null;
    for (const gate of this.#gates.splice(0)) gate.close();
  }
  /** A gate of the running form. */
  keepGate(gate: Gate): Gate {
    this.#gates.push(gate);
    return gate;
  }
  readonly #gates: Gate[] = [];

  /** Ends the process its code runs in, if there is one: the space holds all that counts. */
  leaveProcess(): void {
    this.seat?.close();
    this.seat = null;
  }
}

/** The program's hash in a record, as text. */
export function hashOf(space: Space, at: number): string {
  return Array.from(R.hash.get(space, at), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
