/**
 * What an object is that whoever embeds a space serves: streams, files, folders, and whatever has methods of its own. Programs use
 * them as they use anything, and need not know: a served folder is a WASI program's directory.
 */
import { ERRNO, errnoName } from '../abi/errno.ts';
import type { RightName } from '../cli/types.ts';

/**
 * Thrown by what serves an object: the program gets `errno`, one of `ERRNO`. Errors of Node's own say theirs by their code (ENOENT,
 * EACCES, …); what is thrown because `context.signal` was aborted is CANCELED; anything else is IO to the program, and an event
 * `problem` for you.
 */
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
  /**
   * Aborted when nobody waits for the answer any more: the program has cancelled the operation, its time is up, the program is gone; or
   * the object is not served any more, or the space closed, and then the request may come again.
   */
  readonly signal: AbortSignal;
}

/** What an object is. A 'terminal' is a stream with somebody at its other end. */
export type ServedType = 'file' | 'folder' | 'stream' | 'terminal' | 'link';

/** What an object says of itself; times in nanoseconds since 1970. */
export interface ServedAttributes {
  /** Default 'file'. */
  readonly type?: ServedType;
  /** Bytes. */
  readonly size?: number;
  /** Tells it from others of the same tree, as programs compare files. Default 0. */
  readonly number?: bigint;
  /** Names that it has. Default 1. */
  readonly links?: number;
  readonly modifiedNs?: bigint;
  readonly accessedNs?: bigint;
  /** Default `modifiedNs`. */
  readonly changedNs?: bigint;
}

/** An entry of a listing. */
export interface ServedEntry {
  /** Without `/`. */
  readonly name: string;
  /** Default 'file'. */
  readonly type?: ServedType;
  readonly number?: bigint;
}

/** How something is to be opened. */
export interface OpenHow {
  /** Make a file where there is none; with `exclusive` only then (EXIST). */
  readonly create: boolean;
  readonly exclusive: boolean;
  /** Empty the file. */
  readonly truncate: boolean;
  /** Only a folder (NOTDIR). */
  readonly folder: boolean;
  /** Follow a symbolic link that is the last name. */
  readonly follow: boolean;
  readonly read: boolean;
  readonly write: boolean;
}

/** What changes of size and times; null for what stays. */
export interface ServedChange {
  readonly size: number | null;
  readonly accessedNs: bigint | null;
  readonly modifiedNs: bigint | null;
  readonly follow: boolean;
}

/** Where a name goes: the folder is the one asked, or one that the same named object has opened. */
export interface ServedPlace {
  readonly folder: ServedObject;
  readonly path: string;
}

/** A value, or a promise of one. */
export type Awaitable<T> = T | Promise<T>;

/**
 * What an object can do; what is not there, programs are told is not supported (NOTSUP). Which methods an object has makes it a stream, a
 * file or a folder: see `ServedStream`, `ServedFile` and `ServedFolder` for classes to implement.
 *
 * Paths are relative and clean: names with `/` between, no `.`, `..` or empty names (what would lead out of the object is refused before
 * it comes here); an empty path is the object itself. Bytes handed over may be kept. Requests come in the order in which programs
 * make them, and do not wait for one another.
 */
