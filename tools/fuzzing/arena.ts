/**
 * The oracle of the verifier's fuzzer: a space full of canaries in which an accepted module runs as one domain.
 *
 * `judge` runs a module twice, in two spaces whose bytes outside the domain differ everywhere. Afterwards nothing
 * outside may have changed (an escaping write), everything inside and every result must be the same in both (an
 * escaping read), and no access may have left the space itself (which is much smaller here than the space a module may
 * expect). Between calls the domain moves to another place now and then, and canaries fill the old one; host functions
 * let its memories grow where they lie, as a kernel may during any call.
 *
 * Nothing here imports node: `guard` is how the caller stops code that does not end.
 */
import type { Evidence } from '../../src/abi/evidence.ts';
import {
  CONTROL,
  FLAG_ADDRESS,
  MARKS_ADDRESS,
  RESUME_MODE_OFFSET,
  STATE_OFFSET,
} from '../../src/abi/layout.ts';
import { EXPORT, GUEST_EXPORT, SYSTEM_MODULE } from '../../src/abi/system.ts';
import { FRAME_BYTES, PAGE_BYTES, PAGE_SHIFT } from '../../src/base/limits.ts';
import { Prng } from '../../src/base/prng.ts';
import { decode, FUNC } from '../../src/verifier/decode.ts';
import { argument, hostile } from './arguments.ts';
import { SPACE_BYTES, Space } from './space.ts';

const STACK_BYTES = 4 * PAGE_BYTES;
/** Between any two things of the domain lies at least this much that is not its own. */
const GAP = 4 * FRAME_BYTES;
const FIRST = 0x600000 + 2 * FRAME_BYTES;
/** All calls of a module, in one space: about how many, and how long they may take. */
const CALLS = 48;
const RUN_MS = 400;
/** A domain moves no more often than this: each time costs a millisecond. */
const MOVES_MAX = 80;
/** The largest memory a module may begin with to be run here, in frames. */
const MIN_MAX = 32;
/** What a domain's memories begin with. */
const CONTENTS = Uint8Array.from({ length: 80 * FRAME_BYTES }, (_, i) => (i * 31) & 0xff);
/** In the import of the space: memory, flags, least (1024) and greatest frames; and with SPACE_FRAMES as the least. */
const DECLARED = [0x02, 0x07, 0x80, 0x08, 0x80, 0x80, 0x10];
const PATCHED = [0x02, 0x07, 0x80, 0x02, 0x80, 0x80, 0x10];

export interface Extent {
  start: number;
  size: number;
}
/** Runs `run`; gives false when it was stopped because it took more than `ms`. */
export type Guard = (run: () => void, ms: number) => boolean;

/** An accepted module, ready to run here. */
export interface Subject {
  readonly module: WebAssembly.Module;
  readonly evidence: Evidence;
  /** Types of the parameters of each exported function, by their codes. */
  readonly params: ReadonlyMap<string, readonly number[]>;
}

/** Makes a module run in the small spaces here. Throws what V8 throws when it refuses it. */
export function subjectOf(bytes: Uint8Array, evidence: Evidence): Subject {
  const copy = bytes.slice();
  for (let at = 0; at < Math.min(copy.length, 1 << 16); at++) {
    if (DECLARED.every((byte, i) => copy[at + i] === byte)) {
      copy.set(PATCHED, at);
      break;
    }
  }
  const decoded = decode(bytes);
  const params = new Map<string, readonly number[]>();
  for (const { name, kind, index } of decoded.exports) {
    if (kind !== FUNC) continue;
    const [list] = decoded.types[decoded.functions[index]!]!.signature.split('>') as [string];
    params.set(name, list === '' ? [] : list.split(',').map(Number));
  }
  return { module: new WebAssembly.Module(copy as Uint8Array<ArrayBuffer>), evidence, params };
}

export interface Verdict {
  /** What went wrong, or null: the module kept to its domain. */
  escape: string | null;
  /** Calls made, and of these how many ended in a trap. */
  calls: number;
  traps: number;
  stopped: number;
}

/** A domain in one space: where its parts lie, and the instance that runs in it. */
class Domain {
  readonly space: Space;
  readonly evidence: Evidence;
  readonly prng: Prng;
  /** Memory 0 with its control area first, then the others, then the frame stack. */
  extents: Extent[] = [];
  readonly limits: number[];
  exports: WebAssembly.Exports = {};
  /** The first thing that was found wrong. */
  problem: string | null = null;
  log: string[] = [];
  moving = false;
  #next: number;
  #moves = 0;
  /** Frames by which it may still grow into the gaps behind its extents where it lies now. */
  #room = 0;

