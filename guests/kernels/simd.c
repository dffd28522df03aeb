/* 128-bit SIMD: Mandelbrot in f32x4, sums of absolute differences in bytes, alpha blending. */
#define DEFAULT_ROUNDS 56
#include <wasm_simd128.h>
#include "kernel.h"

static uint32_t mandelbrot(float y, float from) {
  v128_t cy = wasm_f32x4_splat(y), cx = wasm_f32x4_add(wasm_f32x4_splat(from), wasm_f32x4_make(0, 0.002f, 0.004f, 0.006f));
  v128_t x = cx, v = cy, steps = wasm_i32x4_splat(0), four = wasm_f32x4_splat(4);
  for (int i = 0; i < 64; i++) {
    v128_t xx = wasm_f32x4_mul(x, x), vv = wasm_f32x4_mul(v, v);
    v128_t inside = wasm_f32x4_le(wasm_f32x4_add(xx, vv), four);
    if (!wasm_v128_any_true(inside)) break;
    steps = wasm_i32x4_sub(steps, inside);
    v = wasm_f32x4_add(wasm_f32x4_mul(wasm_f32x4_add(x, x), v), cy);
    x = wasm_f32x4_add(wasm_f32x4_sub(xx, vv), cx);
  }
  return (uint32_t)(wasm_i32x4_extract_lane(steps, 0) + 3 * wasm_i32x4_extract_lane(steps, 1) +
                    5 * wasm_i32x4_extract_lane(steps, 2) + 7 * wasm_i32x4_extract_lane(steps, 3));
}

#define BYTES 65536
static uint8_t one[BYTES], two[BYTES], out[BYTES];

static uint64_t kernel(uint32_t rounds) {
  uint32_t state = 5;
  for (int i = 0; i < BYTES; i++) one[i] = (uint8_t)next_random(&state), two[i] = (uint8_t)next_random(&state);
  uint64_t sum = 0;
  for (uint32_t r = 0; r < rounds; r++) {
    for (int row = 0; row < 300; row++)
      for (int column = 0; column < 400; column += 4)
        sum += mandelbrot(-1.2f + (float)row * 0.008f, -2.2f + (float)column * 0.0075f + (float)r * 1e-4f);
    for (int pass = 0; pass < 20; pass++) {
      v128_t total = wasm_i32x4_splat(0);
      for (int i = 0; i < BYTES; i += 16) {
        v128_t a = wasm_v128_load(one + i), b = wasm_v128_load(two + i);
        v128_t difference = wasm_v128_or(wasm_u8x16_sub_sat(a, b), wasm_u8x16_sub_sat(b, a));
        total = wasm_i32x4_add(total, wasm_u32x4_extadd_pairwise_u16x8(wasm_u16x8_extadd_pairwise_u8x16(difference)));
        wasm_v128_store(out + i, wasm_u8x16_avgr(a, wasm_u8x16_avgr(b, difference)));
      }
      sum = sum * 31 + (uint32_t)(wasm_i32x4_extract_lane(total, 1) ^ wasm_i32x4_extract_lane(total, 2));
      memcpy(two + pass, out, BYTES - 32);
    }
  }
  return sum;
}
