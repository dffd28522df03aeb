/*
 * Rings: queues in the program's memory by which it asks for operations on objects, many with one call, and learns how they ended.
 * With PERDURE_RING_SERVES a ring also takes the requests for objects that the program serves itself.
 *
 * An operation owns its buffers until it has completed. Whatever is under way survives a restart of the system and goes on.
 */
#ifndef PERDURE_RING_H
#define PERDURE_RING_H

#include <stddef.h>
#include <string.h>

#include "error.h"
#include "semaphore.h"

/* What a submission asks for; see the kernel's abi/ring.ts for what each takes and gives. */
enum perdure_operation {
  PERDURE_OP_NOP = 0,
  PERDURE_OP_OPEN = 1,
  PERDURE_OP_READ = 2,
  PERDURE_OP_WRITE = 3,
  PERDURE_OP_LIST = 4,
  PERDURE_OP_DESCRIBE = 5,
  PERDURE_OP_CREATE = 6,
  PERDURE_OP_REMOVE = 7,
  PERDURE_OP_RENAME = 8,
  PERDURE_OP_LINK = 9,
  PERDURE_OP_CHANGE = 10,
  PERDURE_OP_READ_LINK = 11,
  PERDURE_OP_SYNC = 12,
  PERDURE_OP_WAIT = 13,
  PERDURE_OP_INVOKE = 14,
  PERDURE_OP_MAP = 15,
  PERDURE_OP_SHARE = 16,
  PERDURE_OP_CANCEL = 17,
  PERDURE_OP_CLOSE = 18,
  PERDURE_OP_TIMEOUT = 19,
  PERDURE_OP_REPLY = 20,
  /* In requests only: the client has given up the request of this number; nobody holds the object any more. */
  PERDURE_OP_CANCELED = 254,
  PERDURE_OP_RELEASED = 255,
};

/* Bits of a submission's flags. */
enum perdure_submit {
  /* The next one begins when this one has succeeded, and is CANCELED where it fails. */
  PERDURE_SUBMIT_LINK = 1,
  /* Begins when all before it have completed; those behind it wait for it. */
  PERDURE_SUBMIT_DRAIN = 2,
  /* `first` is a list of buffers: pairs of u32, address and bytes. `first_length` says how many. */
  PERDURE_SUBMIT_VECTOR = 4,
  /* No completion where it succeeds. */
  PERDURE_SUBMIT_QUIET = 8,
  /* Of read and write: `first` is part of a segment; see perdure_use_segment. */
  PERDURE_SUBMIT_SEGMENT = 16,
};

/* Bits of a submission's options. */
enum perdure_option {
  PERDURE_OPTION_CREATE = 1,
  PERDURE_OPTION_EXCLUSIVE = 2,
  PERDURE_OPTION_TRUNCATE = 4,
  PERDURE_OPTION_DIRECTORY = 8,
  PERDURE_OPTION_FOLLOW = 16,
  PERDURE_OPTION_READ = 32,
  PERDURE_OPTION_WRITE = 64,
  PERDURE_OPTION_SYMBOLIC = 128,
  PERDURE_OPTION_SIZE = 256,
  PERDURE_OPTION_ACCESSED = 512,
  PERDURE_OPTION_MODIFIED = 1024,
  PERDURE_OPTION_MOVE = 2048,
  /* invoke: what it brings is lent until it has completed; `other` is a number of handles, which are the first words of `first`. */
  PERDURE_OPTION_LEND = 4096,
  PERDURE_OPTION_HANDLES = 8192,
};

/* Most capabilities that one invoke brings. */
#define PERDURE_BROUGHT_MAX 16

#define PERDURE_STREAM_OFFSET ((uint64_t)-1)
#define PERDURE_APPEND_OFFSET ((uint64_t)-2)

/* What DESCRIBE fills in: times are ns since 1970, the type is numbered as WASI's filetype. */
typedef struct perdure_attributes {
  uint64_t device, number;
  uint8_t type;
  uint64_t links, size, accessed, modified, changed;
} perdure_attributes;

