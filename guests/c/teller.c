/*
 * A server and its client, over rings: the program serves an object, and makes a domain of itself that invokes it, with numbers one after the
 * other, and rings a semaphore in memory that both have after each answer. `teller [NUMBERS]` (40000) prints a line for each thousand
 * that it was asked, and at the end how often it was rung: the same whatever happens in between.
 */
#include <perdure.h>
#include <stdio.h>
#include <stdlib.h>

enum { BYTES = 1 << 16, ENTRIES = 8, METHOD = 1 };
static const uint64_t FACTOR = 6364136223846793005u;
struct shared {
  perdure_semaphore rung;
  uint64_t numbers, wrong;
};

static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(ENTRIES, PERDURE_RING_SERVES)];
static perdure_ring ring;

static struct shared *map(perdure_handle segment) {
  void *at;
  if (perdure_segment_map(segment, 0, BYTES, PERDURE_READ | PERDURE_WRITE, &at) < 0) abort();
  return at;
}

PERDURE_EXPORT(client) void client(void) {
  struct shared *shared = map(perdure_granted("memory"));
  perdure_handle object = perdure_granted("teller");
  uint64_t hash = 0;
  if (perdure_ring_open(&ring, memory, ENTRIES, 0) < 0) abort();
  for (uint64_t n = 1; n <= shared->numbers; n++) {
    uint64_t answer = 0;
    perdure_submission ask = {.operation = PERDURE_OP_INVOKE, .handle = object, .method = METHOD, .first = &n,
                              .first_length = sizeof n, .second = &answer, .second_length = sizeof answer};
    hash = hash * FACTOR + n;
    if (perdure_ring_call(&ring, &ask, NULL) != sizeof answer || answer != hash) shared->wrong++;
    perdure_give(&shared->rung);
  }
}

int main(int argc, char **argv) {
  perdure_handle segment = perdure_segment_create(BYTES);
  perdure_handle made = perdure_domain_create(perdure_program_own(), "client", 0, PERDURE_DOMAIN_LINKED);
  if (segment < 0 || made < 0 || perdure_ring_open(&ring, memory, ENTRIES, PERDURE_RING_SERVES) < 0) return 2;
  struct shared *shared = map(segment);
  shared->numbers = argc > 1 ? strtoull(argv[1], NULL, 10) : 40000;
  perdure_handle table = perdure_table_create(ring.handle, PERDURE_GENERIC_TABLE, METHOD + 1);
  perdure_handle object = perdure_table_object(table, 1, PERDURE_ALL_RIGHTS);
  if (perdure_domain_grant(made, "memory", segment, PERDURE_READ | PERDURE_WRITE | PERDURE_MAP) != 0) return 2;
  if (perdure_domain_grant(made, "teller", object, PERDURE_INVOKE) != 0) return 2;
  if (perdure_domain_start(made, "client") != 0) return 2;
  uint64_t asked = 0, rung = 0, hash = 0;
  static uint64_t answer;
  if (perdure_ring_take_semaphore(&ring, &shared->rung, 1) != 0) return 2;
  while (asked < shared->numbers || rung < shared->numbers) {
    perdure_request request;
    perdure_completion done;
    if (perdure_ring_enter(&ring, 1, PERDURE_FOREVER) < 0) return 2;
    while (perdure_ring_request(&ring, &request)) {
      if (request.operation != PERDURE_OP_INVOKE) continue;
      if (*(uint64_t *)request.data != ++asked) {
        printf("asked for %llu after %llu\n", (unsigned long long)*(uint64_t *)request.data, (unsigned long long)asked - 1);
        return 1;
      }
      answer = hash = hash * FACTOR + asked;
      if (perdure_reply(&ring, request.number, sizeof answer, 0, &answer, sizeof answer) != 0) return 2;
      if (asked % 1000 == 0) {
        printf("%llu asked: %016llx\n", (unsigned long long)asked, (unsigned long long)hash);
        fflush(stdout);
      }
    }
    while (perdure_ring_take(&ring, &done)) {
      if (done.user != 1 || done.result != 0) return 1;
      rung++;
      if (perdure_ring_take_semaphore(&ring, &shared->rung, 1) != 0) return 2;
    }
  }
  perdure_domain_wait(made);
  printf("rung %llu times, %llu left, %llu wrong\n", (unsigned long long)rung, (unsigned long long)shared->rung.count,
         (unsigned long long)shared->wrong);
  return 0;
}
