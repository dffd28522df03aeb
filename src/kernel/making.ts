/**
 * The system calls by which a program makes code (abi/made.ts). What it hands over is copied once, compiled, verified, held
 * against what the program really has, and made an instance beside the program's; then its functions go into table 0.
 *
 * The safety of it rests on the verifier, and on three things that are checked here: the module was made for the control
 * area of this program, so that it finds memory 0 where that is; memory 0 has what it declares; and what it imports is
 * either the system's, as for every module, or exported by the program, and no program can export what is the system's.
 *
 * Why: RATIONALE.md#code-made-at-run-time
 */
import { ERRNO } from '../abi/errno.ts';
import { moduleOf } from '../abi/frame.ts';
import { COMPILER_MODULE, MADE_IMPORTS, MADE_MEMORY } from '../abi/made.ts';
import type { FunctionShape } from '../abi/program.ts';
import { GUEST_EXPORT, SYSTEM_MODULE } from '../abi/system.ts';
import { EnvironmentError, MalformedError, RefusedError, UnsupportedError } from '../base/errors.ts';
import {
  MADE_CODE_MAX_BYTES,
  MADE_MODULE_MAX_BYTES,
  MADE_MODULES_MAX,
  MADE_TEXT_BYTES,
} from '../base/limits.ts';
import { SpaceFullError } from '../space/index.ts';
import type { Caller, SystemCall } from './caller.ts';
import type { Core } from './core.ts';
import type { Domain } from './domain.ts';
import { I32 } from './frames.ts';
import type { Instance } from './instance.ts';
import { stateEnd } from './loader.ts';
import { MADE, type Maker } from './maker.ts';
import type { Part } from './part.ts';
import type { LoadedModule } from './program.ts';
import { address, scrubTables } from './saved.ts';

/** Released modules that are left until somebody looks which of them are still in use. */
const RELEASED_MOST = 32;

/** Why a module cannot be made: for the program, never thrown past this file but by `linksOf`. */
export class Unmakeable extends Error {
  readonly errno: number;
  constructor(errno: number, text: string) {
    super(text);
    this.errno = errno;
  }
}

const encoder = new TextEncoder();

export class Making {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** The call of this name and type, or undefined where there is none. */
  resolve(name: string, { params, results }: FunctionShape): SystemCall | undefined {
    const plain = [...params, ...results].every((type) => type === I32) && results.length === 1;
    if (!plain) return undefined;
    if (name === 'compile' && params.length === 4) {
      return (caller: Caller, code: number, length: number, error: number, capacity: number) =>
        this.#compile(caller, code, length, error, capacity);
    }
    if (name === 'release' && params.length === 1) {
      return (_caller: Caller, first: number) => this.#release(first >>> 0);
    }
    return undefined;
  }

  #compile(caller: Caller, code: number, length: number, error: number, capacity: number): number {
    const domain = this.#core.caller();
    try {
      const [maker, instance] = this.#powers(domain);
      this.#makeRoom(domain, maker, length >>> 0);
      const bytes = caller.readBytes(code, length);
      if (bytes === null) throw new Unmakeable(ERRNO.FAULT, 'the module is not in memory');
      return make(domain, maker, instance, bytes);
    } catch (thrown) {
      const { errno, message } = explained(thrown);
      tell(caller, error, capacity >>> 0, message);
      return -errno;
    }
  }

  #release(first: number): number {
    const domain = this.#core.caller();
    const [maker, instance] = this.#powers(domain);
    for (const number of maker.numbers()) {
      const { state, firstSlot, slots } = maker.entry(number);
      if (state !== MADE.live || firstSlot !== first) continue;
      const table = instance.table(0) as WebAssembly.Table;
      for (let i = 0; i < slots && first + i < Number(table.length); i++) {
        const at = address(table, first + i);
        if (moduleOf(Math.max(0, instance.refIndex(table.get(at)))) === number) table.set(at, null);
      }
      maker.release(number);
      return 0;
    }
    return -ERRNO.NOENT;
  }

  #powers(domain: Domain): [Maker, Instance] {
    const { maker, instance } = domain;
    if (maker === null || instance === null) {
      this.#core.trap(`${COMPILER_MODULE} was called, which the program was not granted`);
    }
    return [maker, instance];
  }

  /** Unwinds for a sweep where there is much to sweep, or no room otherwise. @throws Unmakeable where there is none */
  #makeRoom(domain: Domain, maker: Maker, length: number): void {
    if (length > MADE_MODULE_MAX_BYTES) {
      throw new Unmakeable(
        ERRNO.TOOBIG,
        `the module has ${length} bytes; ${MADE_MODULE_MAX_BYTES} are the most`,
      );
    }
    const { released } = maker;
    const full = [
      maker.used >= MADE_MODULES_MAX ? `${MADE_MODULES_MAX} modules are the most` : '',
      maker.codeBytes + length > MADE_CODE_MAX_BYTES
        ? `${MADE_CODE_MAX_BYTES} bytes of code are the most`
        : '',
      length > domain.settleMemory() ? 'the memory limit of the program is reached' : '',
    ].find((reason) => reason !== '');
    const swept = domain.sweep === 'done';
    domain.sweep = 'none';
    if (released > 0 && !swept && (full !== undefined || released >= RELEASED_MOST + 2 * maker.keptBySweep)) {
      domain.sweep = 'wanted';
      throw this.#core.unwind; // the call is made again
    }
    if (full !== undefined) throw new Unmakeable(ERRNO.DQUOT, full);
  }
}

