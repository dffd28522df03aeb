/* A five-point stencil in single and double precision on a grid that fits the cache. */
#define DEFAULT_ROUNDS 1000
#include "kernel.h"

#define N 200
static double grid[2][N][N];
static float plane[N][N];

static uint64_t kernel(uint32_t rounds) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) grid[0][i][j] = grid[1][i][j] = (i * 31 + j * 17) % 100, plane[i][j] = (float)((i ^ j) & 63);
  for (uint32_t r = 0; r < rounds; r++) {
    double(*from)[N] = grid[r & 1], (*to)[N] = grid[1 - (r & 1)];
    for (int i = 1; i < N - 1; i++)
      for (int j = 1; j < N - 1; j++)
        to[i][j] = from[i][j] * 0.6 + (from[i - 1][j] + from[i + 1][j] + from[i][j - 1] + from[i][j + 1]) * 0.1;
    for (int i = 1; i < N; i++)
      for (int j = 1; j < N; j++) plane[i][j] = (plane[i - 1][j] + plane[i][j - 1]) * 0.49f + plane[i][j] * 0.02f;
  }
  double sum = 0;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) sum += grid[0][i][j] * (i + 1) + plane[i][j] * (float)j;
  return bits_of(sum);
}
