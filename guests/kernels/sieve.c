/* Byte and bit stores over a megabyte: the sieve of Eratosthenes. */
#define DEFAULT_ROUNDS 60
#include "kernel.h"

#define LIMIT 1000000
static uint64_t kernel(uint32_t rounds) {
  uint8_t *composite = malloc(LIMIT);
  uint64_t sum = 0;
  for (uint32_t r = 0; r < rounds; r++) {
    memset(composite, 0, LIMIT);
    for (uint32_t i = 2; i * i < LIMIT; i++)
      if (!composite[i])
        for (uint32_t j = i * i; j < LIMIT; j += i) composite[j] = 1;
    for (uint32_t i = 2 + r; i < LIMIT; i++) sum += composite[i] ? 0 : i;
  }
  return sum;
}
