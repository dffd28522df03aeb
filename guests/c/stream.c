/*
 * The two ends of a channel in a segment (perdure/channel.h), for tests and benches: one domain of it sends, another receives.
 * `create` gives the segment, by handle; then `open` at both sides, with how many slots of how many bytes there are, and whether it makes the
 * channel.
 */
#include <perdure.h>

#define MESSAGE (1 << 20)
static perdure_channel end;
static uint64_t own[MESSAGE / 8];
static uint64_t state;
/* What the last call gave, for whoever does not call but starts it. */
static int64_t given;
__attribute__((export_name("outcome"))) int64_t outcome(void) { return given; }

static uint64_t next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

__attribute__((export_name("create"))) perdure_handle create(uint32_t slots, uint32_t bytes) {
  return perdure_segment_create(PERDURE_CHANNEL_BYTES((uint64_t)slots, (uint64_t)bytes));
}

__attribute__((export_name("open"))) int32_t open(perdure_handle segment, uint32_t slots, uint32_t bytes, int32_t make) {
  void *memory;
  uint64_t size = PERDURE_CHANNEL_BYTES((uint64_t)slots, (uint64_t)bytes);
  int32_t bad = perdure_segment_map(segment, 0, size, PERDURE_READ | PERDURE_WRITE, &memory);
  if (bad < 0) return bad;
  return make ? perdure_channel_make(&end, memory, slots, bytes) : perdure_channel_join(&end, memory, slots, bytes);
}

/* Sends messages of `bytes`, copied from memory of its own. 0, or an error. */
__attribute__((export_name("send"))) int32_t send(uint32_t messages, uint32_t bytes) {
  for (uint32_t i = 0; i < messages; i++) {
    own[0] = i;
    int32_t bad = perdure_send(&end, own, bytes, PERDURE_FOREVER);
    if (bad < 0) return (int32_t)(given = bad);
  }
  return (int32_t)(given = 0);
}

/* Receives messages and looks at a word of each page of them, where they are. The sum of their first words, or an error. */
__attribute__((export_name("receive"))) int64_t receive(uint32_t messages) {
  uint64_t sum = 0, other = 0;
  for (uint32_t i = 0; i < messages; i++) {
    const void *message;
    int32_t bytes = perdure_channel_message(&end, &message, PERDURE_FOREVER);
    if (bytes < 0) return given = (bytes);
    for (int32_t at = 0; at < bytes; at += 4096) other += *(const uint64_t *)((const uint8_t *)message + at);
    sum += *(const uint64_t *)message;
    perdure_channel_done(&end);
  }
  return given = ((int64_t)(other == 1 ? 0 : sum));
}

/* Hands slots over that are written and read in place: only one word of each page is touched. 0, or an error. */
__attribute__((export_name("hand"))) int32_t hand(uint32_t messages, uint32_t bytes) {
  for (uint32_t i = 0; i < messages; i++) {
    void *room;
    int32_t bad = perdure_channel_room(&end, &room, PERDURE_FOREVER);
    if (bad < 0) return (int32_t)(given = bad);
    *(uint64_t *)room = i;
    bad = perdure_channel_send(&end, bytes);
    if (bad < 0) return (int32_t)(given = bad);
  }
  return (int32_t)(given = 0);
}
__attribute__((export_name("take"))) int64_t take(uint32_t messages) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < messages; i++) {
    const void *message;
    int32_t bytes = perdure_channel_message(&end, &message, PERDURE_FOREVER);
    if (bytes < 0) return given = (bytes);
    sum += *(const uint64_t *)message;
    perdure_channel_done(&end);
  }
  return given = ((int64_t)sum);
}

/* Messages of all lengths and contents, drawn from a seed: both sides draw the same. The messages that were right. */
__attribute__((export_name("talk"))) int32_t talk(uint32_t messages, uint32_t seed) {
  state = seed * 2654435761u + 1;
  for (uint32_t i = 0; i < messages; i++) {
    uint32_t bytes = (uint32_t)(next() % (end.slot_bytes + 1));
    for (uint32_t at = 0; at < bytes; at++) ((uint8_t *)own)[at] = (uint8_t)next();
    if (perdure_send(&end, own, bytes, PERDURE_FOREVER) < 0) return (int32_t)(given = -1);
  }
  return (int32_t)(given = (int32_t)messages);
}
__attribute__((export_name("listen"))) int32_t listen(uint32_t messages, uint32_t seed) {
  state = seed * 2654435761u + 1;
  for (uint32_t i = 0; i < messages; i++) {
    int32_t bytes = perdure_receive(&end, own, sizeof own, PERDURE_FOREVER);
    if (bytes != (int32_t)(next() % (end.slot_bytes + 1))) return (int32_t)(given = -1);
    for (int32_t at = 0; at < bytes; at++)
      if (((uint8_t *)own)[at] != (uint8_t)next()) return (int32_t)(given = -2);
  }
  return (int32_t)(given = (int32_t)messages);
}

/* Receives whatever comes, waiting at most 1000 ns for each. How many made sense; whatever the other side writes. */
__attribute__((export_name("survive"))) int32_t survive(uint32_t messages) {
  int32_t good = 0;
  for (uint32_t i = 0; i < messages; i++) {
    int32_t bytes = perdure_receive(&end, own, sizeof own, 1000);
    if (bytes >= 0 && bytes <= (int32_t)end.slot_bytes) good++;
    else if (bytes != -PERDURE_BADMSG && bytes != -PERDURE_TIMEDOUT) return (int32_t)(given = bytes);
  }
  return (int32_t)(given = good);
}
