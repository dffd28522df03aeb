/* What guests/c/ledger.c and guests/c/clerk.c have in common: the page of memory that both have. */
#include <perdure.h>

enum { PAGE_BYTES = 1 << 16 };
struct page {
  uint64_t number, count, hash;
};
