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
import {
  ACCESS_NONE,
  ACCESS_NOTIFY,
  ACCESS_WAIT,
  ADDRESS,
  OP_ACCESS,
  OP_POPS,
  OP_PUSHES,
} from '../wasm/optable.ts';
import { blockFuncType, I32 } from '../wasm/types.ts';
import { arityOf } from './arity.ts';
import { BODY_LABEL, type FlatBody, isCall } from './body.ts';
import { mostOf } from './bounds.ts';
import { type LoopShape, LoopWatch } from './loops.ts';
import type { Plan } from './plan.ts';
import type { FunctionInput } from './state.ts';
import { NOTHING, Terms } from './terms.ts';

/**
 * Loops nested deeper have no hints, and nothing is known in their function: each hint names the locals that all loops
 * inside set, so their number grows with the square of the depth.
 */
export const HINTED_DEPTH_MAX = 64;

/** A construct that is open. */
interface Open {
  entry: number;
  height: number;
  /** Where the log of assignments stood. */
  log: number;
}

export class Addresses {
  readonly terms = new Terms();
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
  readonly uses: Map<number, number> = new Map();

  // The locals.
  #localTerm: Int32Array = new Int32Array(64);
  #localConstant: Int32Array = new Int32Array(64);
  #localMost: Float64Array = new Float64Array(64);
  #isI32: Uint8Array = new Uint8Array(64);
  #seen: Int32Array = new Int32Array(64);
  #stampNow = 0;
  // Assignments, to be undone: local, and what it was.
  readonly #log: number[] = [];

  // The operand stack: value, and the entries that made it.
  #stackTerm: Int32Array = new Int32Array(256);
  #stackConstant: Int32Array = new Int32Array(256);
  #stackFrom: Int32Array = new Int32Array(256);
  #stackTo: Int32Array = new Int32Array(256);
  #stackPure: Uint8Array = new Uint8Array(256);
  #stackMost: Float64Array = new Float64Array(256);
  #sp = 0;
  readonly #open: Open[] = [];
  readonly #watch = new LoopWatch();
  /** The last entry that was neither straight nor free of safepoints. */
  #barrier = -1;

  run(body: FlatBody, input: FunctionInput, plan: Plan): void {
    this.#begin(body, input);
    if (body.loopDepth > HINTED_DEPTH_MAX) return this.#knowNothing(body);
    this.#watch.begin(body);
    for (let i = 0; i < body.count; i++) {
      const op = body.op[i]!;
      this.begins[i] = -1;
      switch (op) {
        case OP.local_get:
          this.#get(body.a[i]!, i);
          break;
        case OP.local_set:
          this.#pop();
          this.#assignTop(body.a[i]!);
          break;
        case OP.local_tee:
          this.#pop();
          this.#assignTop(body.a[i]!);
          this.#sp++;
          this.#stackTo[this.#sp - 1] = i;
          this.#stackPure[this.#sp - 1] = 0;
          break;
        case OP.i32_const:
          this.#push(NOTHING, body.a[i]!, i, i, 1, body.a[i]! < 0 ? Infinity : body.a[i]!);
          break;
        case OP.i32_add:
        case OP.i32_sub:
        case OP.i32_shl:
        case OP.i32_mul:
        case OP.i32_and:
        case OP.i32_shr_u:
        case OP.i32_rem_u:
          this.#binary(op, i);
          break;
        default:
          if (OP_ACCESS[op] !== ACCESS_NONE) this.#access(body, i, op, plan);
          else this.#other(body, i, op, plan);
      }
    }
    if (plan.options.isolate) this.#watch.finish(this); // what is V8's to check costs nothing in a loop
  }