/* What CHANGE is given: those count that PERDURE_OPTION_SIZE, _ACCESSED and _MODIFIED name. */
typedef struct perdure_change {
  uint64_t size, accessed, modified;
} perdure_change;

/* What LIST fills in: entries that begin with this, each followed by its name. `cookie` is the offset of what follows it. */
typedef struct perdure_listed {
  uint64_t cookie, number;
  uint32_t name_bytes;
  uint8_t type;
} perdure_listed;

_Static_assert(sizeof(perdure_attributes) == 64 && offsetof(perdure_attributes, size) == 32, "as abi/ring.ts");
_Static_assert(sizeof(perdure_listed) == 24 && offsetof(perdure_listed, type) == 20, "as abi/ring.ts");

typedef struct perdure_submission {
  uint8_t operation;
  uint8_t flags;
  uint16_t method;
  perdure_handle handle;
  /* Given back in the completion. */
  uint64_t user;
  const void *first;
  uint32_t first_length;
  uint64_t offset;
  /* Nanoseconds that it may take, 0 for no limit. */
  uint64_t limit;
  const void *second;
  uint32_t second_length;
  perdure_handle other;
  uint32_t rights;
  uint32_t options;
  uint32_t reserved;
} perdure_submission;

typedef struct perdure_completion {
  uint64_t user;
  /* From 0 up, or the negative of an error. */
  int32_t result;
  uint32_t flags;
  int64_t value;
  uint64_t reserved;
} perdure_completion;

/* What a client asked for, of an object that the program serves. */
typedef struct perdure_request {
  uint64_t number;
  /* As given to perdure_table_object. */
  uint64_t object;
  uint64_t badge;
  uint8_t operation;
  uint8_t zero;
  uint16_t method;
  uint32_t options;
  uint64_t offset;
  /* Bytes that the client gives in all, and those of its first buffer. */
  uint32_t given;
  uint32_t given_first;
  /* Bytes that it has room for. */
  uint32_t room;
  /* How many of those given stand in `data`. */
  uint32_t inside;
  uint32_t rights;
  uint32_t held;
  /* The number of another object of the same table; of read and write that bring a segment, where in it the buffer begins. */
  uint64_t other;
  /* How many capabilities it brings, for perdure_request_take. */
  uint32_t brought;
  uint32_t reserved;
  uint8_t data[176];
} perdure_request;

typedef struct perdure_ring_header {
  uint32_t version, entries, flags, reserved0;
  uint32_t submission_head, completion_tail, request_tail, under_way, waiting;
  uint32_t reserved1[7];
  uint32_t submission_tail, completion_head, request_head;
  uint32_t reserved2[13];
} perdure_ring_header;

_Static_assert(sizeof(perdure_submission) == 64 && offsetof(perdure_submission, rights) == 52, "as abi/ring.ts");
_Static_assert(sizeof(perdure_completion) == 32, "as abi/ring.ts");
_Static_assert(sizeof(perdure_request) == 256 && offsetof(perdure_request, data) == 80, "as abi/ring.ts");
_Static_assert(sizeof(perdure_ring_header) == 128 && offsetof(perdure_ring_header, submission_tail) == 64, "as abi/ring.ts");

/* A ring as the program keeps it. */
typedef struct perdure_ring {
  perdure_handle handle;
  uint32_t entries;
  /* Submissions filled in that the kernel has not been told of yet end here. */
  uint32_t tail;
  volatile perdure_ring_header *header;
  perdure_submission *submissions;
  perdure_completion *completions;
  perdure_request *requests;
} perdure_ring;

/* The ring takes requests for objects that the program serves. */
#define PERDURE_RING_SERVES 1

/* Bytes of memory that a ring takes, at a multiple of 64. */
#define PERDURE_RING_BYTES(entries, flags) (128 + (entries) * (128 + (((flags) & PERDURE_RING_SERVES) ? 256 : 0)))

/* What a table serves: which operations may reach it. */
enum perdure_table_kind { PERDURE_STREAM_TABLE = 1, PERDURE_FILE_TABLE = 2, PERDURE_GENERIC_TABLE = 3 };

