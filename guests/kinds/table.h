/*
 * What the kinds in this folder have in common: a table of what was agreed on for each badge. A badge is the number of a row, from 1. It is no
 * secret and no right: only whoever has the kind can make a capability with it.
 */
#ifndef KINDS_TABLE_H
#define KINDS_TABLE_H

#include <perdure.h>
#include <time.h>

#define ROWS 4096

/* Time of the space: it goes on over restarts, and stands still while the space is closed. */
static inline int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The row of a badge, or -1. */
static inline int32_t row_of(int64_t badge, int32_t used) { return badge >= 1 && badge <= used ? (int32_t)badge - 1 : -1; }

#endif
