/*
 * A kind of capability that can be used so often in a time.
 *
 *   add(uses, nanoseconds) -> badge   at most so many uses at once, one of which comes back every `nanoseconds`; -DQUOT when there are
 *                                     too many of them, -INVAL
 *
 * In between its users get PERDURE_AGAIN. What is derived of one counts with it.
 */
#include "table.h"

static struct {
  int64_t most, left, every, filled;
} rows[ROWS];
static int32_t used;

PERDURE_GATE(add) int64_t add(int64_t uses, int64_t nanoseconds) {
  if (uses < 1 || nanoseconds < 1) return -PERDURE_INVAL;
  if (used == ROWS) return -PERDURE_DQUOT;
  rows[used].most = rows[used].left = uses;
  rows[used].every = nanoseconds;
  rows[used].filled = now_ns();
  return ++used;
}

PERDURE_GATE(check) int32_t check(int64_t badge, uint32_t rights) {
  (void)rights;
  int32_t row = row_of(badge, used);
  if (row < 0) return PERDURE_REVOKED;
  int64_t back = (now_ns() - rows[row].filled) / rows[row].every;
  rows[row].filled += back * rows[row].every;
  int64_t missing = rows[row].most - rows[row].left;
  rows[row].left += back < missing ? back : missing;
  if (rows[row].left == 0) return PERDURE_AGAIN;
  rows[row].left--;
  return PERDURE_OK;
}
