/*
 * Function pointers of several types, in tables, in structures, through qsort and through a chain of call-backs that
 * calls itself back. `fnptr [ROUNDS]`; prints one line a round.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint32_t (*binary)(uint32_t, uint32_t);
static uint32_t add(uint32_t a, uint32_t b) { return a + b; }
static uint32_t sub(uint32_t a, uint32_t b) { return a - b; }
static uint32_t mul(uint32_t a, uint32_t b) { return a * b; }
static uint32_t rot(uint32_t a, uint32_t b) { return a << (b & 31) | a >> (-b & 31); }
static uint32_t eor(uint32_t a, uint32_t b) { return a ^ b; }
static binary table[] = {add, sub, mul, rot, eor};

typedef struct shape {
  double (*area)(const struct shape *);
  double a, b;
} shape;
static double square(const shape *s) { return s->a * s->b; }
static double triangle(const shape *s) { return s->a * s->b / 2; }
static double ring(const shape *s) { return 3.141592653589793 * (s->a * s->a - s->b * s->b); }
static double (*const kinds[])(const shape *) = {square, triangle, ring};

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}
static int descending(const void *a, const void *b) { return -ascending(a, b); }

typedef int64_t (*visitor)(void *self, int depth);
static int64_t walk(int depth, visitor visit, void *self) { return depth == 0 ? 1 : visit(self, depth); }
static int64_t visit_two(void *self, int depth) {
  *(int *)self += 1;
  return walk(depth - 1, visit_two, self) + 2 * walk(depth - 2 < 0 ? 0 : depth - 2, visit_two, self);
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 20;
  uint32_t state = 12345;
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < 20000; i++) state = table[state % 5](state, 2654435761u + (uint32_t)i);
    uint32_t numbers[500];
    for (int i = 0; i < 500; i++) numbers[i] = state = state * 1664525u + 1013904223u;
    qsort(numbers, 500, sizeof *numbers, round & 1 ? ascending : descending);
    double area = 0;
    for (int i = 0; i < 500; i++) {
      shape s = {kinds[numbers[i] % 3], numbers[i] % 100 + 2, numbers[i] % 7};
      area += s.area(&s);
    }
    int visits = 0;
    int64_t walked = walk(14, visit_two, &visits);
    printf("round %d: %08x first %08x last %08x area %.3f walk %lld in %d\n", round, state, numbers[0], numbers[499],
           area, (long long)walked, visits);
  }
  return 0;
}
