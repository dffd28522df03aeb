/**
 * Kinds: what it means to use, derive and revoke a capability, said by a domain. A kind is made of procedures of a domain
 * (gates); a capability of the kind stands before another one, which it leads to when the kind allows it. All calls are of
 * `KERNEL_MODULE`; results from 0 up, or -errno.
 *
 *     gate_own(pointer, length) -> handle          the caller's own procedure of this name, as a gate; NOENT
 *     gate_of(domain, pointer, length) -> handle   that of another domain (needs `invoke`), revoked with the capability to it; NOENT
 *     kind_create(check, derive, revoked) -> handle
 *                                                  a kind of these gates (need `invoke`); 0 for the last two where they say
 *                                                  nothing. INVAL a procedure of another type
 *     kind_wrap(kind, target, rights, badge: i64) -> handle
 *                                                  a capability of the kind before the one at `target` (needs `invoke` of the
 *                                                  kind, `derive` of the target), which the kind knows as `badge`
 *
 * The procedures, and when they are called:
 *
 *     check(badge: i64, rights: i32) -> i32        before each use, with the rights that the use needs (RIGHT; `invoke` for
 *                                                  a call through a gate): 0, or the errno that whoever uses it is told
 *     derive(badge: i64, rights: i32) -> i64       when one is derived of it: the badge of the new one, or -errno. Without
 *                                                  this procedure the new one has the same
 *     revoked(badge: i64)                          when it was revoked, and nothing more can be done about that
 *
 * The kind sees no arguments and no results: what it lets pass goes to the target as it is. Where its domain is gone,
 * stopped or traps, nothing passes: whoever uses the capability gets GONE, STOPPED or FAULTED. A use that waits may be
 * asked for again when it goes on.
 */

/** Letters of parameters and results as kernel/calls.ts writes them. */
export const KIND_PROCEDURES = { check: 'Ii=i', derive: 'Ii=I', revoked: 'I=' } as const;
