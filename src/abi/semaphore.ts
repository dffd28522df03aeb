/**
 * Semaphores as programs see them: two words in memory, a program's own or a segment's, aligned to 4.
 *
 *   +0  count    u32: how many can be taken
 *   +4  waiters  u32: 0 where nobody waits, and whoever gives need not tell the kernel
 *
 * To take: where the count is above 0, make it one less; else call `sem_wait`. To give: make the count more, then, where
 * `waiters` is not 0, call `sem_wake`. So nobody enters the kernel who does not have to wait or to wake somebody. Both words are
 * changed by atomic instructions, or, in a program without them, by plain ones with no call or loop head in between: there
 * alone another domain gets its turn.
 *
 * The kernel writes `waiters`, and takes off the count what it hands to those who wait, first come first served. Whoever shares
 * the words can write anything into them, and that hurts only those who share them.
 *
 * Who waits in a segment and may not use it any more is told so: -REVOKED, -GONE where the segment has ended, -ROFS where it was sealed,
 * -FAULT where it was unmapped. In a segment that somebody else keeps frozen one goes on to
 * wait, and nothing is given or changed there until it is thawed.
 *
 * Calls of `KERNEL_MODULE`; times are ns, below 0 for ever. They give -FAULT for a pointer outside of memory, -INVAL for one
 * that is not aligned, -NOTSUP in a process of its own, whose memory nobody shares.
 *
 * - `sem_wait(semaphore, timeout)`: takes one, waiting where there is none. 0, or -TIMEDOUT; with a timeout of 0 it only tries.
 * - `sem_wake(semaphore)`: lets those who wait take what there is. How many have.
 * - `wait_any(pointers, count, timeout)`: takes one of the first of several semaphores that has one. `pointers` is a list of
 *   u32, at most WAIT_ANY_MAX. The index of the one taken, or -TIMEDOUT.
 *
 * A **wait set** is an object that has any number of semaphores as members, each with a number of the program's. A wait on it
 * takes one of each semaphore that it tells, so that each that was given is told once, to one, and a member that has more is
 * told again by the next wait, after the other ones (it is the level that counts, and not what has changed). Those who wait for a
 * semaphore itself come before sets that have it. Each member counts as a capability of the domain that added it, and leaves
 * the set when that domain ends or may no longer use the memory in which it lies.
 *
 * - `waitset_create()`: a new set, with all rights. Its handle, or -DQUOT.
 * - `waitset_add(set, semaphore, number)`: the semaphore becomes a member. 0; -EXIST where it is one, -DQUOT. Wants the right
 *   `write`.
 * - `waitset_remove(set, semaphore)`: 0; -NOENT where it is none. Wants the right `write`.
 * - `waitset_wait(set, out, capacity, timeout)`: writes the numbers of members that one was taken of to `out`, u64 each. How many; 0
 *   when the time is up; -GONE when the set has ended. Wants the right `read`.
 */
export const SEMAPHORE = { count: 0, waiters: 4 } as const;
export const SEMAPHORE_BYTES = 8;