/** Makes a module of code. Gives the first of its slots in table 0. @throws Unmakeable, or what `explained` explains */
function make(domain: Domain, maker: Maker, instance: Instance, code: Uint8Array<ArrayBuffer>): number {
  const { space } = domain;
  const { start, end } = maker.freeState();
  let number = maker.freeNumber();
  let module = maker.compile(code, number, start, end);
  checkFits(domain, module);
  const names = WebAssembly.Module.exports(module.program)
    .filter(({ name, kind }) => kind === 'function' && name.startsWith(GUEST_EXPORT))
    .map(({ name }) => name);
  // Where it has to have new slots, so that those of a free number wait for a module they are enough for.
  if (number <= maker.count && maker.count < MADE_MODULES_MAX && !maker.hasFreeSlots(names.length)) {
    number = maker.count + 1;
    module = maker.compile(code, number, start, end);
  }
  if (names.length === 0) {
    throw new Unmakeable(ERRNO.INVAL, 'the module exports no function: nothing could call it');
  }
  const table = instance.table(0);
  if (table === undefined) throw new Unmakeable(ERRNO.INVAL, 'the program has no table to put functions in');
  const stateBytes = stateEnd(module, start) - start;
  try {
    space.zero(domain.region + start, stateBytes);
    const part = instance.addPart(domain, number, module, linksOf(module, instance.main));
    part.init();
    const slots = placeSlots(maker, table, number, names.length);
    names.forEach((name, i) => {
      table.set(address(table, slots.first + i), part.exports[name] as never);
    });
    const place = { firstSlot: slots.first, slots: slots.count, stateStart: start, stateBytes };
    maker.add(number, code, module, place);
    return slots.first;
  } catch (error) {
    // Its active segments may have put functions of it into tables.
    instance.dropPart(number);
    scrubTables(domain, instance);
    throw error;
  }
}

/** Slots of table 0 for the functions of a new module: some that another had and nobody has filled since, or new ones. */
function placeSlots(
  maker: Maker,
  table: WebAssembly.Table,
  number: number,
  wanted: number,
): { first: number; count: number } {
  for (const { firstSlot: first, slots: count } of maker.takeFreeSlots(number, wanted)) {
    let empty = first + wanted <= Number(table.length);
    for (let i = 0; empty && i < wanted; i++) empty = table.get(address(table, first + i)) === null;
    if (empty) return { first, count };
  }
  try {
    return { first: Number(table.grow(address(table, wanted))), count: wanted };
  } catch {
    const hint = 'a C program is linked with --growable-table';
    throw new Unmakeable(
      ERRNO.NOMEM,
      `table 0 has ${table.length} slots and can have no ${wanted} more; ${hint}`,
    );
  }
}

