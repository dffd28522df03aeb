/**
 * The switchboard: how gates call into domains. Functions of WebAssembly (board-code.ts) stand between a gate's function and the
 * procedures, which a table has by numbers: V8 goes quickly from JavaScript into WebAssembly only where it knows the very
 * function that is called, and all gates share their code. What a call by the short way compares and counts lies in a small
 * memory of the board, where that costs the same however many gates there are.
 *
 * A domain has a line there, and a gate has one. A line is known by its address.
 *
 * Why: RATIONALE.md#a-gate-is-a-function-of-the-kernel
 */
import { assert } from '../../base/assert.ts';
import type { Space } from '../../space/index.ts';
import { boardModule, LINE, LINES_ADDRESS, STATE_BIT, WORD } from './board-code.ts';
import type { Callable } from './thunks.ts';
import type { Visited } from './visited.ts';

/** What a gate does where the board cannot. Each throws only what its caller may see. */
export interface Subscriber {
  slowly(args: number[]): number;
  judged(answer: number, args: number[]): number;
  back(result: number): number;
}
/** How the functions for one number of parameters begin a call. */
export interface Entrance {
  /** The short way, with what the gate's line says. */
  readonly go: Callable;
  /** Only the call. */
  readonly call: Callable;
}

const LINE_BYTES = 32;
const GATE_LINES = 2;
const PAGE_BYTES = 65536;
/** Numbers of parameters that are in one module, with one probe. */
const COMMON = 9;

const modules = new Map<number, WebAssembly.Module>();
function moduleFor(params: number): WebAssembly.Module {
  const key = params < COMMON ? 0 : params;
  let module = modules.get(key);
  if (module === undefined) {
    const arities = key === 0 ? Array.from({ length: COMMON }, (_, i) => i) : [params];
    module = new WebAssembly.Module(boardModule(arities));
    modules.set(key, module);
  }
  return module;
}

export class Boards {
  /** The board's memory. Another array when it has grown. */
  words: Int32Array;
  /** What one of the functions threw that a gate has from the board: it is for the gate's caller, and came from no callee. */
  relayed = false;
  readonly #space: Space;
  readonly #memory = new WebAssembly.Memory({ initial: 1 });
  readonly #table = new WebAssembly.Table({ element: 'anyfunc', initial: 0 });
  readonly #freeSlots: number[] = [];
  readonly #instances = new Map<WebAssembly.Module, WebAssembly.Exports>();
  /** Whose line begins there, by LINE_BYTES. */
  readonly #holders: (Visited | Subscriber | null)[] = [];
  readonly #freeLines: number[] = [];
  readonly #freeGates: number[] = [];
  #next = LINES_ADDRESS;

  constructor(space: Space) {
    this.#space = space;
    this.words = new Int32Array(this.#memory.buffer);
  }

  get(address: number): number {
    return this.words[address >> 2] as number;
  }
  set(address: number, value: number): void {
    this.words[address >> 2] = value;
  }
  set64(address: number, value: bigint): void {
    this.set(address, Number(BigInt.asIntN(32, value)));
    this.set(address + 4, Number(BigInt.asIntN(32, value >> 32n)));
  }

  /** A line for a domain, which cannot be entered by the short way yet. */
  openDomain(domain: Visited): number {
    const at = this.#open(domain, 1, this.#freeLines);
    this.set(at + LINE.state, STATE_BIT.shut);
    return at;
  }
  closeDomain(at: number): void {
    this.#close(at, this.#freeLines);
  }
  openGate(gate: Subscriber): number {
    return this.#open(gate, GATE_LINES, this.#freeGates);
  }
  closeGate(at: number): void {
    this.#close(at, this.#freeGates);
  }

  /** The domain whose code runs. */
  get current(): Visited | null {
    return (this.#holders[this.get(WORD.current) / LINE_BYTES] ?? null) as Visited | null;
  }
  set current(domain: Visited | null) {
    this.set(WORD.current, domain === null ? 0 : domain.line);
  }
  /** A number of the table for a function, with the sign that its type asks for. */
  plug(call: Callable, silent: boolean): number {
    const at = this.#freeSlots.pop() ?? this.#table.grow(1);
    this.#table.set(at, call as WebAssembly.Func);
    return silent ? ~at : at;
  }
  unplug(slot: number): void {
    const at = slot < 0 ? ~slot : slot;
    this.#table.set(at, null);
    this.#freeSlots.push(at);
  }

  /** For gates of so many parameters. */
  entrance(params: number): Entrance {
    const exports = this.#instance(params);
    const i = params < COMMON ? params : 0;
    return { go: exports[`go${i}`] as Callable, call: exports[`call${i}`] as Callable };
  }

  /** Whether there is enough native stack for a call of another domain. */
  hasHeadroom(): boolean {
    try {
      (this.#instance(0).probe as Callable)(0);
      return true;
    } catch {
      return false;
    }
  }

  /** True where `call` ended before the callee had begun, because too little native stack was left. */
  notBegun(error: unknown): boolean {
    if (this.get(WORD.begun) !== 0 || !(error instanceof RangeError)) return false;
    this.set(WORD.begun, 1);
    return true;
  }
  /** True where what came out of a call is from the board, and not from the callee. */
  takeRelayed(): boolean {
    const { relayed } = this;
    this.relayed = false;
    return relayed;
  }

  #instance(params: number): WebAssembly.Exports {
    const module = moduleFor(params);
    let exports = this.#instances.get(module);
    if (exports === undefined) {
      const own: Record<string, WebAssembly.ExternValue> = {
        board: this.#memory,
        space: this.#space.memory,
        table: this.#table,
        back: (at: number, result: number) => this.#relay(at, (gate) => gate.back(result)),
      };
      const arities = params < COMMON ? COMMON : 1;
      for (let i = 0; i < arities; i++) {
        own[`slow${i}`] = (at: number, ...args: number[]) => this.#relay(at, (gate) => gate.slowly(args));
        own[`judged${i}`] = (at: number, answer: number, ...args: number[]) =>
          this.#relay(at, (gate) => gate.judged(answer, args));
      }
      exports = new WebAssembly.Instance(module, { '': own }).exports;
      this.#instances.set(module, exports);
    }
    return exports;
  }

  #relay(at: number, what: (gate: Subscriber) => number): number {
    try {
      return what(this.#holders[at / LINE_BYTES] as Subscriber);
    } catch (error) {
      this.relayed = true;
      throw error;
    }
  }

  #open(holder: Visited | Subscriber, lines: number, free: number[]): number {
    let at = free.pop();
    if (at === undefined) {
      at = this.#next;
      this.#next += lines * LINE_BYTES;
      const more = this.#next - 4 * this.words.length;
      if (more > 0) {
        // By a half, so that it does not have to grow often.
        this.#memory.grow(Math.ceil(Math.max(more, 2 * this.words.length) / PAGE_BYTES));
        this.words = new Int32Array(this.#memory.buffer);
      }
    }
    this.words.fill(0, at >> 2, (at + lines * LINE_BYTES) >> 2);
    this.#holders[at / LINE_BYTES] = holder;
    for (let i = 1; i < lines; i++) this.#holders[at / LINE_BYTES + i] = null;
    return at;
  }
  #close(at: number, free: number[]): void {
    assert(this.#holders[at / LINE_BYTES] !== null, 'a line is closed once');
    this.#holders[at / LINE_BYTES] = null;
    free.push(at);
  }
}
