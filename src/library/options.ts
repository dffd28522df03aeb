/** What can be said when a space is opened and a program is started. */
import type { DirGrant, GrantName, Isolation } from '../cli/types.ts';
import type { Grant, Grantable } from './capability.ts';
import type { Abortable } from './signal.ts';

/** How a space is opened. */
export interface SpaceOptions {
  /** Make the space where the folder is missing or empty. Default true. */
  readonly create?: boolean;
  /** Which programs go on at once: all of them (the default), those spawned as detached, or none. */
  readonly resume?: 'all' | 'detached' | 'none';
  /** The most running time a crash can take back, ms. Default 1000; output and answers never wait for it. */
  readonly checkpointEveryMs?: number;
  /** What becomes of output to a pipe or callback whose fate a crash has made unknown. Default 'at-least-once'. */
  readonly output?: 'at-least-once' | 'at-most-once';
  /** Only look at the last checkpoint; another process may own the space. Nothing runs, nothing can be changed. */
  readonly readOnly?: boolean;
  /** Told in one line what people should know, such as a full disk. */
  readonly problem?: (text: string) => void;
}

/** What a program is started with. What is not given here it does not have. */
export interface SpawnOptions extends Abortable {
  /** Default 'program'; a number is added where it is taken. */
  readonly name?: string;
  /** The program's name first. */
  readonly arguments?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Folders of the host. `host` is a path of this process, `guest` an absolute one of the program. */
  readonly dirs?: readonly DirGrant[];
  /** Addresses (`HOST:PORT`, `unix:PATH`) of sockets it is given: listening ones, then connected ones. */
  readonly listen?: readonly string[];
  readonly connect?: readonly string[];
  /** Most memory, bytes. Default 1 GiB. */
  readonly memoryLimitBytes?: number;
  /** Most bytes that it has written and that are not out yet (console, folders of the host, connections); further writes wait. Default 16 MiB. */
  readonly outboxLimitBytes?: number;
  /** Most processor time, ms. Default no limit. */
  readonly cpuLimitMs?: number;
  /** It ends with this process and is in no checkpoint. */
  readonly volatile?: boolean;
  /** See SpaceOptions.resume. */
  readonly detached?: boolean;
  /** Unknown imports trap when called, instead of being refused. */
  readonly trapUnknownImports?: boolean;
  /**
   * Capabilities, by the names under which the program asks for them: other programs of the space, capabilities that this
   * process holds, objects that it serves, the host's clock and random source. `stdin`, `stdout` and `stderr` stand for the
   * program's standard streams; a name that begins with `/` is where it sees a folder.
   */
  readonly imports?: Readonly<Record<string, Grant>>;
  /**
   * Memory that is mapped for it before it begins, which it need not know of Perdure to use: its environment has
   * `PERDURE_MAP_NAME=0xADDRESS,SIZE` for each. Names are a letter or `_`, then letters, digits and `_`. What is made for it counts as
   * its memory; a `Segment` is shared with all who have it.
   */
  readonly map?: Readonly<Record<string, Mappable>>;
  /** What else it is given: the compiler, with which it can make code at run time (README). */
  readonly grants?: readonly GrantName[];
  /**
   * What keeps it in: its checked code, in this process with others ('space', the default), or a process of its own as
   * well ('process').
   */
  readonly isolation?: Isolation;
  /** The program's source map (JSON), for call stacks; kept with the program. One with DWARF needs none. */
  readonly sourceMap?: Uint8Array;
  readonly stdout?: OutputCallback;
  readonly stderr?: OutputCallback;
}

/** What can be mapped: so many bytes of zeros, a copy of these bytes, or a segment; `readOnly` where it is not to be written there. */
export type Mappable =
  | number
  | Uint8Array
  | Grantable
  | { readonly of: number | Uint8Array | Grantable; readonly readOnly?: boolean };

/** How a program that was exported is taken in. */
export interface ImportOptions extends Abortable {
  /** Default its old one. */
  readonly name?: string;
  /** Where the folders of the host that it had are here. */
  readonly dirs?: readonly DirGrant[];
  /** As for `spawn`. */
  readonly isolation?: Isolation;
  readonly grants?: readonly GrantName[];
  readonly imports?: Readonly<Record<string, Grant>>;
}

/** How a program is installed. */
export interface InstallOptions extends Abortable {
  /** For programs that memory is mapped for (`SpawnOptions.map`), where they do not map any themselves. */
  readonly windows?: boolean;
}

/** Takes what a program wrote, once that is durable. The next piece comes when it (or its promise) has returned. */
export type OutputCallback = (bytes: Uint8Array) => void | Promise<void>;

/** A program that has been compiled and verified, and is kept in the space. */
export interface Program {
  /** SHA-256 of its bytes, hexadecimal. */
  readonly hash: string;
  readonly bytes: Uint8Array;
}
