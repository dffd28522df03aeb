/**
 * Handlers: the code of a function that saves its frame when it unwinds. They stand behind its body; a call's try_table
 * and a poll's branch lead there. Safepoints that keep the same values share one. Which of them it was is told by a local
 * that is set before each (a constant, as far as V8 is concerned); by it the frame's end is chosen, in a tail that all
 * handlers of the function share.
 *
 *     block $tail
 *       block $last … block $first      as many as there are; only at the end is it known
 *         the body, which leaves
 *       end                             the values of the first are saved; → $tail
 *       …
 *     end                               the frame's end is saved; throw
 *
 * The labels are opened in front of the body when it has been written: code in it names what is inside of them only, or
 * one of them, which lie at the same distance however many there are.
 *
 * What is not live at a safepoint is never in the handler that it leads to: so nothing is kept alive for it.
 *
 * Why: RATIONALE.md#the-code-that-saves-a-frame-is-short
 */
import { OP } from '../wasm/opcodes.ts';
import { I32, type ValueType } from '../wasm/types.ts';
import type { Emitter } from './emitter.ts';
import { emitFrameEnd, emitPlacedEnd, emitValues, type FrameShape, placeNumber } from './frames.ts';
import type { Liveness } from './liveness.ts';

interface Handler {
  /** The frame of the site that led here first, and its place among the function's. */
  readonly shape: FrameShape;
  readonly place: number;
  readonly label: number;
  /** More than one site may lead here, and sets the local that tells which. */
  readonly shared: boolean;
}

/** Groups, and handlers of a group, looked at for one site: a program may have been made so that many fall on one place. */
const PROBES_MAX = 64;

/** Sites with the same live locals. */
interface Alike {
  readonly locals: readonly number[];
  sites: number;
  /** By what operands they keep. */
  readonly handlers: Handler[];
}

export class Handlers {
  /** The innermost first. */
  readonly #list: Handler[] = [];
  readonly #groups: Alike[] = [];
  /** By site: its group. */
  #bySite: Int32Array = new Int32Array(64);
  /** Groups plus 1 by a hash of their locals. */
  #table: Int32Array = new Int32Array(256);
  /** The frames of all sites, and by site their places among them, less one; 0 for none. */
  readonly #shapes: FrameShape[] = [];
  #placeOf: Int32Array = new Int32Array(64);
  /** Where the labels are to be opened, and how many were open there. */
  #from = 0;
  #depth = 0;
  /** The local that tells which site it was; -1 until it is needed. */
  #which = -1;

  /** From here on are the handlers of a function with `count` sites, numbered from 1; in a continuation of those that are left. */
  open(e: Emitter, liveness: Liveness, count: number, left?: readonly number[]): void {
    this.#list.length = 0;
    this.#shapes.length = 0;
    this.#groups.length = 0;
    if (this.#bySite.length <= count) {
      this.#bySite = new Int32Array(count * 2 + 1);
      this.#placeOf = new Int32Array(count * 2 + 1);
    }
    this.#placeOf.fill(0, 0, count + 1);
    const size = 2 ** (33 - Math.clz32(count)); // at least twice as many as there are groups
    if (size > this.#table.length) this.#table = new Int32Array(size);
    this.#table.fill(0, 0, size);
    this.#from = e.w.length;
    this.#depth = e.depth;
    this.#which = -1;
    const sites = left?.length ?? count;
    for (let n = 1; n <= sites; n++) {
      const site = left === undefined ? n : left[n - 1]!;
      const locals = liveness.at(site);
      const group = this.#group(locals, size);
      this.#groups[group]!.sites++;
      this.#bySite[site] = group;
    }
  }

  /** The group of sites with these live locals, a new one where there is none. */
  #group(locals: readonly number[], size: number): number {
    const hash = hashOf(locals);
    for (let n = 0; n < PROBES_MAX; n++) {
      const at = (hash + n) & (size - 1);
      const known = this.#table[at]! - 1;
      if (known >= 0 && isSame(this.#groups[known]!.locals, locals)) return known;
      if (known < 0) {
        this.#table[at] = this.#groups.length + 1;
        break;
      }
    }
    return this.#groups.push({ locals, sites: 0, handlers: [] }) - 1;
  }

  /** In front of a site, with its operands in their slots: gives the label of its handler. */
  lead(e: Emitter, site: number, shape: FrameShape): number {
    const alike = this.#groups[this.#bySite[site]!]!;
    if (this.#placeOf[site] === 0) this.#placeOf[site] = this.#shapes.push(shape);
    const place = this.#placeOf[site]! - 1;
    let handler = handlerFor(alike.handlers, shape);
    if (handler === undefined) {
      handler = { shape, place, label: this.#depth - this.#list.length, shared: alike.sites > 1 };
      alike.handlers.push(handler);
      this.#list.push(handler);
    }
    if (handler.shared) this.#tell(e, e.links === null ? place : placeNumber(shape));
    return handler.label;
  }

  #tell(e: Emitter, place: number): void {
    e.i32(place);
    if (this.#which < 0) this.#which = e.newLocal(I32);
    e.set(this.#which);
  }

  /** Behind the body, which has left: the handlers, and what is left of the function. */
  close(e: Emitter, localTypes: ArrayLike<ValueType>): void {
    const handlers = this.#list;
    if (handlers.length === 0) return;
    const tail = e.links === null && handlers.length > 1;
    e.openBefore(this.#from, handlers.length + (tail ? 1 : 0));
    handlers.forEach((handler, h) => {
      e.w.u8(OP.end);
      emitValues(e, handler.shape, localTypes);
      if (e.links !== null) {
        emitPlacedEnd(e, handler.shape, handler.shared ? this.#which : -1, localTypes);
        e.op(OP.throw, 0);
        return;
      }
      if (!handler.shared && this.#shapes.length > 1) this.#tell(e, handler.place);
      const inside = handlers.length - 1 - h;
      if (inside > 0) e.op(OP.br, inside);
    });
    if (tail) e.w.u8(OP.end);
    if (e.links !== null) return;
    emitFrameEnd(e, this.#shapes, this.#which, localTypes);
    e.op(OP.throw, 0);
  }
}

/** One of the handlers that saves the operands of a frame, if there is any among the last. */
function handlerFor(handlers: readonly Handler[], shape: FrameShape): Handler | undefined {
  const first = Math.max(0, handlers.length - PROBES_MAX);
  for (let h = handlers.length - 1; h >= first; h--) {
    if (isSame(handlers[h]!.shape.operands, shape.operands)) return handlers[h];
  }
  return undefined;
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