PERDURE_KERNEL("ring_create") int32_t perdure_ring_create_(void *memory, uint32_t entries, uint32_t flags);
PERDURE_KERNEL("ring_enter")
int32_t perdure_ring_enter_(perdure_handle ring, uint32_t submit, uint32_t complete, int64_t timeout);

/*
 * Makes a ring of `entries`, a power of two, in memory of PERDURE_RING_BYTES at a multiple of 64. 0, or an error: INVAL, DQUOT.
 * It ends when its handle is closed.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(8, 0)];
 *     perdure_ring ring;
 *     assert(perdure_ring_open(&ring, memory, 8, 0) == 0);
 *     assert(perdure_close(ring.handle) == 0);
 */
static inline int32_t perdure_ring_open(perdure_ring *ring, void *memory, uint32_t entries, uint32_t flags) {
  int32_t handle = perdure_ring_create_(memory, entries, flags);
  if (handle < 0) return handle;
  uint8_t *at = (uint8_t *)memory + sizeof(perdure_ring_header);
  ring->handle = handle;
  ring->entries = entries;
  ring->tail = 0;
  ring->header = (volatile perdure_ring_header *)memory;
  ring->submissions = (perdure_submission *)at;
  ring->completions = (perdure_completion *)(at + entries * sizeof(perdure_submission));
  ring->requests = (perdure_request *)(at + entries * 128);
  return 0;
}

/*
 * The next submission to fill in, all zero; NULL where the queue is full: perdure_ring_enter makes room.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(2, 0)];
 *     perdure_ring ring;
 *     perdure_ring_open(&ring, memory, 2, 0);
 *     assert(perdure_ring_next(&ring) && perdure_ring_next(&ring));
 *     assert(perdure_ring_next(&ring) == NULL);
 */
static inline perdure_submission *perdure_ring_next(perdure_ring *ring) {
  if (ring->tail - ring->header->submission_head >= ring->entries) return NULL;
  perdure_submission *next = &ring->submissions[ring->tail++ & (ring->entries - 1)];
  memset(next, 0, sizeof *next);
  return next;
}

/*
 * Hands over what was filled in, and waits until `complete` completions or requests can be taken, at most `timeout` ns, or until nothing is
 * under way. How many were taken from the queue, or an error.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(8, 0)];
 *     perdure_ring ring;
 *     perdure_completion done;
 *     perdure_ring_open(&ring, memory, 8, 0);
 *     for (uint64_t i = 1; i <= 3; i++) perdure_ring_next(&ring)->user = i;
 *     assert(perdure_ring_enter(&ring, 3, PERDURE_FOREVER) == 3);
 *     for (uint64_t i = 1; i <= 3; i++) assert(perdure_ring_take(&ring, &done) && done.user == i && done.result == 0);
 *     assert(!perdure_ring_take(&ring, &done));
 */
static inline int32_t perdure_ring_enter(perdure_ring *ring, uint32_t complete, int64_t timeout) {
  uint32_t filled = ring->tail - ring->header->submission_head;
  ring->header->submission_tail = ring->tail;
  return perdure_ring_enter_(ring->handle, filled, complete, timeout);
}

/*
 * Takes a completion out of its queue. 1, or 0 where there is none.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(8, 0)];
 *     perdure_ring ring;
 *     perdure_completion done;
 *     perdure_ring_open(&ring, memory, 8, 0);
 *     assert(perdure_ring_take(&ring, &done) == 0);
 */
static inline int32_t perdure_ring_take(perdure_ring *ring, perdure_completion *out) {
  uint32_t head = ring->header->completion_head;
  if (head == ring->header->completion_tail) return 0;
  *out = ring->completions[head & (2 * ring->entries - 1)];
  ring->header->completion_head = head + 1;
  return 1;
}

/*
 * Has one operation carried out and waits for it, on a ring that has nothing else under way. Its result; `value`, where it is not
 * NULL, gets what else it gives.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(1, 0)];
 *     perdure_ring ring;
 *     perdure_ring_open(&ring, memory, 1, 0);
 *     perdure_submission later = {.operation = PERDURE_OP_TIMEOUT, .offset = 1000000};
 *     assert(perdure_ring_call(&ring, &later, NULL) == 0);
 *     perdure_submission bad = {.operation = PERDURE_OP_READ, .handle = 12345};
 *     assert(perdure_ring_call(&ring, &bad, NULL) == -PERDURE_BADF);
 */
