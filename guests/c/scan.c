/*
 * Adds up the bytes of a file that is mapped, a part at a time, by ordinary pointers: of one far larger than the program's memory
 * too, for what is not touched is not read, and what was read makes room for what comes.
 *
 *     scan FOLDER FILE [ROUNDS]     FOLDER as it was granted; prints a line for each round
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../include/perdure.h"

/* What is mapped at a time: windows are 2 GiB in all. */
#define PART (1ull << 30)

static void check(int64_t result, const char *what) {
  if (result >= 0) return;
  printf("%s: error %lld\n", what, (long long)-result);
  exit(2);
}

int main(int argc, char **argv) {
  static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(1, 0)];
  if (argc < 3) return 1;
  perdure_ring ring;
  check(perdure_ring_open(&ring, memory, 1, 0), "ring");
  perdure_submission open = {.operation = PERDURE_OP_OPEN, .options = PERDURE_OPTION_READ};
  open.handle = perdure_granted(argv[1]);
  check(open.handle, argv[1]);
  open.first = argv[2];
  open.first_length = strlen(argv[2]);
  perdure_submission map = {.operation = PERDURE_OP_MAP};
  map.handle = perdure_ring_call(&ring, &open, NULL);
  check(map.handle, argv[2]);
  perdure_handle segment = perdure_ring_call(&ring, &map, NULL);
  check(segment, "map");
  uint64_t size = perdure_segment_size(segment);
  for (int round = 1, rounds = argc > 3 ? atoi(argv[3]) : 1; round <= rounds; round++) {
    uint64_t sum = 0;
    for (uint64_t offset = 0; offset < size; offset += PART) {
      uint64_t bytes = size - offset < PART ? size - offset : PART;
      void *at;
      check(perdure_segment_map(segment, offset, bytes, PERDURE_READ, &at), "map");
      const uint8_t *from = at, *end = from + bytes;
      while (from < end) sum += *from++;
      perdure_segment_unmap(at);
    }
    printf("round %d: %llu bytes, sum %llu\n", round, (unsigned long long)size, (unsigned long long)sum);
    fflush(stdout);
  }
  return 0;
}
