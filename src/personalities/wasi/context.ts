/**
 * What every call of WASI works with: the space, its file tree, the ports, and a few steps that many calls share. One
 * for a kernel and a dialect; it keeps no state of any domain.
 */
import type { Caller } from '../../kernel/caller.ts';
import {
  type HostDirectory,
  type HostFile,
  type Listener,
  type Operation,
  type PortObject,
  type Ports,
  type Socket,
  type StreamObject,
  WOULD_BLOCK,
} from '../../kernel/ports.ts';
import type { Tree } from '../../kernel/tree.ts';
import type { Space } from '../../space/index.ts';
import type { Dialect } from './abi.ts';
import type { Bindings } from './bindings.ts';
import { ERRNO } from './errno.ts';
import { Buffers } from './guest.ts';
import { ServedDirectory, ServedFile, ServedStream } from './served.ts';
import { D, find, KIND } from './state.ts';

export class Context {
  readonly space: Space;
  readonly tree: Tree;
  readonly ports: Ports;
  readonly dialect: Dialect;
  /** Of the vectored call that runs. */
  readonly buffers = new Buffers();

  readonly bindings: Bindings;
  /** Whose call this is. */
  #caller: Caller | null = null;

  constructor(space: Space, tree: Tree, ports: Ports, dialect: Dialect, bindings: Bindings) {
    this.bindings = bindings;
    this.space = space;
    this.tree = tree;
    this.ports = ports;
    this.dialect = dialect;
  }

  /** Record of a descriptor of the caller, or 0; also where its capability is good no longer. */
  find(caller: Caller, fd: number): number {
    const at = find(this.space, caller.personalityState, fd);
    this.#caller = caller;
    return at !== 0 && this.bindings.good(caller.domainId, at) ? at : 0;
  }
  /** The same, good or not. */
  findAny(caller: Caller, fd: number): number {
    return find(this.space, caller.personalityState, fd);
  }

  /** True where the descriptor lacks any of these rights. */
  lacks(at: number, rights: number): boolean {
    return (rights & ~D.rights.get(this.space, at)) !== 0;
  }

  stream(caller: Caller, at: number): StreamObject {
    if (D.kind.get(this.space, at) === KIND.servedStream) {
      return new ServedStream(this.bindings.core, caller, D.object.get(this.space, at));
    }
    const streams = this.ports.console(caller.domainId);
    const which = D.object.get(this.space, at);
    return which === 0 ? streams.stdin : which === 1 ? streams.stdout : streams.stderr;
  }

  #object<K extends PortObject['kind']>(at: number, kind: K): (PortObject & { kind: K }) | undefined {
    const object = this.ports.object(D.object.get(this.space, at));
    return object?.kind === kind ? (object as PortObject & { kind: K }) : undefined;
  }
  hostFile(at: number): HostFile | undefined {
    return this.servedFile(at) ?? this.#object(at, 'file');
  }
  servedFile(at: number): ServedFile | undefined {
    if (D.kind.get(this.space, at) !== KIND.servedFile || this.#caller === null) return undefined;
    return new ServedFile(this.bindings.core, this.#caller, D.object.get(this.space, at));
  }
  servedDirectory(at: number): ServedDirectory | undefined {
    if (D.kind.get(this.space, at) !== KIND.servedDirectory || this.#caller === null) return undefined;
    return new ServedDirectory(this.bindings.core, this.#caller, D.object.get(this.space, at));
  }
  hostDirectory(at: number): HostDirectory | undefined {
    return this.servedDirectory(at) ?? this.#object(at, 'directory');
  }
  socket(at: number): Socket | undefined {
    return this.#object(at, 'socket');
  }
  listener(at: number): Listener | undefined {
    return this.#object(at, 'listener');
  }

  /** Nanoseconds since 1970. */
  realtime(): bigint {
    return this.ports.clock.realtimeNs();
  }

  /**
   * Makes a call on the host that may take several runs of the guest's call. Does not return while it would block; the
   * number of what the driver has queued is kept in the first scratch word.
   */
  effect<T>(caller: Caller, run: (op: Operation) => T | number): T | number {
    const op: Operation = { domain: caller.domainId, effect: Number(caller.getScratch(0)) };
    const result = run(op);
    if (result !== WOULD_BLOCK) return result;
    caller.setScratch(0, BigInt(op.effect));
    caller.block();
  }

  /** A question to the host: like `effect`, for calls that queue nothing. Asks again a little later. */
  ask<T>(caller: Caller, run: () => T | number): T | number {
    const result = run();
    if (result === WOULD_BLOCK) caller.block(caller.now() + ASK_AGAIN_NS);
    return result;
  }
}

const ASK_AGAIN_NS = 2_000_000n;

/** A result of a port or of the tree as the errno a guest gets: SUCCESS for what is not negative. */
export function errnoOf(result: number): number {
  return result < 0 ? -result : ERRNO.SUCCESS;
}
