/**
 * Switchboards: how JavaScript calls into domains. V8 goes quickly from JavaScript into WebAssembly only where it knows the
 * very function that is called, and all gates share their code. So for each type there is one function, which calls what
 * a table has at a number; between functions of WebAssembly an indirect call is cheap.
 *
 * On its way it makes sure that GATE_HEADROOM_BYTES of native stack are left (headroom.ts), so that a caller who has used
 * it up cannot make the callee fault: then `RangeError` comes out, and `begun` is 0.
 */
import { pushUnsigned } from '../../base/leb.ts';
import { GATE_HEADROOM_BYTES } from '../../base/limits.ts';
import { code, probeBody, probeSource, section, vector } from '../headroom.ts';
import type { Callable } from './thunks.ts';

const I32 = 0x7f;

export class Board {
  /** Calls what is at the number that is its first argument, with the rest. */
  readonly go: Callable;
  /** 0 where the last call came out before the callee had begun. */
  readonly begun: WebAssembly.Global;
  readonly #table: WebAssembly.Table;
  readonly #free: number[] = [];

  /** For functions of so many i32, with one for a result or none. */
  constructor(params: number, results: number) {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes(params, results)));
    this.go = exports.go as Callable;
    this.begun = exports.begun as WebAssembly.Global;
    this.#table = exports.table as WebAssembly.Table;
  }

  /** A number for a function. */
  plug(call: Callable): number {
    const at = this.#free.pop() ?? this.#table.grow(1);
    this.#table.set(at, call as WebAssembly.Func);
    return at;
  }
  unplug(at: number): void {
    this.#table.set(at, null);
    this.#free.push(at);
  }
}

const boards = new Map<string, Board>();
export function boardFor(params: number, results: number): Board {
  const key = `${params} ${results}`;
  let board = boards.get(key);
  if (board === undefined) {
    board = new Board(params, results);
    boards.set(key, board);
  }
  return board;
}

const name = (text: string): number[] => [text.length, ...Buffer.from(text)];
function unsigned(value: number): number[] {
  const out: number[] = [];
  pushUnsigned(out, value);
  return out;
}

/** Functions: 0 and 1 are the probe's. Globals: 0 is the probe's, 1 is `begun`. */
function moduleBytes(params: number, results: number): Uint8Array<ArrayBuffer> {
  const types = (count: number): number[] => vector(Array.from({ length: count }, () => [I32]));
  const go = [
    ...[0x41, 0, 0x24, 1], // begun = 0
    ...[0x41, 0, 0x10, 1], // the probe, not run
    ...[0x41, 1, 0x24, 1], // begun = 1
    ...Array.from({ length: params }, (_, i) => [0x20, ...unsigned(i + 1)]).flat(),
    ...[0x20, 0, 0x11, 2, 0], // call_indirect of type 2
    0x0b,
  ];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      vector([
        [0x60, 0, 1, 0x7b],
        [0x60, 1, I32, 0],
        [0x60, ...types(params), ...types(results)],
        [0x60, ...types(params + 1), ...types(results)],
      ]),
    ),
    ...section(3, vector([[0], [1], [3]])),
    ...section(4, vector([[0x70, 0, 0]])),
    ...section(
      6,
      vector([
        [I32, 1, 0x41, 0, 0x0b],
        [I32, 1, 0x41, 1, 0x0b],
      ]),
    ),
    ...section(
      7,
      vector([
        [...name('go'), 0, 2],
        [...name('begun'), 3, 1],
        [...name('table'), 1, 0],
      ]),
    ),
    ...section(10, vector([probeSource(), probeBody(GATE_HEADROOM_BYTES), code([0, ...go])])),
  ]);
}
