/*
 * Loops that call nothing for a long time: only a poll at the loop's head can stop them. `longloop [STAGES [N]]`:
 * STAGES results of about N million steps each.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  int stages = argc > 1 ? atoi(argv[1]) : 8;
  uint64_t steps = (uint64_t)(argc > 2 ? atoi(argv[2]) : 50) * 1000000u;
  for (int stage = 0; stage < stages; stage++) {
    uint64_t a = 88172645463325252ULL + (uint64_t)stage, odd = 0;
    double sum = 0;
    for (uint64_t i = 0; i < steps; i++) {
      a ^= a << 13;
      a ^= a >> 7;
      a ^= a << 17;
      if (a & 1) odd++;
      else sum += (double)(a >> 40) * 0.5;
    }
    printf("stage %d: %016llx odd %llu sum %.1f\n", stage, (unsigned long long)a, (unsigned long long)odd, sum);
  }
  return 0;
}
