/*
 * Domains that a program makes: of its own program, or of one that it was given. A new domain has nothing; what it is to have it is
 * granted under names. It is paid for by the account of who makes it, or by one that was divided from that.
 */
#ifndef PERDURE_DOMAIN_H
#define PERDURE_DOMAIN_H

#include <string.h>

#include "capability.h"
#include "error.h"

enum perdure_domain_flag {
  /* It is destroyed when the domain that made it ends. Others live on. */
  PERDURE_DOMAIN_LINKED = 1,
  /* It is not part of checkpoints: a restart ends it. */
  PERDURE_DOMAIN_VOLATILE = 2,
  /* It can be started again when its function has returned or trapped. */
  PERDURE_DOMAIN_RESIDENT = 4,
};

enum perdure_domain_state {
  PERDURE_STATE_CREATED = 1,
  PERDURE_STATE_READY = 2,
  PERDURE_STATE_RUNNING = 3,
  PERDURE_STATE_WAITS = 4,
  PERDURE_STATE_ENDED = 5,
  PERDURE_STATE_SUSPENDED = 6,
  /* Only its procedures can be called. */
  PERDURE_STATE_IDLE = 7,
};

enum perdure_domain_end {
  PERDURE_END_NONE = 0,
  PERDURE_END_EXIT = 1,
  PERDURE_END_TRAP = 2,
  PERDURE_END_LIMIT = 3,
  PERDURE_END_KILLED = 4,
  PERDURE_END_EXCEPTION = 5,
};

typedef struct perdure_domain_status {
  /* A perdure_domain_state, a perdure_domain_end. */
  uint32_t state, end;
  int32_t exit_code;
  uint32_t zero;
  uint64_t memory_bytes;
  uint64_t cpu_micros;
} perdure_domain_status;

/* Exports a function of C under its name, so that a domain of the program can be started with it. */
#define PERDURE_EXPORT(name) __attribute__((export_name(#name)))

PERDURE_KERNEL("domain_create")
int32_t perdure_domain_create_(perdure_handle program, const char *name, uint32_t length, perdure_handle account,
                               uint32_t flags);
PERDURE_KERNEL("domain_grant")
int32_t perdure_domain_grant_(perdure_handle domain, const char *name, uint32_t length, perdure_handle what,
                              uint32_t rights);
PERDURE_KERNEL("domain_start")
int32_t perdure_domain_start_(perdure_handle domain, const char *name, uint32_t length);
PERDURE_KERNEL("domain_status") int32_t perdure_domain_look_(perdure_handle domain, perdure_domain_status *out);

/*
 * The program that runs. A handle, or -PERDURE_DQUOT.
 *
 *     perdure_description what;
 *     assert(perdure_describe(perdure_program_own(), &what) == 0 && what.kind == PERDURE_PROGRAM);
 */
PERDURE_KERNEL("program_own")
perdure_handle perdure_program_own(void);

/*
 * A new domain of a program, in which nothing has run. `name` is told after the maker's own, "" for a number; `account` pays for it, 0 for the
 * maker's own; `flags`: perdure_domain_flag. A handle, or an error: EXIST, INVAL for a name, DQUOT, NOENT where the program is not at hand.
 *
 *     PERDURE_EXPORT(work) void work(void) {
 *       void *at;
 *       perdure_segment_map(perdure_granted("memory"), 0, 4096, PERDURE_READ | PERDURE_WRITE, &at);
 *       perdure_semaphore *done = at;
 *       ((int32_t *)at)[16] = 42;
 *       perdure_give(done);
 *     }
 *
 *     int main(void) {
 *       void *at;
 *       perdure_handle memory = perdure_segment_create(4096);
 *       perdure_segment_map(memory, 0, 4096, PERDURE_READ | PERDURE_WRITE, &at);
 *       perdure_handle worker = perdure_domain_create(perdure_program_own(), "worker", 0, PERDURE_DOMAIN_LINKED);
 *       assert(worker > 0);
 *       assert(perdure_domain_grant(worker, "memory", memory, PERDURE_READ | PERDURE_WRITE | PERDURE_MAP) == 0);
 *       assert(perdure_domain_start(worker, "work") == 0);
 *       assert(perdure_take((perdure_semaphore *)at) == 0);
 *       assert(((int32_t *)at)[16] == 42);
 *       return 0;
 *     }
 */
static inline perdure_handle perdure_domain_create(perdure_handle program, const char *name, perdure_handle account,
                                                   uint32_t flags) {
  return perdure_domain_create_(program, name, (uint32_t)strlen(name), account, flags);
}