  constructor(space: Space, evidence: Evidence, seed: number) {
    this.space = space;
    this.evidence = evidence;
    this.prng = new Prng(seed);
    this.#next = FIRST + GAP * this.prng.below(8);
    this.limits = evidence.memories.map((memory) => memory.min * FRAME_BYTES);
    this.#place();
    for (const { start, size } of this.extents.slice(0, -1))
      space.bytes.set(CONTENTS.subarray(0, size), start);
    const { start } = this.extents[0]!;
    space.bytes.set(space.canary.subarray(start, start + STATE_OFFSET), start);
    space.bytes.fill(3, this.stack.start, this.stack.start + STACK_BYTES);
    this.#setControl(64 + 8 * this.prng.below(64));
  }

  get stack(): Extent {
    return this.extents.at(-1)!;
  }

  #place(): void {
    const sizes = this.evidence.memories.map(
      (_, i) => this.limits[i]! + (i === 0 ? this.evidence.controlBytes : 0),
    );
    if (sizes.length === 0) sizes.push(this.evidence.controlBytes);
    sizes.push(STACK_BYTES);
    this.#room = GAP / FRAME_BYTES / 2;
    this.extents = sizes.map((size) => {
      if (this.#next + size + 2 * GAP > SPACE_BYTES) this.#next = FIRST + GAP * this.prng.below(8);
      const start = this.#next;
      this.#next += size + GAP;
      return { start, size };
    });
  }

