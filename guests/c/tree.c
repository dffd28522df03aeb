/*
 * Does with a file tree what its arguments say, two by two, and says what came of it: ls, cat, write, mkdir, rm, mv (to NAME.moved).
 * Errors are told by their numbers.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int list(const char *path) {
  char *names[1000];
  int count = 0;
  DIR *directory = opendir(path);
  if (!directory) return -1;
  for (struct dirent *entry; (entry = readdir(directory)) && count < 1000;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    char name[300];
    snprintf(name, sizeof name, "%s%s", entry->d_name, entry->d_type == DT_DIR ? "/" : "");
    names[count++] = strdup(name);
  }
  closedir(directory);
  qsort(names, (size_t)count, sizeof names[0], by_name);
  for (int i = 0; i < count; i++) printf(" %s", names[i]);
  putchar('\n');
  return 0;
}

static int cat(const char *path) {
  char bytes[4096];
  int fd = open(path, O_RDONLY);
  if (fd < 0) return -1;
  putchar(' ');
  for (ssize_t got; (got = read(fd, bytes, sizeof bytes)) > 0;) fwrite(bytes, 1, (size_t)got, stdout);
  putchar('\n');
  return close(fd);
}

static int put(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (fd < 0) return -1;
  if (write(fd, "written", 7) != 7) return -1;
  return close(fd);
}

int main(int argc, char **argv) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *what = argv[i], *path = argv[i + 1];
    char moved[300];
    snprintf(moved, sizeof moved, "%s.moved", path);
    printf("%s %s:", what, path);
    errno = 0;
    int says = strcmp(what, "ls") == 0 || strcmp(what, "cat") == 0;
    int result = strcmp(what, "ls") == 0      ? list(path)
                 : strcmp(what, "cat") == 0   ? cat(path)
                 : strcmp(what, "write") == 0 ? put(path)
                 : strcmp(what, "mkdir") == 0 ? mkdir(path, 0777)
                 : strcmp(what, "rm") == 0    ? unlink(path)
                                              : rename(path, moved);
    if (result < 0) printf(" error %d\n", errno);
    else if (!says) printf(" ok\n");
    fflush(stdout);
  }
  return 0;
}
