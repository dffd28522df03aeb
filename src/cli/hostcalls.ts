/**
 * Calls of programs' procedures by the owner of the space, on the core's thread: values in and out, capabilities among
 * them. What was called goes on when nobody waits for it any more; after a restart nobody is told.
 */
import { ERRNO } from '../abi/errno.ts';
import { RIGHT } from '../abi/objects.ts';
import { EnvironmentError } from '../base/errors.ts';
import { F32, F64, I32, I64, type RawValue, V128 } from '../kernel/frames.ts';
import { type Offered, procedureNamed, procedureNames } from '../kernel/gate/procedures.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { LoadedModule } from '../kernel/program.ts';
import type { Answer } from '../kernel/turns.ts';
import { toNumber } from '../kernel/values.ts';
import type { Holdings } from './holdings.ts';
import { suggest } from './suggest.ts';
import type { CallAnswer, CallResult, CallValue, ImportGrant, WrittenValue } from './types.ts';
import { readWritten, wantedName } from './written.ts';

interface Waiting {
  readonly domain: number;
  readonly procedure: Offered;
  readonly resolve: (answer: CallAnswer) => void;
}

export class HostCalls {
  readonly #kernel: Kernel;
  readonly #holdings: Holdings;
  readonly #waiting = new Map<number, Waiting>();

  constructor(kernel: Kernel, holdings: Holdings) {
    this.#kernel = kernel;
    this.#holdings = holdings;
  }

  /**
   * Resolves when the procedure has returned, or the call has failed.
   * @throws EnvironmentError no-such-export, bad-argument, ended, and what cannot be granted; nothing has begun then
   */
  call(domain: number, name: string, values: readonly CallValue[]): Promise<CallAnswer> {
    const { core } = this.#kernel;
    const callee = core.peek(domain);
    const procedure = callee === undefined || callee.ended ? undefined : procedureNamed(callee.module, name);
    // Without one the kernel says what is wrong.
    const params = procedure?.shape.params ?? [];
    const handles: number[] = [];
    try {
      if (callee !== undefined && !callee.ended) checkCall(callee.module, name, procedure, values);
      const args = values.map((given, i) => {
        const type = params[i];
        const capability = procedure?.capabilityParams.includes(i) === true;
        const value =
          isWritten(given) && type !== undefined ? readWritten(name, given, { type, capability }) : given;
        if (!capability) return argument(name, i, type, value);
        const handle = this.#pass(domain, name, i, value);
        handles.push(handle);
        return { type: I32, low: BigInt(handle), high: 0n };
      });
      const ticket = this.#kernel.callProcedure(domain, name, args);
      return new Promise((resolve) => {
        this.#waiting.set(ticket, { domain, procedure: procedure as Offered, resolve });
      });
    } catch (error) {
      if (callee !== undefined) for (const handle of handles) core.clists.close(callee, handle);
      throw error;
    }
  }

  /** A call is over. */
  answered(ticket: number, { errno, results }: Answer): void {
    const waiting = this.#waiting.get(ticket);
    this.#waiting.delete(ticket);
    if (waiting === undefined) return;
    const { domain, procedure, resolve } = waiting;
    const values = results.map((raw, i) =>
      procedure.capabilityResults.includes(i) ? this.#take(domain, Number(raw.low)) : result(raw),
    );
    resolve({ errno, values });
  }

  /** Puts a capability into the list of the domain called. */
  #pass(domain: number, name: string, i: number, value: CallValue): number {
    if (typeof value !== 'object' || !('from' in value)) throw misfit(name, i, 'a capability');
    const given: ImportGrant = { name: '', ...value };
    return this.#holdings.granting([given], ([grant]) => {
      const { capability, turn, rights = 0 } = grant as NonNullable<typeof grant>;
      const { core } = this.#kernel;
      const callee = core.peek(domain);
      const handle =
        callee === undefined
          ? -ERRNO.GONE
          : core.clists.insert(callee, capability, turn, rights & ~RIGHT.revoke);
      if (handle >= 0) return handle;
      throw new EnvironmentError('too-many-grants', `${name}: the program can hold no more capabilities`);
    });
  }

  /** A capability that the domain gives back, held for the owner; null for a handle that is none. */
  #take(domain: number, handle: number): CallResult {
    const { core } = this.#kernel;
    const callee = core.peek(domain);
    const found = callee === undefined ? 0 : core.clists.find(callee, handle, RIGHT.share);
    if (typeof found === 'number') return { held: null };
    return { held: this.#holdings.keep(found.capability, found.turn, found.rights & ~RIGHT.revoke) };
  }
}

const isWritten = (value: CallValue): value is WrittenValue =>
  typeof value === 'object' && 'written' in value;

/** @throws EnvironmentError no-such-export, bad-argument, naming what there is */
function checkCall(
  module: LoadedModule,
  name: string,
  procedure: Offered | undefined,
  values: readonly CallValue[],
): void {
  if (procedure === undefined) {
    const names = procedureNames(module);
    if (names.length === 0) return; // the kernel says why
    const meant = suggest(name, names);
    const hint = meant === undefined ? `it has ${names.slice(0, 8).join(', ')}` : `did you mean "${meant}"?`;
    throw new EnvironmentError('no-such-export', `there is no procedure "${name}"`, hint);
  }
  const { shape, capabilityParams } = procedure;
  if (values.length === shape.params.length) return;
  const types = shape.params.map((type, i) => wantedName({ type, capability: capabilityParams.includes(i) }));
  const taken = types.length === 0 ? 'no arguments' : `${types.length} (${types.join(', ')})`;
  throw new EnvironmentError('bad-argument', `${name} takes ${taken}, not ${values.length}`);
}

function argument(
  name: string,
  i: number,
  type: number | undefined,
  value: CallValue,
): RawValue | number | bigint {
  const integer = typeof value === 'number' && Number.isInteger(value);
  switch (type) {
    case I32:
      if (integer && value >= -(2 ** 31) && value < 2 ** 32) return value;
      throw misfit(name, i, 'a whole number of 32 bits');
    case I64:
      if (typeof value === 'bigint') return value;
      if (integer && Number.isSafeInteger(value)) return BigInt(value);
      throw misfit(name, i, 'a bigint');
    case F32:
    case F64:
      if (typeof value === 'number') return value;
      throw misfit(name, i, 'a number');
    case V128: {
      if (!(value instanceof Uint8Array) || value.length !== 16) throw misfit(name, i, '16 bytes');
      const view = new DataView(value.buffer, value.byteOffset, 16);
      return { type: V128, low: view.getBigUint64(0, true), high: view.getBigUint64(8, true) };
    }
    default:
      // More than there are parameters, or no such procedure: the kernel says so.
      return 0;
  }
}

function result(raw: RawValue): CallResult {
  const number = toNumber(raw);
  if (number !== undefined) return number;
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, raw.low, true);
  view.setBigUint64(8, raw.high, true);
  return bytes;
}

function misfit(name: string, i: number, wanted: string): EnvironmentError {
  return new EnvironmentError('bad-argument', `${name}: argument ${i} has to be ${wanted}`);
}
