/* Allocation: binary trees built, walked, rebalanced by rotation and freed with malloc and free. */
#define DEFAULT_ROUNDS 36
#include "kernel.h"

typedef struct tree { struct tree *left, *right; uint32_t key, weight; } tree;

static tree *insert(tree *t, uint32_t key, uint32_t weight) {
  if (!t) {
    t = malloc(sizeof *t);
    *t = (tree){NULL, NULL, key, weight};
    return t;
  }
  if (key < t->key) {
    t->left = insert(t->left, key, weight);
    if (t->left->weight > t->weight) {
      tree *l = t->left;
      t->left = l->right;
      l->right = t;
      return l;
    }
  } else if (key > t->key) {
    t->right = insert(t->right, key, weight);
    if (t->right->weight > t->weight) {
      tree *r = t->right;
      t->right = r->left;
      r->left = t;
      return r;
    }
  }
  return t;
}

static uint64_t drop(tree *t, uint32_t depth) {
  if (!t) return depth;
  uint64_t sum = drop(t->left, depth + 1) * 3 + drop(t->right, depth + 1) + t->key;
  free(t);
  return sum;
}

static uint64_t kernel(uint32_t rounds) {
  uint32_t state = 1234567;
  uint64_t sum = 0;
  for (uint32_t r = 0; r < rounds; r++) {
    tree *root = NULL;
    for (int i = 0; i < 20000; i++) {
      uint32_t key = next_random(&state);
      root = insert(root, key >> 4, next_random(&state));
    }
    sum = sum * 31 + drop(root, 0);
  }
  return sum;
}
