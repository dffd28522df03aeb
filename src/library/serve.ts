/** Objects that are served in TypeScript: programs ask them by the object protocol (abi/ring.ts) and know no difference. */
import { ERRNO, errnoName } from '../abi/errno.ts';
import { RIGHT } from '../abi/objects.ts';
import { OPERATION, OPTION } from '../abi/ring.ts';
import type { Host } from '../cli/host.ts';
import type { RightName } from '../cli/types.ts';
import type { Outgoing } from '../drivers/served.ts';
import { FILE_TYPE, type ServedAnswer } from '../kernel/ports.ts';
import { decodeChange, encodeListed, encodeStat, plainStat } from '../kernel/ring/attributes.ts';
import { type Grantable, SOURCE } from './capability.ts';

/** Thrown by what serves an object: the program gets `errno`, one of `ERRNO`. Anything else that is thrown is an IO to it. */
export class GuestError extends Error {
  override name = 'GuestError';
  readonly code = 'guest';
  /** What the program is told. */
  readonly errno: number;

  constructor(errno: number) {
    super(errnoName(errno));
    this.errno = errno;
  }
}

/** Who asks. */
export interface RequestContext {
  /** Number of the request, never used twice in a space. One that is asked again has the same. */
  readonly id: number;
  /** The capability's badge (`DeriveOptions.badge`): whom it was given to. */
  readonly badge: bigint;
  readonly rights: readonly RightName[];
  /** It was under way when an earlier process ended: what it asks for may have been done. */
  readonly again: boolean;
}

/** What an object says of itself; times in nanoseconds since 1970. */
export interface ServedAttributes {
  /** Default 'file'. */
  readonly type?: 'file' | 'folder' | 'stream' | 'link';
  /** Bytes. */
  readonly size?: number;
  readonly modifiedNs?: bigint;
  readonly accessedNs?: bigint;
}

/** An entry of a listing. */
export interface ServedEntry {
  readonly name: string;
  /** Default 'file'. */
  readonly type?: 'file' | 'folder' | 'stream' | 'link';
}

/** A value, or a promise of one. */
export type Awaitable<T> = T | Promise<T>;

/**
 * What an object can do; what is not there, programs are told is not supported (NOTSUP). Paths are relative, as the program
 * wrote them: they may hold `..`, and an empty one is the object itself. Bytes handed over may be kept.
 */
export interface ServedObject {
  /** At most `length` bytes from `offset` on (null for a stream, without positions); none are the end. */
  read?(
    range: { readonly offset: bigint | null; readonly length: number },
    context: RequestContext,
  ): Awaitable<Uint8Array>;
  /** Gives how many bytes it has taken; all, where it says nothing. `offset` is null for a stream, 'end' to append. */
  write?(
    bytes: Uint8Array,
    at: { readonly offset: bigint | 'end' | null },
    context: RequestContext,
  ): Awaitable<number | undefined> | Awaitable<void>;
  /** What there is in it, in an order that stays. */
  list?(context: RequestContext): Awaitable<Iterable<ServedEntry>>;
  /** Without this it is a stream of no size. */
  describe?(path: string, context: RequestContext): Awaitable<ServedAttributes>;
  /** Makes a folder, or a symbolic link that says `link`. */
  create?(path: string, what: { readonly link: string | null }, context: RequestContext): Awaitable<void>;
  /** Removes a file, or an empty folder. */
  remove?(path: string, what: { readonly folder: boolean }, context: RequestContext): Awaitable<void>;
  /** What a symbolic link says. */
  readLink?(path: string, context: RequestContext): Awaitable<string>;
  /** Changes size and times; null for what stays. */
  change?(
    path: string,
    to: {
      readonly size: number | null;
      readonly accessedNs: bigint | null;
      readonly modifiedNs: bigint | null;
    },
    context: RequestContext,
  ): Awaitable<void>;
  /** What was written is where it stays. */
  sync?(context: RequestContext): Awaitable<void>;
  /** A method of its own: bytes in, bytes out, and a number from 0 up, which is their length where it is not said. */
  invoke?(
    method: number,
    bytes: Uint8Array,
    context: RequestContext,
  ): Awaitable<Uint8Array | { readonly result: number; readonly bytes?: Uint8Array }>;
}

/** How an object is served. */
export interface ServeOptions {
  /**
   * What becomes of requests that a restart found unanswered: they are asked 'again' (the default), with `context.again`,
   * or 'fail', with GONE for the program.
   */
  readonly unanswered?: 'again' | 'fail';
}

/**
 * An object being served, to be granted to programs. Disposing it ends it: what is asked of it fails with GONE until its name is
 * served again. When the space is closed, or the process dies, it does not end: programs wait until it is served again.
 */
export class Served implements Grantable, AsyncDisposable {
  /** @internal */
  readonly [SOURCE]: { readonly kind: 'served'; readonly name: string };
  readonly #host: Host;

  /** @internal */
  constructor(host: Host, name: string) {
    this.#host = host;
    this[SOURCE] = { kind: 'served', name };
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#host.unserve(this[SOURCE].name).catch(() => {});
  }
}

const NONE = new Uint8Array(0);
const TYPES = {
  file: FILE_TYPE.regularFile,
  folder: FILE_TYPE.directory,
  stream: FILE_TYPE.unknown,
  link: FILE_TYPE.symbolicLink,
};