static inline int32_t perdure_ring_call(perdure_ring *ring, const perdure_submission *operation, int64_t *value) {
  perdure_completion done;
  perdure_submission *next = perdure_ring_next(ring);
  if (next == NULL) return -PERDURE_BUSY;
  *next = *operation;
  next->flags &= (uint8_t)~(PERDURE_SUBMIT_LINK | PERDURE_SUBMIT_QUIET);
  do {
    int32_t taken = perdure_ring_enter(ring, 1, PERDURE_FOREVER);
    if (taken < 0) return taken;
  } while (!perdure_ring_take(ring, &done));
  if (value != NULL) *value = done.value;
  return done.result;
}

/*
 * Has a read or write use part of a segment as its buffer, which need not be mapped: `bytes` from `offset` on. Needs PERDURE_READ for a
 * write, PERDURE_WRITE for a read. Whoever serves the object can be lent the segment itself, with PERDURE_SHARE: it sees all of it
 * until it has answered, and nothing is copied.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(1, 0)];
 *     perdure_ring ring;
 *     perdure_ring_open(&ring, memory, 1, 0);
 *     perdure_handle from = perdure_segment_create(100), to = perdure_segment_create(100);
 *     perdure_segment_write(from, 50, "hello", 5);
 *     perdure_submission write = {.operation = PERDURE_OP_WRITE, .handle = to, .offset = 10};
 *     perdure_use_segment(&write, from, 50, 5);
 *     char text[5];
 *     assert(perdure_ring_call(&ring, &write, NULL) == 5);
 *     assert(perdure_segment_read(to, 10, text, 5) == 5 && memcmp(text, "hello", 5) == 0);
 */
static inline void perdure_use_segment(perdure_submission *submission, perdure_handle segment, uint64_t offset,
                                       uint32_t bytes) {
  submission->flags |= PERDURE_SUBMIT_SEGMENT;
  submission->first = (const void *)(uintptr_t)segment;
  submission->first_length = bytes;
  submission->second = (const void *)(uintptr_t)(uint32_t)offset;
  submission->second_length = (uint32_t)(offset >> 32);
}

/*
 * Fills in a wait for a semaphore: it completes with 0 when it has taken one, in its turn among all who wait there. What was cancelled or
 * timed out has taken nothing. 0, or -PERDURE_BUSY where the queue is full. Errors of the wait as of perdure_take_within.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(8, 0)];
 *     static perdure_semaphore letters = PERDURE_SEMAPHORE(0), parcels = PERDURE_SEMAPHORE(1);
 *     perdure_ring ring;
 *     perdure_completion done;
 *     perdure_ring_open(&ring, memory, 8, 0);
 *     assert(perdure_ring_take_semaphore(&ring, &letters, 1) == 0);
 *     assert(perdure_ring_take_semaphore(&ring, &parcels, 2) == 0);
 *     perdure_ring_enter(&ring, 1, PERDURE_FOREVER);
 *     assert(perdure_ring_take(&ring, &done) && done.user == 2 && done.result == 0 && parcels.count == 0);
 *     perdure_give(&letters);
 *     perdure_ring_enter(&ring, 1, PERDURE_FOREVER);
 *     assert(perdure_ring_take(&ring, &done) && done.user == 1 && letters.count == 0);
 */
static inline int32_t perdure_ring_take_semaphore(perdure_ring *ring, perdure_semaphore *semaphore, uint64_t user) {
  perdure_submission *next = perdure_ring_next(ring);
  if (next == NULL) return -PERDURE_BUSY;
  next->operation = PERDURE_OP_WAIT;
  next->user = user;
  next->first = semaphore;
  return 0;
}

