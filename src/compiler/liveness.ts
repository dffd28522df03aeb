/**
 * Which locals a safepoint must keep: those whose value may still be read after it. A backward pass over a flat
 * body, each outermost loop repeated until the loops in it agree (two or three times for almost all code). What is not
 * live is not in the frame, costs nothing at the call, and does not keep V8's registers busy.
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
import { ACCESS, CALL, GET, KIND, NOTHING, SET } from './livenesskinds.ts';
import { Rows } from './rows.ts';

/** Passes after which loops that still do not agree are taken to need every local. */
const PASSES_MAX = 10;
/** Words of all sets of a function, and words that one pass over it moves. */
const POOL_WORDS_MAX = 1 << 25;
const WORK_WORDS_MAX = 2 ** 31;
/** Locals of all safepoints together: the code that saves more of them than this is longer than V8 takes. */
const KEPT_MAX = 1 << 24;

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
  /** Passes over some part of the body that it took. */
  passes = 0;
  /** Loops with branches that are open; of the outermost: passes over it so far, and whether a head in it has grown in this. */
  #around = 0;
  #rounds = 0;
  #grew = false;
  // Where its end is, and how everything stood in front of that.
  #endAt = -1;
  #before = new Uint32Array(1);
  #keptSite = 0;
  #keptLocals = 0;
  #keptChanged = true;
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
      this.reload = new Uint16Array(body.room);
      this.#depthOf = new Int32Array(body.room);
      this.#headOf = new Int32Array(body.room);
    }
    if (this.#from.length <= body.sites) {
      this.#from = new Int32Array(body.sites * 2 + 1);
      this.#to = new Int32Array(body.sites * 2 + 1);
    }
    this.#loops = 0;
    this.#lists.length = 0;
    this.#everything = this.#isTooMuch(body, words);
    this.passes = 1;
    if (!this.#pass(body)) {
      this.#everything = true;
      this.#pass(body);
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
    return (body.deepest * 3 + body.loops) * words > POOL_WORDS_MAX || body.branches * words > WORK_WORDS_MAX;
  }

  #roles(): number {
    const set = this.#live;
    let mask = 0;
    for (let i = this.#locals; i < this.#bits; i++) {
      if ((set[i >>> 5]! >>> (i & 31)) & 1) mask |= 1 << (i - this.#locals);
    }
    return mask;
  }

  /** Goes over the body from its end. False where some loop did not come to an end. */
  #pass(body: FlatBody): boolean {
    this.#depth = 0;
    this.#tries = 0;
    this.#keptCount = 0;
    this.#lastSite = 0;
    this.#changed = true;
    this.#around = 0;
    this.#endAt = -1;
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
      } else if (op === OP.loop && (body.flags[i]! & TARGETED) !== 0 && !this.#everything) {
        if (this.#open(body, i, op)) this.#grew = true;
        if (--this.#around > 0 || !this.#grew) continue;
        // Some head in the outermost loop came out with more than its branches were told: once more from its end.
        if (++this.#rounds > PASSES_MAX) return false;
        this.passes = Math.max(this.passes, this.#rounds);
        i = body.match[i]! + 1;
        this.#goBack();
      } else {
        if (
          op === OP.end &&
          this.#endsLoop(body, body.match[i]!) &&
          this.#around++ === 0 &&
          i !== this.#endAt
        )
          this.#keep(i);
        this.#control(body, i, op);
      }
    }
    return true;
  }

  /** Whether branches lead back to the head of what ends at the construct's end. */
  #endsLoop(body: FlatBody, entry: number): boolean {
    return entry >= 0 && body.op[entry] === OP.loop && (body.flags[entry]! & TARGETED) !== 0;
  }

  /** In front of an outermost loop's end: notes how everything stands. */
  #keep(i: number): void {
    this.#endAt = i;
    if (this.#before.length < this.#words) this.#before = new Uint32Array(this.#words * 2);
    for (let w = 0; w < this.#words; w++) this.#before[w] = this.#live[w]!;
    this.#rounds = 1;
    this.#grew = false;
    this.#keptSite = this.#lastSite;
    this.#keptLocals = this.#keptCount;
    this.#keptChanged = this.#changed;
  }

  /** Back to there; the loop's end comes next. */
  #goBack(): void {
    for (let w = 0; w < this.#words; w++) this.#live[w] = this.#before[w]!;
    this.#lastSite = this.#keptSite;
    this.#keptCount = this.#keptLocals;
    this.#changed = this.#keptChanged;
    this.#grew = false;
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

  /** Everything that is neither a local, nor an access, nor a call, nor the head of a loop with branches. */
  #control(body: FlatBody, i: number, op: number): void {
    switch (op) {
      case OP.end:
        this.#end(body, i);
        return;
      case OP.else:
        this.#store(this.#elses, this.#depth - 1);
        this.#hasElse[this.#depth - 1] = 1;
        this.#become(this.#labels, this.#depth - 1);
        return;
      case OP.block:
      case OP.if:
      case OP.try_table:
      case OP.loop:
        this.#open(body, i, op);
        return;
      case OP.br:
        this.#none();
        this.#branch(body.a[i]!);
        return;
      case OP.br_if:
        this.#branch(body.a[i]!);
        return;
      case OP.br_table:
        this.#branchTable(body.targets.get(i)!);
        return;
      case OP.throw:
      case OP.throw_ref:
        this.#none();
        if (this.#tries > 0) this.#union(this.#catches, this.#tries - 1);
        return;
      default:
        this.#none(); // return, unreachable
        return;
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

  /** The start of a construct. True when a loop's head has grown. */
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