  #setControl(used: number): void {
    const { view } = this.space;
    const hdr = this.extents[0]!.start;
    view.setBigUint64(hdr + CONTROL.stackBase, BigInt(this.stack.start), true);
    view.setBigUint64(hdr + CONTROL.stackPointer, BigInt(this.stack.start + used), true);
    view.setBigUint64(hdr + CONTROL.stackLimit, BigInt(this.stack.start + STACK_BYTES), true);
  }

  /** Writes the globals, as the kernel does after it moved something. */
  setGlobals(): void {
    const set = (name: string, value: number): void => {
      (this.exports[name] as WebAssembly.Global).value = BigInt(value);
    };
    set(EXPORT.hdr, this.extents[0]!.start);
    this.limits.forEach((limit, i) => {
      set(`${EXPORT.limit}${i}`, limit);
      if (i > 0) set(`${EXPORT.base}${i}`, this.extents[i]!.start);
    });
  }

  /** Lets one of its memories grow by a frame where it lies, if there is room. */
  grow(): void {
    const { bytes, canary } = this.space;
    const grown = this.prng.below(Math.max(1, this.limits.length));
    if (this.limits.length === 0 || this.#room === 0 || this.limits[grown]! >= 34 * FRAME_BYTES) return;
    this.#room--;
    const extent = this.extents[grown]!;
    const end = extent.start + extent.size;
    for (let at = end; at < end + FRAME_BYTES; at++)
      if (bytes[at] !== canary[at]) this.problem ??= `the byte ${at - end} behind memory ${grown} changed`;
    bytes.fill(0, end, end + FRAME_BYTES);
    extent.size += FRAME_BYTES;
    this.limits[grown]! += FRAME_BYTES;
    this.setGlobals();
  }

  /** Moves the domain elsewhere, perhaps with more memory; what it leaves becomes canaries again. */
  move(): void {
    if (this.#moves++ >= MOVES_MAX) return;
    this.moving = true; // until the end: whoever stops us in between leaves neither place whole
    const { bytes, canary, view } = this.space;
    const old = this.extents;
    const used = Number(view.getBigUint64(old[0]!.start + CONTROL.stackPointer, true)) - this.stack.start;
    const saved = old.map(({ start, size }) => bytes.slice(start, start + size));
    this.checkMarks();
    this.checkControl();
    for (const { start, size } of old) bytes.set(canary.subarray(start, start + size), start);
    if (this.limits.length > 0 && this.prng.chance(0.3)) {
      const grown = this.prng.below(this.limits.length);
      if (this.limits[grown]! < 34 * FRAME_BYTES) this.limits[grown]! += FRAME_BYTES;
    }
    this.#place();
    this.extents.forEach(({ start, size }, i) => {
      bytes.set(saved[i]!, start);
      bytes.fill(0, start + saved[i]!.length, start + size);
    });
    // The control page's unused part is no canary any more for the words that moved with it: make it so again.
    const hdr = this.extents[0]!.start;
    bytes.set(canary.subarray(hdr, hdr + STATE_OFFSET), hdr);
    this.#setControl(used);
    this.setGlobals();
    this.moving = false;
  }

  /** Of the control page only the pointer of the frame stack may have changed. */
  checkControl(): void {
    const { bytes, canary } = this.space;
    const hdr = this.extents[0]!.start;
    for (let at = 0; at < STATE_OFFSET; at++) {
      if (at >= CONTROL.stackPointer && at < CONTROL.stackLimit + 8) continue;
      if (bytes[hdr + at] !== canary[hdr + at]) this.problem ??= `the control page was written at ${at}`;
    }
  }

  /** Marks are of the domain's own pages only; they become canaries again. */
  checkMarks(): void {
    const { bytes, canary } = this.space;
    for (const { start, size } of this.extents.slice(0, -1)) {
      const first = MARKS_ADDRESS + start / PAGE_BYTES;
      for (let at = first; at < first + (size >>> PAGE_SHIFT); at++) {
        if (bytes[at] !== 1 && bytes[at] !== canary[at]) this.problem ??= `a mark was set to ${bytes[at]}`;
        bytes[at] = canary[at]!;
      }
    }
  }
}

export class Arena {
  readonly #spaces = [new Space(0), new Space(0x55555555)] as const;
  readonly #guard: Guard;
  readonly #equal: (a: Uint8Array, b: Uint8Array) => boolean;

  /** `equal` compares two arrays fast. */
  constructor(guard: Guard, equal: (a: Uint8Array, b: Uint8Array) => boolean) {
    this.#guard = guard;
    this.#equal = equal;
  }

  /**
   * Runs the module in both spaces and tells whether it kept to its domain. Afterwards the spaces are as before.
   * `log` is told the results of the run in the first.
   */
  judge(subject: Subject, seed: number, log?: (line: string) => void): Verdict {
    const verdict: Verdict = { escape: null, calls: 0, traps: 0, stopped: 0 };
    if (subject.evidence.memories.some(({ min }) => min > MIN_MAX)) return verdict; // no room for it here
    const domains = this.#spaces.map((space) => new Domain(space, subject.evidence, seed));
    for (const domain of domains) {
      this.#run(domain, subject, verdict);
      verdict.escape ??= domain.problem;
    }
    const [one, other] = domains as [Domain, Domain];
    if (log) for (const line of one.log) log(line);
    // What was stopped by a clock, or ran out of stack, stopped anywhere.
    if (verdict.stopped === 0 && !verdict.escape) verdict.escape = difference(one, other, this.#equal);
    for (const domain of domains) {
      if (domain.moving) {
        verdict.escape = null;
        domain.space.bytes.set(domain.space.canary);
        continue;
      }
      domain.checkMarks();
      domain.checkControl();
      verdict.escape ??= domain.problem;
      this.#sweep(domain, verdict);
    }
    return verdict;
  }

  #run(domain: Domain, subject: Subject, verdict: Verdict): void {
    const { space } = domain;
    const { module, params } = subject;
    let instance: WebAssembly.Instance;
    try {
      instance = new WebAssembly.Instance(module, importsFor(domain, module));
    } catch (error) {
      domain.log.push(`instantiate: ${(error as Error).message}`);
      return;
    }
    domain.exports = instance.exports;
    domain.setGlobals();
    const names = WebAssembly.Module.exports(module)
      .filter(({ name, kind }) => kind === 'function' && name.startsWith(GUEST_EXPORT))
      .map(({ name }) => name);
    const calls: [string, WebAssembly.Func][] = [];
    const add = (name: string): void => void calls.push([name, instance.exports[name] as WebAssembly.Func]);
    add(EXPORT.init);
    const times = Math.max(3, Math.floor(CALLS / Math.max(1, names.length)));
    for (const name of names) for (let i = 0; i < times; i++) add(name);
    add(EXPORT.save);
    add(EXPORT.restore);
    const ended = this.#guard(() => {
      for (const [name, call] of calls) this.#call(domain, name, call, params.get(name) ?? [], verdict);
    }, RUN_MS);
    if (!ended) verdict.stopped++;
    new Int32Array(space.memory.buffer)[FLAG_ADDRESS / 4] = 0;
  }

  /** One call, at a place and with arguments drawn at random. */
  #call(
    domain: Domain,
    name: string,
    call: WebAssembly.Func,
    params: readonly number[],
    verdict: Verdict,
  ): void {
    const { prng, space } = domain;
    if (prng.chance(0.3)) domain.move();
    const hdr = domain.extents[0]!.start;
    space.view.setUint32(hdr + RESUME_MODE_OFFSET, prng.below(4) >> 1, true);
    new Int32Array(space.memory.buffer)[FLAG_ADDRESS / 4] = prng.chance(0.15) ? 1 : 0;
    // Most often one argument hurts: code gets far enough to use it.
    const all = prng.chance(0.2);
    const one = prng.below(params.length + 1);
    const args = params.map((type, i) => {
      const value =
        all || i === one ? hostile(prng, domain.limits, domain.evidence.controlBytes) : prng.below(4096);
      return argument(type, BigInt(value));
    });
    verdict.calls++;
    try {
      domain.log.push(`${name}: ${String(call(...args))}`);
    } catch (error) {
      verdict.traps++;
      const text = `${(error as Error)?.name}: ${(error as Error)?.message}`;
      domain.log.push(`${name}: ${text}`);
      if (error instanceof RangeError && /stack/.test(text)) verdict.stopped++;
      if (/memory access out of bounds/.test(text) && !inTemplate(error as Error, domain.evidence)) {
        domain.problem ??= `${name}: an access outside the whole space`;
      }
    }
  }

  /** Looks for changes outside the domain, then gives the domain's bytes back to the canaries. */
  #sweep(domain: Domain, verdict: Verdict): void {
    const { bytes, canary } = domain.space;
    for (const { start, size } of domain.extents.slice(1))
      bytes.set(canary.subarray(start, start + size), start);
    const { start, size } = domain.extents[0]!;
    bytes.set(canary.subarray(start + STATE_OFFSET, start + size), start + STATE_OFFSET);
    for (let at = start + CONTROL.stackPointer; at < start + 32; at++) bytes[at] = canary[at]!;
    if (this.#equal(bytes, canary)) return;
    const changed: number[] = [];
    for (let at = 0; at < SPACE_BYTES; at++) {
      if (bytes[at] === canary[at]) continue;
      if (changed.length < 8) changed.push(at);
      bytes[at] = canary[at]!;
    }
    const places = changed.map((at) => `0x${at.toString(16)} (hdr${at >= start ? '+' : ''}${at - start})`);
    verdict.escape = `bytes outside changed: ${places.join(', ')}`;
  }
}

