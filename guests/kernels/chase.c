/* Pointer chasing: a linked list in shuffled order, 256 KiB of nodes, each hop depending on the last. */
#define DEFAULT_ROUNDS 2000
#include "kernel.h"

#define NODES 16384
typedef struct node { struct node *next; uint32_t value, pad[2]; } node;

static uint64_t kernel(uint32_t rounds) {
  node *nodes = malloc(sizeof(node) * NODES);
  uint32_t *order = malloc(4 * NODES), state = 2463534242u;
  for (uint32_t i = 0; i < NODES; i++) order[i] = i;
  for (uint32_t i = NODES - 1; i > 0; i--) {
    uint32_t j = next_random(&state) % (i + 1), t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
  for (uint32_t i = 0; i < NODES; i++) {
    nodes[order[i]].next = &nodes[order[(i + 1) % NODES]];
    nodes[order[i]].value = next_random(&state);
  }
  uint64_t sum = 0;
  node *at = nodes;
  for (uint32_t r = 0; r < rounds; r++) {
    for (uint32_t i = 0; i < NODES + 1; i++) {
      sum += at->value;
      at = at->next;
    }
    at->value ^= (uint32_t)sum;
  }
  return sum;
}
