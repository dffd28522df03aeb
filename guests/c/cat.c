/*
 * Reads standard input line by line, says each line's number, length and hash, and at the end the totals. With
 * `--echo` it copies the input to standard output as it is.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--echo") == 0) {
    int c;
    while ((c = getchar()) != EOF) putchar(c);
    return 0;
  }
  char line[4096];
  unsigned lines = 0;
  unsigned long long bytes = 0;
  uint32_t total = 2166136261u;
  while (fgets(line, sizeof line, stdin)) {
    size_t length = strlen(line);
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)line[i]) * 16777619u;
    total = total * 31 + hash;
    lines++;
    bytes += length;
    printf("%u: %zu bytes %08x\n", lines, length, hash);
    fflush(stdout);
  }
  printf("total: %u lines %llu bytes %08x\n", lines, bytes, total);
  return 0;
}
