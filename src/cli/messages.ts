/**
 * What the thread that owns the store and the core's thread say to each other. Types only. Bytes are transferred, not
 * copied. The core never learns of folders' locks or sockets; the owner never touches kernel state.
 */
import type { CompiledShare } from '../compiler/index.ts';
import type { ReleasePolicy } from '../drivers/release.ts';
import type { Notice, Outgoing } from '../drivers/served.ts';
import type { ServedAnswer } from '../kernel/ports.ts';
import type { ProgramForm } from '../kernel/program.ts';
import type { DomainSummary, SpaceEvent } from './types.ts';

/** An installed program on its way to the core. */
export interface InstalledProgram {
  /** SHA-256 of the program as shipped, in hex. */
  readonly hash: string;
  readonly original: Uint8Array;
  readonly rewritten: Uint8Array;
  readonly form: ProgramForm;
  /** Its source map, where it came with one. */
  readonly sourceMap?: Uint8Array | undefined;
  /** The rewritten module compiled, where that is done already. */
  readonly program?: WebAssembly.Module;
}

/** What the installer's thread is given. */
export interface InstallerTask {
  readonly original: Uint8Array;
  readonly form: ProgramForm;
}

/** What the installer's thread says. */
export type InstallerMessage =
  | { readonly kind: 'step'; readonly text: string }
  | { readonly kind: 'failed'; readonly error: unknown }
  | {
      readonly kind: 'done';
      readonly rewritten: Uint8Array<ArrayBuffer>;
      readonly program?: WebAssembly.Module;
    };

/** What a thread that helps the installer is given: a share, `part` of 0 … `of` - 1. */
export type HelperTask =
  | {
      readonly kind: 'compile';
      readonly bytes: Uint8Array;
      readonly form: ProgramForm;
      readonly part: number;
      readonly of: number;
    }
  | { readonly kind: 'verify'; readonly bytes: Uint8Array; readonly part: number; readonly of: number };

/** What it answers. */
export type HelperAnswer =
  | { readonly kind: 'compiled'; readonly share: CompiledShare }
  | { readonly kind: 'verified' }
  | { readonly kind: 'failed'; readonly error: unknown };

/** What the owner asks of a segment: a new one (a number of zeros, or a copy of these bytes), or of one that it holds. */
export type SegmentRequest =
  | { readonly what: 'make'; readonly init: number | Uint8Array }
  | { readonly what: 'size'; readonly id: number }
  | { readonly what: 'read'; readonly id: number; readonly offset: number; readonly length: number }
  | { readonly what: 'write'; readonly id: number; readonly offset: number; readonly bytes: Uint8Array };

/** Pages of a checkpoint: page n of `pages` is bytes [n * PAGE_BYTES, …) of `data`. */
export interface PageChunk {
  readonly pages: Uint32Array;
  readonly data: Uint8Array;
}

/** How the core is started. */
export interface CoreStart {
  readonly id: Uint8Array;
  /** The checkpoint to go on from; empty for a new space. */
  readonly chunks: readonly PageChunk[];
  /** Hashes of the stored pages, kept by the core from now on, and their key; none where nothing is written. */
  readonly hashes: { readonly words: Uint32Array; readonly key: Uint8Array } | undefined;
  readonly programs: readonly InstalledProgram[];
  /** The domains as the last checkpoint's small record has them. */
  readonly domains: readonly DomainSummary[];
  /** The release log as it was. */
  readonly released: ReadonlyMap<string, number>;
  readonly resume: 'all' | 'detached' | 'none';
  readonly policy: ReleasePolicy;
  readonly checkpointEveryMs: number;
  /** Programs of this host share the standard streams of this process. */
  readonly stdio: boolean;
  /** No program runs, but the space can be changed. */
  readonly paused: boolean;
  /** Nothing may change: no program runs, no checkpoint is made. */
  readonly readOnly: boolean;
}

export type ToCore =
  | { readonly kind: 'reply'; readonly id: number; readonly answer: ServedAnswer }
  | { readonly kind: 'ask'; readonly id: number; readonly op: string; readonly args: unknown }
  | { readonly kind: 'durable'; readonly seq: number }
  | { readonly kind: 'logged'; readonly id: number }
  /** A client has taken what was sent last, or typed something, or went away, `taking`: with a piece in its hands. */
  | { readonly kind: 'taken'; readonly client: number }
  | { readonly kind: 'input'; readonly client: number; readonly bytes: Uint8Array }
  | { readonly kind: 'detach'; readonly client: number; readonly taking: boolean };

/** A checkpoint to be made durable. */
export interface CutMessage extends PageChunk {
  readonly kind: 'cut';
  readonly seq: number;
  readonly freed: Uint32Array;
  /** Hashes of the pages, two words each, where the core has taken them. */
  readonly hashes?: Uint32Array;
  /** What can be told of the space without its pages: `CheckpointMeta` as JSON. */
  readonly meta: string;
}

export type FromCore =
  | CutMessage
  | { readonly kind: 'ready'; readonly memory: WebAssembly.Memory }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'answer'; readonly id: number; readonly value?: unknown; readonly error?: unknown }
  /** Whether code runs: then the safepoint word is raised at each tick. */
  | { readonly kind: 'busy'; readonly busy: boolean }
  /** The release log is to be written; answered by `logged`. */
  | { readonly kind: 'log'; readonly id: number; readonly key: string; readonly position: number }
  | { readonly kind: 'output'; readonly client: number; readonly stderr: boolean; readonly bytes: Uint8Array }
  /** A program asks for something of an object that the owner serves; answered by `reply`. */
  | { readonly kind: 'request'; readonly request: Outgoing }
  | { readonly kind: 'notice'; readonly notice: Notice }
  /** Something happened that `HostEvents` tells of. `again`: it is told once more, to whoever has come since. */
  | { readonly kind: 'event'; readonly event: SpaceEvent; readonly again?: boolean };

/** The small record beside the pages of a checkpoint. */
export interface CheckpointMeta {
  readonly version: 1;
  readonly domains: readonly DomainSummary[];
  /** Hashes of programs that domains may make domains of. */
  readonly programs?: readonly string[];
}
