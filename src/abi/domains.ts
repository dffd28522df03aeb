/**
 * How programs make domains and look after them. All calls are of `KERNEL_MODULE`; results from 0 up, or -errno.
 *
 *     program_own() -> handle                      the program that the caller runs
 *     domain_create(program, name, length, account, flags) -> handle
 *                                                  a domain of that program (needs `invoke`), in which nothing has run, and
 *                                                  which has nothing. Its name is the caller's, `/` and this one, or a
 *                                                  number where length is 0. `account` pays for it (needs `write`), with 0
 *                                                  that of the caller. `flags`: DOMAIN_FLAG. NOENT the program is not at hand,
 *                                                  NOEXEC it cannot run here, EXIST, INVAL and NAMETOOLONG the name, DQUOT
 *     domain_grant(domain, name, length, handle, rights) -> 0
 *                                                  gives it a copy under a name, for `granted` (needs `manage`, and `share` of
 *                                                  what is given)
 *     domain_start(domain, export, length) -> 0    it is to call that function, parameters zero (needs `manage`); NOENT no
 *                                                  such export, BUSY it has something to run, or has ended
 *     domain_stop(domain) -> 0                     suspends it (needs `manage`), whatever it is doing; who stops itself goes
 *                                                  on here when it is resumed. BUSY there is nothing to suspend
 *     domain_resume(domain) -> 0                   lets it go on (needs `manage`); BUSY it was not suspended
 *     domain_destroy(domain) -> 0                  ends it and gives everything back (needs `manage`)
 *     domain_wait(domain) -> 0                     waits till it has nothing to run (needs `read`)
 *     domain_status(domain, pointer) -> 0          writes DOMAIN_STATUS_BYTES (needs `read`)
 */

export const DOMAIN_FLAG = {
  /** It is destroyed when the domain that made it ends. Others live on. */
  linked: 1,
  /** Not part of checkpoints. What a volatile domain makes is. */
  volatile: 2,
  /** It goes on to exist when its function has returned or trapped, and can be started again. */
  resident: 4,
} as const;
export const DOMAIN_FLAGS_ALL = 7;

/**
 * What domain_status writes: u32 state (1 nothing to run, 2 ready, 3 running, 4 waits, 5 ended, 6 suspended, 7 only
 * its procedures can be called), u32 how it ended (0 not
 * yet, 1 exit, 2 trap, 3 a limit, 4 killed, 5 an exception), i32 exit code, u32 zero, u64 bytes of memory, u64 processor time in
 * microseconds.
 */
export const DOMAIN_STATUS_BYTES = 32;
