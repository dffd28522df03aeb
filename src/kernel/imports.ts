/**
 * What a rewritten module imports: the system functions, the kernel's and the personality's, bound once for each module and
 * shared by all its instances; and procedures of other domains (gate/gates.ts), bound for each instance. Every function is total: arguments come from code that may be hostile.
 *
 * Each call first makes sure of native stack for the kernel (headroom.ts) and ends in one of three ways: it returns;
 * it unwinds the domain (to wait, or to end it); never by any other exception, which a program's catch_all could
 * catch in the middle of something.
 */

import { errnoText } from '../abi/errno.ts';
import { canCross } from '../abi/gate.ts';
import { COMPILER_MODULE } from '../abi/made.ts';
import { KERNEL_MODULE, MAPPING_CALLS } from '../abi/objects.ts';
import type { FunctionShape } from '../abi/program.ts';
import { OWN_MEMORY_IMPORT, SPACE_IMPORT, SYSTEM_MODULE, UNWIND_IMPORT } from '../abi/system.ts';
import { EnvironmentError } from '../base/errors.ts';
import { SpaceFullError } from '../space/index.ts';
import { CoreCaller } from './call.ts';
import type { Caller, ImportValue, SystemCall } from './caller.ts';
import type { Core } from './core.ts';
import { type Domain, END, FLAG } from './domain.ts';
import { Gate } from './gate/gates.ts';
import { headroom } from './headroom.ts';
import { Making } from './making.ts';
import { growMemory, growStack } from './memory.ts';
import { captureStack, deepStacks, plainStacks } from './native.ts';
import type { LoadedModule } from './program.ts';
import { type RawStack, STACK_EXHAUSTED, savedPlaces, unwoundPlaces } from './traps.ts';
import { atomicNotify, atomicWait } from './wait/atomics.ts';

/** An import that neither the kernel nor the personality supplies; `shape`, of a function. */
interface Wanted {
  readonly module: string;
  readonly name: string;
  readonly kind: string;
  readonly shape: FunctionShape | undefined;
}
/** The imports of a program: those that are the same for all domains of it, and the rest. */
interface Bound {
  readonly supplied: WebAssembly.Imports;
  readonly wanted: readonly Wanted[];
}

export class Imports {
  readonly #core: Core;
  readonly #caller: Caller;
  readonly #making: Making;
  readonly #system: Record<string, WebAssembly.ExternValue>;
  readonly #calls = new WeakMap<LoadedModule, readonly (SystemCall | undefined)[]>();
  readonly #modules = new WeakMap<LoadedModule, Bound>();

  /** @param own memories of the one program there is, which are not in the space */
  constructor(core: Core, own: readonly WebAssembly.Memory[] = []) {
    this.#core = core;
    this.#caller = new CoreCaller(core);
    this.#making = new Making(core);
    this.#system = this.#systemFunctions();
    own.forEach((memory, i) => {
      this.#system[OWN_MEMORY_IMPORT + i] = memory;
    });
  }

  /** The import object for the program of a domain, as `check` has found it. */
  of(domain: Domain): WebAssembly.Imports {
    const { supplied, wanted } = this.#bound(domain.module);
    if (wanted.length === 0) return supplied;
    const imports = Object.assign(Object.create(null) as WebAssembly.Imports, supplied);
    for (const { module, name, shape } of wanted) {
      const own = Object.create(null) as Record<string, WebAssembly.ExternValue>;
      imports[module] = Object.assign(own, imports[module], {
        [name]: this.#beyond(domain, module, name, shape as FunctionShape),
      });
    }
    return imports;
  }

