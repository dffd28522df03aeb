/*
 * Wait sets: any number of semaphores to wait for together, each with a number of the program's. What a wait tells, it has taken one of:
 * each that was given is told once. A semaphore that has more is told again, after the others.
 */
#ifndef PERDURE_WAITSET_H
#define PERDURE_WAITSET_H

#include "semaphore.h"

/*
 * A new wait set. A handle, or -PERDURE_DQUOT. It ends when all capabilities to it are closed.
 *
 *     perdure_handle set = perdure_waitset_create();
 *     assert(set > 0);
 */
PERDURE_KERNEL("waitset_create")
perdure_handle perdure_waitset_create(void);

/*
 * Makes a semaphore a member, with a number that waits on the set will tell. Each counts as a capability of the program. Needs
 * PERDURE_WRITE. 0, or an error: EXIST where it is a member, DQUOT.
 *
 *     static perdure_semaphore s;
 *     perdure_handle set = perdure_waitset_create();
 *     assert(perdure_waitset_add(set, &s, 5) == 0);
 *     assert(perdure_waitset_add(set, &s, 6) == -PERDURE_EXIST);
 */
PERDURE_KERNEL("waitset_add")
int32_t perdure_waitset_add(perdure_handle set, perdure_semaphore *semaphore, uint64_t number);

/*
 * The semaphore is no member any more. Needs PERDURE_WRITE. 0, or an error: NOENT where it was none.
 *
 *     static perdure_semaphore s;
 *     perdure_handle set = perdure_waitset_create();
 *     perdure_waitset_add(set, &s, 5);
 *     assert(perdure_waitset_remove(set, &s) == 0);
 */
PERDURE_KERNEL("waitset_remove")
int32_t perdure_waitset_remove(perdure_handle set, perdure_semaphore *semaphore);

/*
 * Waits at most `timeout` ns until a member can be taken of, takes one of each that can, and writes their numbers to `out`, at most
 * `capacity`. How many; 0 when the time was up. Needs PERDURE_READ. Errors: GONE when the set has ended, FAULT, INVAL for a
 * capacity of 0.
 *
 *     static perdure_semaphore lines[1000];
 *     perdure_handle set = perdure_waitset_create();
 *     for (uint64_t i = 0; i < 1000; i++) perdure_waitset_add(set, &lines[i], i);
 *     perdure_give(&lines[777]);
 *     uint64_t told[16];
 *     assert(perdure_waitset_wait(set, told, 16, PERDURE_FOREVER) == 1);
 *     assert(told[0] == 777 && lines[777].count == 0);
 *     assert(perdure_waitset_wait(set, told, 16, 0) == 0);
 */
PERDURE_KERNEL("waitset_wait")
int32_t perdure_waitset_wait(perdure_handle set, uint64_t *out, uint32_t capacity, int64_t timeout);

#endif
