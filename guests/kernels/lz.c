/* Compression: an LZ77 with hash chains, packing and unpacking 256 KiB; mixed widths, copies, table look-ups. */
#define DEFAULT_ROUNDS 36
#include "kernel.h"

#define BYTES (256 * 1024)
static uint8_t source[BYTES], packed[BYTES * 2], unpacked[BYTES];
static int32_t first[1 << 14], chain[BYTES];

static uint32_t pack(void) {
  uint32_t out = 0;
  memset(first, 0xff, sizeof first);
  for (uint32_t i = 0; i < BYTES;) {
    uint32_t best = 0, from = 0, h = 0;
    if (i + 4 <= BYTES) {
      uint32_t word;
      memcpy(&word, source + i, 4);
      h = word * 2654435761u >> 18;
      int tries = 12;
      for (int32_t c = first[h]; c >= 0 && tries-- > 0 && i - (uint32_t)c < 65535; c = chain[c]) {
        uint32_t n = 0;
        while (i + n < BYTES && n < 250 && source[(uint32_t)c + n] == source[i + n]) n++;
        if (n > best) best = n, from = i - (uint32_t)c;
      }
      chain[i] = first[h];
      first[h] = (int32_t)i;
    }
    if (best >= 4) {
      packed[out++] = (uint8_t)best;
      packed[out++] = (uint8_t)from;
      packed[out++] = (uint8_t)(from >> 8);
      i += best;
    } else {
      packed[out++] = 0;
      packed[out++] = source[i++];
    }
  }
  return out;
}

static void unpack(uint32_t length) {
  uint32_t out = 0;
  for (uint32_t i = 0; i < length;) {
    uint32_t n = packed[i++];
    if (n == 0) {
      unpacked[out++] = packed[i++];
    } else {
      uint32_t from = packed[i] | (uint32_t)packed[i + 1] << 8;
      i += 2;
      for (; n > 0; n--, out++) unpacked[out] = unpacked[out - from];
    }
  }
}

static uint64_t kernel(uint32_t rounds) {
  uint32_t state = 77;
  for (uint32_t i = 0; i < BYTES;) {
    uint32_t kind = next_random(&state);
    uint32_t n = 1 + kind % 40;
    uint32_t from = i > 0 && kind & 0x10000 ? next_random(&state) % i : i;
    for (; n > 0 && i < BYTES; n--, i++) source[i] = from < i ? source[from++] : (uint8_t)('a' + next_random(&state) % 20);
  }
  uint64_t sum = 0;
  for (uint32_t r = 0; r < rounds; r++) {
    uint32_t length = pack();
    unpack(length);
    sum = sum * 31 + length + (memcmp(source, unpacked, BYTES) == 0);
    source[r * 1009 % BYTES] ^= 1;
  }
  return sum;
}
