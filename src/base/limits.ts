/**
 * Every limit of the system in one file, with the relations between them asserted at load. Units are in the names.
 * A number that bounds anything belongs here, not beside its use.
 *
 * Why: RATIONALE.md#limits-are-in-one-file
 */
import { assert } from './assert.ts';

/** A page: the unit of change tracking and of the store, in bytes. */
export const PAGE_BYTES = 4096;
export const PAGE_SHIFT = 12;
/** A frame: the unit of allocation in the space; a WebAssembly page, in bytes. */
export const FRAME_BYTES = 65536;
export const FRAME_SHIFT = 16;
/** V8's largest memory64: 16 GiB. */
export const SPACE_MAX_FRAMES = 262144;
/** What a rewritten module declares as the least size of the space it imports; a space starts with this many. */
export const SPACE_MIN_FRAMES = 1024;
/** With less than this part of its most frames left, a space gives those up that can be read again: one in so many. */
export const SPACE_LOW_PART = 8;

/** Near addresses from here up are windows; the private memory of a domain ends below, in bytes. */
export const WINDOW_BASE = 0x8000_0000;
/** The most private memory of a domain with wasm32 memory, in WebAssembly pages. */
export const MEMORY32_MAX_PAGES = WINDOW_BASE / FRAME_BYTES;
/** The most private memory of a domain with wasm64 memory, in WebAssembly pages: what could fit in the space at all. */
export const MEMORY64_MAX_PAGES = SPACE_MAX_FRAMES;
/** What a domain may use when nobody says otherwise, in bytes. */
export const DEFAULT_MEMORY_LIMIT_BYTES = 1 << 30;

/** Most bytes that one call copies to or from a segment. */
export const SEGMENT_TRANSFER_MAX_BYTES = 1 << 24;
/** Largest segment kept in one heap block instead of frames, in bytes. */
export const SEGMENT_SMALL_BYTES = 16368;

/** Most memories of one module. */
export const MAX_MEMORIES = 16;
/** Most saved call stack of one activation, in bytes; past it the program gets wasm's stack exhaustion trap. */
export const FRAME_STACK_MAX_BYTES = 256 << 20;
/** First size of the extent that takes saved call stacks, in bytes. */
export const FRAME_STACK_FIRST_BYTES = FRAME_BYTES;
/** The native stack of a core's worker, in MiB: the deepest live recursion. */
export const CORE_STACK_MIB = 256;
/** Frames of the native stack that are looked at when a program traps; of deeper ones the outer end is not told. */
export const NATIVE_FRAMES_MAX = 100_000;
/** Native stack that must be left when a program calls the kernel, in bytes: what kernel code may use. */
export const HEADROOM_BYTES = 64 << 10;

/** Native stack that must be left for a call through a gate to go on at once, in bytes: what the callee may count on. */
export const GATE_HEADROOM_BYTES = 256 << 10;
/** Bytes of saved frames in other domains that may go beyond the memory limit of who calls them. */
export const GATE_FRAMES_FREE_BYTES = 64 << 10;
/** Most visits of one activation: domains that it is inside of at once. */
export const GATE_DEPTH_MAX = 256;
/** Longest name of a procedure, in characters, and most parameters or results of one. */
export const GATE_NAME_MAX = 64;
export const GATE_VALUES_MAX = 64;

/** Least size of a buffer that takes the pages of a checkpoint, and the largest that is kept for the next, in bytes. */
export const CUT_BUFFER_BYTES = 4 << 20;
export const CUT_BUFFER_KEEP_BYTES = 256 << 20;

/** Largest program accepted, in bytes. */
export const MODULE_MAX_BYTES = 512 << 20;
/** V8's largest function, in bytes, and most locals of one, parameters included. */
export const FUNCTION_MAX_BYTES = 7_654_321;
export const LOCALS_MAX = 50_000;
/** Constructs open in one another, and operands on the stack, in one function: far more than any compiler makes. */
export const NESTING_MAX = 100_000;
export const OPERANDS_MAX = 1_000_000;
/** While programs run the owner asks the one that runs for a safepoint this often, in milliseconds. */
export const TICK_MS = 10;
/**
 * Where going on after a safepoint cost much because it was at a new place, the next ones come later: so many times the
 * cost; and where the machine gave a slice little of the processor. But no more than so many ticks.
 */
export const GRACE_RATIO = 10;
export const GRACE_TICKS_MAX = 10;
/** Bytes of resume modules kept for one program; past it they are forgotten, and made again when wanted. */
export const RESUME_MODULES_MAX_BYTES = 64 << 20;
/** Domains that keep an instance of their code while they are idle; those that ran least lately make theirs again. */
export const INSTANCES_MAX = 4096;
/** Code made at run time: most modules of a domain, bytes of one and of all of them, and results of a function. */
export const MADE_MODULES_MAX = 1024;
export const MADE_MODULE_MAX_BYTES = 1 << 20;
export const MADE_CODE_MAX_BYTES = 8 << 20;
export const MADE_RESULTS_MAX = 64;
/** Bytes of control area in which the modules of a domain that were made at run time keep globals and flags. */
export const MADE_STATE_BYTES = 32 << 10;
/** Longest text about a module that could not be made, in bytes. */
export const MADE_TEXT_BYTES = 1 << 10;
/** Modules made at run time that are kept to be made again without compiling: how many, and bytes of their code. */
export const MADE_CACHE_MODULES = 256;
export const MADE_CACHE_BYTES = 4 << 20;
/** Largest section of a program's debug information that is looked at, in bytes. */
export const DEBUG_SECTION_MAX_BYTES = 64 << 20;
/** Largest source map that is taken, in bytes. */
export const SOURCE_MAP_MAX_BYTES = 64 << 20;
/**
 * Bytes that a program's console and each of its connections take which have not got out yet, whatever its account may
 * have; then writes there block. Before its own count, at a console, as much is taken for all who write there.
 */
