/**
 * The plain data that crosses threads and the control socket: what is asked of a space and what it answers. Types
 * only; everything here survives JSON, except bytes, which travel beside it.
 */
import type { ResourceName } from '../abi/account.ts';
import type { RIGHT } from '../abi/objects.ts';

/** What a domain is doing, as people see it. */
export type DomainState =
  /** It has or waits for the processor. */
  | 'running'
  /** It waits for time, input, an answer, a slow reader of its output, or to be called. */
  | 'waiting'
  /** It does not run now, and goes on from where it was with `perdure up`. */
  | 'suspended'
  /** It ended; see `exitCode` and `reason`. */
  | 'exited';

/** What is known of a program at a glance. Times in milliseconds of processor time, sizes in bytes. */
export interface DomainSummary {
  readonly id: number;
  readonly name: string;
  readonly state: DomainState;
  /** Exit code for a shell, once it has ended: its own, or 134 trap, 137 processor time, 143 stopped. */
  readonly exitCode: number | null;
  /** Why it ended, where it did not end by itself. */
  readonly reason: string | null;
  readonly cpuMs: number;
  readonly cpuLimitMs: number | null;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  /** SHA-256 of the program as it was given, in hex. */
  readonly program: string;
  readonly arguments: readonly string[];
  readonly detached: boolean;
  readonly volatile: boolean;
  /** Where its code runs. */
  readonly isolation: Isolation;
  /** It was started with memory mapped for it (`MapGrant`). */
  readonly windows: boolean;
  /** It has nothing to do by itself, and waits to be called. */
  readonly idle: boolean;
}

/** What keeps a program in: the checks in its code, in one space with others; or a process of its own as well. */
export type Isolation = 'space' | 'process';

/** What else a program may be granted: the compiler, to make code at run time (abi/made.ts). */
export type GrantName = 'compiler';

/** A right that a capability may have: names of abi/objects.ts RIGHT. */
export type RightName = keyof typeof RIGHT;

/** Where a capability comes from. */
export type GrantSource =
  /** A program of the space, by name. */
  | { readonly kind: 'domain'; readonly name: string }
  /** One procedure of a program. */
  | { readonly kind: 'gate'; readonly name: string; readonly procedure: string }
  /** The clock, the random source of the host. */
  | { readonly kind: 'clock' | 'random' }
  /** What the owner of the space serves, or has served, under a name. */
  | { readonly kind: 'served'; readonly name: string }
  /** One that is held for the owner of the space, by its number. */
  | { readonly kind: 'held'; readonly id: number }
  /** What a program was granted, or has mapped, under a name. */
  | { readonly kind: 'granted'; readonly name: string; readonly as: string }
  /** What a sturdy reference stands for. */
  | { readonly kind: 'sturdy'; readonly text: string };

/** A capability for a program, under a name by which it asks for it. */
export interface ImportGrant {
  readonly name: string;
  readonly from: GrantSource;
  /** All but `revoke` where they are not given. */
  readonly rights?: readonly RightName[] | undefined;
}

/** What memory is mapped for a program: of its own, but for segments that there are already, which it shares. */
export type MapSource =
  | { readonly kind: 'zeros'; readonly bytes: number }
  /** A copy of these bytes. From another process they do not come: there it is a file. */
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** A copy of a file of the host as it is then; an absolute path. */
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'segment'; readonly from: GrantSource };

/**
 * Memory for a program that need not know of it: mapped before it begins, with address and size (bytes) in its environment as
 * `PERDURE_MAP_NAME=0xADDRESS,SIZE`. It has the segment under that name, too.
 */
export interface MapGrant {
  /** A letter or `_`, then letters, digits and `_`. */
  readonly name: string;
  readonly from: MapSource;
  readonly readOnly: boolean;
}

/** A mapped part of a segment. */
export interface MappingReport {
  /** Near address, and length in bytes. */
  readonly address: number;
  readonly bytes: number;
  /** Where in the segment it begins. */
  readonly offset: number;
  readonly writable: boolean;
  /** The segment's id, 32 hexadecimal digits. */
  readonly object: string;
}

/** What a capability derived of another has: rights that both have, and a badge where that one has none. */
export interface Narrowing {
  readonly rights: readonly RightName[];
  readonly badge: bigint;
}

/** A value as people write it; what it means is known where the procedure's types are (`written.ts`). */
export interface WrittenValue {
  readonly written: string;
}
/** A value for a procedure: of i32, f32, f64 a number, of i64 a bigint, of v128 16 bytes; or a capability. */
export type CallValue = number | bigint | Uint8Array | Omit<ImportGrant, 'name'> | WrittenValue;
/** A value of a procedure; of a capability the number under which it is held, null where it gave none. */
export type CallResult = number | bigint | Uint8Array | { readonly held: number | null };
/** What came of a call: its results, or an errno. */
export interface CallAnswer {
  readonly errno: number;
  readonly values: readonly CallResult[];
}