  /**
   * Whether everything that a domain's program imports is there for it.
   * @param carried it has run elsewhere: that a domain it may call cannot be called now is for it to find out
   * @throws EnvironmentError naming all imports nobody supplies
   */
  check(domain: Domain, carried = false): void {
    const refused: string[] = [];
    const gates: string[] = [];
    const trap = domain.hasFlag(FLAG.trapUnknown);
    for (const { module, name, kind, shape } of this.#bound(domain.module).wanted) {
      if (shape === undefined) {
        refused.push(showImport({ module, name, kind }));
        continue;
      }
      let refusal: ReturnType<Gate['refusal']> = { known: false, text: `${module}.${name}` };
      if (canCross(shape)) {
        const gate = new Gate(this.#core, domain, module, name, shape);
        refusal = gate.refusal();
        gate.close();
      }
      if (refusal === null || (refusal.known ? carried : trap)) continue;
      refused.push(refusal.text);
      if (!refusal.known) gates.push(module);
    }
    if (refused.length > 0) refuseUnknown(refused, gates);
  }

  /** What an import is that neither the kernel nor the personality supplies: a gate, where it is allowed that there is none. */
  #beyond(domain: Domain, from: string, name: string, shape: FunctionShape): WebAssembly.Func {
    // What a gate cannot be, no grant that comes later can make of it.
    return !canCross(shape)
      ? this.#bind((caller) => caller.trap(`unknown import ${from}.${name}`), shape.params.length)
      : domain.keepGate(new Gate(this.#core, domain, from, name, shape)).function();
  }

  /**
   * `check` for a domain whose code runs in a process of its own. There it has none of the memory that others have, and
   * neither calls their procedures nor maps segments.
   * @throws EnvironmentError naming what it cannot have there, else all imports nobody supplies
   */
  checkAlone(domain: Domain): void {
    const { module } = domain;
    const trap = domain.hasFlag(FLAG.trapUnknown);
    const calls = this.#callsOf(module);
    const apart: string[] = [];
    for (const [i, { module: from, name, kind }] of module.info.imports.entries()) {
      if (kind !== 'func') continue;
      const maps = from === KERNEL_MODULE && MAPPING_CALLS.includes(name);
      if (maps && !trap) apart.push(`${from}.${name}`);
      if (calls[i] !== undefined || this.#core.granted(domain, from, name) === null) continue;
      apart.push(`${from}.${name} (a procedure of another program)`);
    }
    if (apart.length > 0) {
      const what = `the program wants what it cannot have in a process of its own: ${apart.join(', ')}`;
      throw new EnvironmentError('unknown-imports', what, IN_SPACE);
    }
    this.calls(module, trap);
  }

  /**
   * The functions for the imports of a program whose code runs elsewhere, by index; undefined for those
   * that nobody supplies, where that is allowed.
   * @throws EnvironmentError naming all imports nobody supplies
   */
  calls(module: LoadedModule, trapUnknown: boolean): readonly (SystemCall | undefined)[] {
    const calls = this.#callsOf(module);
    const unknown = module.info.imports.filter(
      ({ kind }, i) => calls[i] === undefined && (kind !== 'func' || !trapUnknown) && kind !== 'memory',
    );
    if (unknown.length > 0) {
      const gates = unknown.filter(({ kind }) => kind === 'func').map(({ module: from }) => from);
      refuseUnknown(unknown.map(showImport), gates, `${IN_SPACE} and `);
    }
    return calls.filter((_, i) => module.info.imports[i]?.kind === 'func');
  }

  #callsOf(module: LoadedModule): readonly (SystemCall | undefined)[] {
    let calls = this.#calls.get(module);
    if (calls === undefined) {
      let index = 0;
      calls = module.info.imports.map(({ module: from, name, kind }) =>
        kind === 'func' ? this.#answering(from, name, module.info.functionShape(index++)) : undefined,
      );
      this.#calls.set(module, calls);
    }
    return calls;
  }

  /** A call for who makes it itself, which answers where the space is full. */
  #answering(from: string, name: string, shape: FunctionShape): SystemCall | undefined {
    const [call, full] = [this.#resolve(from, name, shape), this.#whenFull(from, name)];
    if (call === undefined || full === undefined) return call;
    return (caller, ...args) => {
      try {
        return call(caller, ...args);
      } catch (error) {
        if (error instanceof SpaceFullError) return full;
        throw error;
      }
    };
  }

  #bound(module: LoadedModule): Bound {
    let bound = this.#modules.get(module);
    if (bound === undefined) {
      bound = this.#build(module);
      this.#modules.set(module, bound);
    }
    return bound;
  }

  #build(module: LoadedModule): Bound {
    // Null prototypes, so that no name of a module or an import finds something of ours.
    const supplied = Object.create(null) as WebAssembly.Imports;
    supplied[SYSTEM_MODULE] = this.#system;
    const wanted: Wanted[] = [];
    let functionIndex = 0;
    for (const { module: from, name, kind } of WebAssembly.Module.imports(module.program)) {
      if (from === SYSTEM_MODULE) continue;
      const shape = kind === 'function' ? module.info.functionShape(functionIndex++) : undefined;
      const value =
        kind === 'function'
          ? this.#function(from, name, shape as FunctionShape)
          : this.#core.personality.provide?.(from, name, kind);
      if (value === undefined) wanted.push({ module: from, name, kind, shape });
      else {
        supplied[from] ??= Object.create(null) as Record<string, WebAssembly.ExternValue>;
        supplied[from][name] = value;
      }
    }
    return { supplied, wanted };
  }

