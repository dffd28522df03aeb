/**
 * Ports: what the outside looks like from inside. Personalities use these types, drivers implement them, and neither
 * knows the other. Types and constants only; nothing here does anything.
 *
 * Conventions, everywhere in this file (ERRNO is src/abi/errno.ts):
 * - A call never blocks the thread. It returns a result, or a negative number: `-ERRNO.x`, or WOULD_BLOCK. After
 *   WOULD_BLOCK the personality suspends the caller (`Caller.block`) and, when it is woken, makes the same call with
 *   the same arguments again. Wakes may be spurious.
 * - Bytes pass as Uint8Arrays that may be views of the space, of shared memory another thread can write. An
 *   implementation reads such bytes once. It does not mark pages: whoever passes a view to be filled marks it.
 * - Offsets and sizes are safe integers in bytes; times are nanoseconds as bigint.
 * - Paths and names are bytes as the guest gave them (no terminating zero), copied out of guest memory before.
 * - Objects have ids that stay true over restarts: after recovery `Ports.object(id)` finds the same object again,
 *   or one on which every operation fails with ERRNO.STALE or ERRNO.CONNRESET where the host has lost it.
 */

/** The call cannot be answered yet. Distinct from every -errno; a non-blocking descriptor turns it into AGAIN. */
export const WOULD_BLOCK = -0x10000;

/** What can be done now without WOULD_BLOCK. An ended or failed side counts as ready, as poll(2) has it. */
export interface Readiness {
  readonly readable: boolean;
  readonly writable: boolean;
  /** Bytes known to be readable now. */
  readonly bytes: number;
  /** The other side is gone or has ended. */
  readonly hangup: boolean;
}

/** An object something can be waited for on. */
export interface Waitable {
  ready(): Readiness;
  /** Wakes the domain once when readiness may have changed. Asking twice is the same as asking once. */
  subscribe(domain: number): void;
}

/** A stream of bytes without positions: one of a domain's standard streams. */
export interface StreamObject extends Waitable {
  readonly kind: 'stream';
  /** True where a terminal is at the other end now. */
  readonly terminal: boolean;
  /** Bytes put into `into`, 0 at the end of the stream, -errno, or WOULD_BLOCK. */
  read(into: Uint8Array): number;
  /** Bytes taken (at least 1 of a non-empty `from`), -errno, or WOULD_BLOCK. They get out when durable. */
  write(from: Uint8Array): number;
}

/** The three standard streams of one domain. */
export interface ConsoleStreams {
  readonly stdin: StreamObject;
  readonly stdout: StreamObject;
  readonly stderr: StreamObject;
}

/**
 * One operation of a guest that may take several calls. The personality keeps `effect` in the operation scratch of the
 * activation (it survives restarts): 0 at first; the driver sets the number of the effect it has queued and, on
 * being called again, finds its outcome by it. On WOULD_BLOCK the driver wakes `domain` itself.
 */
export interface Operation {
  readonly domain: number;
  effect: number;
}

/** Kinds of file as WASI preview 1 numbers `filetype`. */
export const FILE_TYPE = {
  unknown: 0,
  blockDevice: 1,
  characterDevice: 2,
  directory: 3,
  regularFile: 4,
  socketDatagram: 5,
  socketStream: 6,
  symbolicLink: 7,
} as const;

export interface HostStat {
  readonly device: bigint;
  readonly inode: bigint;
  /** One of FILE_TYPE. */
  readonly type: number;
  readonly links: bigint;
  readonly size: number;
  readonly accessedNs: bigint;
  readonly modifiedNs: bigint;
  readonly changedNs: bigint;
}

export interface HostEntry {
  readonly name: Uint8Array;
  readonly inode: bigint;
  /** One of FILE_TYPE. */
  readonly type: number;
}

