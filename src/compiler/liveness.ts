/**
 * Which locals a safepoint must keep: those whose value may still be read after it. A backward pass over a flat
 * body, repeated until the loops agree (two or three times for almost all code). What is not live is not in the frame,
 * costs nothing at the call, and does not keep V8's registers busy.
 *
 * Beside the locals there is one bit a memory, for its base and limit: used by each access, void after each call
 * (the callee may have moved the domain), so that they are read again only where somebody will look.
 *
 * A call may throw: what the program's catch clauses read is live at every call inside them.
 *
 * Why: RATIONALE.md#the-code-that-saves-a-frame-is-short
 */

import { OP } from '../wasm/opcodes.ts';
import { ACCESS_NONE, OP_ACCESS } from '../wasm/optable.ts';
import { BODY_LABEL, CAUGHT, type FlatBody, IN_LOOP, isCall } from './body.ts';

export class Liveness {
  /** Locals, then memories. */
  #bits = 0;
  #locals = 0;
  #words = 1;
  #live = new Uint32Array(1);
  #empty = new Uint32Array(1);
  /** For each open construct: what is live where its label leads. */
  readonly #labels: { entry: number; live: Uint32Array; atElse: Uint32Array | null }[] = [];
  /** For each open try_table: what its clauses read, those outside included. */
  readonly #catches: Uint32Array[] = [];
  readonly #heads = new Map<number, Uint32Array>();
  #sites: Uint32Array[] = [];
  /** By entry: memories (bit set) whose base and limit are to be read again behind it. */
  reload: Uint16Array = new Uint16Array(256);
  /** Memories whose base and limit are read before any call. */
  entryRoles = 0;

  /** Analyses a body of a function with this many locals (parameters included) and a program's memories. */
  run(body: FlatBody, locals: number, memories: number): void {
    this.#locals = locals;
    this.#bits = locals + memories;
    this.#words = Math.max(1, (this.#bits + 31) >>> 5);
    this.#empty = new Uint32Array(this.#words);
    this.#live = new Uint32Array(this.#words);
    this.#heads.clear();
    this.#sites = [];
    if (this.reload.length < body.count) this.reload = new Uint16Array(body.count * 2);
    while (this.#pass(body)) {
      // A loop's head came out with more than its branches were told: once more.
    }
    this.entryRoles = this.#roles(this.#live);
    if (body.entryPoll) this.#sites[1] = this.#live.slice();
  }

  /** The live locals of a site, ascending. */
  at(site: number): number[] {
    const set = this.#sites[site]!;
    const list: number[] = [];
    for (let i = 0; i < this.#locals; i++) if ((set[i >>> 5]! >>> (i & 31)) & 1) list.push(i);
    return list;
  }

  #roles(set: Uint32Array): number {
    let mask = 0;
    for (let i = this.#locals; i < this.#bits; i++) {
      if ((set[i >>> 5]! >>> (i & 31)) & 1) mask |= 1 << (i - this.#locals);
    }
    return mask;
  }

  #pass(body: FlatBody): boolean {
    let changed = false;
    this.#labels.length = 0;
    this.#catches.length = 0;
    this.#live.fill(0);
    for (let i = body.count - 1; i >= 0; i--) {
      const op = body.op[i]!;
      this.reload[i] = 0;
      if (op >= OP.local_get && op <= OP.local_tee) {
        const local = body.a[i]!;
        if (op === OP.local_get) this.#live[local >>> 5]! |= 1 << (local & 31);
        else this.#live[local >>> 5]! &= ~(1 << (local & 31));
      } else if (OP_ACCESS[op] !== ACCESS_NONE) {
        this.#access(body, i, op);
      } else if (this.#control(body, i, op)) {
        changed = true;
      }
    }
    return changed;
  }