/*
 * Gives a domain a copy of a capability under a name, with at most those rights, for perdure_granted. Needs PERDURE_MANAGE of the domain and
 * PERDURE_SHARE of what is given. 0, or an error.
 *
 *     perdure_handle child = perdure_domain_create(perdure_program_own(), "", 0, PERDURE_DOMAIN_LINKED);
 *     assert(perdure_domain_grant(child, "friend", perdure_granted("peer"), PERDURE_INVOKE) == 0);
 *     assert(perdure_domain_grant(child, "friend", 12345, PERDURE_INVOKE) == -PERDURE_BADF);
 */
static inline int32_t perdure_domain_grant(perdure_handle domain, const char *name, perdure_handle what, uint32_t rights) {
  return perdure_domain_grant_(domain, name, (uint32_t)strlen(name), what, rights);
}

/*
 * Lets a domain call an exported function without parameters. Needs PERDURE_MANAGE. 0, or an error: NOENT where there is no such export, BUSY where
 * it has something to run or has ended.
 *
 *     perdure_handle child = perdure_domain_create(perdure_program_own(), "", 0, PERDURE_DOMAIN_LINKED);
 *     assert(perdure_domain_start(child, "no such function") == -PERDURE_NOENT);
 */
static inline int32_t perdure_domain_start(perdure_handle domain, const char *function) {
  return perdure_domain_start_(domain, function, (uint32_t)strlen(function));
}

/*
 * Suspends a domain, whatever it is doing. Needs PERDURE_MANAGE. 0, or -PERDURE_BUSY where there is nothing to suspend. Who stops
 * itself goes on from here when another has resumed it; who stops one that is calling it lets that go on no further.
 *
 *     perdure_handle child = perdure_domain_create(perdure_program_own(), "", 0, PERDURE_DOMAIN_LINKED);
 *     assert(perdure_domain_stop(child) == -PERDURE_BUSY);
 */
PERDURE_KERNEL("domain_stop")
int32_t perdure_domain_stop(perdure_handle domain);

/*
 * Lets a suspended domain go on. Needs PERDURE_MANAGE. 0, or -PERDURE_BUSY where it was not suspended.
 *
 *     perdure_handle child = perdure_domain_create(perdure_program_own(), "", 0, PERDURE_DOMAIN_LINKED);
 *     assert(perdure_domain_resume(child) == -PERDURE_BUSY);
 */
PERDURE_KERNEL("domain_resume")
int32_t perdure_domain_resume(perdure_handle domain);

/*
 * Ends a domain and gives everything back that it had. Needs PERDURE_MANAGE. 0, or an error.
 *
 *     perdure_handle child = perdure_domain_create(perdure_program_own(), "", 0, 0);
 *     assert(perdure_domain_destroy(child) == 0);
 *     assert(perdure_domain_destroy(child) == -PERDURE_GONE);
 */
PERDURE_KERNEL("domain_destroy")
int32_t perdure_domain_destroy(perdure_handle domain);

/*
 * Waits until a domain has nothing to run. Needs PERDURE_READ. 0, or an error: DEADLK for the program's own.
 *
 *     PERDURE_EXPORT(job) void job(void) {}
 *
 *     int main(void) {
 *       perdure_domain_status status;
 *       perdure_handle child = perdure_domain_create(perdure_program_own(), "job", 0, PERDURE_DOMAIN_LINKED);
 *       assert(perdure_domain_start(child, "job") == 0);
 *       assert(perdure_domain_wait(child) == 0);
 *       assert(perdure_domain_look(child, &status) == 0);
 *       assert(status.state == PERDURE_STATE_ENDED && status.end == PERDURE_END_EXIT);
 *       return 0;
 *     }
 */
PERDURE_KERNEL("domain_wait")
int32_t perdure_domain_wait(perdure_handle domain);

/*
 * What a domain does, or how it ended, and what it uses. Needs PERDURE_READ. 0, or an error.
 *
 *     perdure_domain_status status;
 *     perdure_handle child = perdure_domain_create(perdure_program_own(), "", 0, PERDURE_DOMAIN_LINKED);
 *     assert(perdure_domain_look(child, &status) == 0);
 *     assert(status.state == PERDURE_STATE_CREATED && status.end == PERDURE_END_NONE);
 */
static inline int32_t perdure_domain_look(perdure_handle domain, perdure_domain_status *out) {
  return perdure_domain_look_(domain, out);
}

#endif
