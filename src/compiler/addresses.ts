/**
 * Where each memory access of a function points, as far as one forward look over the flat body can tell: its address
 * as `term + constant` (terms.ts), and which instructions do nothing but compute it. And for each innermost loop, how
 * its locals move from round to round.
 *
 *     const addresses = new Addresses();
 *     addresses.run(body, input, plan);      then by entry of an access: term, constant, from, to
 *
 * What is known follows the rules of the verifier (verifier/README.md), so that what is left out here it can see too:
 * behind a label that something branches to, and at an else, locals set in the construct are new symbols; at a loop's head
 * those set in the loop are.
 */
import { larger } from '../base/arrays.ts';
import { OP } from '../wasm/opcodes.ts';
import { ACCESS_NOTIFY, ACCESS_WAIT, OP_ACCESS, OP_ACCESS_BYTES } from '../wasm/optable.ts';
import { blockFuncType, I32 } from '../wasm/types.ts';
import { ACCESS, BINARY, CONSTANT, FIXED, GET, KIND, SET, TEE } from './addresskinds.ts';
import { POPS, PUSHES, thrownBy } from './arity.ts';
import { type FlatBody, isCall, QUIET } from './body.ts';
import { mostOf } from './bounds.ts';
import { HINTED_DEPTH_MAX, knowNothing } from './deep.ts';
import { GlobalTerms } from './globalterms.ts';
import { type LoopShape, LoopWatch } from './loops.ts';
import type { Plan } from './plan.ts';
import { Runs } from './runs.ts';
import type { FunctionInput } from './state.ts';
import { NOTHING, Terms } from './terms.ts';

/** The term of an operand of which nothing is known: it gets a symbol when somebody asks. */
const UNKNOWN = -1;

export class Addresses {
  readonly terms = new Terms();
  /** Accesses that may be checked together. */
  readonly runs = new Runs();
  /** By entry of an access: its address, less the memarg's offset. */
  term: Int32Array = new Int32Array(256);
  constant: Int32Array = new Int32Array(256);
  /** By entry of an access: the greatest its address can be, as an unsigned number; Infinity where that is not known. */
  most: Float64Array = new Float64Array(256);
  /**
   * By entry of an access: the entries [from, to] compute its address and nothing else; -1 where they do not follow one
   * another. `pure`: nobody would miss them.
   */
  from: Int32Array = new Int32Array(256);
  to: Int32Array = new Int32Array(256);
  /** By entry: the access whose address begins here, or -1. */
  begins: Int32Array = new Int32Array(256);
  pure: Uint8Array = new Uint8Array(256);
  /** By entry of an access, for memory.ts: the offset to access with, when the global address is on the stack already; else -1. */
  offset: Float64Array = new Float64Array(256);
  /** One of memory.ts' PROOFS. */
  rule: Uint8Array = new Uint8Array(256);
  /** Loops worth a second version, by entry. */
  readonly loops: Map<number, LoopShape> = new Map();
  /** By term: how many accesses of the function have an address with it. */
  uses: Int32Array = new Int32Array(1024);

  // The locals.
  #localTerm: Int32Array = new Int32Array(64);
  #localConstant: Int32Array = new Int32Array(64);
  #localMost: Float64Array = new Float64Array(64);
  #isI32: Uint8Array = new Uint8Array(64);
  #seen: Int32Array = new Int32Array(64);
  #stampNow = 0;
  /** The locals assigned to since each open construct began: the first `#logged` count. */
  #log: Int32Array = new Int32Array(256);
  #logged = 0;

  // The operand stack: value, and the entries that made it.
  #stackTerm: Int32Array = new Int32Array(256);
  #stackConstant: Int32Array = new Int32Array(256);
  #stackFrom: Int32Array = new Int32Array(256);
  #stackTo: Int32Array = new Int32Array(256);
  #stackPure: Uint8Array = new Uint8Array(256);
  #stackMost: Float64Array = new Float64Array(256);
  #sp = 0;
  // Open constructs but for the body: operands below their own, where the log stood, and their entry.
  #openHeight: Int32Array = new Int32Array(64);
  #openLog: Int32Array = new Int32Array(64);
  #openEntry: Int32Array = new Int32Array(64);
  #depth = 0;
  readonly #globals = new GlobalTerms();
  readonly #watch = new LoopWatch();
  /** The last entry that was neither straight nor free of safepoints. */
  #barrier = -1;

