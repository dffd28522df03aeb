/*
 * A kind of capability that expires.
 *
 *   add(nanoseconds) -> badge   for a capability that can be used so long from now on; -DQUOT when there are too many
 *
 * After that its users get PERDURE_REVOKED. What is derived of one expires with it.
 */
#include "table.h"

static int64_t ends[ROWS];
static int32_t used;

PERDURE_GATE(add) int64_t add(int64_t nanoseconds) {
  if (used == ROWS) return -PERDURE_DQUOT;
  ends[used] = now_ns() + (nanoseconds > 0 ? nanoseconds : 0);
  return ++used;
}

PERDURE_GATE(check) int32_t check(int64_t badge, uint32_t rights) {
  (void)rights;
  int32_t row = row_of(badge, used);
  return row >= 0 && now_ns() < ends[row] ? PERDURE_OK : PERDURE_REVOKED;
}