  /** Knows nothing of any access. */
  #knowNothing(body: FlatBody): void {
    for (let i = 0; i < body.count; i++) {
      this.begins[i] = -1;
      if (OP_ACCESS[body.op[i]!] === ACCESS_NONE) continue;
      this.term[i] = this.terms.symbol();
      this.constant[i] = 0;
      this.most[i] = Infinity;
      this.from[i] = -1;
      this.offset[i] = -1;
      this.pure[i] = 0;
      this.uses.set(this.term[i]!, 1);
    }
  }

  #begin(body: FlatBody, { locals }: FunctionInput): void {
    if (this.term.length < body.count) {
      const size = body.count * 2;
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
    if (this.#localTerm.length < locals.length) {
      const size = locals.length * 2;
      this.#localTerm = new Int32Array(size);
      this.#localConstant = new Int32Array(size);
      this.#localMost = new Float64Array(size);
      this.#isI32 = new Uint8Array(size);
      this.#seen = new Int32Array(size);
      this.#stampNow = 0;
    }
    this.terms.reset();
    this.loops.clear();
    this.uses.clear();
    this.#log.length = 0;
    this.#open.length = 0;
    this.#sp = 0;
    this.#barrier = -1;
    for (let l = 0; l < locals.length; l++) {
      this.#isI32[l] = locals[l] === I32 ? 1 : 0;
      // Locals that are not parameters begin as 0; the verifier does not count on it, so neither do we.
      this.#localTerm[l] = locals[l] === I32 ? this.terms.symbol() : NOTHING;
      this.#localConstant[l] = 0;
      this.#localMost[l] = Infinity;
    }
    this.#open.push({ entry: BODY_LABEL, height: 0, log: 0 });
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
    const narrow = this.#isI32[local] === 1;
    const term = narrow ? this.#localTerm[local]! : NOTHING;
    this.#push(term, narrow ? this.#localConstant[local]! : 0, i, i, 1, this.#localMost[local]!);
  }

  /** The local gets what lies above the top of the operand stack. */
  #assignTop(local: number): void {
    if (this.#isI32[local] !== 1) return;
    this.#assign(
      local,
      this.#stackTerm[this.#sp]!,
      this.#stackConstant[this.#sp]!,
      this.#stackMost[this.#sp]!,
    );
  }

  #assign(local: number, term: number, constant: number, most: number): void {
    this.#log.push(local, this.#localTerm[local]!, this.#localConstant[local]!);
    this.#localTerm[local] = term;
    this.#localConstant[local] = constant;
    this.#localMost[local] = most;
  }

  /** Gives each local a symbol of its own. */
  renew(locals: readonly number[]): void {
    for (const local of locals)
      if (this.#isI32[local] === 1) this.#assign(local, this.terms.symbol(), 0, Infinity);
  }

  /** The locals set since the log stood at `from`, each once. */
  #setSince(from: number): number[] {
    const stamp = ++this.#stampNow;
    const list: number[] = [];
    let kept = from;
    for (let at = from; at < this.#log.length; at += 3) {
      const local = this.#log[at]!;
      if (this.#seen[local] === stamp) continue;
      this.#seen[local] = stamp;
      list.push(local);
      this.#log[kept] = local;
      this.#log[kept + 1] = this.#log[at + 1]!;
      this.#log[kept + 2] = this.#log[at + 2]!;
      kept += 3;
    }
    this.#log.length = kept; // the first entry of each says what it was
    return list;
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

  #pop(): void {
    this.#sp--;
  }

  /** An i32 that may be anything, or a value of another type (then nobody asks for its term). */
  #pushUnknown(i: number, most = Infinity): void {
    this.#push(this.terms.symbol(), 0, i, i, 0, most);
  }

  #binary(op: number, i: number): void {
    const { terms } = this;
    const y = this.#sp - 1;
    const x = this.#sp - 2;
    const [tx, cx] = [this.#stackTerm[x]!, this.#stackConstant[x]!];
    const [ty, cy] = [this.#stackTerm[y]!, this.#stackConstant[y]!];
    const follows = this.#stackTo[x]! + 1 === this.#stackFrom[y]!;
    const pure = follows ? this.#stackPure[x]! & this.#stackPure[y]! : 0;
    const from = follows && this.#stackTo[y]! + 1 === i ? this.#stackFrom[x]! : -1;
    this.#sp -= 2;
    const literal = ty === NOTHING;
    let term = -1;
    let constant = 0;
    if (op === OP.i32_add) {
      term = terms.sum(tx, ty);
      constant = (cx + cy) | 0;
    } else if (op === OP.i32_sub && literal) {
      term = tx;
      constant = (cx - cy) | 0;
    } else if (op === OP.i32_shl && literal) {
      term = terms.shift(tx, cy & 31);
      constant = cx << (cy & 31);
    } else {
      term = terms.symbol();
    }
    const most = mostOf(op, this.#stackMost[x]!, this.#stackMost[y]!, literal ? cy : -1);
    this.#push(term, constant, from, i, pure, most);
  }

  // --- accesses

  #access(body: FlatBody, i: number, op: number, plan: Plan): void {
    const pops = OP_POPS[op]!;
    const at = this.#sp - pops.length;
    const pushes = OP_PUSHES[op]!;
    // Of 64-bit addresses nothing is known.
    const wide = plan.memories[body.a[i]!]!.is64;
    this.term[i] = wide ? this.terms.symbol() : this.#stackTerm[at]!;
    this.constant[i] = this.#stackConstant[at]!;
    this.most[i] = wide ? Infinity : this.#stackMost[at]!;
    const from = this.#stackFrom[at]!;
    const to = this.#stackTo[at]!;
    // Between the address and the access nothing may want the operand as the program has it.
    const kernels = OP_ACCESS[op] === ACCESS_WAIT || OP_ACCESS[op] === ACCESS_NOTIFY;
    const alone = from >= 0 && pops[0] === ADDRESS && !kernels && this.#barrier < from;
    this.from[i] = alone ? from : -1;
    this.offset[i] = -1;
    this.to[i] = to;
    this.pure[i] = this.#stackPure[at]!;
    if (alone) this.begins[from] = i;
    this.uses.set(this.term[i]!, (this.uses.get(this.term[i]!) ?? 0) + 1);
    this.#watch.access(i);
    this.#sp = at;
    if (pushes.length === 0) return;
    this.#pushUnknown(i, op === OP.i32_load8_u ? 255 : op === OP.i32_load16_u ? 65535 : Infinity);
    if (body.site[i]! > 0) this.#barrier = i;
  }

  // --- everything else

  #other(body: FlatBody, i: number, op: number, plan: Plan): void {
    const pops = OP_POPS[op];
    if (pops) {
      this.#sp -= pops.length;
      for (let n = OP_PUSHES[op]!.length; n > 0; n--) this.#pushUnknown(i);
      return;
    }
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
      case OP.br:
      case OP.br_if:
        this.#barrier = i;
        if (op === OP.br_if) this.#pop();
        this.#watch.branch(this, body.a[i]!);
        return;
      case OP.br_table:
        this.#barrier = i;
        this.#pop();
        for (const target of body.targets.get(i)!) this.#watch.branch(this, target);
        return;
    }
    this.#arity(body, i, op, plan);
  }

  /** Instructions whose operands depend on types. */
  #arity(body: FlatBody, i: number, op: number, plan: Plan): void {
    if (isCall(op)) {
      const direct = op === OP.call || op === OP.return_call;
      const type = direct ? plan.functionType(body.a[i]!) : plan.types[body.a[i]!]!;
      this.#barrier = i;
      this.#sp -= type.params.length + (direct ? 0 : 1);
      for (let n = type.results.length; n > 0; n--) this.#pushUnknown(i);
      return;
    }
    const { pops, pushes } = arityOf(op, body, i, plan);
    this.#sp -= pops;
    if (body.site[i]! > 0) this.#barrier = i;
    for (let n = pushes; n > 0; n--) this.#pushUnknown(i);
  }

  // --- constructs

  #openBlock(body: FlatBody, i: number, op: number, plan: Plan): void {
    this.#barrier = i;
    if (op === OP.if) this.#pop();
    const { params } = blockFuncType(plan.types, body.a[i]!)!;
    const height = this.#sp - params.length;
    if (op === OP.loop) {
      this.#sp = height;
      for (let n = params.length; n > 0; n--) this.#pushUnknown(i);
      this.#watch.open(this, i, params.length);
    }
    this.#open.push({ entry: i, height, log: this.#log.length });
  }

  #else(body: FlatBody, i: number, plan: Plan): void {
    this.#barrier = i;
    const open = this.#open.at(-1)!;
    // They hold what they held at the if, but the verifier has forgotten it.
    this.renew(this.#setSince(open.log));
    this.#sp = open.height;
    for (let n = blockFuncType(plan.types, body.a[open.entry]!)!.params.length; n > 0; n--)
      this.#pushUnknown(i);
  }

  #end(body: FlatBody, i: number, plan: Plan): void {
    this.#barrier = i;
    const open = this.#open.pop()!;
    if (open.entry === BODY_LABEL) return;
    const op = body.op[open.entry]!;
    // A loop that may come to be written twice ends where its two versions meet.
    const meets = op === OP.loop ? this.#watch.close() : body.joins(open.entry);
    if (meets) {
      this.renew(this.#setSince(open.log));
    }
    this.#sp = open.height;
    const { results } = blockFuncType(plan.types, body.a[open.entry]!)!;
    for (let n = results.length; n > 0; n--) this.#pushUnknown(i);
  }
}