/*
 * Fills in a wait for a wait set, which needs PERDURE_READ: it completes with 0 when it has taken one of a member, whose number is the
 * completion's `value`. 0, or -PERDURE_BUSY where the queue is full.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(8, 0)];
 *     static perdure_semaphore lines[100];
 *     perdure_ring ring;
 *     perdure_completion done;
 *     perdure_ring_open(&ring, memory, 8, 0);
 *     perdure_handle set = perdure_waitset_create();
 *     for (uint64_t i = 0; i < 100; i++) perdure_waitset_add(set, &lines[i], i);
 *     assert(perdure_ring_wait_set(&ring, set, 5) == 0);
 *     perdure_ring_enter(&ring, 0, 0);
 *     perdure_give(&lines[77]);
 *     perdure_ring_enter(&ring, 1, PERDURE_FOREVER);
 *     assert(perdure_ring_take(&ring, &done) && done.user == 5 && done.result == 0 && done.value == 77);
 */
static inline int32_t perdure_ring_wait_set(perdure_ring *ring, perdure_handle set, uint64_t user) {
  perdure_submission *next = perdure_ring_next(ring);
  if (next == NULL) return -PERDURE_BUSY;
  next->operation = PERDURE_OP_WAIT;
  next->handle = set;
  next->user = user;
  return 0;
}

/*
 * Takes a request out of the queue of a ring that serves. 1, or 0 where there is none.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(8, PERDURE_RING_SERVES)];
 *     perdure_ring ring;
 *     perdure_request request;
 *     perdure_ring_open(&ring, memory, 8, PERDURE_RING_SERVES);
 *     assert(perdure_ring_request(&ring, &request) == 0);
 */
static inline int32_t perdure_ring_request(perdure_ring *ring, perdure_request *out) {
  uint32_t head = ring->header->request_head;
  if (head == ring->header->request_tail) return 0;
  *out = ring->requests[head & (ring->entries - 1)];
  ring->header->request_head = head + 1;
  return 1;
}

/*
 * Fills in the answer to a request: its result and value, and bytes for the beginning of what the client has room for. 0, or -PERDURE_BUSY
 * where the queue is full. The next perdure_ring_enter hands it over; there is no completion unless it fails.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(8, PERDURE_RING_SERVES)];
 *     perdure_ring ring;
 *     perdure_request request;
 *     perdure_completion done;
 *     perdure_ring_open(&ring, memory, 8, PERDURE_RING_SERVES);
 *     perdure_handle table = perdure_table_create(ring.handle, PERDURE_GENERIC_TABLE, 10);
 *     perdure_handle doubler = perdure_table_object(table, 42, PERDURE_ALL_RIGHTS);
 *     perdure_submission *ask = perdure_ring_next(&ring);
 *     int32_t in = 21, out = 0;
 *     *ask = (perdure_submission){.operation = PERDURE_OP_INVOKE, .handle = doubler, .method = 3, .first = &in, .first_length = 4,
 *                                 .second = &out, .second_length = 4};
 *     perdure_ring_enter(&ring, 1, PERDURE_FOREVER);
 *     assert(perdure_ring_request(&ring, &request) == 1);
 *     assert(request.object == 42 && request.method == 3 && request.inside == 4);
 *     int32_t answer = 2 * *(int32_t *)request.data;
 *     assert(perdure_reply(&ring, request.number, 4, 0, &answer, 4) == 0);
 *     perdure_ring_enter(&ring, 1, PERDURE_FOREVER);
 *     assert(perdure_ring_take(&ring, &done) == 1 && done.result == 4 && out == 42);
 */
static inline int32_t perdure_reply(perdure_ring *ring, uint64_t number, int32_t result, int64_t value, const void *data,
                                    uint32_t bytes) {
  perdure_submission *next = perdure_ring_next(ring);
  if (next == NULL) return -PERDURE_BUSY;
  next->operation = PERDURE_OP_REPLY;
  next->flags = PERDURE_SUBMIT_QUIET;
  next->offset = number;
  next->rights = (uint32_t)result;
  next->limit = (uint64_t)value;
  next->first = data;
  next->first_length = bytes;
  return 0;
}

/*
 * A table, which serves objects through a ring made with PERDURE_RING_SERVES. `methods`: how many a generic one has. A handle, or an
 * error.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(8, PERDURE_RING_SERVES)];
 *     perdure_ring ring;
 *     perdure_ring_open(&ring, memory, 8, PERDURE_RING_SERVES);
 *     assert(perdure_table_create(ring.handle, PERDURE_STREAM_TABLE, 0) > 0);
 */
