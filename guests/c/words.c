/*
 * A program that knows nothing of Perdure but what its environment says of memory that was mapped for it
 * (PERDURE_MAP_NAME=ADDRESS,SIZE). `words [ROUNDS [SLEEP_MS]]` counts the words of the memory `text`, ROUNDS times (1), and adds
 * each count to the number that begins the memory `sum`, where there is one. `words poke` writes to `text`.
 */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned char *mapped(const char *variable, size_t *size) {
  const char *value = getenv(variable);
  if (!value) return NULL;
  char *end;
  unsigned char *at = (unsigned char *)(uintptr_t)strtoul(value, &end, 0);
  *size = *end == ',' ? strtoul(end + 1, NULL, 0) : 0;
  return at;
}

static int count(const unsigned char *text, size_t size) {
  int words = 0, inside = 0;
  for (size_t i = 0; i < size; i++) {
    int is = isalnum(text[i]) != 0;
    words += is && !inside;
    inside = is;
  }
  return words;
}

int main(int argc, char **argv) {
  size_t size = 0, room = 0;
  unsigned char *text = mapped("PERDURE_MAP_text", &size);
  volatile uint32_t *sum = (volatile uint32_t *)mapped("PERDURE_MAP_sum", &room);
  if (!text) return fputs("there is no text\n", stderr), 2;
  if (argc > 1 && strcmp(argv[1], "poke") == 0) text[0] = '!';
  int rounds = argc > 1 ? atoi(argv[1]) : 1;
  unsigned sleep_ms = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
  for (int i = 1; i <= rounds; i++) {
    int words = count(text, size);
    if (sum && room >= sizeof *sum) *sum += (uint32_t)words;
    printf("round %d: %d words of %zu bytes, sum %u\n", i, words, size, sum ? (unsigned)*sum : 0);
    if (sleep_ms) {
      fflush(stdout);
      usleep(sleep_ms * 1000);
    }
  }
  return 0;
}