/** @internal Does what a program asks. Does not reject. */
export async function perform(
  object: ServedObject,
  request: Outgoing,
  problem: (text: string) => void,
): Promise<ServedAnswer> {
  try {
    return await answer(object, request);
  } catch (error) {
    if (error instanceof GuestError) return failed(error.errno);
    problem(`${request.name}: ${error instanceof Error ? error.message : String(error)}`);
    return failed(ERRNO.IO);
  }
}

const failed = (errno: number): ServedAnswer => ({ result: -errno, value: 0n, data: NONE });
const done = (result: number, data: Uint8Array = NONE): ServedAnswer => ({ result, value: 0n, data });

async function answer(object: ServedObject, request: Outgoing): Promise<ServedAnswer> {
  const { operation, options, given, givenFirst, room, method } = request;
  const context: RequestContext = {
    id: request.id,
    badge: request.badge,
    rights: (Object.keys(RIGHT) as RightName[]).filter((name) => (request.rights & RIGHT[name]) !== 0),
    again: request.again,
  };
  const path = (): string => new TextDecoder().decode(given.subarray(0, givenFirst));
  const second = given.subarray(givenFirst);
  switch (operation) {
    case OPERATION.read: {
      const data = await object.read?.({ offset: positionOf(request.offset), length: room }, context);
      return data === undefined ? failed(ERRNO.NOTSUP) : done(Math.min(data.length, room), data);
    }
    case OPERATION.write: {
      if (object.write === undefined) return failed(ERRNO.NOTSUP);
      const offset = request.offset === APPEND ? 'end' : positionOf(request.offset);
      const taken = (await object.write(given, { offset }, context)) ?? given.length;
      return done(Math.max(0, Math.min(taken, given.length)));
    }
    case OPERATION.list: {
      const entries = await object.list?.(context);
      return entries === undefined ? failed(ERRNO.NOTSUP) : listing(entries, request);
    }
    case OPERATION.describe:
      return described((await object.describe?.(path(), context)) ?? { type: 'stream' }, room);
    case OPERATION.create: {
      const link = (options & OPTION.symbolic) !== 0 ? new TextDecoder().decode(second) : null;
      if (link === null && (options & OPTION.directory) === 0) return failed(ERRNO.INVAL);
      return object.create === undefined
        ? failed(ERRNO.NOTSUP)
        : nothing(object.create(path(), { link }, context));
    }
    case OPERATION.remove:
      return object.remove === undefined
        ? failed(ERRNO.NOTSUP)
        : nothing(object.remove(path(), { folder: (options & OPTION.directory) !== 0 }, context));
    case OPERATION.readLink: {
      const says = await object.readLink?.(path(), context);
      if (says === undefined) return failed(ERRNO.NOTSUP);
      const text = new TextEncoder().encode(says);
      return done(Math.min(text.length, room), text);
    }
    case OPERATION.change: {
      const to = decodeChange(second, options);
      if (object.change === undefined) return failed(ERRNO.NOTSUP);
      return to === null ? failed(ERRNO.INVAL) : nothing(object.change(path(), to, context));
    }
    case OPERATION.sync:
      return object.sync === undefined ? failed(ERRNO.NOTSUP) : nothing(object.sync(context));
    case OPERATION.wait:
      return done(options & (OPTION.read | OPTION.write));
    case OPERATION.invoke: {
      const made = await object.invoke?.(method, given, context);
      if (made === undefined) return failed(ERRNO.NOTSUP);
      if (made instanceof Uint8Array) return done(Math.min(made.length, room), made);
      if (!Number.isInteger(made.result) || made.result < 0 || made.result >= 2 ** 31) {
        throw new RangeError('the result of a method is a whole number from 0 to 2147483647');
      }
      return done(made.result, made.bytes);
    }
    default:
      return failed(ERRNO.NOTSUP);
  }
}

const STREAM = 0xffff_ffff_ffff_ffffn;
const APPEND = 0xffff_ffff_ffff_fffen;
const positionOf = (offset: bigint): bigint | null => (offset === STREAM ? null : offset);

async function nothing(doing: Awaitable<void>): Promise<ServedAnswer> {
  await doing;
  return done(0);
}

function listing(entries: Iterable<ServedEntry>, { offset, room }: Outgoing): ServedAnswer {
  const bytes = new Uint8Array(room);
  let used = 0;
  let cookie = 0;
  for (const { name, type = 'file' } of entries) {
    cookie++;
    if (BigInt(cookie) <= offset) continue;
    if (used >= room) break;
    const entry = encodeListed(cookie, 0n, TYPES[type], new TextEncoder().encode(name));
    bytes.set(entry.subarray(0, room - used), used);
    used += Math.min(entry.length, room - used);
  }
  return done(used, bytes.subarray(0, used));
}

function described(attributes: ServedAttributes, room: number): ServedAnswer {
  const { type = 'file', size = 0, modifiedNs = 0n, accessedNs = 0n } = attributes;
  const stat = { ...plainStat(TYPES[type]), size, modifiedNs, accessedNs, changedNs: modifiedNs };
  const bytes = encodeStat(stat);
  return room < bytes.length ? failed(ERRNO.INVAL) : done(bytes.length, bytes);
}
