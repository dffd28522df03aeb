/**
 * Modules that a domain has made at run time (abi/made.ts), as records in the space: their code as it was handed over,
 * and where their functions and state lie. A domain has a `Maker` where it was granted the compiler.
 *
 * What is kept in JavaScript is a cache: `load` makes a module again from its code, with whatever compiler there is.
 * Nothing here runs code; making.ts does.
 */
import { STATE_OFFSET, VALUE_BYTES } from '../abi/layout.ts';
import type { MadeZone } from '../abi/made.ts';
import { assert } from '../base/assert.ts';
import { MalformedError, UnsupportedError } from '../base/errors.ts';
import { bytes, defineRecord, num, type RecordTable, type Space, u8, u32 } from '../space/index.ts';
import { type ModuleLoader, stateEnd } from './loader.ts';
import type { LoadedModule, StateSlot } from './program.ts';

/** One for each domain that was granted the compiler. */
export const MakerRecord = defineRecord('maker', {
  domain: u32('kernel', 'Number of the domain.'),
  row: u32('kernel', 'Its row in the table of makers.'),
  count: u32('kernel', 'Modules that ever had a number at once: numbers are 1 to this.'),
  used: u32('kernel', 'Modules that are not free.'),
  modules: num('kernel', 'Heap block: addresses of the records of its modules, by number less one.'),
  codeBytes: num('kernel', 'Bytes of code of its modules.'),
  stateBytes: u32('kernel', 'Bytes of state of its modules.'),
  released: u32('kernel', 'Modules the program has let go that are not free yet.'),
});
const M = MakerRecord.fields;

/** States of a made module. Numbers are part of the checkpoint. */
export const MADE = {
  /** Its number, and its slots in the table, are to be used again. */
  free: 0,
  live: 1,
  /** The program has let it go; frames and references may be left. */
  released: 2,
} as const;

export const MadeRecord = defineRecord('made module', {
  state: u8('kernel', 'One of MADE.'),
  reserved: bytes(7, 'kernel', 'Zero.'),
  code: num('kernel', 'Heap block: its code as it was handed over.'),
  codeBytes: u32('kernel', 'Length of that.'),
  firstSlot: u32('kernel', 'Where in table 0 its functions lie.'),
  slots: u32('kernel', 'How many slots it has there.'),
  stateStart: u32('kernel', 'Where its state lies, bytes from hdr.'),
  stateBytes: u32('kernel', 'Length of that.'),
  more: u32('kernel', 'Zero.'),
});
const R = MadeRecord.fields;

/** A made module as its record tells it. */
export interface MadeEntry {
  readonly state: number;
  readonly codeBytes: number;
  readonly firstSlot: number;
  readonly slots: number;
  readonly stateStart: number;
  readonly stateBytes: number;
}

export class Maker {
  readonly #space: Space;
  readonly #at: number;
  readonly #loader: ModuleLoader | null;
  readonly #program: LoadedModule;
  readonly #loaded = new Map<number, LoadedModule>();
  /** Released modules that the last sweep found in use. */
  keptBySweep = 0;

  constructor(space: Space, at: number, program: LoadedModule, loader: ModuleLoader | null) {
    this.#space = space;
    this.#at = at;
    this.#program = program;
    this.#loader = loader;
  }

  /** A maker for a domain; `table` is that of makers. @throws SpaceFullError */
  static create(
    space: Space,
    table: RecordTable,
    domain: number,
    program: LoadedModule,
    loader: ModuleLoader | null,
  ): Maker {
    const row = table.insert();
    const at = table.address(row);
    M.domain.set(space, at, domain);
    M.row.set(space, at, row);
    return new Maker(space, at, program, loader);
  }

