/*
 * Semaphores: a count in memory, the program's own or shared with others, of what can be taken. Taking what is there and giving where
 * nobody waits do not enter the kernel. A semaphore needs no making or ending: 8 bytes, aligned to 4, are one.
 *
 * What is written here by atomic built-ins becomes atomic instructions with -matomics, and plain ones without, which does as long
 * as a space has one core. Who waits is served in the order of coming.
 */
#ifndef PERDURE_SEMAPHORE_H
#define PERDURE_SEMAPHORE_H

#include "error.h"

typedef struct perdure_semaphore {
  uint32_t count;
  /* Not 0 where giving is to be told to the kernel, which writes it. */
  uint32_t waiters;
} perdure_semaphore;

/* A semaphore of which so many can be taken: `perdure_semaphore free = PERDURE_SEMAPHORE(8);` */
#define PERDURE_SEMAPHORE(n) {(n), 0}

/* Semaphores that perdure_take_any takes at most. */
#define PERDURE_TAKE_ANY_MAX 256

PERDURE_KERNEL("sem_wait") int32_t perdure_sem_wait_(perdure_semaphore *semaphore, int64_t timeout);
PERDURE_KERNEL("sem_wake") int32_t perdure_sem_wake_(perdure_semaphore *semaphore);

/*
 * Takes one where there is one, without waiting. 1, or 0 where there is none.
 *
 *     perdure_semaphore s = PERDURE_SEMAPHORE(1);
 *     assert(perdure_try_take(&s) == 1);
 *     assert(perdure_try_take(&s) == 0);
 */
static inline int32_t perdure_try_take(perdure_semaphore *semaphore) {
  uint32_t count = __atomic_load_n(&semaphore->count, __ATOMIC_SEQ_CST);
  while (count != 0) {
    if (__atomic_compare_exchange_n(&semaphore->count, &count, count - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      return 1;
  }
  return 0;
}

/*
 * Takes one, waiting for it at most `timeout` ns (PERDURE_FOREVER). 0, or an error: TIMEDOUT; FAULT and INVAL for a pointer that
 * cannot be, or that leads into a segment which the program may not use any more; GONE where the segment has ended.
 *
 *     perdure_semaphore s = PERDURE_SEMAPHORE(1);
 *     assert(perdure_take_within(&s, PERDURE_FOREVER) == 0);
 *     assert(perdure_take_within(&s, 1000000) == -PERDURE_TIMEDOUT);
 */
static inline int32_t perdure_take_within(perdure_semaphore *semaphore, int64_t timeout) {
  return perdure_try_take(semaphore) ? 0 : perdure_sem_wait_(semaphore, timeout);
}

/*
 * Takes one, waiting for it as long as it takes. 0, or an error as of perdure_take_within.
 *
 *     perdure_semaphore s = PERDURE_SEMAPHORE(2);
 *     assert(perdure_take(&s) == 0);
 *     assert(s.count == 1);
 */
static inline int32_t perdure_take(perdure_semaphore *semaphore) {
  return perdure_take_within(semaphore, PERDURE_FOREVER);
}

/*
 * Gives `n`. 0, or an error as of perdure_take_within. A count goes up to 2^32 - 1.
 *
 *     perdure_semaphore s = PERDURE_SEMAPHORE(0);
 *     assert(perdure_give_many(&s, 3) == 0);
 *     assert(s.count == 3);
 */
static inline int32_t perdure_give_many(perdure_semaphore *semaphore, uint32_t n) {
  __atomic_fetch_add(&semaphore->count, n, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&semaphore->waiters, __ATOMIC_SEQ_CST) == 0) return 0;
  int32_t woken = perdure_sem_wake_(semaphore);
  return woken < 0 ? woken : 0;
}

/*
 * Gives one. 0, or an error as of perdure_take_within.
 *
 *     perdure_semaphore s = PERDURE_SEMAPHORE(0);
 *     assert(perdure_give(&s) == 0);
 *     assert(perdure_try_take(&s) == 1);
 */
static inline int32_t perdure_give(perdure_semaphore *semaphore) { return perdure_give_many(semaphore, 1); }

/*
 * Takes one of the first of several semaphores that has one, waiting at most `timeout` ns. Its index, or an error as of
 * perdure_take_within; INVAL also for more than PERDURE_TAKE_ANY_MAX. For more there are wait sets.
 *
 *     perdure_semaphore a = PERDURE_SEMAPHORE(0), b = PERDURE_SEMAPHORE(1);
 *     perdure_semaphore *both[] = {&a, &b};
 *     assert(perdure_take_any(both, 2, PERDURE_FOREVER) == 1);
 *     assert(perdure_take_any(both, 2, 0) == -PERDURE_TIMEDOUT);
 */
PERDURE_KERNEL("wait_any")
int32_t perdure_take_any(perdure_semaphore *const *list, uint32_t count, int64_t timeout);

#endif
