/*
 * Kinds: what it means to use, derive and revoke a capability, said by procedures of a program. A capability of a kind stands before
 * another one, which it leads to where the kind allows it; who has it need not know. The kind sees who asks for which rights, and
 * no more.
 */
#ifndef PERDURE_KIND_H
#define PERDURE_KIND_H

#include <string.h>

#include "capability.h"
#include "error.h"

PERDURE_KERNEL("gate_own") int32_t perdure_gate_own_(const char *name, uint32_t length);

/*
 * A procedure of the program's own, as a capability that can be passed. A handle, or -PERDURE_NOENT.
 *
 *     PERDURE_GATE(one) int32_t one(void) { return 1; }
 *
 *     int main(void) {
 *       perdure_description what;
 *       assert(perdure_describe(perdure_gate_own("one"), &what) == 0 && what.kind == PERDURE_GATE);
 *       assert(perdure_gate_own("two") == -PERDURE_NOENT);
 *       return 0;
 *     }
 */
static inline perdure_handle perdure_gate_own(const char *name) {
  return perdure_gate_own_(name, (uint32_t)strlen(name));
}

PERDURE_KERNEL("gate_of") int32_t perdure_gate_of_(perdure_handle domain, const char *name, uint32_t length);

/*
 * A procedure of another domain, as a capability that is revoked with that to the domain. Needs PERDURE_INVOKE. A handle, or an error: NOENT
 * where there is no such procedure.
 *
 *     PERDURE_GATE(two) int32_t two(void) { return 2; }
 *
 *     int main(void) {
 *       perdure_description what;
 *       assert(perdure_describe(perdure_gate_of(perdure_granted("peer"), "two"), &what) == 0 && what.kind == PERDURE_GATE);
 *       assert(perdure_gate_of(perdure_granted("peer"), "three") == -PERDURE_NOENT);
 *       return 0;
 *     }
 */
static inline perdure_handle perdure_gate_of(perdure_handle domain, const char *name) {
  return perdure_gate_of_(domain, name, (uint32_t)strlen(name));
}

/*
 * A kind made of gates, which may be of several programs. `check(uint64_t badge, uint32_t rights)` gives 0 before each use that is allowed, else the
 * error that whoever uses it is told; `derive(uint64_t badge, uint32_t rights)` gives the badge of what is derived, as int64_t, or the negative of an
 * error; `revoked(uint64_t badge)` is told. The last two may be 0. A handle, or an error: INVAL for procedures of other types.
 *
 *     static int uses;
 *     PERDURE_GATE_AS("check!nested") int32_t check(uint64_t badge, uint32_t rights) {
 *       (void)rights;
 *       return badge == 7 && uses++ < 2 ? PERDURE_OK : PERDURE_NOTCAPABLE;
 *     }
 *
 *     int main(void) {
 *       char byte;
 *       perdure_handle segment = perdure_segment_create(10);
 *       perdure_handle kind = perdure_kind_create(perdure_gate_own("check"), 0, 0);
 *       perdure_handle twice = perdure_kind_wrap(kind, segment, PERDURE_ALL_RIGHTS, 7);
 *       assert(perdure_segment_read(twice, 0, &byte, 1) == 1);
 *       assert(perdure_segment_read(twice, 0, &byte, 1) == 1);
 *       assert(perdure_segment_read(twice, 0, &byte, 1) == -PERDURE_NOTCAPABLE);
 *       assert(perdure_segment_read(segment, 0, &byte, 1) == 1);
 *       return 0;
 *     }
 */
PERDURE_KERNEL("kind_create")
perdure_handle perdure_kind_create(perdure_handle check, perdure_handle derive, perdure_handle revoked);

/*
 * A capability of a kind before another one, with at most those rights, which the kind knows by `badge`. Needs PERDURE_INVOKE of the kind and
 * PERDURE_DERIVE of the target. A handle, or an error.
 *
 *     PERDURE_GATE_AS("never!nested") int32_t never(uint64_t badge, uint32_t rights) {
 *       (void)badge, (void)rights;
 *       return PERDURE_PERM;
 *     }
 *
 *     int main(void) {
 *       perdure_handle kind = perdure_kind_create(perdure_gate_own("never"), 0, 0);
 *       perdure_handle closed = perdure_kind_wrap(kind, perdure_segment_create(10), PERDURE_ALL_RIGHTS, 0);
 *       assert(closed > 0);
 *       char byte;
 *       assert(perdure_segment_read(closed, 0, &byte, 1) == -PERDURE_PERM);
 *       return 0;
 *     }
 */
PERDURE_KERNEL("kind_wrap")
perdure_handle perdure_kind_wrap(perdure_handle kind, perdure_handle target, uint32_t rights, uint64_t badge);

#endif