/** A place in a program's list of capabilities. */
export interface CapabilityReport {
  /** The number by which the program uses it. */
  readonly handle: number;
  /** What it was granted as, where it was. */
  readonly name: string | null;
  /** What it is to: domain, gate, segment, ring, table, served, host, node, …; null where that is not known any more. */
  readonly kind: string | null;
  /** 'good'; 'asks' where a kind is asked before each use; or why it cannot be used: REVOKED, GONE, LEFT. */
  readonly state: string;
  readonly rights: readonly RightName[];
  /** A decimal number of 64 bits; 0 for none. */
  readonly badge: string;
  /** The object's id, 32 hexadecimal digits. */
  readonly object: string | null;
}

/** What a program, with those that share its account, uses and may use; null for no limit. */
export type AccountReport = Readonly<
  Record<ResourceName, { readonly used: number; readonly limit: number | null }>
>;

/** A folder of the host for a program. `host` is absolute. */
export interface DirGrant {
  readonly host: string;
  readonly guest: string;
  readonly readOnly: boolean;
}

export interface RunRequest {
  /** The name to have. `exact`: refuse if it is taken; else a number is added. */
  readonly name: string;
  readonly exact: boolean;
  /** Arguments, the program's name first. */
  readonly arguments: readonly string[];
  readonly environment: readonly string[];
  readonly dirs: readonly DirGrant[];
  /** Addresses (`HOST:PORT` or `unix:PATH`) of listening and of connected sockets it gets, in this order. */
  readonly listen: readonly string[];
  readonly connect: readonly string[];
  readonly memoryLimitBytes: number | null;
  /** Most bytes on their way out: written, and not out yet. */
  readonly outboxLimitBytes: number | null;
  readonly cpuLimitMs: number | null;
  readonly detached: boolean;
  readonly volatile: boolean;
  readonly trapUnknownImports: boolean;
  readonly grants: readonly GrantName[];
  readonly imports: readonly ImportGrant[];
  readonly maps: readonly MapGrant[];
  readonly isolation: Isolation;
  /** The program's source map as `compactMap` gives it; kept with the program, for call stacks. */
  readonly sourceMap?: Uint8Array | undefined;
}

/** How a domain ended. */
export interface ExitReport {
  readonly id: number;
  readonly name: string;
  readonly exitCode: number;
  readonly reason: string | null;
  /** Its call stack, where it ended by a trap, an exception or a limit; innermost first. */
  readonly frames: readonly CallFrame[];
  /** Frames left out of the middle of a deep stack, and how many of `frames` come before them. */
  readonly omitted: number;
  readonly omittedAt: number;
  /** More may be left out than `omitted`: the stack was too deep to be counted. */
  readonly atLeast?: boolean;
}

/**
 * Something that has happened in a space and is durable: it stays so over kill -9. Programs are named by `id`, which is
 * never used again, and `name`.
 */
export type SpaceEvent =
  /** A program was started, or came from elsewhere. */
  | { readonly kind: 'spawned'; readonly id: number; readonly name: string }
  /** It ended, and everything it wrote is out as far as it has somewhere to go. */
  | { readonly kind: 'ended'; readonly id: number; readonly name: string; readonly report: ExitReport }
  /** Somebody suspended it, or let it go on. Not told when the space is closed and opened. */
  | { readonly kind: 'suspended'; readonly id: number; readonly name: string }
  | { readonly kind: 'resumed'; readonly id: number; readonly name: string }
  /** It is not in the space any more. */
  | { readonly kind: 'removed'; readonly id: number; readonly name: string }
  /** A checkpoint has become durable. Their numbers go up by one. */
  | { readonly kind: 'checkpoint'; readonly number: number }
  /** No program is left that could go on by itself or by input. */
  | { readonly kind: 'idle' }
  /** Something people should know, such as a full disk, in one line. */
  | { readonly kind: 'problem'; readonly text: string };

/** One function on a program's call stack. */
export interface CallFrame {
  /** -1 where it is not known any more. */
  readonly functionIndex: number;
  readonly functionName: string;
  /** Byte offset of the instruction in the program; 0 in an imported function, and where it is not known. */
  readonly offset: number;
  /** It was inlined into the function of the next frame. */
  readonly inlined: boolean;
  /** It is of code that the program made at run time: the number of its module. */
  readonly made?: number;
  /** From the program's DWARF or source map, where it has one. Column 0 where it is not told. */
  readonly source: { readonly file: string; readonly line: number; readonly column: number } | null;
}

