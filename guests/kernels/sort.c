/* Sorting: quicksort with insertion sort below, and a heap sort, over 64 Ki words. */
#define DEFAULT_ROUNDS 32
#include "kernel.h"

#define COUNT 65536
static void quick(uint32_t *a, int low, int high) {
  while (high - low > 16) {
    uint32_t pivot = a[(low + high) >> 1];
    int i = low, j = high;
    while (i <= j) {
      while (a[i] < pivot) i++;
      while (a[j] > pivot) j--;
      if (i <= j) {
        uint32_t t = a[i];
        a[i++] = a[j];
        a[j--] = t;
      }
    }
    if (j - low < high - i) {
      quick(a, low, j);
      low = i;
    } else {
      quick(a, i, high);
      high = j;
    }
  }
  for (int i = low + 1; i <= high; i++) {
    uint32_t v = a[i];
    int j = i - 1;
    for (; j >= low && a[j] > v; j--) a[j + 1] = a[j];
    a[j + 1] = v;
  }
}

static void sift(uint32_t *a, int root, int end) {
  for (int child; (child = 2 * root + 1) < end; root = child) {
    if (child + 1 < end && a[child] < a[child + 1]) child++;
    if (a[root] >= a[child]) return;
    uint32_t t = a[root];
    a[root] = a[child];
    a[child] = t;
  }
}

static uint64_t kernel(uint32_t rounds) {
  uint32_t *a = malloc(4 * COUNT), state = 88675123u;
  uint64_t sum = 0;
  for (uint32_t r = 0; r < rounds; r++) {
    for (int i = 0; i < COUNT; i++) a[i] = next_random(&state);
    if (r & 1) {
      for (int i = COUNT / 2 - 1; i >= 0; i--) sift(a, i, COUNT);
      for (int end = COUNT - 1; end > 0; end--) {
        uint32_t t = a[0];
        a[0] = a[end];
        a[end] = t;
        sift(a, 0, end);
      }
    } else {
      quick(a, 0, COUNT - 1);
    }
    for (int i = 0; i < COUNT; i += 101) sum = sum * 31 + a[i];
    for (int i = 1; i < COUNT; i++) sum += a[i - 1] > a[i];
  }
  return sum;
}
