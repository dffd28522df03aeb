/* Never ends: `spin` loops without calls, `spin sleep` in sleeps, `spin read` waiting for standard input. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile uint64_t counter;

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  printf("spinning\n");
  fflush(stdout);
  if (!strcmp(how, "sleep"))
    for (;;) {
      usleep(10000);
      counter++;
    }
  if (!strcmp(how, "read"))
    for (char c; read(0, &c, 1) == 1;) counter++;
  for (;;) counter++;
}