/** What one space's run left that the other's did not: something outside was read. */
function difference(
  one: Domain,
  other: Domain,
  equal: (a: Uint8Array, b: Uint8Array) => boolean,
): string | null {
  for (let i = 0; i < Math.max(one.log.length, other.log.length); i++) {
    if (one.log[i] !== other.log[i]) return `results differ: ${one.log[i]} and ${other.log[i]}`;
  }
  for (const [i, { start, size }] of one.extents.entries()) {
    const from = i === 0 ? start + STATE_OFFSET : start;
    const [a, b] = [one, other].map((d) => d.space.bytes.subarray(from, start + size));
    if (!equal(a!, b!)) {
      const at = a!.findIndex((byte, k) => byte !== b![k]);
      return `bytes inside differ: extent ${i} at ${at}`;
    }
  }
  return null;
}

/** V8 checks the bounds of data segments in memory.init of a template, with the same words. */
function inTemplate(error: Error, evidence: Evidence): boolean {
  const found = /wasm-function\[(\d+)\]/.exec(error.stack ?? '');
  const index = found ? Number(found[1]) : -1;
  const { start, count } = evidence.templates;
  return index >= start && index < start + count;
}

function importsFor(domain: Domain, module: WebAssembly.Module): WebAssembly.Imports {
  const { prng } = domain;
  const maybeGrow = (p: number): void => {
    if (prng.chance(p)) domain.grow();
  };
  const unwind = new WebAssembly.Tag({ parameters: [] });
  const limitPages = (m: number): bigint => BigInt((domain.limits[m] ?? 0) / FRAME_BYTES);
  const system: Record<string, WebAssembly.ExternValue> = {
    space: domain.space.memory,
    unwind,
    grow: (memory: number) => {
      const before = limitPages(memory);
      maybeGrow(0.7);
      return before;
    },
    rethrow: () => {
      maybeGrow(0.5);
      throw new WebAssembly.Exception(unwind, []);
    },
    stack: () => {
      maybeGrow(0.5);
      throw new Error('the frame stack is full');
    },
    wait: () => {
      maybeGrow(0.5);
      return 0;
    },
    notify: () => {
      maybeGrow(0.3);
      return 0;
    },
    ref_index: () => -1,
    extern_id: () => -1,
    extern_of: () => null,
    ref_of: () => null,
    window: noWindow,
  };
  const imports: WebAssembly.Imports = { [SYSTEM_MODULE]: system };
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    if (from === SYSTEM_MODULE || kind !== 'function') continue;
    imports[from] ??= {};
    imports[from][name] = () => {
      maybeGrow(0.6);
      if (prng.chance(0.1)) throw new WebAssembly.Exception(unwind, []);
      return prng.below(100);
    };
  }
  return imports;
}

/** Nothing is mapped. */
function noWindow(): never {
  throw new WebAssembly.RuntimeError('memory access out of bounds');
}
