/*
 * The frame of a bench kernel: a WASI command that takes how often to repeat (default given by the kernel) and prints
 * one checksum. A kernel defines DEFAULT_ROUNDS and `uint64_t kernel(uint32_t rounds)`; the result must depend on
 * all the work done and on nothing else, so that every way of running it can be compared.
 */
#ifndef KERNEL_H
#define KERNEL_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t kernel(uint32_t rounds);

static inline uint32_t next_random(uint32_t *state) {
  uint32_t x = *state;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return *state = x;
}

static inline uint64_t bits_of(double d) {
  uint64_t bits;
  memcpy(&bits, &d, sizeof bits);
  return bits;
}

int main(int argc, char **argv) {
  uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : DEFAULT_ROUNDS;
  printf("%016llx\n", (unsigned long long)kernel(rounds));
  return 0;
}
#endif