export const OUTBOX_MAX_BYTES = 1 << 20;
/** Most bytes of a program that go to a full console, as it empties, before it is the next program's turn. */
export const CONSOLE_TURN_BYTES = 4096;
/** Bytes of standard input that wait in the space to be read; more stays with the host. */
export const INBOX_MAX_BYTES = 65536;
/** Bytes a connection has received that nobody has read; more stays with the host. */
export const SOCKET_INBOX_MAX_BYTES = 256 << 10;
/** Connections that wait to be accepted; further ones are turned away. */
export const ACCEPT_QUEUE_MAX = 128;
/** Address space the data file of a store may fill, in bytes: a space written twice over, and its programs. */
export const STORE_MAP_BYTES = 2 ** 36;
/** Longest name of a section of an exported domain, and its largest piece with one checksum, in bytes. */
export const ARCHIVE_NAME_MAX_BYTES = 250;
export const ARCHIVE_PIECE_BYTES = 1 << 18;
/** Between the kernel and a program's own process: longest message, largest tables, longest text, in bytes. */
export const CHANNEL_MESSAGE_BYTES = 1 << 20;
export const CHANNEL_TABLES_BYTES = 64 << 20;
export const CHANNEL_TEXT_BYTES = 1 << 16;
/** So often in a row a program's own process may be lost before the program has come to a call; then it ends. */
export const PROCESS_DEATHS_MAX = 3;
/** Memory that a program's own process may use beside its program's, in bytes: Node, V8, compiled code, stacks. */
export const PROCESS_OVERHEAD_BYTES = 1 << 30;
/** Semaphores of which one call takes any; for more there are wait sets. */
export const WAIT_ANY_MAX = 256;
/**
 * Looking through those who wait, after something was revoked: so many at a time, and the next when so many times of what that
 * took have passed.
 */
export const LOOK_AGAIN_MOST = 64;
export const LOOK_AGAIN_RATIO = 20n;
/** Most that one wait on a wait set tells; the rest is left to the next. */
export const WAIT_SET_TOLD_MAX = 4096;
/** Longest name of a domain, in bytes of UTF-8. */
export const DOMAIN_NAME_MAX_BYTES = 64;

/** Places in capability lists and capability records, when nobody says otherwise; and most places in one list. */
export const DEFAULT_CAPABILITIES = 1 << 16;
export const CAPABILITIES_MAX = 2 ** 20 - 1;
/**
 * What a domain may use when nobody says otherwise: requests that wait, entries of rings, domains that it makes, bytes that
 * are on their way out.
 */
export const DEFAULT_REQUESTS = 4096;
export const DEFAULT_RING_ENTRIES = 1 << 16;
export const DEFAULT_DOMAINS = 1024;
export const DEFAULT_OUTBOX_BYTES = 16 << 20;
/** From safepoint to safepoint: so far a program goes on before it is carried elsewhere, to come back from calls of others. */
export const LEAVING_STEPS_MAX = 10_000;
/** How many times what an account may use can be divided. */
export const ACCOUNT_DEPTH_MAX = 16;
/** The oldest Node that can run this; package.json and bin/perdure.mjs say the same. */
export const NODE_NEEDED = 26;
/** Most capabilities derived of one another. */
export const CAPABILITY_DEPTH_MAX = 64;
/** Names under which a domain has been granted something: how many, and bytes of one. */
export const GRANTS_MAX = 1024;
export const GRANT_NAME_MAX_BYTES = 64;

/** Submissions a ring has room for, at most. */
export const RING_ENTRIES_MAX = 4096;
/** Most bytes one call of a personality moves to or from an object that a domain serves; the rest is left to the next. */
export const SERVED_TRANSFER_BYTES = 1 << 20;

/** Longest name in a directory of the file tree, in bytes. */
export const NAME_MAX_BYTES = 255;
/** Longest path, and longest target of a symbolic link, in bytes. */
export const PATH_MAX_BYTES = 4096;
/** Symbolic links followed on one path before it counts as a loop. */
export const LINK_DEPTH_MAX = 40;
/** Descriptors a domain may have open. */
export const OPEN_FILES_MAX = 4096;
/** Buffers of one vectored read or write that are looked at; the rest is left to the next call. */
export const IOVECS_MAX = 1024;
/** Most bytes one read or write moves, as Linux has it; the rest is left to the next call. */
export const TRANSFER_MAX_BYTES = 0x7fff_f000;

assert(1 << PAGE_SHIFT === PAGE_BYTES, 'PAGE_SHIFT belongs to PAGE_BYTES');
assert(1 << FRAME_SHIFT === FRAME_BYTES, 'FRAME_SHIFT belongs to FRAME_BYTES');
assert(FRAME_BYTES % PAGE_BYTES === 0, 'a frame is whole pages');
assert(SPACE_MIN_FRAMES <= SPACE_MAX_FRAMES, 'a space starts smaller than it may grow');
assert(MEMORY32_MAX_PAGES * FRAME_BYTES <= WINDOW_BASE, 'private memory ends below the windows');
assert(FRAME_STACK_FIRST_BYTES <= FRAME_STACK_MAX_BYTES, 'a stack starts smaller than it may grow');
