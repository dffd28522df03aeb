/*
 * Ends badly below a few calls, some of which are inlined: `faults load|deep|late FILE|abort`. `deep` does so 5000 calls
 * down; `late` sleeps in small pieces until there is that file. Tests look for the comments.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned far = 0xfffffff0u;

static inline int fault(int x) {
  return *(volatile int *)(far + x); /* line: fault */
}

static inline int twice(int x) {
  return fault(x) + 1; /* line: twice */
}

__attribute__((noinline)) static int work(int x) {
  for (int i = 0; i < 3; i++)
    x += twice(x + i); /* line: work */
  return x;
}

__attribute__((noinline)) static int deep(int x) {
  if (x == 0) return work(x);
  return deep(x - 1) * 3 ^ x; /* line: deep */
}

__attribute__((noinline)) static int late(int x, const char *file) {
  struct timespec piece = {0, 5000000};
  while (access(file, F_OK) != 0) nanosleep(&piece, 0); /* line: sleep */
  return work(x) + 1; /* line: late */
}

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "load";
  if (!strcmp(how, "abort")) abort();
  if (!strcmp(how, "deep")) return deep(5000);
  if (!strcmp(how, "late")) return late(argc, argv[2]) + 1; /* line: main */
  return work(argc) + 1;
}
