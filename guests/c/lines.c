/*
 * printf in a loop. `lines [COUNT [WORK [SLEEP_MS]]]`: COUNT lines (1,000), each followed by WORK thousand steps of
 * arithmetic (0) and a sleep (0). Every line says its number and a checksum of all before it, so that a lost, doubled
 * or changed line is seen in any later one.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 1000;
  uint32_t work = (uint32_t)(argc > 2 ? atoi(argv[2]) : 0) * 1000u;
  unsigned sleep_ms = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
  uint32_t sum = 2166136261u;
  for (int i = 0; i < count; i++) {
    char line[96];
    int n = snprintf(line, sizeof line, "line %d of %d: %08x", i, count, sum);
    for (int k = 0; k < n; k++) sum = (sum ^ (uint8_t)line[k]) * 16777619u;
    puts(line);
    uint32_t x = sum;
    for (uint32_t k = 0; k < work; k++) x = x * 1664525u + 1013904223u;
    sum ^= work ? x & 1 : 0;
    if (sleep_ms) {
      fflush(stdout);
      usleep(sleep_ms * 1000);
    }
  }
  return 0;
}
