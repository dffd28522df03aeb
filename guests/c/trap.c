/* Ends in the way asked for: `trap unreachable|divide|overflow|load|store|null|signature|abort|exit N|return N`. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile int zero, one = 1, minus = -1, least = INT_MIN;
static volatile unsigned far = 0xfffffff0u;
typedef int (*no_argument)(void);
typedef double (*other)(double);
static int seven(void) { return 7; }
static volatile no_argument pointer = seven;

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  int number = argc > 2 ? atoi(argv[2]) : 0;
  printf("ending by %s\n", how);
  fflush(stdout);
  if (!strcmp(how, "unreachable")) __builtin_trap();
  if (!strcmp(how, "divide")) return one / zero;
  if (!strcmp(how, "overflow")) return least / minus;
  if (!strcmp(how, "load")) return *(volatile int *)(far);
  if (!strcmp(how, "store")) *(volatile int *)(far) = 1;
  if (!strcmp(how, "null")) {
    pointer = 0;
    return pointer();
  }
  if (!strcmp(how, "signature")) return (int)((other)pointer)(1.0);
  if (!strcmp(how, "abort")) abort();
  if (!strcmp(how, "exit")) exit(number);
  return number;
}
