/**
 * The kernel's calls, by the names under which programs import them from `KERNEL_MODULE` (abi/objects.ts): one table of
 * each part of the kernel, joined here. A part's functions are system calls like a personality's (caller.ts). Each gives a
 * result from 0 up, or -errno; one that throws SpaceFullError gives -NOSPC.
 */
import { ERRNO } from '../abi/errno.ts';
import type { FunctionShape } from '../abi/program.ts';
import { assert } from '../base/assert.ts';
import type { ImportValue, SystemCall } from './caller.ts';

const TYPES: Readonly<Record<string, number>> = { i: 0x7f, I: 0x7e, f: 0x7d, F: 0x7c };

export interface KernelCall {
  /** Types of parameters and results, a letter each: i for i32, I for i64, f for f32, F for f64; "iiI=i". */
  readonly type: string;
  readonly call: SystemCall;
}
export type KernelCalls = Readonly<Record<string, KernelCall>>;

/** All calls of a core. */
export class CallTable {
  readonly #calls = new Map<string, KernelCall>();

  add(calls: KernelCalls): void {
    for (const [name, call] of Object.entries(calls)) {
      assert(!this.#calls.has(name), `one part of the kernel supplies ${name}`);
      assert(
        /^[iIfF]*=[iI]$/.test(call.type),
        `the type of ${name} is written in letters, and it can say why not`,
      );
      this.#calls.set(name, call);
    }
  }

  /** The call of this name and type, or undefined where there is none. */
  resolve(name: string, { params, results }: FunctionShape): SystemCall | undefined {
    const found = this.#calls.get(name);
    if (found === undefined) return undefined;
    const [takes, gives] = found.type.split('=') as [string, string];
    return same(takes, params) && same(gives, results) ? found.call : undefined;
  }

  /** What a call gives where the space is full; undefined where there is no such call. */
  whenFull(name: string): ImportValue | undefined {
    const type = this.#calls.get(name)?.type;
    return type === undefined ? undefined : type.endsWith('I') ? BigInt(-ERRNO.NOSPC) : -ERRNO.NOSPC;
  }

  /** The names of all. */
  names(): string[] {
    return [...this.#calls.keys()];
  }

  /** The type of a call, for messages about one that was imported with another; undefined where there is none. */
  typeOf(name: string): string | undefined {
    return this.#calls.get(name)?.type;
  }
}

/** The type that letters stand for. */
export function shapeOf(type: string): FunctionShape {
  const [params = '', results = ''] = type.split('=');
  const types = (letters: string): number[] => [...letters].map((letter) => TYPES[letter] as number);
  return { params: types(params), results: types(results) };
}

function same(letters: string, types: readonly number[]): boolean {
  return letters.length === types.length && types.every((type, i) => TYPES[letters[i] as string] === type);
}