  run(body: FlatBody, input: FunctionInput, plan: Plan): void {
    if (this.begins.length < body.count) this.#growEntries(body.room);
    this.begins.fill(-1, 0, body.count);
    this.loops.clear();
    if (body.memories === 0) return;
    this.runs.begin(body.count);
    this.#globals.begin(plan);
    this.#begin(input);
    if (body.loopDepth > HINTED_DEPTH_MAX) return knowNothing(this, body);
    this.#watch.begin(body);
    const { op: ops, a, count } = body;
    for (let i = 0; i < count; i++) {
      const op = ops[i]!;
      const kind = KIND[op]!;
      if (kind !== ACCESS) this.runs.instruction(op);
      switch (kind) {
        case GET:
          this.#get(a[i]!, i);
          break;
        case SET:
          this.#sp--;
          this.#assignTop(a[i]!);
          break;
        case TEE:
          this.#tee(a[i]!, i);
          break;
        case CONSTANT:
          this.#push(NOTHING, a[i]!, i, i, 1, a[i]! < 0 ? Infinity : a[i]!);
          break;
        case BINARY:
          this.#binary(body, i, op);
          break;
        case ACCESS:
          this.#access(body, i, op, plan);
          break;
        case FIXED:
          this.#sp -= POPS[op]!;
          if (PUSHES[op] === 1) this.#pushUnknown(i);
          if (body.site[i]! > 0) this.#barrier = i;
          break;
        default:
          this.#other(body, i, op, plan);
      }
    }
    if (plan.options.isolate) this.#watch.finish(this); // what is V8's to check costs nothing in a loop
  }

