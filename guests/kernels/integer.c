/* Integer arithmetic in registers: Collatz lengths and divisors; no memory. */
#define DEFAULT_ROUNDS 36
#include "kernel.h"

static uint64_t kernel(uint32_t rounds) {
  uint64_t sum = 0;
  for (uint32_t r = 0; r < rounds; r++) {
    for (uint32_t start = 1; start < 30000; start++) {
      uint64_t n = start + r;
      uint32_t length = 0;
      while (n != 1) {
        n = n & 1 ? 3 * n + 1 : n >> 1;
        length++;
      }
      sum = sum * 31 + length;
    }
    for (uint32_t n = 1000000 + r; n < 1000400 + r; n++) {
      uint32_t divisors = 0;
      for (uint32_t d = 1; d * d <= n; d++) divisors += n % d == 0;
      sum ^= (uint64_t)divisors << (n & 31);
    }
  }
  return sum;
}