export interface HostOpenOptions {
  /** Create the file where there is none; with `exclusive` only then. */
  readonly create: boolean;
  readonly exclusive: boolean;
  readonly truncate: boolean;
  /** Refuse anything but a directory. */
  readonly directory: boolean;
  /** Follow a symbolic link that is the last component. */
  readonly follow: boolean;
  readonly read: boolean;
  readonly write: boolean;
}

/** New times in nanoseconds; null leaves one as it is. "Now" is resolved by the caller, with the port's clock. */
export interface HostTimes {
  readonly accessedNs: bigint | null;
  readonly modifiedNs: bigint | null;
}

/**
 * A directory of the host inside a granted folder: the folder itself or one opened below it. No path leads out of
 * the *directory it is given to*: an absolute path, one too many `..`, or a symbolic link that would leave, is
 * -ERRNO.PERM. Everything that changes the host waits for a durable checkpoint and so is WOULD_BLOCK at first. A
 * read-only folder answers -ERRNO.ROFS.
 */
export interface HostDirectory {
  readonly kind: 'directory';
  readonly id: number;
  readonly readOnly: boolean;
  /** Opens a regular file or directory; other kinds are -ERRNO.NOTSUP. The object must be closed. */
  open(op: Operation, path: Uint8Array, options: HostOpenOptions): HostDirectory | HostFile | number;
  /** The path's own attributes; an empty path is the directory itself. */
  stat(path: Uint8Array, follow: boolean): HostStat | number;
  setTimes(op: Operation, path: Uint8Array, follow: boolean, times: HostTimes): number;
  makeDirectory(op: Operation, path: Uint8Array): number;
  removeDirectory(op: Operation, path: Uint8Array): number;
  unlink(op: Operation, path: Uint8Array): number;
  rename(op: Operation, path: Uint8Array, to: HostDirectory, toPath: Uint8Array): number;
  link(op: Operation, path: Uint8Array, follow: boolean, to: HostDirectory, toPath: Uint8Array): number;
  /** The target is stored as given. An absolute one is -ERRNO.PERM. */
  symlink(op: Operation, target: Uint8Array, path: Uint8Array): number;
  readlink(path: Uint8Array): Uint8Array | number;
  /** What is in the directory now, sorted by name bytes, without `.` and `..`. */
  list(): HostEntry[] | number;
  sync(op: Operation): number;
  /** Gives the object up; its id is not used again. The granted folder itself stays. */
  close(): void;
}

/**
 * An open regular file of the host. Writes are queued and go to the host when their checkpoint is durable; reads and
 * sizes include what is queued, so the guest sees its own writes at once.
 */
export interface HostFile {
  readonly kind: 'file';
  readonly id: number;
  /** Bytes read at `offset`, 0 at or past the end, or -errno. Never WOULD_BLOCK. */
  read(into: Uint8Array, offset: number): number;
  /** Bytes taken, -errno, or WOULD_BLOCK while the queue is full. Appending is writing at `size()`. */
  write(op: Operation, from: Uint8Array, offset: number): number;
  /** Size in bytes, or -errno. */
  size(): number;
  stat(): HostStat | number;
  setSize(op: Operation, size: number): number;
  setTimes(op: Operation, times: HostTimes): number;
  /** 0 when everything written before is on the host's disk. */
  sync(op: Operation): number;
  close(): void;
}

/** A listening socket granted by the user. After a restart it listens again. */
export interface Listener extends Waitable {
  readonly kind: 'listener';
  readonly id: number;
  /** The next connection, -errno, or WOULD_BLOCK. */
  accept(): Socket | number;
  close(): void;
}

/** A connected stream socket. A connection does not outlive the process: after a restart it is -ERRNO.CONNRESET. */
export interface Socket extends Waitable {
  readonly kind: 'socket';
  readonly id: number;
  /** Bytes received, 0 after the peer's end, -errno, or WOULD_BLOCK. With `peek` they stay to be read again. */
  receive(into: Uint8Array, peek: boolean): number;
  /** Bytes taken, -errno, or WOULD_BLOCK. They get out when durable. */
  send(from: Uint8Array): number;
  /** Ends one or both directions: 0 or -errno. What was sent before still gets out. */
  shutdown(receive: boolean, send: boolean): number;
  close(): void;
}

