/**
 * The personality for programs of wasi_snapshot_preview1 (and wasi_unstable, its forerunner): their imports, and the state of a domain from its grants to
 * its end. One serves all domains of a kernel.
 *
 *     const wasi = new WasiPersonality(space, ports);
 *     const state = wasi.createState({ args, env, grants: [homeOf('demo')] });
 *
 * A program has what it was granted and nothing else: three streams, directories of the space's tree or of the host,
 * sockets. There is no working directory and no way to name anything outside of a grant.
 *
 * Why: RATIONALE.md#nothing-is-granted-by-default
 */

import { EnvironmentError } from '../../base/errors.ts';
import type { Ending, Personality, SystemCall } from '../../kernel/caller.ts';
import type { Held } from '../../kernel/capability/capabilities.ts';
import type { Core } from '../../kernel/core.ts';
import type { Ports } from '../../kernel/ports.ts';
import { Tree } from '../../kernel/tree.ts';
import type { Space } from '../../space/index.ts';
import {
  PREVIEW1,
  RIGHT,
  RIGHTS_ALL,
  RIGHTS_DIRECTORY,
  RIGHTS_LISTENER,
  RIGHTS_SOCKET,
  RIGHTS_STREAM,
  UNSTABLE,
} from './abi.ts';
import { adoptState } from './adopt.ts';
import { Bindings } from './bindings.ts';
import { Context } from './context.ts';
import { closeDescriptor, descriptorCalls } from './descriptors.ts';
import { ERRNO } from './errno.ts';
import type { Grant } from './grants.ts';
import { describeState, grantAgain, type StateImage } from './image.ts';
import { ioCalls } from './io.ts';
import { listingCalls } from './listing.ts';
import { pathCalls } from './paths.ts';
import { pollCalls } from './poll.ts';
import { processCalls } from './process.ts';
import { guarded, hasSignature } from './signatures.ts';
import { socketCalls } from './sockets.ts';
import { createState, D, fill, find, freeNumber, freeState, KIND, openNumbers } from './state.ts';

export const WASI_MODULE = 'wasi_snapshot_preview1';
/** What it was called before: the same functions, with a few structures laid out otherwise. */
export const UNSTABLE_MODULE = 'wasi_unstable';

const DIRECTORY_KIND = {
  tree: KIND.directory,
  host: KIND.hostDirectory,
  served: KIND.servedDirectory,
} as const;

export interface StateOptions {
  readonly args: readonly string[];
  /** NAME=VALUE each. */
  readonly env: readonly string[];
  readonly grants: readonly Grant[];
}

export class WasiPersonality implements Personality {
  readonly tree: Tree;
  readonly ports: Ports;
  readonly #context: Context;
  readonly #calls: { readonly [module: string]: ReadonlyMap<string, SystemCall> };

  /** @throws SpaceFullError when there is no room for the root of the file tree. */
  constructor(space: Space, ports: Ports) {
    this.tree = Tree.open(space, ports.clock.realtimeNs());
    const parts = [ioCalls, descriptorCalls, listingCalls, pathCalls, pollCalls, processCalls, socketCalls];
    const callsOf = (context: Context): Map<string, SystemCall> => {
      const calls = parts.flatMap((part) => Object.entries(part(context)));
      return new Map(calls.map(([name, call]) => [name, guarded(name, call)]));
    };
    this.ports = ports;
    const bindings = new Bindings(space);
    this.#context = new Context(space, this.tree, ports, PREVIEW1, bindings);
    this.#calls = {
      [WASI_MODULE]: callsOf(this.#context),
      [UNSTABLE_MODULE]: callsOf(new Context(space, this.tree, ports, UNSTABLE, bindings)),
    };
  }

