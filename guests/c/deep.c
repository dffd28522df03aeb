/*
 * Deep recursion with real content in every frame: an array on the C stack, locals of each type, and a check on the
 * way back that nothing of it changed. `deep [DEPTH [WORK]]`: DEPTH frames (10,000), WORK rounds of arithmetic in
 * each (0), so that a run can be made to last. Says every thousandth frame on the way down and on the way up.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int work;
static int depth_wanted;

static uint32_t mix(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  return x ^ (x >> 16);
}

static uint64_t descend(int depth, uint32_t seed, double scale, float bias) {
  uint32_t local[12];
  for (int i = 0; i < 12; i++) local[i] = mix(seed + i);
  uint64_t wide = (uint64_t)local[3] << 32 | local[7];
  double kept = scale * 1.0000001 + depth;
  float small = bias + (float)(local[1] & 255);
  for (int i = 0; i < work; i++) wide = wide * 6364136223846793005ULL + 1442695040888963407ULL;
  if (depth % 1000 == 0) printf("down %d %08x\n", depth, local[11]);
  uint64_t below = 0;
  if (depth < depth_wanted) below = descend(depth + 1, mix(seed), kept - depth, bias);
  for (int i = 0; i < 12; i++) {
    if (local[i] != mix(seed + i)) {
      printf("frame %d: word %d was lost\n", depth, i);
      exit(2);
    }
  }
  if (kept != scale * 1.0000001 + depth || small != bias + (float)(local[1] & 255)) {
    printf("frame %d: a float was lost\n", depth);
    exit(3);
  }
  if (depth % 1000 == 0) printf("up %d %016llx\n", depth, (unsigned long long)(below ^ wide));
  return below * 31 + wide;
}

int main(int argc, char **argv) {
  depth_wanted = argc > 1 ? atoi(argv[1]) : 10000;
  work = argc > 2 ? atoi(argv[2]) : 0;
  printf("sum %016llx\n", (unsigned long long)descend(1, 1, 1.5, 0.25f));
  return 0;
}
