/*
 * A book that another program writes in: `share` gives it a page of memory that both have, `post` adds what stands there. It keeps
 * count, and a number made of all that was ever posted. Its only use is by guests/c/clerk.c.
 */
#include "ledger.h"

static struct page *page;
static uint64_t count, hash;

PERDURE_GATE_AS("share:c=v") int32_t share(perdure_handle segment) {
  return perdure_segment_map(segment, 0, PAGE_BYTES, PERDURE_READ | PERDURE_WRITE, (void **)&page);
}

PERDURE_GATE(post) uint64_t post(uint64_t number) {
  for (volatile int i = 0; i < 100; i++);
  if (page->number != number) return 0;
  count++;
  hash = hash * 6364136223846793005u + number;
  page->count = count;
  page->hash = hash;
  return count;
}