  /** Numbers of modules that are not free, ascending. */
  *numbers(): Generator<number> {
    for (let n = 1; n <= this.count; n++) if (this.entry(n).state !== MADE.free) yield n;
  }
  /** Numbers are 1 to this. */
  get count(): number {
    return M.count.get(this.#space, this.#at);
  }
  /** Modules that are not free, and those among them that are released. */
  get used(): number {
    return M.used.get(this.#space, this.#at);
  }
  get released(): number {
    return M.released.get(this.#space, this.#at);
  }
  /** Bytes of code of its modules. */
  get codeBytes(): number {
    return M.codeBytes.get(this.#space, this.#at);
  }
  get zone(): MadeZone {
    const { info, evidence } = this.#program;
    const { start, end } = info.madeZone ?? { start: STATE_OFFSET, end: STATE_OFFSET };
    assert(start >= STATE_OFFSET && start <= end && end <= evidence.controlBytes, 'it is in the state zone');
    return { start, end };
  }

  has(number: number): boolean {
    return number >= 1 && number <= this.count && this.entry(number).state !== MADE.free;
  }

  entry(number: number): MadeEntry {
    const [space, at] = [this.#space, this.#record(number)];
    return {
      state: R.state.get(space, at),
      codeBytes: R.codeBytes.get(space, at),
      firstSlot: R.firstSlot.get(space, at),
      slots: R.slots.get(space, at),
      stateStart: R.stateStart.get(space, at),
      stateBytes: R.stateBytes.get(space, at),
    };
  }

  /** A copy of a module's code as it was handed over. */
  code(number: number): Uint8Array<ArrayBuffer> {
    const at = this.#record(number);
    return this.#space.readBytes(R.code.get(this.#space, at), R.codeBytes.get(this.#space, at));
  }

  /** The module with a number; null where there is none, or it cannot be made any more: then `load` tells why. */
  module(number: number): LoadedModule | null {
    const known = this.#loaded.get(number);
    if (known !== undefined) return known;
    if (!this.has(number)) return null;
    try {
      return this.load(number);
    } catch (error) {
      if (error instanceof MalformedError) return null;
      throw error;
    }
  }

  /**
   * The module with a number, made from its code where that has not been done.
   * @throws MalformedError where this compiler does not take it
   */
  load(number: number): LoadedModule {
    let module = this.#loaded.get(number);
    if (module === undefined) {
      const { stateStart, stateBytes } = this.entry(number);
      module = this.compile(this.code(number), number, stateStart, stateStart + stateBytes);
      this.#loaded.set(number, module);
    }
    return module;
  }

  /** Compiles and verifies code for a number. @throws MalformedError */
  compile(code: Uint8Array<ArrayBuffer>, number: number, stateStart: number, stateEnd: number): LoadedModule {
    assert(this.#loader !== null, 'who has a maker has a compiler');
    const { controlBytes, windows } = this.#program.evidence;
    const module = this.#loader.load(code, { number, controlBytes, stateStart, stateEnd, windows });
    // The kernel writes there on the compiler's word.
    const inside = ({ offset }: StateSlot): boolean =>
      offset >= stateStart && offset + VALUE_BYTES <= stateEnd;
    if (!module.info.stateSlots.every(inside)) {
      throw new UnsupportedError('the compiler keeps its state where others have theirs', -1);
    }
    return module;
  }

  /** The largest part of the zone that no module has. */
  freeState(): MadeZone {
    const { start, end } = this.zone;
    if (M.stateBytes.get(this.#space, this.#at) === 0) return { start, end };
    const taken = [...this.numbers()]
      .map((n) => this.entry(n))
      .filter(({ stateBytes }) => stateBytes > 0)
      .sort((a, b) => a.stateStart - b.stateStart);
    let best = { start: end, end };
    let from = start;
    for (const { stateStart, stateBytes } of [...taken, { stateStart: end, stateBytes: 0 }]) {
      if (stateStart - from > best.end - best.start) best = { start: from, end: stateStart };
      from = stateStart + stateBytes;
    }
    return best;
  }

  /** The first number that is free. */
  freeNumber(): number {
    if (this.used === this.count) return this.count + 1;
    let n = 1;
    while (this.has(n)) n++;
    return n;
  }

  /** Whether a module that is gone has left so many slots of table 0. */
  hasFreeSlots(wanted: number): boolean {
    for (let n = 1; this.used < this.count && n <= this.count; n++) {
      const { state, slots } = this.entry(n);
      if (state === MADE.free && slots >= wanted) return true;
    }
    return false;
  }

  /**
   * Slots of table 0 that modules had which are gone, at least so many in a row. `number`, which is free, gets them for its
   * own; when the caller takes the next, it exchanges them again.
   */
  *takeFreeSlots(number: number, wanted: number): Generator<{ firstSlot: number; slots: number }> {
    const space = this.#space;
    for (let n = 1; this.used < this.count && n <= this.count; n++) {
      const { state, firstSlot, slots } = this.entry(n);
      if (state !== MADE.free || slots < wanted) continue;
      if (n !== number) {
        const [mine, other] = [this.entry(number), this.#record(n)];
        R.firstSlot.set(space, other, mine.firstSlot);
        R.slots.set(space, other, mine.slots);
        R.firstSlot.set(space, this.#record(number), firstSlot);
        R.slots.set(space, this.#record(number), slots);
      }
      yield { firstSlot, slots };
    }
  }

  /** Notes a new module under a number that is free. @throws SpaceFullError with nothing noted */
  add(
    number: number,
    code: Uint8Array,
    module: LoadedModule,
    entry: Omit<MadeEntry, 'state' | 'codeBytes'>,
  ): void {
    const space = this.#space;
    const block = space.heap.allocBytes(code);
    try {
      if (number > this.count) this.#extend(number);
    } catch (error) {
      space.heap.free(block);
      throw error;
    }
    const at = this.#record(number);
    R.code.set(space, at, block);
    R.codeBytes.set(space, at, code.length);
    R.firstSlot.set(space, at, entry.firstSlot);
    R.slots.set(space, at, entry.slots);
    R.stateStart.set(space, at, entry.stateStart);
    R.stateBytes.set(space, at, entry.stateBytes);
    R.state.set(space, at, MADE.live);
    this.#count(1, 0, code.length, entry.stateBytes);
    this.#loaded.set(number, module);
  }

  /**
   * A module under a number that is higher than any there is, as a domain brings it from elsewhere. Gives it compiled.
   * @throws MalformedError where it is none; SpaceFullError
   */
  adopt(
    number: number,
    code: Uint8Array<ArrayBuffer>,
    place: { firstSlot: number; slots: number },
  ): LoadedModule {
    const { start, end } = this.freeState();
    const module = this.compile(code, number, start, end);
    while (this.count < number - 1) this.#extend(this.count + 1);
    const stateBytes = stateEnd(module, start) - start;
    this.add(number, code, module, { ...place, stateStart: start, stateBytes });
    return module;
  }

  /** Notes that the program has let a module go. */
  release(number: number): void {
    assert(this.entry(number).state === MADE.live, 'a module is released once');
    R.state.set(this.#space, this.#record(number), MADE.released);
    this.#count(0, 1, 0, 0);
  }

  /** Gives the code of a module back that nothing can reach any more. Its number and slots are free. */
  remove(number: number): void {
    const [space, at] = [this.#space, this.#record(number)];
    assert(R.state.get(space, at) === MADE.released, 'what is removed was released');
    space.heap.free(R.code.get(space, at));
    this.#count(-1, -1, -R.codeBytes.get(space, at), -R.stateBytes.get(space, at));
    R.code.set(space, at, 0);
    R.codeBytes.set(space, at, 0);
    R.stateBytes.set(space, at, 0);
    R.state.set(space, at, MADE.free);
    this.#loaded.delete(number);
  }

  /** Gives everything back, the record too. `table` is that of makers. */
  drop(table: RecordTable): void {
    const space = this.#space;
    for (let n = 1; n <= this.count; n++) {
      const at = this.#record(n);
      if (R.code.get(space, at) !== 0) space.heap.free(R.code.get(space, at));
      space.heap.free(at);
    }
    const modules = M.modules.get(space, this.#at);
    if (modules !== 0) space.heap.free(modules);
    table.remove(M.row.get(space, this.#at));
    this.#loaded.clear();
  }

  #count(used: number, released: number, code: number, state: number): void {
    const [space, at] = [this.#space, this.#at];
    M.used.set(space, at, this.used + used);
    M.released.set(space, at, this.released + released);
    M.codeBytes.set(space, at, this.codeBytes + code);
    M.stateBytes.set(space, at, M.stateBytes.get(space, at) + state);
  }

  #extend(number: number): void {
    const space = this.#space;
    assert(number === this.count + 1, 'numbers are given in order');
    const old = M.modules.get(space, this.#at);
    const modules = old === 0 ? space.heap.alloc(8 * number) : space.heap.resize(old, 8 * number);
    M.modules.set(space, this.#at, modules);
    const record = space.heap.alloc(MadeRecord.bytes);
    space.setNumber(modules + 8 * (number - 1), record);
    M.count.set(space, this.#at, number);
  }
  #record(number: number): number {
    assert(number >= 1 && number <= this.count, 'a number that was given');
    return this.#space.getNumber(M.modules.get(this.#space, this.#at) + 8 * (number - 1));
  }
}