  #useRole(memory: number): void {
    const bit = this.#locals + memory;
    this.#live[bit >>> 5]! |= 1 << (bit & 31);
  }

  #access(body: FlatBody, i: number, op: number): void {
    if (op === OP.memory_atomic_wait32 || op === OP.memory_atomic_wait64 || op === OP.memory_atomic_notify) {
      this.#call(body, i);
      const site = body.site[i]!;
      if (site > 0) this.#sites[site] = this.#live.slice();
    }
    this.#useRole(body.a[i]!);
  }

  /** What every call does; `#live` is what is live behind it. */
  #call(body: FlatBody, i: number): void {
    this.reload[i] = this.#behind(body, i);
    const caught = this.#catches.at(-1);
    if (caught !== undefined) this.#union(caught);
    this.#killRoles();
  }

  /** Memories to read again behind entry i: in a loop all, for its head may have been entered with all fresh. */
  #behind(body: FlatBody, i: number): number {
    return (body.flags[i]! & IN_LOOP) !== 0 ? body.memories : this.#roles(this.#live);
  }

  #killRoles(): void {
    for (let bit = this.#locals; bit < this.#bits; bit++) this.#live[bit >>> 5]! &= ~(1 << (bit & 31));
  }

  #union(set: Uint32Array): void {
    for (let w = 0; w < this.#words; w++) this.#live[w]! |= set[w]!;
  }

  #label(entry: number): Uint32Array {
    if (entry === BODY_LABEL) return this.#empty;
    for (let i = this.#labels.length - 1; i >= 0; i--) {
      const label = this.#labels[i]!;
      if (label.entry === entry) return label.live;
    }
    return this.#empty;
  }

  /** Everything that is neither a local nor an access. True when a loop's head has grown. */
  #control(body: FlatBody, i: number, op: number): boolean {
    switch (op) {
      case OP.end:
        this.#end(body, i);
        return false;
      case OP.else: {
        const label = this.#labels.at(-1)!;
        label.atElse = this.#live.slice();
        this.#live.set(label.live);
        return false;
      }
      case OP.block:
      case OP.if:
      case OP.try_table:
      case OP.loop:
        return this.#open(body, i, op);
      case OP.br:
        this.#live.set(this.#label(body.a[i]!));
        return false;
      case OP.br_if:
        this.#union(this.#label(body.a[i]!));
        return false;
      case OP.br_table:
        this.#live.fill(0);
        for (const target of body.targets.get(i)!) this.#union(this.#label(target));
        return false;
      case OP.return:
      case OP.unreachable:
      case OP.return_call:
      case OP.return_call_indirect:
        this.#live.fill(0);
        return false;
      case OP.throw:
      case OP.throw_ref:
        this.#live.fill(0);
        if (this.#catches.length > 0) this.#union(this.#catches.at(-1)!);
        return false;
      case OP.memory_size:
        this.#useRole(body.a[i]!);
        return false;
      case OP.memory_grow: {
        this.#call(body, i);
        const site = body.site[i]!;
        if (site > 0) this.#sites[site] = this.#live.slice();
        return false;
      }
      case OP.memory_fill:
      case OP.memory_copy:
      case OP.memory_init:
        this.#call(body, i);
        return false;
      default:
        if (isCall(op)) {
          this.#call(body, i);
          const site = body.site[i]!;
          if (site > 0) this.#sites[site] = this.#live.slice();
        }
        return false;
    }
  }

  #end(body: FlatBody, i: number): void {
    const entry = body.match[i]!;
    if (entry < 0) return;
    if ((body.flags[entry]! & CAUGHT) !== 0) {
      // Control may come from a throwing call: base and limit are read again behind the end.
      this.reload[i] = this.#behind(body, i);
      this.#killRoles();
    }
    const loop = body.op[entry] === OP.loop;
    const live = loop ? (this.#heads.get(entry) ?? this.#empty) : this.#live.slice();
    this.#labels.push({ entry, live, atElse: null });
    const clauses = body.catches.get(entry);
    if (clauses === undefined) return;
    const caught = (this.#catches.at(-1) ?? this.#empty).slice();
    for (const clause of clauses) {
      const target = this.#label(clause.target);
      for (let w = 0; w < this.#words; w++) caught[w]! |= target[w]!;
    }
    this.#catches.push(caught);
  }

  #open(body: FlatBody, i: number, op: number): boolean {
    const label = this.#labels.pop()!;
    if (op === OP.try_table) this.#catches.pop();
    if (op === OP.if) this.#union(label.atElse ?? label.live);
    if (op !== OP.loop) return false;
    const site = body.site[i]!;
    if (site > 0) this.#sites[site] = this.#live.slice();
    const before = this.#heads.get(i);
    if (before?.every((word, w) => word === this.#live[w])) return false;
    this.#heads.set(i, this.#live.slice());
    return before !== undefined || this.#live.some((word) => word !== 0);
  }
}
