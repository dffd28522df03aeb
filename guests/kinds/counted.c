/*
 * A kind of capability that can be used so often.
 *
 *   add(uses) -> badge          -DQUOT when there are too many
 *   left(badge) -> uses         how many are left
 *
 * After that its users get PERDURE_DQUOT. What is derived of one uses up the same number.
 */
#include "table.h"

static int64_t uses[ROWS];
static int32_t used;

PERDURE_GATE(add) int64_t add(int64_t count) {
  if (used == ROWS) return -PERDURE_DQUOT;
  uses[used] = count > 0 ? count : 0;
  return ++used;
}

PERDURE_GATE(left) int64_t left(int64_t badge) {
  int32_t row = row_of(badge, used);
  return row < 0 ? 0 : uses[row];
}

PERDURE_GATE(check) int32_t check(int64_t badge, uint32_t rights) {
  (void)rights;
  int32_t row = row_of(badge, used);
  if (row < 0 || uses[row] == 0) return PERDURE_DQUOT;
  uses[row]--;
  return PERDURE_OK;
}