/** A frame with its values: text, as they would be written in the program. */
export interface FrameReport extends CallFrame {
  readonly locals: readonly ValueReport[];
  readonly operands: readonly ValueReport[];
}

/** A value of a frame as text. */
export interface ValueReport {
  readonly name: string;
  readonly type: string;
  readonly value: string;
}

/** A call stack with its values. */
export interface StackReport {
  /** Innermost first. Of a program that has ended badly: where it did, without values. */
  readonly stack: readonly FrameReport[];
  /** Frames left out of the middle of `stack` because there are too many, and how many come before them. */
  readonly omitted: number;
  readonly omittedAt: number;
  /** More may be left out than `omitted`. */
  readonly atLeast?: boolean;
}

/** What a call has led to in another program: its name, and the call's stack there. */
export interface ReachedReport extends StackReport {
  readonly name: string;
}

/** A call of one of a program's procedures that is not over, and its stack there. */
export interface VisitReport extends StackReport {
  /** The program that called; null where the owner of the space did, or whoever called is gone. */
  readonly caller: string | null;
  /** Null where it is asked as a kind of capabilities. */
  readonly procedure: string | null;
  /** It waits until it may begin. */
  readonly waiting: boolean;
  /** What it has called from here, innermost first. */
  readonly calls: readonly ReachedReport[];
}

/** All that can be seen of a program that is held still. */
export interface Inspection extends DomainSummary, StackReport {
  /** Checkpoint this was read from. */
  readonly checkpoint: number;
  readonly memories: readonly { readonly bytes: number }[];
  /** Modules it has made at run time, where it may make any; `released` are those it has let go. */
  readonly made?: { readonly modules: number; readonly released: number; readonly codeBytes: number };
  /** What it has, by handle; of many the first. */
  readonly capabilities: readonly CapabilityReport[];
  readonly capabilityCount: number;
  /** Memory of segments that it sees; of many the first. */
  readonly mappings: readonly MappingReport[];
  /** Null where it has ended. */
  readonly account: AccountReport | null;
  /** Where it is in other programs, by what it has called: innermost first. `stack` is its own. */
  readonly calls: readonly ReachedReport[];
  /** Calls of its procedures by others; of many the first. */
  readonly visits: readonly VisitReport[];
  readonly visitCount: number;
}

/** What a shell is told for each way to end. */
export const EXIT = {
  own: 125,
  refused: 126,
  notFound: 127,
  interrupted: 130,
  trapped: 134,
  cpuLimit: 137,
  stopped: 143,
} as const;

/** What lies at a path of a program's own folder. */
export type FilesReport =
  | { readonly kind: 'file'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'folder';
      readonly entries: readonly {
        readonly name: string;
        readonly type: 'file' | 'folder' | 'link';
        readonly size: number;
      }[];
    };

/** All that can be asked of a space, whoever owns it: this process (`host.ts`) or another (`remote.ts`). */
export interface SpaceApi {
  list(): Promise<DomainSummary[]>;
  /** Installs the program and starts it. `step` is told what takes long, and '' when that is over. */
  run(request: RunRequest, program: Uint8Array, step: (text: string) => void): Promise<DomainSummary>;
  /** Lets suspended programs go on: the named ones, or all. */
  resume(names: readonly string[] | null): Promise<void>;
  /** Holds a program where it is until it is resumed. */
  suspend(name: string): Promise<void>;
  inspect(name: string): Promise<Inspection>;
  /** Looks into a program's own folder. */
  files(name: string, path: string): Promise<FilesReport>;
  /** Calls a procedure of a program. Capabilities that it gives are not kept for whoever asks from another process. */
  call(name: string, procedure: string, values: readonly WrittenValue[]): Promise<CallAnswer>;
  /** Ends a program. It stays in the list as exited. */
  stop(name: string): Promise<void>;
  remove(name: string, options: RemoveOptions): Promise<void>;
  /** A program as one file. Without `keep` it is suspended here in that state. */
  export(name: string, keep: boolean): Promise<Uint8Array>;
  import(archive: Uint8Array, options: ImportOptions): Promise<DomainSummary>;
  close(): Promise<void>;
}

export interface ImportOptions {
  /** What to call it here; null for its old name. */
  readonly name: string | null;
  /** Where the folders of the host that it had are here. */
  readonly dirs: readonly DirGrant[];
  readonly grants: readonly GrantName[];
  readonly imports: readonly ImportGrant[];
  readonly isolation: Isolation;
}

/** How a program is removed. */
export interface RemoveOptions {
  /** Also when it has not ended. */
  readonly force: boolean;
  /** Its folder stays in the space. */
  readonly keepFiles: boolean;
}
