/*
 * A tree in a segment that two programs share, made and walked by ordinary pointers. Both map what they were granted as "shared" at
 * one near address, so pointers mean the same to both.
 *
 *     shared write ROUNDS    puts words into the tree, one a round, and tells how many are there
 *     shared read ROUNDS     waits for each, looks through all that are there, and prints them sorted at the end
 *     shared beyond          writes where it may only read, which traps
 */
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../include/perdure.h"

#define BYTES (1u << 20)
#define PLACE ((void *)0xA0000000u)

struct node {
  struct node *left, *right;
  char word[24];
};
struct heap {
  volatile uint32_t count;
  struct node *root;
  struct node *next;
  struct node nodes[];
};

static struct heap *map(uint32_t rights) {
  perdure_handle segment = perdure_granted("shared");
  int64_t at = segment < 0 ? segment : perdure_segment_map_(segment, 0, BYTES, rights, PLACE);
  if (at != (int64_t)(uintptr_t)PLACE) {
    printf("cannot map: %lld\n", (long long)at);
    exit(2);
  }
  return PLACE;
}

static void put(struct heap *heap, const char *word) {
  struct node **at = &heap->root;
  while (*at) at = strcmp(word, (*at)->word) < 0 ? &(*at)->left : &(*at)->right;
  struct node *node = heap->next++;
  strcpy(node->word, word);
  *at = node;
  heap->count++;
}

static unsigned walk(const struct node *node, int print) {
  if (!node) return 0;
  unsigned left = walk(node->left, print);
  if (print) printf("%s\n", node->word);
  return left + 1 + walk(node->right, print);
}

int main(int argc, char **argv) {
  if (argc < 2) return 1;
  unsigned rounds = argc > 2 ? atoi(argv[2]) : 1;
  if (!strcmp(argv[1], "beyond")) {
    map(PERDURE_READ)->count = 0;
    return 0;
  }
  if (!strcmp(argv[1], "write")) {
    struct heap *heap = map(PERDURE_READ | PERDURE_WRITE);
    heap->next = heap->nodes;
    for (unsigned i = 0; i < rounds; i++) {
      char word[24];
      snprintf(word, sizeof word, "w%08x", i * 2654435761u);
      put(heap, word);
      sched_yield();
    }
    printf("%u words\n", heap->count);
    return 0;
  }
  struct heap *heap = map(PERDURE_READ);
  for (unsigned seen = 0; seen < rounds; sched_yield()) {
    unsigned count = heap->count;
    if (count < seen || walk(heap->root, 0) != count) {
      printf("%u words, %u of them in the tree\n", count, walk(heap->root, 0));
      return 3;
    }
    seen = count;
  }
  walk(heap->root, 1);
  return 0;
}