  #growEntries(size: number): void {
    this.term = new Int32Array(size);
    this.constant = new Int32Array(size);
    this.from = new Int32Array(size);
    this.to = new Int32Array(size);
    this.begins = new Int32Array(size);
    this.pure = new Uint8Array(size);
    this.most = new Float64Array(size);
    this.offset = new Float64Array(size);
    this.rule = new Uint8Array(size);
  }

  #begin({ locals }: FunctionInput): void {
    if (this.#localTerm.length < locals.length) {
      const size = locals.length * 2;
      this.#localTerm = new Int32Array(size);
      this.#localConstant = new Int32Array(size);
      this.#localMost = new Float64Array(size);
      this.#isI32 = new Uint8Array(size);
      this.#seen = new Int32Array(size);
      this.#stampNow = 0;
    }
    this.uses.fill(0, 0, Math.min(this.uses.length, this.terms.count));
    this.terms.reset();
    this.#logged = 0;
    this.#depth = 0;
    this.#sp = 0;
    this.#barrier = -1;
    for (let l = 0; l < locals.length; l++) {
      const narrow = locals[l] === I32;
      this.#isI32[l] = narrow ? 1 : 0;
      // Locals that are not parameters begin as 0; the verifier does not count on it, so neither do we.
      this.#localTerm[l] = narrow ? this.terms.symbol() : NOTHING;
      this.#localConstant[l] = 0;
      this.#localMost[l] = Infinity;
    }
  }

  // --- locals

  termOf(local: number): number {
    return this.#localTerm[local]!;
  }
  constantOf(local: number): number {
    return this.#localConstant[local]!;
  }
  isI32(local: number): boolean {
    return this.#isI32[local] === 1;
  }

  #get(local: number, i: number): void {
    this.#push(this.#localTerm[local]!, this.#localConstant[local]!, i, i, 1, this.#localMost[local]!);
  }

  #tee(local: number, i: number): void {
    this.#sp--;
    this.#assignTop(local);
    const s = this.#sp++;
    this.#stackTo[s] = i;
    this.#stackPure[s] = 0;
  }

  /** The local gets what lies above the top of the operand stack. */
  #assignTop(local: number): void {
    if (this.#isI32[local] !== 1) return;
    const s = this.#sp;
    this.#assign(local, this.#termAt(s), this.#stackConstant[s]!, this.#stackMost[s]!);
    if (this.#depth > 0) this.#note(local);
  }

  #assign(local: number, term: number, constant: number, most: number): void {
    this.#localTerm[local] = term;
    this.#localConstant[local] = constant;
    this.#localMost[local] = most;
  }

  #note(local: number): void {
    if (this.#logged === this.#log.length) this.#log = larger(this.#log, new Int32Array(this.#logged * 2));
    this.#log[this.#logged++] = local;
  }

  /** Gives each local a symbol of its own. */
  renew(locals: readonly number[]): void {
    for (let n = 0; n < locals.length; n++) {
      const local = locals[n]!;
      if (this.#isI32[local] !== 1) continue;
      this.#assign(local, this.terms.symbol(), 0, Infinity);
      this.#note(local);
    }
  }

  /** Gives the locals set since the log stood at `from` symbols of their own; it has each of them once from here on. */
  #renewSince(from: number): void {
    const stamp = ++this.#stampNow;
    let kept = from;
    for (let at = from; at < this.#logged; at++) {
      const local = this.#log[at]!;
      if (this.#seen[local] === stamp) continue;
      this.#seen[local] = stamp;
      this.#assign(local, this.terms.symbol(), 0, Infinity);
      this.#log[kept++] = local;
    }
    this.#logged = kept;
  }

  // --- operands

  #push(term: number, constant: number, from: number, to: number, pure: number, most: number): void {
    if (this.#sp === this.#stackTerm.length) this.#growStack();
    const s = this.#sp++;
    this.#stackTerm[s] = term;
    this.#stackConstant[s] = constant;
    this.#stackFrom[s] = from;
    this.#stackTo[s] = to;
    this.#stackPure[s] = pure;
    this.#stackMost[s] = most;
  }

  #growStack(): void {
    const size = this.#stackTerm.length * 2;
    this.#stackTerm = larger(this.#stackTerm, new Int32Array(size));
    this.#stackConstant = larger(this.#stackConstant, new Int32Array(size));
    this.#stackFrom = larger(this.#stackFrom, new Int32Array(size));
    this.#stackTo = larger(this.#stackTo, new Int32Array(size));
    this.#stackPure = larger(this.#stackPure, new Uint8Array(size));
    this.#stackMost = larger(this.#stackMost, new Float64Array(size));
  }

  /** The term of an operand. */
  #termAt(s: number): number {
    let term = this.#stackTerm[s]!;
    if (term === UNKNOWN) {
      term = this.terms.symbol();
      this.#stackTerm[s] = term;
    }
    return term;
  }

  /** An i32 that may be anything, or a value of another type (then nobody asks for its term). */
  #pushUnknown(i: number, most = Infinity): void {
    this.#push(UNKNOWN, 0, i, i, 0, most);
  }

  #binary(body: FlatBody, i: number, op: number): void {
    const [x, y] = [this.#sp - 2, this.#sp - 1];
    const cx = this.#stackConstant[x]!;
    const cy = this.#stackConstant[y]!;
    const follows = this.#stackTo[x]! + 1 === this.#stackFrom[y]!;
    const pure = follows ? this.#stackPure[x]! & this.#stackPure[y]! : 0;
    const from = follows && this.#stackTo[y]! + 1 === i ? this.#stackFrom[x]! : -1;
    const literal = this.#stackTerm[y] === NOTHING;
    let term = UNKNOWN;
    let constant = 0;
    if (op === OP.i32_add) {
      term = this.terms.sum(this.#termAt(x), this.#termAt(y));
      constant = (cx + cy) | 0;
    } else if (op === OP.i32_sub && literal) {
      term = this.#termAt(x);
      constant = (cx - cy) | 0;
    } else if (op === OP.i32_shl && literal) {
      term = this.terms.shift(this.#termAt(x), cy & 31);
      constant = cx << (cy & 31);
    }
    this.#sp -= 2;
    // A constant that was computed is none to the verifier, which finds out no numbers.
    const made = this.#stackFrom[y]!;
    const isWritten = made >= 0 && made === this.#stackTo[y]! && body.op[made] === OP.i32_const;
    const most = mostOf(op, this.#stackMost[x]!, this.#stackMost[y]!, isWritten ? cy : -1);
    this.#push(term, constant, from, i, pure, most);
  }

  // --- accesses

  #access(body: FlatBody, i: number, op: number, plan: Plan): void {
    const at = this.#sp - POPS[op]!;
    // Of 64-bit addresses nothing is known.
    const wide = plan.memories[body.a[i]!]!.is64;
    const term = wide ? this.terms.symbol() : this.#termAt(at);
    this.term[i] = term;
    this.constant[i] = this.#stackConstant[at]!;
    this.most[i] = wide ? Infinity : this.#stackMost[at]!;
    const from = this.#stackFrom[at]!;
    const to = this.#stackTo[at]!;
    // Between the address and the access nothing may want the operand as the program has it.
    const kernels = OP_ACCESS[op] === ACCESS_WAIT || OP_ACCESS[op] === ACCESS_NOTIFY;
    const alone = from >= 0 && !kernels && this.#barrier < from;
    this.from[i] = alone ? from : -1;
    this.offset[i] = -1;
    this.to[i] = to;
    this.pure[i] = this.#stackPure[at]!;
    if (alone) this.begins[from] = i;
    this.use(term);
    const end = body.offset[i]! + OP_ACCESS_BYTES[op]!;
    this.runs.access(i, op, body.a[i]!, term, this.constant[i]!, end);
    this.#watch.access(i);
    this.#sp = at;
    if (PUSHES[op] === 0) return;
    this.#pushUnknown(i, op === OP.i32_load8_u ? 255 : op === OP.i32_load16_u ? 65535 : Infinity);
    if (body.site[i]! > 0) this.#barrier = i;
  }

  use(term: number): void {
    if (term >= this.uses.length) this.uses = larger(this.uses, new Int32Array(term * 2));
    this.uses[term]!++;
  }

  // --- everything else

  #other(body: FlatBody, i: number, op: number, plan: Plan): void {
    switch (op) {
      case OP.block:
      case OP.loop:
      case OP.if:
      case OP.try_table:
        this.#openBlock(body, i, op, plan);
        return;
      case OP.else:
        this.#else(body, i, plan);
        return;
      case OP.end:
        this.#end(body, i, plan);
        return;
      case OP.global_get:
        return this.#getGlobal(body.a[i]!, i);
      case OP.global_set:
        this.#sp--;
        this.#globals.set(body.a[i]!, this.#termAt(this.#sp), this.#stackConstant[this.#sp]!);
        return;
      case OP.br:
      case OP.br_if:
        this.#barrier = i;
        if (op === OP.br_if) this.#sp--;
        this.#watch.branch(this, body.a[i]!);
        return;
      case OP.br_table:
        this.#barrier = i;
        this.#sp--;
        if (this.#watch.watches) for (const target of body.targets.get(i)!) this.#watch.branch(this, target);
        return;
    }
    this.#arity(body, i, op, plan);
  }

  #getGlobal(global: number, i: number): void {
    const held = this.#globals.get(global, () => this.terms.symbol());
    if (held === null) return this.#pushUnknown(i);
    this.#push(held.term, held.constant, i, i, 1, Infinity);
  }

  /** Instructions whose operands depend on types. */
  #arity(body: FlatBody, i: number, op: number, plan: Plan): void {
    if (isCall(op)) {
      const direct = op === OP.call || op === OP.return_call;
      const type = direct ? plan.functionType(body.a[i]!) : plan.types[body.a[i]!]!;
      if ((body.flags[i]! & QUIET) === 0) this.#barrier = i;
      else this.#watch.call();
      this.#globals.forget();
      this.#sp -= type.params.length + (direct ? 0 : 1);
      for (let n = type.results.length; n > 0; n--) this.#pushUnknown(i);
      return;
    }
    if (op === OP.throw || op === OP.throw_ref) this.#sp -= thrownBy(op, body, i, plan);
  }

  // --- constructs

  #openBlock(body: FlatBody, i: number, op: number, plan: Plan): void {
    this.#barrier = i;
    if (op === OP.if) this.#sp--;
    const { params } = blockFuncType(plan.types, body.a[i]!)!;
    const height = this.#sp - params.length;
    const depth = this.#depth++;
    if (depth === this.#openEntry.length) this.#growOpen();
    this.#openEntry[depth] = i;
    this.#openHeight[depth] = height;
    this.#globals.open(op);
    if (op === OP.loop) {
      this.#sp = height;
      for (let n = params.length; n > 0; n--) this.#pushUnknown(i);
      this.#watch.open(this, i, params.length);
    }
    this.#openLog[depth] = this.#logged;
  }

  #growOpen(): void {
    const size = this.#openEntry.length * 2;
    this.#openEntry = larger(this.#openEntry, new Int32Array(size));
    this.#openHeight = larger(this.#openHeight, new Int32Array(size));
    this.#openLog = larger(this.#openLog, new Int32Array(size));
  }

  #else(body: FlatBody, i: number, plan: Plan): void {
    this.#barrier = i;
    this.#globals.otherPart();
    const at = this.#depth - 1;
    // They hold what they held at the if, but the verifier has forgotten it.
    this.#renewSince(this.#openLog[at]!);
    this.#sp = this.#openHeight[at]!;
    const { params } = blockFuncType(plan.types, body.a[this.#openEntry[at]!]!)!;
    for (let n = params.length; n > 0; n--) this.#pushUnknown(i);
  }

  #end(body: FlatBody, i: number, plan: Plan): void {
    this.#barrier = i;
    if (this.#depth === 0) return; // the body's
    const at = --this.#depth;
    const entry = this.#openEntry[at]!;
    this.#globals.close(body, entry, i);
    // A loop that may come to be written twice ends where its two versions meet.
    const meets = body.op[entry] === OP.loop ? this.#watch.close() : body.joins(entry);
    if (meets) this.#renewSince(this.#openLog[at]!);
    this.#sp = this.#openHeight[at]!;
    const { results } = blockFuncType(plan.types, body.a[entry]!)!;
    for (let n = results.length; n > 0; n--) this.#pushUnknown(i);
  }
}
