/*
 * A kind of capability that somebody else than its giver can take back: whoever can call `withdraw`.
 *
 *   add() -> badge              -DQUOT when there are too many
 *   withdraw(badge)             from now on its users, and those of what was derived, get PERDURE_REVOKED
 *   restore(badge)              they can use it again
 *
 * The giver makes the capability with the kind and hands it on; the third party has gates to `withdraw` and `restore`, and nothing
 * else: it can use neither the capability nor what that leads to.
 */
#include "table.h"

static uint8_t withdrawn[ROWS];
static int32_t used;

PERDURE_GATE(add) int64_t add(void) { return used == ROWS ? -PERDURE_DQUOT : ++used; }

PERDURE_GATE(withdraw) void withdraw(int64_t badge) {
  if (row_of(badge, used) >= 0) withdrawn[row_of(badge, used)] = 1;
}

PERDURE_GATE(restore) void restore(int64_t badge) {
  if (row_of(badge, used) >= 0) withdrawn[row_of(badge, used)] = 0;
}

PERDURE_GATE(check) int32_t check(int64_t badge, uint32_t rights) {
  (void)rights;
  int32_t row = row_of(badge, used);
  return row >= 0 && !withdrawn[row] ? PERDURE_OK : PERDURE_REVOKED;
}
