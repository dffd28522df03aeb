/* Strings: build a text, split it into words, count them in a trie, find and replace, change case, compare. */
#define DEFAULT_ROUNDS 360
#include <ctype.h>
#include "kernel.h"

static const char *const syllables[] = {"per", "du", "re", "mem", "o", "ry", "is", "an", "un", "ceas", "ing", "light"};
#define TEXT 65536
typedef struct trie { struct trie *child[26]; uint32_t count; } trie;
static trie pool[8192];
static uint32_t used;

static uint64_t count_words(const char *text) {
  uint64_t sum = 0;
  memset(pool, 0, sizeof(trie) * (used + 1));
  used = 1;
  while (*text) {
    trie *at = pool;
    while (isalpha((unsigned char)*text)) {
      int c = tolower((unsigned char)*text++) - 'a';
      if (!at->child[c] && used < 8192) at->child[c] = &pool[used++];
      if (!at->child[c]) break;
      at = at->child[c];
    }
    sum = sum * 7 + ++at->count;
    while (*text && !isalpha((unsigned char)*text)) text++;
  }
  return sum;
}

static size_t replace(char *out, const char *in, const char *what, const char *with) {
  size_t n = strlen(what), m = strlen(with);
  char *start = out;
  for (const char *found; (found = strstr(in, what)); in = found + n) {
    memcpy(out, in, (size_t)(found - in));
    out += found - in;
    memcpy(out, with, m);
    out += m;
  }
  strcpy(out, in);
  return (size_t)(out - start) + strlen(in);
}

static uint64_t kernel(uint32_t rounds) {
  char *text = malloc(TEXT * 2), *other = malloc(TEXT * 4);
  uint32_t state = 99;
  size_t n = 0;
  while (n < TEXT - 40) {
    int length = 1 + (int)(next_random(&state) % 3);
    for (int i = 0; i < length; i++) {
      const char *s = syllables[next_random(&state) % 12];
      memcpy(text + n, s, strlen(s));
      n += strlen(s);
    }
    text[n++] = ' ';
  }
  text[n] = 0;
  uint64_t sum = 0;
  for (uint32_t r = 0; r < rounds; r++) {
    sum = sum * 31 + count_words(text);
    sum += replace(other, text, "memo", "MEMO");
    for (char *c = other; *c; c++) *c = (char)(r & 1 ? toupper((unsigned char)*c) : tolower((unsigned char)*c));
    sum += (uint64_t)(strcmp(text, other) + 1000);
    text[r % (TEXT / 2)] = text[r % (TEXT / 2)] == ' ' ? 'x' : text[r % (TEXT / 2)];
  }
  return sum;
}
