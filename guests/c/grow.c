/*
 * Takes memory, fills it and checks it. `grow [MIB [STEP_KIB]]`: allocates up to MIB mebibytes in steps, writes a
 * pattern in each, and checks all of it at the end. When memory is refused it says after how many whole mebibytes,
 * and ends with status 3.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  size_t total = (size_t)(argc > 1 ? atoi(argv[1]) : 64) << 20;
  size_t step = (size_t)(argc > 2 ? atoi(argv[2]) : 1024) << 10;
  size_t count = total / step;
  uint32_t **blocks = malloc(count * sizeof *blocks);
  for (size_t i = 0; i < count; i++) {
    blocks[i] = malloc(step);
    if (!blocks[i]) {
      printf("refused after %zu MiB\n", i * step >> 20);
      return 3;
    }
    for (size_t k = 0; k < step / 4; k += 64) blocks[i][k] = (uint32_t)(i * 2654435761u + k);
    if (((i + 1) * step & ((16u << 20) - 1)) == 0) {
      printf("have %zu MiB\n", (i + 1) * step >> 20);
      fflush(stdout);
    }
  }
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < step / 4; k += 64)
      if (blocks[i][k] != (uint32_t)(i * 2654435761u + k)) {
        printf("block %zu word %zu was lost\n", i, k);
        return 2;
      }
  printf("checked %zu MiB\n", count * step >> 20);
  return 0;
}
