/*
 * A program that is several: it makes domains of itself, hands each numbers through a channel in memory that both have, and gets answers
 * through another. Number n asks for the longest Collatz sequence that begins in the n-th thousand. `workers [WORKERS] [THOUSANDS]` (3, 2000)
 * prints a line for each hundred thousands, and the longest at the end: the same whatever happens in between.
 */
#include <perdure.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 4, BYTES = 64, PAIR = 1 << 16, MOST = 8 };
typedef struct { uint64_t number, start, steps; } answer;

static perdure_channel tasks, answers;

/* Both channels of a worker lie in one segment, 64 KiB apart. */
static void attach(perdure_handle segment, int make) {
  void *at;
  if (perdure_segment_map(segment, 0, 2 * PAIR, PERDURE_READ | PERDURE_WRITE, &at) < 0) abort();
  int32_t (*take)(perdure_channel *, void *, uint32_t, uint32_t) = make ? perdure_channel_make : perdure_channel_join;
  if (take(&tasks, at, SLOTS, BYTES) != 0 || take(&answers, (char *)at + PAIR, SLOTS, BYTES) != 0) abort();
}

PERDURE_EXPORT(worker) void worker(void) {
  uint64_t number;
  attach(perdure_granted("memory"), 0);
  while (perdure_receive(&tasks, &number, sizeof number, PERDURE_FOREVER) == sizeof number && number != 0) {
    answer found = {number, 0, 0};
    for (uint64_t start = 1000 * number - 999; start <= 1000 * number; start++) {
      uint64_t steps = 0;
      for (uint64_t n = start; n != 1; n = n % 2 == 0 ? n / 2 : 3 * n + 1) steps++;
      if (steps > found.steps) found = (answer){number, start, steps};
    }
    if (perdure_send(&answers, &found, sizeof found, PERDURE_FOREVER) < 0) abort();
  }
}

int main(int argc, char **argv) {
  static perdure_channel to[MOST], from[MOST];
  static perdure_handle made[MOST];
  static answer known[1 << 16];
  uint64_t workers = argc > 1 ? strtoul(argv[1], NULL, 10) : 3;
  uint64_t numbers = argc > 2 ? strtoul(argv[2], NULL, 10) : 2000;
  if (workers < 1 || workers > MOST || numbers < 1 || numbers >= 1 << 16) return 2;
  for (uint64_t i = 0; i < workers; i++) {
    char name[8];
    perdure_handle memory = perdure_segment_create(2 * PAIR);
    snprintf(name, sizeof name, "w%llu", (unsigned long long)i);
    made[i] = perdure_domain_create(perdure_program_own(), name, 0, PERDURE_DOMAIN_LINKED);
    if (memory < 0 || made[i] < 0) {
      fprintf(stderr, "workers: error %d, %d\n", -memory, -made[i]);
      return 1;
    }
    attach(memory, 1);
    to[i] = tasks;
    from[i] = answers;
    if (perdure_domain_grant(made[i], "memory", memory, PERDURE_READ | PERDURE_WRITE | PERDURE_MAP) != 0) return 1;
    if (perdure_domain_start(made[i], "worker") != 0) return 1;
  }
  /* Whoever has answered gets the next number; all answers are waited for together. */
  perdure_handle set = perdure_waitset_create();
  uint64_t next = 1, answered = 0, printed = 0, under_way[MOST] = {0};
  answer best = {0, 0, 0};
  for (uint64_t i = 0; i < workers; i++) perdure_waitset_add(set, &from[i].shared->full, i);
  for (;;) {
    for (uint64_t i = 0; i < workers; i++) {
      for (; under_way[i] < SLOTS && next <= numbers; next++, under_way[i]++)
        if (perdure_send(&to[i], &next, sizeof next, PERDURE_FOREVER) != 0) return 1;
    }
    if (answered == numbers) break;
    uint64_t told[MOST];
    int32_t count = perdure_waitset_wait(set, told, MOST, PERDURE_FOREVER);
    if (count <= 0) return 1;
    for (int32_t i = 0; i < count; i++) {
      const void *message;
      answer found;
      if (perdure_channel_told(&from[told[i]], &message) != sizeof found) return 1;
      memcpy(&found, message, sizeof found);
      if (found.number < 1 || found.number > numbers || perdure_channel_done(&from[told[i]]) != 0) return 1;
      under_way[told[i]]--;
      known[found.number] = found;
      answered++;
    }
    while (printed + 100 <= numbers && answered >= printed + 100) {
      int whole = 1;
      for (uint64_t n = printed + 1; n <= printed + 100; n++) whole &= known[n].number == n;
      if (!whole) break;
      for (uint64_t n = printed + 1; n <= printed + 100; n++)
        if (known[n].steps > best.steps) best = known[n];
      printed += 100;
      printf("up to %llu000: %llu, %llu steps\n", (unsigned long long)printed, (unsigned long long)best.start,
             (unsigned long long)best.steps);
      fflush(stdout);
    }
  }
  uint64_t end = 0;
  for (uint64_t i = 0; i < workers; i++) perdure_send(&to[i], &end, sizeof end, PERDURE_FOREVER);
  for (uint64_t i = 0; i < workers; i++) perdure_domain_wait(made[i]);
  for (uint64_t n = printed + 1; n <= numbers; n++)
    if (known[n].steps > best.steps) best = known[n];
  printf("longest: %llu, %llu steps\n", (unsigned long long)best.start, (unsigned long long)best.steps);
  return 0;
}
