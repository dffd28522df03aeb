/*
 * A kind of capability whose uses are written down.
 *
 *   add() -> badge
 *   written() -> n              how many entries have been written; the last ENTRIES are kept
 *   badge_at(n) -> badge        of entry n, counted from 0: the badge (of something derived the same), 0 where it is not kept
 *   what_at(n) -> rights        what was asked for: rights; DERIVED, or REVOKED where something was derived or revoked
 *   time_at(n) -> nanoseconds   when, in time of the space
 */
#include "table.h"

#define ENTRIES 1024
#define DERIVED 256
#define REVOKED 512

static struct {
  int64_t badge, time;
  uint32_t what;
} entries[ENTRIES];
static int64_t written;
static int64_t badges;

static void note(int64_t badge, uint32_t what) {
  int32_t at = (int32_t)(written++ % ENTRIES);
  entries[at].badge = badge;
  entries[at].what = what;
  entries[at].time = now_ns();
}

static int32_t kept(int64_t n) {
  return n >= 0 && n < written && n >= written - ENTRIES ? (int32_t)(n % ENTRIES) : -1;
}

PERDURE_GATE(add) int64_t add(void) { return ++badges; }

PERDURE_GATE(written) int64_t entries_written(void) { return written; }
PERDURE_GATE(badge_at) int64_t badge_at(int64_t n) { return kept(n) < 0 ? 0 : entries[kept(n)].badge; }
PERDURE_GATE(what_at) int32_t what_at(int64_t n) { return kept(n) < 0 ? 0 : (int32_t)entries[kept(n)].what; }
PERDURE_GATE(time_at) int64_t time_at(int64_t n) { return kept(n) < 0 ? 0 : entries[kept(n)].time; }

PERDURE_GATE(check) int32_t check(int64_t badge, uint32_t rights) {
  note(badge, rights);
  return PERDURE_OK;
}

PERDURE_GATE(derive) int64_t derive(int64_t badge, uint32_t rights) {
  note(badge, DERIVED | rights);
  return badge;
}

PERDURE_GATE(revoked) void revoked(int64_t badge) { note(badge, REVOKED); }
