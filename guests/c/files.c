/*
 * Writes and reads files, and checks every byte. `files DIRECTORY [ROUNDS [KIB]]`: in each round a file is written in
 * pieces of odd sizes, read back, changed in the middle, appended to, cut, renamed and listed; every third round
 * removes an older file. Prints one line a round, and the listing with hashes at the end.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *root;

static void fail(const char *what, const char *path) {
  printf("FAILED %s %s: %s\n", what, path, strerror(errno));
  exit(1);
}

static char *path_of(const char *name) {
  static char buffers[4][512];
  static int next;
  char *buffer = buffers[next++ & 3];
  snprintf(buffer, 512, "%s/%s", root, name);
  return buffer;
}

static uint8_t byte_at(uint32_t seed, uint32_t i) { return (uint8_t)((i * 2654435761u ^ seed * 40503u) >> 13); }

static uint32_t hash_file(const char *path, long *size) {
  FILE *f = fopen(path, "rb");
  if (!f) fail("open", path);
  uint8_t buffer[3000];
  uint32_t hash = 2166136261u;
  size_t n;
  *size = 0;
  while ((n = fread(buffer, 1, sizeof buffer, f)) > 0) {
    for (size_t i = 0; i < n; i++) hash = (hash ^ buffer[i]) * 16777619u;
    *size += (long)n;
  }
  if (ferror(f)) fail("read", path);
  fclose(f);
  return hash;
}

static void write_file(const char *path, uint32_t seed, uint32_t bytes) {
  FILE *f = fopen(path, "wb");
  if (!f) fail("create", path);
  uint8_t piece[1777];
  for (uint32_t at = 0; at < bytes;) {
    uint32_t n = 1 + (at * 7 + seed * 131) % sizeof piece;
    if (n > bytes - at) n = bytes - at;
    for (uint32_t i = 0; i < n; i++) piece[i] = byte_at(seed, at + i);
    if (fwrite(piece, 1, n, f) != n) fail("write", path);
    at += n;
  }
  if (fclose(f) != 0) fail("close", path);
}

static void check_and_change(const char *path, uint32_t seed, uint32_t bytes) {
  int fd = open(path, O_RDWR);
  if (fd < 0) fail("open", path);
  uint8_t *all = malloc(bytes);
  for (uint32_t at = 0; at < bytes;) {
    ssize_t n = read(fd, all + at, bytes - at);
    if (n <= 0) fail("read", path);
    at += (uint32_t)n;
  }
  for (uint32_t i = 0; i < bytes; i++) {
    if (all[i] != byte_at(seed, i)) {
      printf("FAILED %s: byte %u is %u\n", path, i, all[i]);
      exit(1);
    }
  }
  free(all);
  if (lseek(fd, bytes / 2, SEEK_SET) != bytes / 2 || write(fd, "perdure", 7) != 7) fail("change", path);
  char back[8] = {0};
  if (lseek(fd, -7, SEEK_CUR) < 0 || read(fd, back, 7) != 7 || strcmp(back, "perdure") != 0) fail("reread", path);
  struct stat st;
  if (fstat(fd, &st) != 0 || st.st_size != bytes) fail("stat", path);
  if (ftruncate(fd, bytes - bytes / 4) != 0) fail("truncate", path);
  if (close(fd) != 0) fail("close", path);
  FILE *f = fopen(path, "ab");
  if (!f || fprintf(f, "tail of %u\n", seed) < 0 || fclose(f) != 0) fail("append", path);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(void) {
  DIR *d = opendir(root);
  if (!d) fail("opendir", root);
  char *names[256];
  int count = 0;
  for (struct dirent *e; (e = readdir(d)) && count < 256;)
    if (strncmp(e->d_name, "file-", 5) == 0) names[count++] = strdup(e->d_name);
  closedir(d);
  qsort(names, (size_t)count, sizeof *names, by_name);
  for (int i = 0; i < count; i++) {
    long size;
    uint32_t hash = hash_file(path_of(names[i]), &size);
    printf("%s %ld %08x\n", names[i], size, hash);
  }
}

int main(int argc, char **argv) {
  root = argc > 1 ? argv[1] : ".";
  int rounds = argc > 2 ? atoi(argv[2]) : 12;
  uint32_t kib = argc > 3 ? (uint32_t)atoi(argv[3]) : 20;
  for (int round = 0; round < rounds; round++) {
    char name[64];
    uint32_t bytes = kib * 1024 + (uint32_t)round * 37;
    char *fresh = path_of("new.tmp");
    write_file(fresh, (uint32_t)round, bytes);
    check_and_change(fresh, (uint32_t)round, bytes);
    snprintf(name, sizeof name, "file-%03d", round);
    if (rename(fresh, path_of(name)) != 0) fail("rename", name);
    if (round % 3 == 2) {
      snprintf(name, sizeof name, "file-%03d", round - 1);
      if (unlink(path_of(name)) != 0) fail("unlink", name);
      if (access(path_of(name), F_OK) == 0 || errno != ENOENT) fail("gone", name);
    }
    mkdir(path_of("sub"), 0777);
    snprintf(name, sizeof name, "sub/note-%d", round);
    write_file(path_of(name), 77, 100);
    if (round % 2 == 1 && (unlink(path_of(name)) != 0)) fail("unlink", name);
    long size;
    snprintf(name, sizeof name, "file-%03d", round);
    printf("round %d: %08x\n", round, hash_file(path_of(name), &size));
    fflush(stdout);
  }
  list();
  return 0;
}
