/**
 * Handlers: the code of a function that saves its frame when it unwinds. They stand behind its body; a call's try_table
 * and a poll's branch lead there by labels opened in front of it. Safepoints that keep the same values share one. Which of
 * them it was is told by a local that is set before each (a constant, as far as V8 is concerned); by it the handler
 * chooses the frame's end.
 *
 * What is not live at a safepoint is never in the handler that it leads to: so nothing is kept alive for it.
 *
 * Why: RATIONALE.md#the-code-that-saves-a-frame-is-short
 */
import { OP } from '../wasm/opcodes.ts';
import { EMPTY_BLOCK, I32, type ValueType } from '../wasm/types.ts';
import type { Emitter } from './emitter.ts';
import { emitSave, type FrameShape, placeNumber } from './frames.ts';
import type { Liveness } from './liveness.ts';

interface Handler {
  readonly label: number;
  readonly locals: readonly number[];
  /** How many sites may lead here. */
  sites: number;
  /** Frames of those that do, each once. */
  readonly shapes: FrameShape[];
}

/** Handlers looked at for one site: a program may have been made so that many fall on one place. */
const PROBES_MAX = 64;

export class Handlers {
  /** In the order of their labels, the outermost first. */
  readonly #list: Handler[] = [];
  #bySite: Int32Array = new Int32Array(64);
  /** By site: its frame's place among its handler's, plus 1; 0 where it has none yet. */
  #placeOf: Int32Array = new Int32Array(64);
  /** Handlers plus 1 by a hash of their locals. */
  #table: Int32Array = new Int32Array(256);
  /** The local that tells which site it was; -1 until it is needed. */
  #which = -1;

  /** Opens the labels of a function with `count` sites, numbered from 1; in a continuation of those that are left. */
  open(e: Emitter, liveness: Liveness, count: number, left?: readonly number[]): void {
    this.#list.length = 0;
    this.#which = -1;
    if (this.#bySite.length <= count) {
      this.#bySite = new Int32Array(count * 2 + 1);
      this.#placeOf = new Int32Array(count * 2 + 1);
    }
    this.#placeOf.fill(0, 0, count + 1);
    const size = 2 ** (33 - Math.clz32(count)); // at least twice as many as there are handlers
    if (size > this.#table.length) this.#table = new Int32Array(size);
    this.#table.fill(0, 0, size);
    const sites = left?.length ?? count;
    for (let n = 1; n <= sites; n++) {
      const site = left === undefined ? n : left[n - 1]!;
      const locals = liveness.at(site);
      const found = this.#find(locals, size) ?? this.#add(e, locals);
      this.#list[found]!.sites++;
      this.#bySite[site] = found;
    }
  }

  #add(e: Emitter, locals: readonly number[]): number {
    return this.#list.push({ label: e.open(OP.block, EMPTY_BLOCK), locals, sites: 0, shapes: [] }) - 1;
  }

  /** The handler that saves these locals; undefined for none, of which the next one to be added is entered. */
  #find(locals: readonly number[], size: number): number | undefined {
    const hash = hashOf(locals);
    for (let n = 0; n < PROBES_MAX; n++) {
      const at = (hash + n) & (size - 1);
      const known = this.#table[at]! - 1;
      if (known < 0) {
        this.#table[at] = this.#list.length + 1;
        return undefined;
      }
      if (isSame(this.#list[known]!.locals, locals)) return known;
    }
    return undefined;
  }

  /**
   * In front of a site, with its operands in their slots: gives the label of its handler, or -1 where that saves other
   * operands and the site needs one of its own.
   */
  lead(e: Emitter, site: number, shape: FrameShape): number {
    const handler = this.#list[this.#bySite[site]!]!;
    const { shapes } = handler;
    const first = shapes[0];
    if (first !== undefined && !isSame(first.operands, shape.operands)) return -1;
    if (this.#placeOf[site] === 0) this.#placeOf[site] = shapes.push(shape);
    const place = this.#placeOf[site]! - 1;
    if (handler.sites > 1) {
      e.i32(e.links === null ? place : placeNumber(shape));
      if (this.#which < 0) this.#which = e.newLocal(I32);
      e.set(this.#which);
    }
    return handler.label;
  }

  /** Behind the body, which has left: the handlers. */
  close(e: Emitter, localTypes: ArrayLike<ValueType>): void {
    for (let h = this.#list.length - 1; h >= 0; h--) {
      const { shapes, sites } = this.#list[h]!;
      e.close();
      if (shapes.length === 0) continue; // in a continuation
      emitSave(e, shapes, sites > 1 ? this.#which : -1, localTypes);
      e.op(OP.throw, 0);
    }
  }
}

function hashOf(list: readonly number[]): number {
  let hash = list.length;
  for (let i = 0; i < list.length; i++) hash = (Math.imul(hash, 31) + list[i]!) | 0;
  return hash ^ (hash >>> 15);
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