  /** Each but one gives an errno. */
  whenFull(module: string, name: string): number | undefined {
    return Object.hasOwn(this.#calls, module) && name !== 'proc_exit' ? ERRNO.NOSPC : undefined;
  }

  attach(core: Core): void {
    this.#context.bindings.attach(core);
  }
  bind(domainId: number, personalityState: number): void {
    this.#context.bindings.bind(domainId, personalityState);
  }

  /**
   * The function for an import. With the types it is declared with, only where they are the right ones: the calls
   * trust their arguments' types.
   */
  resolve(
    module: string,
    name: string,
    shape?: { readonly params: readonly number[]; readonly results: readonly number[] },
  ): SystemCall | undefined {
    if (!Object.hasOwn(this.#calls, module)) return undefined;
    if (shape !== undefined && !hasSignature(name, shape.params, shape.results)) return undefined;
    return this.#calls[module]?.get(name);
  }

  /**
   * State for a new domain. Returns its address, for the domain's record.
   * @throws EnvironmentError for an argument or a folder that cannot be, SpaceFullError; nothing is left behind.
   */
  createState(options: StateOptions): number {
    const { space } = this.#context;
    const state = createState(space, options.args.map(textBytes), options.env.map(textBytes));
    try {
      for (const which of [0, 1, 2] as const) {
        const served = options.grants.find((grant) => grant.kind === 'stream' && grant.fd === which);
        if (served !== undefined) {
          this.#grant(state, served);
          continue;
        }
        const rights = RIGHTS_STREAM & ~(which === 0 ? RIGHT.FD_WRITE : RIGHT.FD_READ);
        fill(space, state, freeNumber(space, state), {
          kind: KIND.stream,
          object: which,
          rights,
          inheriting: 0,
        });
      }
      for (const grant of options.grants) {
        if (grant.kind !== 'stream' || grant.fd === undefined) this.#grant(state, grant);
      }
    } catch (error) {
      this.#freeState(state);
      throw error;
    }
    return state;
  }

  /** What a program makes has no streams and no folders: its descriptors are bad ones. */
  begin(space: Space, name: string): number {
    return createState(space, [textBytes(name)], []);
  }

  release(_space: Space, _domainId: number, personalityState: number, _ending: Ending): void {
    if (personalityState !== 0) this.#freeState(personalityState);
  }

  /** The state as plain data, files included: image.ts. */
  describe(_space: Space, _domainId: number, personalityState: number): StateImage {
    return describeState(this.#context, personalityState);
  }

  /** State made from what `describe` gave. @throws MalformedError, SpaceFullError with nothing left behind */
  adopt(_space: Space, _domainId: number, data: unknown, name = 'imported'): number {
    return adoptState(this.#context, data, name, (state) => this.#freeState(state));
  }

  /** After `adopt`: gives a domain the host folder that it knows by this name. False where it knows none. */
  grantAgain(personalityState: number, grant: Grant & { kind: 'host' }): boolean {
    const { guest, id, readOnly } = grant;
    return grantAgain(this.#context, personalityState, guest, id, readOnly === true) > 0;
  }

  #freeState(state: number): void {
    const { space, bindings } = this.#context;
    for (const fd of openNumbers(space, state)) closeDescriptor(this.#context, state, find(space, state, fd));
    bindings.forget(state);
    freeState(space, state);
  }

  #grant(state: number, grant: Grant): void {
    const { space } = this.#context;
    const fd = freeNumber(space, state);
    if (fd < 0) throw new EnvironmentError('too-many-grants', 'a program cannot be given that many folders');
    if (grant.kind === 'listener' || grant.kind === 'socket') {
      const [kind, rights] =
        grant.kind === 'socket' ? [KIND.socket, RIGHTS_SOCKET] : [KIND.listener, RIGHTS_LISTENER];
      fill(space, state, fd, { kind, object: grant.id, rights, inheriting: 0 });
      return;
    }
    if (grant.kind === 'stream') {
      this.#hold(
        fill(space, state, fd, { kind: KIND.servedStream, object: 0, rights: RIGHTS_STREAM, inheriting: 0 }),
        grant,
      );
      return;
    }
    const name = textBytes(grant.guest);
    const node = grant.kind === 'tree' ? this.folder(grant.path) : 0;
    const block = space.heap.allocBytes(name);
    const at = fill(space, state, fd, {
      kind: DIRECTORY_KIND[grant.kind],
      object: grant.kind === 'host' ? grant.id : node,
      rights: RIGHTS_DIRECTORY,
      inheriting: RIGHTS_ALL,
      readOnly: grant.readOnly === true,
    });
    if (node !== 0) this.tree.retain(node);
    if (grant.kind === 'served') this.#hold(at, grant);
    D.name.set(space, at, block);
    D.nameBytes.set(space, at, name.length);
  }

  /** A descriptor keeps what it is to stand on until its domain is there (bindings.ts). */
  #hold(at: number, { capability, turn }: Held): void {
    const { space, bindings } = this.#context;
    bindings.core.capabilities.retain(capability);
    D.object.set(space, at, capability);
    D.offset.set(space, at, turn);
  }

  /**
   * The folder of the space's tree at an absolute path, made with those above it where it is not there. Returns its
   * node. @throws EnvironmentError where a file is in the way or a name cannot be.
   */
  folder(path: string): number {
    const { tree } = this;
    let node = tree.root;
    for (const part of path.split('/')) {
      if (part === '' || part === '.') continue;
      const name = textBytes(part);
      let next = tree.lookup(node, name);
      if (next < 0) next = tree.createDirectory(node, name, this.#context.realtime());
      if (next < 0 || !tree.isDirectory(next)) {
        throw new EnvironmentError(
          'no-such-folder',
          `${path} cannot be a folder of the space: ${next < 0 ? `"${part}" cannot be made` : `"${part}" is a file`}`,
          'choose another path',
        );
      }
      node = next;
    }
    return node;
  }
}

function textBytes(text: string): Uint8Array {
  if (text.includes('\0')) {
    throw new EnvironmentError('bad-argument', 'an argument, variable or folder name has a zero byte in it');
  }
  return new TextEncoder().encode(text);
}
