/* Echoes its arguments and its environment, one a line, and ends with the status given as --exit=N. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

int main(int argc, char **argv) {
  int status = 0;
  for (int i = 0; i < argc; i++) {
    printf("arg %d: %s\n", i, argv[i]);
    if (strncmp(argv[i], "--exit=", 7) == 0) status = atoi(argv[i] + 7);
  }
  for (char **e = environ; e && *e; e++) printf("env: %s\n", *e);
  return status;
}
