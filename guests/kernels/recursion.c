/* Recursion: Fibonacci, Ackermann, Tak and the queens puzzle; calls and little else. */
#define DEFAULT_ROUNDS 60
#include "kernel.h"

__attribute__((noinline)) static uint32_t fib(uint32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
__attribute__((noinline)) static uint32_t ackermann(uint32_t m, uint32_t n) {
  if (m == 0) return n + 1;
  return ackermann(m - 1, n == 0 ? 1 : ackermann(m, n - 1));
}
__attribute__((noinline)) static int tak(int x, int y, int z) {
  return y >= x ? z : tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y));
}
__attribute__((noinline)) static uint32_t queens(uint32_t all, uint32_t columns, uint32_t left, uint32_t right) {
  if (columns == all) return 1;
  uint32_t count = 0, open = ~(columns | left | right) & all;
  while (open) {
    uint32_t bit = open & -open;
    open ^= bit;
    count += queens(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
  }
  return count;
}

static uint64_t kernel(uint32_t rounds) {
  uint64_t sum = 0;
  for (uint32_t r = 0; r < rounds; r++) {
    sum = sum * 31 + fib(29 + (r & 1));
    sum = sum * 31 + ackermann(2, 300 + (r & 3));
    sum = sum * 31 + (uint32_t)tak(16 + (int)(r & 1), 10, 4);
    sum = sum * 31 + queens((1u << 10) - 1, 0, 0, 0);
  }
  return sum;
}
