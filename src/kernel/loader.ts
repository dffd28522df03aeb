/**
 * From the code a program hands over at run time to a module that may run in its domain: compiled by a port, since the
 * kernel knows no compiler, and verified here, since nobody believes it. The same code for the same place is made once,
 * as long as it is remembered.
 */
import type { MadePlace } from '../abi/made.ts';
import { MalformedError, UnsupportedError } from '../base/errors.ts';
import { MADE_CACHE_BYTES, MADE_CACHE_MODULES } from '../base/limits.ts';
import { verify } from '../verifier/verify.ts';
import type { LoadedModule, ProgramInfo } from './program.ts';

/**
 * The compiler as the kernel is given it. Large and untrusted.
 * @throws MalformedError where the code is no module, UnsupportedError where it is none that can be made at run time
 */
export type MakeModule = (
  code: Uint8Array<ArrayBuffer>,
  place: MadePlace,
) => { readonly rewritten: Uint8Array<ArrayBuffer>; readonly info: ProgramInfo };

interface Known {
  readonly code: Uint8Array;
  readonly place: MadePlace;
  readonly module: LoadedModule;
}

/** The end of a module's state depends on the code alone, as long as there is room for it. */
const samePlace = (a: MadePlace, b: MadePlace, end: number): boolean =>
  a.number === b.number &&
  a.controlBytes === b.controlBytes &&
  a.windows === b.windows &&
  a.stateStart === b.stateStart &&
  end <= b.stateEnd;

export class ModuleLoader {
  readonly #make: MakeModule;
  /** Oldest first. */
  #known: Known[] = [];
  #bytes = 0;
  /** How often a module was compiled. */
  compiled = 0;

  constructor(make: MakeModule) {
    this.#make = make;
  }

  /** The module for code, which is no longer anybody else's to change. @throws MalformedError as the compiler and verifier do */
  load(code: Uint8Array<ArrayBuffer>, place: MadePlace): LoadedModule {
    const found = this.#known.find(
      (known) =>
        known.code.length === code.length &&
        samePlace(known.place, place, stateEnd(known.module, place.stateStart)) &&
        known.code.every((byte, i) => byte === code[i]),
    );
    if (found !== undefined) return found.module;
    this.compiled++;
    const { rewritten, info } = this.#compile(code, place);
    const evidence = verify(rewritten);
    const module = { hash: '', program: compiled(rewritten), evidence, info };
    this.#known.push({ code, place, module });
    this.#bytes += code.length;
    while (this.#bytes > MADE_CACHE_BYTES || this.#known.length > MADE_CACHE_MODULES) {
      this.#bytes -= this.#known.shift()?.code.length ?? 0;
    }
    return module;
  }

  /** A program may not end the space with code that the compiler stumbles over: that is refused as well. */
  #compile(code: Uint8Array<ArrayBuffer>, place: MadePlace): ReturnType<MakeModule> {
    try {
      return this.#make(code, place);
    } catch (error) {
      if (error instanceof MalformedError || error instanceof RangeError) throw error; // or there is no stack left
      throw new UnsupportedError(`the compiler fails on it: ${(error as Error).message}`, -1);
    }
  }
}

function compiled(rewritten: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  try {
    return new WebAssembly.Module(rewritten);
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) throw error;
    throw new UnsupportedError(`V8 refuses what it was rewritten to: ${error.message}`, -1);
  }
}

/** Where the state of a module ends that begins there. */
export function stateEnd({ info }: LoadedModule, stateStart: number): number {
  return info.stateSlots.reduce((end, { offset }) => Math.max(end, offset + 16), stateStart);
}