/** Whether memory 0 is what a module says it imports, and lies where its code looks for it. @throws Unmakeable */
function checkFits(domain: Domain, { evidence, info }: LoadedModule): void {
  const demand = (ok: boolean, what: string): void => {
    if (!ok) throw new Unmakeable(ERRNO.INVAL, what);
  };
  const { controlBytes, memories } = domain.module.evidence;
  const made = evidence.controlBytes === controlBytes && evidence.suspend && evidence.track;
  demand(made && evidence.memories.length <= 1, 'the module was made for another program');
  for (const { module, name, kind } of info.imports) {
    const own = module === MADE_IMPORTS && (kind !== 'memory' || name === MADE_MEMORY);
    const known = `${MADE_IMPORTS}.${MADE_MEMORY}, and what the program exports, as ${MADE_IMPORTS}.NAME`;
    demand(own, `the module imports ${module}.${name} (${kind}); it may import ${known}`);
  }
  const [wanted, have] = [evidence.memories[0], memories[0]];
  if (wanted === undefined) return;
  demand(have !== undefined, 'the program has no memory that a module could import');
  if (have === undefined) return;
  demand(wanted.is64 === have.is64, `memory 0 of the program has ${have.is64 ? 64 : 32}-bit addresses`);
  demand(wanted.shared === have.shared, `memory 0 of the program is ${have.shared ? '' : 'not '}shared`);
  const pages = domain.pagesOf(0);
  demand(wanted.min <= pages, `memory 0 has ${pages} pages, and the module wants ${wanted.min}`);
  const bounded = wanted.max < 0 || (have.max >= 0 && have.max <= wanted.max);
  demand(
    bounded,
    `memory 0 can have ${have.max < 0 ? 'any number of' : have.max} pages, not ${wanted.max} at most`,
  );
}

/**
 * What a made module imports of the program's instance. Types are V8's to check when it is made an instance.
 * @throws Unmakeable naming what the program does not export
 */
export function linksOf(module: LoadedModule, main: Part): WebAssembly.Imports {
  const links = Object.create(null) as Record<string, WebAssembly.ExternValue>;
  for (const item of WebAssembly.Module.imports(module.program)) {
    if (item.module === SYSTEM_MODULE) continue;
    const value = main.exports[GUEST_EXPORT + item.name] as WebAssembly.ExternValue | undefined;
    if (item.module !== MADE_IMPORTS || value === undefined) {
      const name = `${item.module}.${item.name} (${item.kind})`;
      throw new Unmakeable(ERRNO.INVAL, `the module imports ${name}, which the program does not export`);
    }
    links[item.name] = value;
  }
  return { [MADE_IMPORTS]: links };
}

/** An error of making a module as the program is told. What is a bug of ours is thrown on. */
function explained(error: unknown): { errno: number; message: string } {
  if (error instanceof Unmakeable) return error;
  if (error instanceof UnsupportedError) return { errno: ERRNO.NOTSUP, message: error.message };
  if (error instanceof RefusedError) {
    return { errno: ERRNO.INVAL, message: `the verifier refuses the module: ${error.message}` };
  }
  if (error instanceof MalformedError) return { errno: ERRNO.INVAL, message: error.message };
  if (error instanceof SpaceFullError) return { errno: ERRNO.NOMEM, message: error.message };
  if (error instanceof RangeError) return { errno: ERRNO.NOMEM, message: error.message };
  if (error instanceof WebAssembly.LinkError) return { errno: ERRNO.INVAL, message: linkText(error) };
  if (error instanceof WebAssembly.RuntimeError) {
    return { errno: ERRNO.INVAL, message: 'an active segment of the module does not fit' };
  }
  throw error;
}

/** "WebAssembly.Instance(): Import #9 "env" "f": imported function …" without the number, which is of rewritten code. */
const linkText = ({ message }: Error): string =>
  `the module does not fit the program: ${message.replace(/^.*?Import #\d+ /, '')}`;

/** Writes a text for people into the program's buffer, ended by a 0; not at all where the buffer is not in its memory. */
function tell(caller: Caller, at: number, capacity: number, text: string): void {
  const room = Math.min(capacity, MADE_TEXT_BYTES) - 1;
  if (room < 0) return;
  const bytes = new Uint8Array(room + 1);
  const { written } = encoder.encodeInto(text, bytes.subarray(0, room));
  caller.writeBytes(at, bytes.subarray(0, written + 1));
}

/** @throws EnvironmentError where a module of the domain does not fit its program: nothing that was saved here */
export function addParts(domain: Domain, instance: Instance, maker: Maker): void {
  for (const number of maker.numbers()) {
    try {
      const module = maker.load(number);
      checkFits(domain, module);
      instance.addPart(domain, number, module, linksOf(module, instance.main));
    } catch (error) {
      const { message } = explained(error);
      throw new EnvironmentError('store-damaged', `cannot go on: module ${number} that it made: ${message}`);
    }
  }
}
