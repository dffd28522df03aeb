/**
 * Objects and capabilities as programs see them. Every operation is on an object; a program names one by a *handle*, a
 * place in its own capability list, so that no number it makes up names anything that it was not given.
 *
 * A call of `KERNEL_MODULE` gives a result from 0 up, or -errno (abi/errno.ts): BADF no such handle, REVOKED, GONE, LEFT,
 * NOTCAPABLE the capability lacks a right, FAULT a pointer outside of memory, INVAL an object of another kind or an argument
 * that makes no sense, DQUOT more than the caller may have. Each decodes its arguments first, and may refuse; then it acts,
 * and cannot fail half way.
 *
 *     cap_copy(handle, rights) -> handle           the same capability once more, with those of the rights that it has
 *     cap_derive(handle, rights, badge: i64) -> handle
 *                                                  one that is revoked apart; badge 0: that of the old one. Needs `derive`;
 *                                                  NOTCAPABLE too where the old one has a badge, DEPTH when nested too deep
 *     cap_close(handle) -> 0                       gives the place back
 *     cap_revoke(handle) -> 0                      ends all other copies, and whatever was derived. Needs `revoke`
 *     cap_describe(handle, pointer) -> 0           writes DESCRIPTION_BYTES
 *     cap_count() -> n                             places in use
 *     cap_sturdy(handle, rights, pointer) -> STURDY_BYTES
 *                                                  writes a text that gives a copy back (below). Needs `share`
 *     cap_restore(pointer, length) -> handle       what such a text stands for; INVAL no such text, NOENT
 *     sturdy_forget(pointer, length) -> 0          ends the text; NOTCAPABLE where another account pays for it
 *     granted(pointer, length) -> handle           the one granted under this name (UTF-8); NOENT
 *
 * Anyone may import these calls: they reach nothing but what the caller's list holds.
 */
import { assert } from '../base/assert.ts';

/** The module from which programs import the kernel's calls. */
export const KERNEL_MODULE = 'perdure_kernel';

/** The calls among them by which a program maps segments: one that imports such a call is compiled with windows. */
export const MAPPING_CALLS: readonly string[] = ['seg_map'];

/** Kinds of object. Numbers are part of the checkpoint. */
export const OBJECT = {
  domain: 1,
  program: 2,
  /** A procedure of a domain. */
  gate: 3,
  segment: 4,
  ring: 5,
  /** What a domain serves objects with. */
  table: 6,
  /** An object that a domain serves: of a table, known to its server by a number. */
  served: 7,
  /** An object of the host, reached through a port: a folder, a stream, the clock. */
  host: 8,
  /** A file or folder of the space's tree. */
  node: 9,
  waitSet: 10,
  /** A kind of capability whose meaning a domain supplies. */
  kind: 11,
  activation: 12,
  /** A share of what domains may use. */
  account: 13,
} as const;
export type ObjectKind = (typeof OBJECT)[keyof typeof OBJECT];

/** What a capability allows. Rights only ever shrink. */
export const RIGHT = {
  read: 1,
  write: 2,
  /** Calling it: gates, invoke. */
  invoke: 4,
  /** Mapping it into one's addresses. */
  map: 8,
  /** Passing it to other domains. */
  share: 16,
  /** Making capabilities of it that are revoked apart. */
  derive: 32,
  /** Revoking what was copied or derived of it. */
  revoke: 64,
  /** What its owner does: stop, destroy, grow, seal, freeze. */
  manage: 128,
} as const;
export const RIGHTS_ALL = 255;

/** What cap_describe writes: u32 kind, u32 rights, u64 badge, the id (16 bytes, in the order of its text). */
export const DESCRIPTION_BYTES = 32;

/**
 * A sturdy reference: `perdure:`, the object's id in 32 hexadecimal digits, `:`, 32 secret bytes in base64url; ASCII. Who has
 * the text has the capability, in any domain, after a restart, and where the object was carried to.
 */
export const STURDY_BYTES = 84;

/**
 * A handle: the place in the list, and how often that place had been given back before. Never negative as i32, and never 0:
 * a call that can do without an object takes 0 for none. A number comes back only after HANDLE_TAGS times as many others
 * as the domain may have capabilities.
 */
export const HANDLE_INDEX_BITS = 20;
export const HANDLE_TAGS = 2048;
export const handleOf = (index: number, tag: number): number => tag * 2 ** HANDLE_INDEX_BITS + index;
export const handleIndex = (handle: number): number => handle & (2 ** HANDLE_INDEX_BITS - 1);
export const handleTag = (handle: number): number => handle >>> HANDLE_INDEX_BITS;

assert(2 ** HANDLE_INDEX_BITS * HANDLE_TAGS === 2 ** 31, 'a handle is an i32 that is not negative');