PERDURE_KERNEL("table_create")
perdure_handle perdure_table_create(perdure_handle ring, uint32_t kind, uint32_t methods);

/*
 * A capability to an object of a table, which its requests name by `number`, at most 2^53 - 1. A handle, or an error.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(8, PERDURE_RING_SERVES)];
 *     perdure_ring ring;
 *     perdure_ring_open(&ring, memory, 8, PERDURE_RING_SERVES);
 *     perdure_handle table = perdure_table_create(ring.handle, PERDURE_STREAM_TABLE, 0);
 *     assert(perdure_table_object(table, 7, PERDURE_READ | PERDURE_SHARE) > 0);
 */
PERDURE_KERNEL("table_object")
perdure_handle perdure_table_object(perdure_handle table, uint64_t number, uint32_t rights);

/*
 * Copies of what the client of a request gives, from `offset` on: for what does not fit into the request. How many bytes, or an
 * error: NOENT where nobody waits for an answer any more.
 *
 *     uint8_t bytes[100];
 *     assert(perdure_request_read(12345, 0, bytes, sizeof bytes) < 0);
 */
PERDURE_KERNEL("request_read")
int32_t perdure_request_read(uint64_t number, uint32_t offset, void *out, uint32_t length);

/*
 * Takes number `which` of the capabilities that a request brings. What is lent, as the segment of a read or write, can be taken once, and
 * its handle is closed when the request ends: who has mapped it then unmaps it before the answer. Whoever does not trust the client not to
 * revoke it meanwhile copies it instead of mapping (perdure_segment_copy, perdure_segment_read). A handle, or an error: NOENT as of
 * perdure_request_read, INVAL where the request brings none, EXIST where it was taken, NOTCAPABLE where it may not be
 * shared, DQUOT; or what the client's handle gives.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(8, PERDURE_RING_SERVES)];
 *     perdure_ring ring;
 *     perdure_request request;
 *     perdure_completion done;
 *     perdure_ring_open(&ring, memory, 8, PERDURE_RING_SERVES);
 *     perdure_handle table = perdure_table_create(ring.handle, PERDURE_STREAM_TABLE, 0);
 *     perdure_handle segment = perdure_segment_create(1 << 20);
 *     perdure_segment_write(segment, 1000000, "far", 3);
 *     perdure_submission *ask = perdure_ring_next(&ring);
 *     ask->operation = PERDURE_OP_WRITE;
 *     ask->handle = perdure_table_object(table, 1, PERDURE_ALL_RIGHTS);
 *     perdure_use_segment(ask, segment, 0, 1 << 20);
 *     perdure_ring_enter(&ring, 1, PERDURE_FOREVER);
 *     assert(perdure_ring_request(&ring, &request) && request.brought == 1 && request.other == 0);
 *     perdure_handle lent = perdure_request_take(request.number, 0);
 *     const char *bytes;
 *     assert(perdure_segment_map(lent, 0, request.given, PERDURE_READ, (void **)&bytes) == 0);
 *     assert(memcmp(bytes + 1000000, "far", 3) == 0);
 *     perdure_segment_unmap((void *)bytes);
 *     perdure_reply(&ring, request.number, (int32_t)request.given, 0, NULL, 0);
 *     perdure_ring_enter(&ring, 1, PERDURE_FOREVER);
 *     assert(perdure_ring_take(&ring, &done) && done.result == 1 << 20);
 *     assert(perdure_segment_size(lent) == -PERDURE_BADF);
 */
PERDURE_KERNEL("request_take")
perdure_handle perdure_request_take(uint64_t number, uint32_t which);

/*
 * Writes to what the client of a request has room for, from `offset` on. How many bytes, or an error, as of perdure_request_read.
 *
 *     assert(perdure_request_write(12345, 0, "text", 4) < 0);
 */
PERDURE_KERNEL("request_write")
int32_t perdure_request_write(uint64_t number, uint32_t offset, const void *data, uint32_t length);

#endif