  #function(from: string, name: string, shape: FunctionShape): WebAssembly.Func | undefined {
    const call = this.#resolve(from, name, shape);
    return call === undefined ? undefined : this.#bind(call, shape.params.length, this.#whenFull(from, name));
  }

  /** What an import gives where there is no room in the space for what it does; undefined where its domain ends. */
  #whenFull(from: string, name: string): ImportValue | undefined {
    const { calls, personality } = this.#core;
    return from === KERNEL_MODULE ? calls.whenFull(name) : personality.whenFull?.(from, name);
  }

  #resolve(from: string, name: string, shape: FunctionShape): SystemCall | undefined {
    if (from === COMPILER_MODULE) return this.#making.resolve(name, shape);
    // In the process of a program that is alone there, what the kernel would do is done where the kernel is.
    const here = this.#core.waits !== null;
    if (from === KERNEL_MODULE && here) return this.#core.calls.resolve(name, shape);
    return this.#core.personality.resolve(from, name, shape);
  }

  /** Fixed arities, since collecting the arguments in an array would cost each call more than the rest of this does. */
  #bind(call: SystemCall, arity: number, full?: ImportValue): WebAssembly.Func {
    const [core, caller] = [this.#core, this.#caller];
    type V = ImportValue;
    const fn = call as (caller: Caller, ...args: V[]) => V | undefined;
    const over = (result: V | undefined): V | undefined => {
      core.running().clearScratch();
      if (core.passage.answered) core.kinds.drop();
      return result;
    };
    const run = (body: () => V | undefined): V | undefined => {
      this.#enter();
      plainStacks();
      try {
        return over(body());
      } catch (error) {
        if (full !== undefined && error instanceof SpaceFullError) return over(full);
        throw core.translate(error);
      } finally {
        deepStacks();
      }
    };
    switch (arity) {
      case 0:
        return () => run(() => fn(caller));
      case 1:
        return (a: V) => run(() => fn(caller, a));
      case 2:
        return (a: V, b: V) => run(() => fn(caller, a, b));
      case 3:
        return (a: V, b: V, c: V) => run(() => fn(caller, a, b, c));
      case 4:
        return (a: V, b: V, c: V, d: V) => run(() => fn(caller, a, b, c, d));
      default:
        return (...args: V[]) => run(() => fn(caller, ...args));
    }
  }

  /** Before any kernel code runs for a call: room on the native stack, and a domain that is not ending. */
  #enter(): void {
    const core = this.#core;
    try {
      headroom();
    } catch {
      core.trap(STACK_EXHAUSTED);
    }
    core.blocked = false;
    if (core.caller().ending !== null) throw core.unwind;
  }

  #systemFunctions(): Record<string, WebAssembly.ExternValue> {
    const core = this.#core;
    const safely =
      <A extends unknown[], T>(body: (...args: A) => T) =>
      (...args: A): T => {
        this.#enterStack();
        try {
          return body(...args);
        } catch (error) {
          throw core.translate(error);
        }
      };
    return {
      [SPACE_IMPORT]: core.space.memory,
      [UNWIND_IMPORT]: core.unwindTag,
      grow: safely((memory: number, delta: bigint): bigint => {
        const pages = BigInt.asUintN(64, delta);
        if (pages > 0xffffffffn) return -1n;
        const before = growMemory(core.caller(), memory >>> 0, Number(pages));
        if (before === null) throw core.unwind; // begun again when the memory has been moved
        return BigInt(before);
      }),
      rethrow: (): never => {
        const domain = core.caller();
        const { pending } = domain;
        domain.pending = null;
        // Only code that no compiler made asks for an exception when there is none.
        if (!(pending instanceof WebAssembly.Exception)) core.trap('damaged call stack');
        throw pending;
      },
      stack: safely((): void => {
        const domain = core.caller();
        if (domain.ending === null && growStack(domain, core.frameStackMax)) return;
        // The domain ends: its frames are of no use but to be told, and the rest of the unwinding may overwrite them.
        const unwinding = domain.ending !== null;
        const ending = domain.ending ?? { end: END.trap, code: 0, reason: STACK_EXHAUSTED };
        domain.ending = { ...ending, stack: lastStack(domain, ending.stack) };
        domain.setStackPointer(domain.stackBase);
        if (!unwinding) throw core.unwind;
      }),
      wait: safely(
        (memory: number, address: bigint, expected: bigint, timeout: bigint, width: number): number =>
          atomicWait(core, this.#caller, memory >>> 0, BigInt.asUintN(64, address), expected, timeout, width),
      ),
      notify: safely((memory: number, address: bigint, count: number): number =>
        atomicNotify(core, memory >>> 0, BigInt.asUintN(64, address), count),
      ),
      ref_index: safely((reference: unknown): number => core.caller().instance?.refIndex(reference) ?? -1),
      extern_id: safely((reference: unknown): number => {
        if (reference === null) return -1;
        const domain = core.caller();
        if (!domain.hasFlag(FLAG.volatile)) core.trap('a host reference cannot be kept');
        return domain.keepExtern(reference);
      }),
      extern_of: safely((id: number): unknown => core.caller().externOf(id)),
      ref_of: safely((number: number): unknown => core.caller().instance?.refOf(number) ?? null),
      window: safely((near: bigint, bytes: bigint, write: number): bigint => {
        const [from, size] = [Number(BigInt.asUintN(64, near)), Number(BigInt.asUintN(64, bytes))];
        const at = core.windows.resolve(core.caller(), from, size, write !== 0);
        if (at < -1) return core.trap(`what is mapped here cannot be read: ${errnoText(-at)}`);
        return at < 0 ? core.trap('out of bounds memory access') : BigInt(at);
      }),
    };
  }

  /** Like `#enter` for calls that saving frames needs, so an ending domain may make them too. */
  #enterStack(): void {
    try {
      headroom();
    } catch {
      this.#core.trap(STACK_EXHAUSTED);
    }
  }
}

