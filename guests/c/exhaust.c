/*
 * Recursion without end. With no argument each frame is small and keeps nothing on the C stack, so that the call
 * stack of the host runs out first: WebAssembly's stack exhaustion. With `memory` the C stack in linear memory runs
 * out first: an access out of bounds (the stack lies at the bottom of memory).
 */
#include <stdio.h>
#include <string.h>

static volatile unsigned seen;
static volatile unsigned ending; /* stays 0, which the compiler cannot know */

__attribute__((noinline)) static unsigned down(unsigned n, unsigned a, unsigned b) {
  seen = n;
  if (ending) return a;
  unsigned result = down(n + 1, b, a ^ n);
  seen = n ^ result; /* work after the call, so that it is a call and not a loop */
  return result + n;
}

__attribute__((noinline)) static unsigned down_memory(unsigned n) {
  volatile char block[1024];
  memset((char *)block, (int)n, sizeof block);
  if (ending) return n;
  unsigned result = down_memory(n + 1);
  seen = result;
  return result + (unsigned)block[n & 1023];
}

int main(int argc, char **argv) {
  printf("going down\n");
  fflush(stdout);
  unsigned result = argc > 1 && strcmp(argv[1], "memory") == 0 ? down_memory(0) : down(0, 1, 2);
  printf("came back: %u %u\n", result, seen);
  return 1;
}
