/* Dense matrix product, double precision, 160 × 160, and an LU decomposition. */
#define DEFAULT_ROUNDS 48
#include "kernel.h"

#define N 160
static double a[N][N], b[N][N], c[N][N];

static uint64_t kernel(uint32_t rounds) {
  uint32_t state = 7;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      a[i][j] = (double)(next_random(&state) % 1000) / 1000 + (i == j ? N : 0);
      b[i][j] = (double)(next_random(&state) % 1000) / 1000;
    }
  uint64_t sum = 0;
  for (uint32_t r = 0; r < rounds; r++) {
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++) {
        double s = 0;
        for (int l = 0; l < N; l++) s += a[i][l] * b[l][j];
        c[i][j] = s;
      }
    for (int l = 0; l < N; l++)
      for (int i = l + 1; i < N; i++) {
        double factor = c[i][l] /= c[l][l] + 1e-3;
        for (int j = l + 1; j < N; j++) c[i][j] -= factor * c[l][j];
      }
    sum = sum * 31 + bits_of(c[r % N][N - 1]);
    b[r % N][r * 7 % N] += 0.5;
  }
  return sum;
}
