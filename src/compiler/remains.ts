/**
 * What is left to run of a body from one of its entries on: of each construct around it the entries that follow, whether
 * anything gets there, and whether anything still branches to its label. Of a program's switch, whose cases lie one behind
 * the other, mostly one case remains.
 *
 * Takes the body as it is laid out: what it calls reachable by the rules of validation may still never be reached.
 */
import { OP } from '../wasm/opcodes.ts';
import { CAUGHT, type FlatBody, leaves, TARGETED } from './body.ts';

/** What is left of one construct, or of the whole body. */
export interface Remaining {
  /** Of the construct; -1 for the body. */
  readonly entry: number;
  /** Entries [next, to) are left of it, up to its end or else. */
  readonly next: number;
  readonly to: number;
  /** Something gets to `next`. */
  readonly reached: boolean;
  /** Something gets to the end from there, not counting branches. */
  readonly falls: boolean;
  /** Something that is left branches to its label, or a clause names it. */
  readonly targeted: boolean;
}

export interface Remains {
  /** The constructs around the place, outermost first. */
  readonly around: readonly Remaining[];
  readonly body: Remaining;
  /** Sites that are left, in no order: a loop's own where something branches to its head. */
  readonly sites: readonly number[];
}

/** What is left from entry `next` on, in the constructs around entry `at`. */
export function remainsOf(body: FlatBody, at: number, next: number): Remains {
  const targets = new Set<number>();
  const sites: number[] = [];
  const around: Remaining[] = [];
  let reached = true;
  for (const entry of constructsAround(body, at).reverse()) {
    const end = body.match[entry]!;
    const elseAt = body.op[entry] === OP.if ? body.elseAt[entry]! : -1;
    const to = elseAt >= next ? elseAt : end; // the other arm of an if is not for this round
    if (body.op[entry] === OP.try_table) addClauses(body, entry, targets);
    if (reached) look(body, next, to, targets, sites);
    const falls: boolean = reached && (to === next || !leavesBefore(body, to - 1));
    const targeted: boolean = targets.has(entry);
    around.push({ entry, next, to, reached, falls, targeted });
    const loops = body.op[entry] === OP.loop;
    if (loops && targeted) sites.push(body.site[entry]!);
    reached = falls || (targeted && !loops);
    next = end + 1;
  }
  const to = body.count;
  if (reached) look(body, next, to, targets, sites);
  const whole = { entry: -1, next, to, reached, falls: reached, targeted: true };
  return { around: around.reverse(), body: whole, sites };
}

/** The entries of the constructs that an entry lies in, outermost first. */
function constructsAround(body: FlatBody, inside: number): number[] {
  const around: number[] = [];
  for (let i = 0; i < inside; i++) {
    const end = body.match[i]!;
    if (end <= i) continue; // opens nothing
    if (end < inside) i = end;
    else around.push(i);
  }
  return around;
}

/** Gathers the targets and sites of entries [from, to). */
function look(body: FlatBody, from: number, to: number, targets: Set<number>, sites: number[]): void {
  for (let i = from; i < to; i++) {
    if (body.site[i]! > 0) sites.push(body.site[i]!);
    const op = body.op[i]!;
    if (op === OP.br || op === OP.br_if) targets.add(body.a[i]!);
    else if (op === OP.br_table) for (const target of body.targets.get(i)!) targets.add(target);
    else if (op === OP.try_table) addClauses(body, i, targets);
  }
}

function addClauses(body: FlatBody, entry: number, targets: Set<number>): void {
  for (const clause of body.catches.get(entry)!) targets.add(clause.target);
}

/** Nothing gets behind entry `i`, which stands before an end or else. */
function leavesBefore(body: FlatBody, i: number): boolean {
  for (;;) {
    const op = body.op[i]!;
    if (leaves(op)) return true;
    const opened = body.match[i]!;
    if (op !== OP.end || opened < 0 || i - 1 === opened) return false;
    const kind = body.op[opened]!;
    if (kind === OP.if) return false; // its arms are not looked at
    if (kind !== OP.loop && (body.flags[opened]! & (TARGETED | CAUGHT)) !== 0) return false;
    i--;
  }
}