const showImport = ({ module, name, kind }: { module: string; name: string; kind: string }): string =>
  `${module}.${name}${kind === 'func' ? '' : ` (${kind})`}`;

/** The hint for what there is only beside other programs. */
const IN_SPACE = 'run it with --isolation space';

/** @param gates modules of those that may be procedures of other programs; `first`: what must be done besides granting them */
function refuseUnknown(unknown: readonly string[], gates: readonly string[], first = ''): never {
  const granted = [...new Set(gates)].map((name) => `--grant ${name}=NAME`).join(' ');
  const grant = first === '' ? `grant that: ${granted}` : `${first}${granted}`;
  throw new EnvironmentError(
    'unknown-imports',
    `the program wants imports that nobody supplies: ${unknown.join(', ')}`,
    granted === ''
      ? 'run it with --trap-unknown-imports if it can do without them'
      : `if they are procedures of another program, ${grant}; --trap-unknown-imports if it can do without them`,
  );
}

/** The call stack of a domain that ends and whose frames are about to be given up. */
function lastStack(domain: Domain, known: RawStack | undefined): RawStack {
  const outer = known?.outer ?? savedPlaces(domain);
  if (known !== undefined) return { ...known, outer };
  return { unwound: unwoundPlaces(domain), error: captureStack(), outer };
}
