/*
 * Posts numbers in a ledger (guests/c/ledger.c), by a call through a gate for each and a page of memory that both have, and compares what comes
 * back with what it has counted itself: a step that is lost or made twice in either program shows. `clerk [POSTS]` (2000000) prints a line for
 * each 20,000: the same whatever happens in between. It is granted the ledger as "ledger".
 */
#include <stdio.h>
#include <stdlib.h>

#include "ledger.h"

PERDURE_CALLS(ledger, share) int32_t ledger_share(perdure_handle segment);
PERDURE_CALLS(ledger, post) uint64_t ledger_post(uint64_t number);

int main(int argc, char **argv) {
  uint64_t posts = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000000;
  struct page *page;
  perdure_handle memory = perdure_segment_create(PAGE_BYTES);
  if (memory < 0 || perdure_segment_map(memory, 0, PAGE_BYTES, PERDURE_READ | PERDURE_WRITE, (void **)&page) < 0) return 2;
  if (ledger_share(memory) < 0) return 2;
  uint64_t hash = 0;
  for (uint64_t n = 1; n <= posts; n++) {
    hash = hash * 6364136223846793005u + n;
    page->number = n;
    uint64_t count = ledger_post(n);
    if (count != n || page->count != n || page->hash != hash) {
      printf("at %llu the ledger says %llu and %llu\n", (unsigned long long)n, (unsigned long long)count,
             (unsigned long long)page->count);
      return 1;
    }
    if (n % 20000 == 0) {
      printf("%llu posted: %016llx\n", (unsigned long long)n, (unsigned long long)hash);
      fflush(stdout);
    }
  }
  return 0;
}
