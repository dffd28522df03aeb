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
 * Calls of `KERNEL_MODULE`; times are ns, below 0 for ever. They give -FAULT for a pointer outside of memory, -INVAL for one
 * that is not aligned.
 *
 * - `sem_wait(semaphore, timeout)`: takes one, waiting where there is none. 0, or -TIMEDOUT; with a timeout of 0 it only tries.
 * - `sem_wake(semaphore)`: lets those who wait take what there is. How many have.
 * - `wait_any(pointers, count, timeout)`: takes one of the first of several semaphores that has one. `pointers` is a list of
 *   u32, at most WAIT_ANY_MAX. The index of the one taken, or -TIMEDOUT.
 */
export const SEMAPHORE = { count: 0, waiters: 4 } as const;
export const SEMAPHORE_BYTES = 8;
