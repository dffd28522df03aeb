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
 * Sets are rows of words in pools that are used again for every function. A program made to be slow here (loops nested
 * thousands deep, blocks by the thousand over locals by the thousand) gets an answer that is too large and not exact:
 * any local may be kept that has a value, and all have.
 *
 * Why: RATIONALE.md#the-code-that-saves-a-frame-is-short
 */
import { UnsupportedError } from '../base/errors.ts';
import { OP } from '../wasm/opcodes.ts';
import { ACCESS_NONE, OP_ACCESS } from '../wasm/optable.ts';
import { BODY_LABEL, CAUGHT, type FlatBody, IN_LOOP, QUIET, TARGETED } from './body.ts';

/** Passes after which loops that still do not agree are taken to need every local. */
const PASSES_MAX = 10;
/** Words of all sets of a function, and words that one pass over it moves. */
const POOL_WORDS_MAX = 1 << 25;
const WORK_WORDS_MAX = 2 ** 31;
/** Locals of all safepoints together: the code that saves more of them than this is longer than V8 takes. */
const KEPT_MAX = 1 << 24;

/** Sets of the same number of bits, by row. */
class Rows {
  #words = new Uint32Array(64);
  /** Words a row. */
  width = 1;

  /** The words, with room for this many rows; use them until the next call. */
  upTo(rows: number): Uint32Array {
    const needed = rows * this.width;
    if (needed > this.#words.length) {
      const larger = new Uint32Array(Math.max(needed, this.#words.length * 2));
      larger.set(this.#words);
      this.#words = larger;
    }
    return this.#words;
  }
}

export class Liveness {
  /** Locals, then memories. */
  #bits = 0;
  #locals = 0;
  #words = 1;
  #live = new Uint32Array(1);
  /** Some bit of `#live` has changed since the last site was noted. */
  #changed = true;
  /** By depth of the open constructs: what is live where their labels lead, at an else, and in clauses about them. */
  readonly #labels = new Rows();
  readonly #elses = new Rows();
  readonly #catches = new Rows();
  #depth = 0;
  /** try_tables that are open. */
  #tries = 0;
  /** By entry of an open construct: its depth. */
  #depthOf: Int32Array = new Int32Array(256);
  /** By depth: 1 where an else was met. */
  #hasElse: Uint8Array = new Uint8Array(256);
  /** What is live at the heads of loops, by row; rows are given out in the order of the pass. */
  readonly #heads = new Rows();
  #headOf: Int32Array = new Int32Array(256);
  #loops = 0;
  #everything = false;
  /** The live locals of all sites, and by site where its own are among them. */
  #kept: Int32Array = new Int32Array(256);
  #keptCount = 0;
  #from: Int32Array = new Int32Array(64);
  #to: Int32Array = new Int32Array(64);
  #lastSite = 0;
  /** By site: its list, where it was asked for. */
  readonly #lists: (readonly number[] | undefined)[] = [];
  /** Passes over the body that it took. */
  passes = 0;
  /** By entry: memories (bit set) whose base and limit are to be read again behind it. */
  reload: Uint16Array = new Uint16Array(256);
  /** Memories whose base and limit are read before any call. */
  entryRoles = 0;

  /** Analyses a body of a function with this many locals (parameters included) and a program's memories. */
  run(body: FlatBody, locals: number, memories: number): void {
    this.#locals = locals;
    this.#bits = locals + memories;
    const words = Math.max(1, (this.#bits + 31) >>> 5);
    this.#words = words;
    if (this.#live.length < words) this.#live = new Uint32Array(words * 2);
    for (const rows of [this.#labels, this.#elses, this.#catches, this.#heads]) rows.width = words;
    if (this.reload.length < body.count) {
      this.reload = new Uint16Array(body.count * 2);
      this.#depthOf = new Int32Array(body.count * 2);
      this.#headOf = new Int32Array(body.count * 2);
    }
    if (this.#from.length <= body.sites) {
      this.#from = new Int32Array(body.sites * 2 + 1);
      this.#to = new Int32Array(body.sites * 2 + 1);
    }
    this.#loops = 0;
    this.#lists.length = 0;
    this.#everything = this.#isTooMuch(body, words);
    this.passes = 1;
    while (this.#pass(body) && !this.#everything) {
      // A loop's head came out with more than its branches were told: once more.
      if (++this.passes > PASSES_MAX) this.#everything = true;
    }
    this.entryRoles = this.#roles();
    if (body.entryPoll) this.#site(body, 1);
  }

  /** The live locals of a site, ascending. */
  at(site: number): readonly number[] {
    let list = this.#lists[site];
    if (list === undefined) {
      list = this.#listOf(site);
      while (this.#lists.length < site) this.#lists.push(undefined);
      this.#lists[site] = list;
    }
    return list;
  }

  #listOf(site: number): readonly number[] {
    const [from, to] = [this.#from[site]!, this.#to[site]!];
    const before = this.#lists[site - 1];
    if (before !== undefined && this.#from[site - 1] === from && this.#to[site - 1] === to) return before;
    const list: number[] = new Array(to - from);
    for (let i = from; i < to; i++) list[i - from] = this.#kept[i]!;
    return list;
  }

  /** Telling exactly would take more room or time than a program can ask for. */
  #isTooMuch(body: FlatBody, words: number): boolean {
    const sets = body.deepest * 3 + body.loops;
    return sets * words > POOL_WORDS_MAX || body.branches * words > WORK_WORDS_MAX;
  }

  #roles(): number {
    const set = this.#live;
    let mask = 0;
    for (let i = this.#locals; i < this.#bits; i++) {
      if ((set[i >>> 5]! >>> (i & 31)) & 1) mask |= 1 << (i - this.#locals);
    }
    return mask;
  }

  #pass(body: FlatBody): boolean {
    let again = false;
    this.#depth = 0;
    this.#tries = 0;
    this.#keptCount = 0;
    this.#lastSite = 0;
    this.#changed = true;
    this.reload.fill(0, 0, body.count);
    this.#live.fill(this.#everything ? -1 : 0, 0, this.#words);
    const { op: ops, a } = body;
    for (let i = body.count - 1; i >= 0; i--) {
      const op = ops[i]!;
      const kind = KIND[op]!;
      if (kind === NOTHING) continue;
      if (kind === GET) {
        this.#use(a[i]!);
      } else if (kind === SET) {
        const local = a[i]!;
        const word = this.#live[local >>> 5]!;
        const bit = 1 << (local & 31);
        if ((word & bit) !== 0 && !this.#everything) {
          this.#live[local >>> 5] = word & ~bit;
          this.#changed = true;
        }
      } else if (kind === ACCESS) {
        this.#use(this.#locals + a[i]!);
      } else if (kind === CALL) {
        this.#call(body, i, op);
      } else if (this.#control(body, i, op)) {
        again = true;
      }
    }
    return again;
  }

  #use(index: number): void {
    const word = this.#live[index >>> 5]!;
    const bit = 1 << (index & 31);
    if ((word & bit) !== 0) return;
    this.#live[index >>> 5] = word | bit;
    this.#changed = true;
  }

  /** Notes what is live before a site. */
  #site(body: FlatBody, site: number): void {
    if (site === 0) return;
    const last = this.#lastSite;
    this.#lastSite = site;
    if (!this.#changed && last > 0) {
      this.#from[site] = this.#from[last]!;
      this.#to[site] = this.#to[last]!;
      return;
    }
    this.#changed = false;
    this.#from[site] = this.#keptCount;
    for (let w = 0; w < this.#words; w++) {
      let word = this.#live[w]!;
      if (word === 0) continue;
      if (this.#keptCount + 32 > this.#kept.length) this.#growKept(body);
      while (word !== 0) {
        const bit = 31 - Math.clz32(word & -word);
        word &= word - 1;
        const local = w * 32 + bit;
        if (local < this.#locals) this.#kept[this.#keptCount++] = local;
      }
    }
    this.#to[site] = this.#keptCount;
  }

  #growKept(body: FlatBody): void {
    if (this.#keptCount > KEPT_MAX) {
      throw new UnsupportedError('a function keeps too many values alive at its safepoints', body.start[0]!);
    }
    const larger = new Int32Array(this.#kept.length * 2);
    larger.set(this.#kept);
    this.#kept = larger;
  }

  /** A call, or what else may run code that moves the domain. `#live` is what is live behind it. */
  #call(body: FlatBody, i: number, op: number): void {
    if (op === OP.return_call || op === OP.return_call_indirect) return this.#none();
    if (this.#tries > 0) this.#union(this.#catches, this.#tries - 1);
    if ((body.flags[i]! & QUIET) !== 0) return; // it may throw, but grows nothing
    this.reload[i] = this.#behind(body, i);
    this.#killRoles();
    this.#site(body, body.site[i]!);
    if (OP_ACCESS[op] !== ACCESS_NONE) this.#use(this.#locals + body.a[i]!);
  }

  /** Memories to read again behind entry i: in a loop all, for its head may have been entered with all fresh. */
  #behind(body: FlatBody, i: number): number {
    return (body.flags[i]! & IN_LOOP) !== 0 ? body.memories : this.#roles();
  }

  #killRoles(): void {
    for (let bit = this.#locals; bit < this.#bits; bit++) this.#live[bit >>> 5]! &= ~(1 << (bit & 31));
  }

  // --- sets

  /** Nothing is live: the function is left. */
  #none(): void {
    if (this.#everything) return this.#all();
    this.#live.fill(0, 0, this.#words);
    this.#changed = true;
  }
  /** Where the answer is not to be exact all locals are live always; only the bits of memories come and go. */
  #all(): void {
    for (let bit = this.#locals; bit < this.#bits; bit++) this.#live[bit >>> 5]! |= 1 << (bit & 31);
  }
  #union(rows: Rows, row: number): void {
    if (this.#everything) return this.#all();
    const from = row * this.#words;
    const set = rows.upTo(row + 1);
    for (let w = 0; w < this.#words; w++) this.#live[w]! |= set[from + w]!;
    this.#changed = true;
  }
  #become(rows: Rows, row: number): void {
    this.#none();
    this.#union(rows, row);
  }
  #store(rows: Rows, row: number): void {
    if (this.#everything) return;
    const to = row * this.#words;
    const set = rows.upTo(row + 1);
    for (let w = 0; w < this.#words; w++) set[to + w] = this.#live[w]!;
  }

  /** What is live where a branch to an entry's label goes, too. */
  #branch(entry: number): void {
    if (entry !== BODY_LABEL) this.#union(this.#labels, this.#depthOf[entry]!);
  }

  // --- structure

  /** Everything that is neither a local, nor an access, nor a call. True when a loop's head has grown. */
  #control(body: FlatBody, i: number, op: number): boolean {
    switch (op) {
      case OP.end:
        this.#end(body, i);
        return false;
      case OP.else:
        this.#store(this.#elses, this.#depth - 1);
        this.#hasElse[this.#depth - 1] = 1;
        this.#become(this.#labels, this.#depth - 1);
        return false;
      case OP.block:
      case OP.if:
      case OP.try_table:
      case OP.loop:
        return this.#open(body, i, op);
      case OP.br:
        this.#none();
        this.#branch(body.a[i]!);
        return false;
      case OP.br_if:
        this.#branch(body.a[i]!);
        return false;
      case OP.br_table:
        this.#branchTable(body.targets.get(i)!);
        return false;
      case OP.throw:
      case OP.throw_ref:
        this.#none();
        if (this.#tries > 0) this.#union(this.#catches, this.#tries - 1);
        return false;
      default:
        this.#none(); // return, unreachable
        return false;
    }
  }

  /** Each label once, however often the table has it. */
  #branchTable(targets: Int32Array): void {
    this.#none();
    for (const target of targets.length > 8 ? new Set(targets) : targets) this.#branch(target);
  }

  #end(body: FlatBody, i: number): void {
    const entry = body.match[i]!;
    if (entry < 0) return;
    if ((body.flags[entry]! & CAUGHT) !== 0) {
      // Control may come from a throwing call: base and limit are read again behind the end.
      this.reload[i] = this.#behind(body, i);
      this.#killRoles();
    }
    const depth = this.#depth++;
    if (depth === this.#hasElse.length) {
      const larger = new Uint8Array(depth * 2);
      larger.set(this.#hasElse);
      this.#hasElse = larger;
    }
    this.#hasElse[depth] = 0;
    this.#depthOf[entry] = depth;
    if (body.op[entry] === OP.loop) this.#copyHead(entry, depth);
    else this.#store(this.#labels, depth);
    if (body.catches.size > 0) this.#openCatches(body, entry);
  }

  /** The label of a loop leads to its head, of which the last pass knows; the first pass knows nothing. */
  #copyHead(entry: number, depth: number): void {
    if (this.#everything) return;
    const labels = this.#labels.upTo(depth + 1);
    const heads = this.#heads.upTo(this.#loops);
    const [to, from] = [depth * this.#words, this.#headOf[entry]! * this.#words];
    const passed = this.#passed(entry);
    for (let w = 0; w < this.#words; w++) labels[to + w] = passed ? heads[from + w]! : 0;
  }

  /** The head of this loop was met in an earlier pass over this body. */
  #passed(entry: number): boolean {
    const row = this.#headOf[entry]!;
    return row < this.#loops && this.#loopAt[row] === entry;
  }
  #loopAt: Int32Array = new Int32Array(64);

  #openCatches(body: FlatBody, entry: number): void {
    const clauses = body.catches.get(entry);
    if (clauses === undefined) return;
    const row = this.#tries++;
    if (this.#everything) return;
    const { width } = this.#catches;
    const sets = this.#catches.upTo(row + 1);
    const at = row * width;
    if (row === 0) sets.fill(0, 0, width);
    else sets.copyWithin(at, at - width, at);
    for (const target of new Set(clauses.map((clause) => clause.target))) {
      if (target === BODY_LABEL) continue;
      const from = this.#depthOf[target]! * width;
      const labels = this.#labels.upTo(this.#depth);
      for (let w = 0; w < width; w++) sets[at + w]! |= labels[from + w]!;
    }
  }

  #open(body: FlatBody, i: number, op: number): boolean {
    const depth = --this.#depth;
    if (op === OP.try_table) this.#tries--;
    if (op === OP.if) this.#union(this.#hasElse[depth] === 1 ? this.#elses : this.#labels, depth);
    if (op !== OP.loop) return false;
    this.#site(body, body.site[i]!);
    if (this.#everything || (body.flags[i]! & TARGETED) === 0) return false;
    if (this.#passed(i)) {
      const row = this.#headOf[i]!;
      const heads = this.#heads.upTo(this.#loops);
      let same = true;
      for (let w = 0; w < this.#words; w++) same &&= heads[row * this.#words + w] === this.#live[w];
      if (!same) this.#store(this.#heads, row);
      return !same;
    }
    const row = this.#loops++;
    this.#headOf[i] = row;
    if (row === this.#loopAt.length) {
      const larger = new Int32Array(row * 2);
      larger.set(this.#loopAt);
      this.#loopAt = larger;
    }
    this.#loopAt[row] = i;
    this.#store(this.#heads, row);
    for (let w = 0; w < this.#words; w++) if (this.#live[w] !== 0) return true;
    return false;
  }
}

// What an instruction does to the sets, by its number.
const NOTHING = 0;
const GET = 1;
/** local.set, local.tee. */
const SET = 2;
/** Uses base and limit of a memory. */
const ACCESS = 3;
/** A call, or carried out by the kernel or its templates. */
const CALL = 4;
const CONTROL = 5;

const KIND = kinds();

function kinds(): Uint8Array {
  const list = OP_ACCESS.map((access) => (access === ACCESS_NONE ? NOTHING : ACCESS));
  const set = (kind: number, ...ops: number[]): void => {
    for (const op of ops) list[op] = kind;
  };
  set(GET, OP.local_get);
  set(SET, OP.local_set, OP.local_tee);
  set(ACCESS, OP.memory_size);
  set(CALL, OP.call, OP.call_indirect, OP.return_call, OP.return_call_indirect);
  set(CALL, OP.memory_grow);
  set(CALL, OP.memory_atomic_wait32, OP.memory_atomic_wait64, OP.memory_atomic_notify);
  set(CONTROL, OP.block, OP.loop, OP.if, OP.try_table, OP.else, OP.end);
  set(CONTROL, OP.br, OP.br_if, OP.br_table, OP.return, OP.unreachable, OP.throw, OP.throw_ref);
  return list;
}