export interface ServedObject {
  /**
   * Names it over restarts, among all that the same named object opens. Without it, that is the path by which it was opened.
   */
  readonly key?: string;
  /** At most `length` bytes from `offset` on (null for a stream, without positions); none are the end. */
  read?(
    range: { readonly offset: bigint | null; readonly length: number },
    context: RequestContext,
  ): Awaitable<Uint8Array>;
  /**
   * Gives how many bytes it has taken; all, where it says nothing. `offset` is null for a stream, 'end' to append: then `end`, where
   * what was written ended, may be given too (else it is asked of `describe`).
   */
  write?(
    bytes: Uint8Array,
    at: { readonly offset: bigint | 'end' | null },
    context: RequestContext,
  ): Awaitable<number | { readonly taken?: number; readonly end?: number } | undefined> | Awaitable<void>;
  /** What there is in it, in an order that stays. */
  list?(context: RequestContext): Awaitable<Iterable<ServedEntry> | AsyncIterable<ServedEntry>>;
  /** Without this it is a stream of no size, or an empty folder's attributes where it can be listed. */
  describe?(
    path: string,
    how: { readonly follow: boolean },
    context: RequestContext,
  ): Awaitable<ServedAttributes>;
  /**
   * Opens what is there, or makes a file: the program gets what is returned as an object of its own. The same may be returned more than
   * once; `closed` tells when nobody has it any more.
   */
  open?(path: string, how: OpenHow, context: RequestContext): Awaitable<ServedObject>;
  /**
   * What an earlier process gave for this key, asked for by a program that still has it open: on the named object only. Without
   * this, `open` of that path is asked.
   */
  reopen?(key: string, context: RequestContext): Awaitable<ServedObject>;
  /** Nobody has what `open` returned any more: once for each time. Not told when the space is closed, or the process dies. */
  closed?(): void;
  /** Makes a folder, or a symbolic link that says `link`. */
  create?(path: string, what: { readonly link: string | null }, context: RequestContext): Awaitable<void>;
  /** Removes a file, or an empty folder. */
  remove?(path: string, what: { readonly folder: boolean }, context: RequestContext): Awaitable<void>;
  /** Moves a name, in the place of what has the new one. */
  rename?(path: string, to: ServedPlace, context: RequestContext): Awaitable<void>;
  /** One more name for a file. */
  link?(
    path: string,
    to: ServedPlace & { readonly follow: boolean },
    context: RequestContext,
  ): Awaitable<void>;
  /** What a symbolic link says. */
  readLink?(path: string, context: RequestContext): Awaitable<string>;
  /** Changes size and times. */
  change?(path: string, to: ServedChange, context: RequestContext): Awaitable<void>;
  /** What was written is where it stays. */
  sync?(context: RequestContext): Awaitable<void>;
  /**
   * Waits until it can be read or written, and says which; `bytes` that can be read at once, where it knows. Without this it always can.
   */
  wait?(
    until: { readonly read: boolean; readonly write: boolean },
    context: RequestContext,
  ): Awaitable<{ readonly read?: boolean; readonly write?: boolean; readonly bytes?: number }>;
  /** Its bytes as they are now: the program gets them as a segment of its own. Without this they are read, where `describe` tells a size. */
  map?(context: RequestContext): Awaitable<Uint8Array>;
  /** A method of its own: bytes in, bytes out, and a number from 0 up, which is their length where it is not said. */
  invoke?(
    method: number,
    bytes: Uint8Array,
    context: RequestContext,
  ): Awaitable<Uint8Array | { readonly result: number; readonly bytes?: Uint8Array }>;
}

/** Bytes that come and go, without positions: `read`, `write` or both, and `wait` where they do not always come at once. */
export type ServedStream = Pick<
  ServedObject,
  'key' | 'read' | 'write' | 'wait' | 'describe' | 'change' | 'sync' | 'closed'
>;

/** Bytes with positions: `offset` is a number, or 'end'. */
export type ServedFile = ServedObject & Required<Pick<ServedObject, 'read' | 'describe'>>;

/** Names, and what they stand for. */
export type ServedFolder = ServedObject & Required<Pick<ServedObject, 'open' | 'list' | 'describe'>>;

/** An errno for what a served object has thrown; undefined where it is no business of the program's. */
export function errnoOf(error: unknown, signal: AbortSignal): number | undefined {
  if (error instanceof GuestError) return error.errno;
  if (signal.aborted && error === signal.reason) return ERRNO.CANCELED;
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  if (signal.aborted && name === 'AbortError') return ERRNO.CANCELED;
  if (typeof code !== 'string' || !code.startsWith('E')) return undefined;
  const short = code.slice(1);
  return Object.hasOwn(ERRNO, short) ? ERRNO[short as keyof typeof ERRNO] : undefined;
}