export type PortObject = HostDirectory | HostFile | Listener | Socket;

/** Time of the host, in nanoseconds. Monotonic time that goes on over restarts is the kernel's, made from this. */
export interface Clock {
  /** Since 1970-01-01 UTC. */
  realtimeNs(): bigint;
  /** From an arbitrary start; never goes back within one process. */
  monotonicNs(): bigint;
  /** Smallest step to be expected of either. */
  readonly resolutionNs: bigint;
}

export interface Random {
  /** Fills with bytes fit for keys. */
  fill(into: Uint8Array): void;
}

/** What a program asks of an object that is served outside (abi/ring.ts OPERATION). */
export interface ServedRequest {
  readonly operation: number;
  readonly method: number;
  readonly options: number;
  readonly offset: bigint;
  /** A copy of what it gives: `givenFirst` bytes, then those of the second buffer. */
  readonly given: Uint8Array;
  readonly givenFirst: number;
  /** Bytes there is room for. */
  readonly room: number;
  readonly badge: bigint;
  /** RIGHT bits of the capability it came through. */
  readonly rights: number;
  /** The other folder of a rename or link: 0 for the named object, else the number of what was opened; null where it is the same. */
  readonly other: number | null;
}
export interface ServedAnswer {
  /** From 0 up, or -errno. */
  readonly result: number;
  readonly value: bigint;
  /** For what there is room for; what does not fit is left out. Of map, the bytes of the new segment. */
  readonly data: Uint8Array;
  /** What was opened: its type (FILE_TYPE), and how it is known to the object that was served, over restarts. */
  readonly opened?: { readonly type: number; readonly key: string } | undefined;
}
export interface ServedPort {
  /**
   * The domain of the operation is woken when there is an answer; then this is called again. What is asked has the number that
   * becomes the operation's effect.
   * @param isOpened the object is not one that was named, but one that such a one opened
   */
  ask(
    op: Operation,
    object: number,
    isOpened: boolean,
    request: () => ServedRequest,
  ): ServedAnswer | typeof WOULD_BLOCK;
  /** Nobody waits for the answer to this request any more. */
  cancel(id: number): void;
  /** What was opened by a request, of this object, is held from now on. False where there is no room. */
  keep(id: number, of: number, isOpened: boolean, key: string): boolean;
  /** Nobody holds any more what this request opened. */
  release(id: number): void;
  /** The number of the named object that an object belongs to; 0 for one that is gone. */
  rootOf(object: number, isOpened: boolean): number;
}

/** All that a personality is given of the outside. Which objects a domain may use, its own tables say. */
export interface Ports {
  readonly clock: Clock;
  readonly random: Random;
  /** The standard streams of a domain; the same objects each time. */
  console(domain: number): ConsoleStreams;
  /** Objects that whoever embeds the space serves. */
  readonly served?: ServedPort;
  /** The object with this id, or undefined where there is none (it was closed, or a guest made the id up). */
  object(id: number): PortObject | undefined;
}

/**
 * What the core does with a driver. All on the core's thread.
 *
 * - `cut(seq)`: at a safepoint, just before the pages of checkpoint `seq` are collected.
 * - `durable(seq)`: that checkpoint is durable: what was caused before its cut may leave now.
 * - `wantsCheckpoint()`: something waits for the next checkpoint.
 * - `settled()`: nothing is on its way out: no bytes held back by a slow reader, no effect half done.
 */
export interface Driver {
  cut(seq: number): void;
  durable(seq: number): void;
  wantsCheckpoint(): boolean;
  settled(): boolean;
  close(): Promise<void>;
}

/** How drivers wake a domain that waits. Wired to the kernel. */
export type Wake = (domain: number) => void;
