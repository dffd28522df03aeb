/** Calling a program's procedures as typed functions. */
import { errnoName } from '../abi/errno.ts';
import type { Host } from '../cli/host.ts';
import type { CallResult, CallValue } from '../cli/types.ts';
import { Capability, type Grant, type Grantable, importOf, SOURCE } from './capability.ts';
import { type Abortable, unlessAborted } from './signal.ts';

/** What a procedure takes: for i32, f32 and f64 a number, for i64 a bigint, for v128 16 bytes, for a capability a grant. */
export type CallArgument = number | bigint | Uint8Array | Grant;

/** What a procedure gives: nothing, a value as in `CallArgument`, or several. A capability that is none is null. */
export type CallReturn = undefined | number | bigint | Uint8Array | Capability | null | readonly CallReturn[];

/** A call of a procedure failed in the program called, or could not be made: `errno` is one of `ERRNO`. */
export class CallError extends Error {
  override name = 'CallError';
  readonly code = 'call';
  /**
   * GONE: the program ended, or was removed, during the call. FAULTED: it trapped in it. STOPPED: it is suspended. REENTERED,
   * DEPTH: the call would wait for itself, or is too deep. NOMEM, DQUOT: there is no room. CANCELED: the procedure ended itself.
   */
  readonly errno: number;

  /** @internal */
  constructor(what: string, errno: number) {
    super(`${what}: ${errnoName(errno)}`);
    this.errno = errno;
  }
}

/**
 * A procedure of a program as a function; it can also be granted to another program, as the one thing that it may call.
 * @typeParam F its type, were it called directly
 */
export interface ProcedureFunction<F extends (...args: never[]) => unknown> extends Grantable {
  (...args: Parameters<F>): Promise<Awaited<ReturnType<F>>>;
}

/** @internal */
export async function call(
  host: Host,
  domain: string,
  procedure: string,
  args: readonly CallArgument[],
  { signal }: Abortable,
): Promise<CallReturn> {
  signal?.throwIfAborted();
  const answer = host.call(domain, procedure, args.map(given));
  const { errno, values } = await unlessAborted(signal, answer);
  if (errno !== 0) throw new CallError(`${domain}: ${procedure}`, errno);
  const results = values.map((value) => resultOf(host, value));
  return results.length > 1 ? results : results[0];
}

/** @internal */
export function procedureOf<F extends (...args: never[]) => unknown>(
  host: Host,
  name: string,
  procedure: string,
): ProcedureFunction<F> {
  const made = (...args: Parameters<F>): Promise<Awaited<ReturnType<F>>> =>
    call(host, name, procedure, args as unknown as readonly CallArgument[], {}) as Promise<
      Awaited<ReturnType<F>>
    >;
  return Object.assign(made, { [SOURCE]: { kind: 'gate', name, procedure } as const });
}

function given(value: CallArgument): CallValue {
  if (typeof value === 'number' || typeof value === 'bigint' || value instanceof Uint8Array) return value;
  const { name, ...rest } = importOf('an argument', value);
  return rest;
}

function resultOf(host: Host, value: CallResult): CallReturn {
  if (typeof value !== 'object' || value instanceof Uint8Array) return value;
  return value.held === null ? null : Capability.held(host, value.held);
}
