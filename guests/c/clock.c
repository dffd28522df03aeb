/*
 * Clocks, sleeping and polling. `clock [SLEEPS [MS]]`. Prints only what does not depend on the speed of the machine:
 * that clocks go forward, that a sleep lasts at least as long as asked, that polling a file or standard output says
 * ready.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int64_t now(clockid_t id) {
  struct timespec t;
  if (clock_gettime(id, &t) != 0) {
    perror("clock_gettime");
    exit(1);
  }
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(int argc, char **argv) {
  int sleeps = argc > 1 ? atoi(argv[1]) : 5;
  int ms = argc > 2 ? atoi(argv[2]) : 20;
  struct timespec resolution;
  printf("resolution %s\n", clock_getres(CLOCK_MONOTONIC, &resolution) == 0 ? "known" : "unknown");
  printf("after 2020: %s\n", now(CLOCK_REALTIME) > 1577836800LL * 1000000000 ? "yes" : "no");
  int64_t last = now(CLOCK_MONOTONIC);
  int back = 0;
  for (int i = 0; i < 10000; i++) {
    int64_t t = now(CLOCK_MONOTONIC);
    if (t < last) back++;
    last = t;
  }
  printf("went back %d times\n", back);
  for (int i = 0; i < sleeps; i++) {
    int64_t before = now(CLOCK_MONOTONIC);
    struct timespec wait = {ms / 1000, (long)(ms % 1000) * 1000000};
    int result = clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
    int64_t took = now(CLOCK_MONOTONIC) - before;
    printf("sleep %d: %d, %s\n", i, result, took >= (int64_t)ms * 1000000 ? "long enough" : "too short");
    fflush(stdout);
  }
  struct pollfd one = {1, POLLOUT, 0};
  int ready = poll(&one, 1, 1000);
  printf("poll: %d, out %s\n", ready, one.revents & POLLOUT ? "ready" : "not ready");
  printf("done\n");
  return 0;
}
