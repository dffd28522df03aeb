/* Hash table with open addressing: insert, find, remove over 64 Ki keys; scattered loads and stores. */
#define DEFAULT_ROUNDS 60
#include "kernel.h"

#define SLOTS 131072
typedef struct { uint32_t key, value; } slot;
static slot *slots;

static uint32_t hash(uint32_t x) {
  x = (x ^ x >> 16) * 0x45d9f3bu;
  x = (x ^ x >> 16) * 0x45d9f3bu;
  return x ^ x >> 16;
}

static slot *find(uint32_t key) {
  uint32_t i = hash(key) & (SLOTS - 1);
  while (slots[i].key != key && slots[i].key != 0) i = (i + 1) & (SLOTS - 1);
  return &slots[i];
}

static void take_out(slot *s) {
  uint32_t hole = (uint32_t)(s - slots), i = hole;
  for (;;) {
    i = (i + 1) & (SLOTS - 1);
    if (slots[i].key == 0) break;
    uint32_t home = hash(slots[i].key) & (SLOTS - 1);
    if (((i - home) & (SLOTS - 1)) >= ((i - hole) & (SLOTS - 1))) {
      slots[hole] = slots[i];
      hole = i;
    }
  }
  slots[hole].key = 0;
}

static uint64_t kernel(uint32_t rounds) {
  slots = calloc(SLOTS, sizeof *slots);
  uint32_t state = 314159265u;
  uint64_t sum = 0;
  for (uint32_t r = 0; r < rounds; r++) {
    for (int i = 0; i < 65536; i++) {
      uint32_t key = next_random(&state) % 90000 + 1;
      slot *s = find(key);
      if (s->key == 0) {
        s->key = key;
        s->value = r;
      } else if (state & 0x10000) {
        sum += s->value;
        take_out(s);
      } else {
        s->value += (uint32_t)i;
      }
    }
  }
  for (int i = 0; i < SLOTS; i++) sum = sum * 31 + slots[i].key + slots[i].value;
  return sum;
}
