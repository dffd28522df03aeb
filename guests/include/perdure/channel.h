/*
 * Channels: messages from one domain to another through memory that both have mapped, without the kernel but where one waits for the
 * other. One sends, one receives. The memory is a number of slots, each with room for one message; two semaphores count those that are
 * full and those that are empty.
 *
 * Neither side has to trust the other. Sizes and positions are kept outside of the shared memory; the only thing that is read there
 * beside the messages is a message's length, which is read once and checked. The other side may change a message while it is looked
 * at: what a decision depends on has to be copied first, as perdure_receive does. If it writes nonsense into the semaphores,
 * messages are lost or told twice, and nothing else happens.
 */
#ifndef PERDURE_CHANNEL_H
#define PERDURE_CHANNEL_H

#include <stddef.h>
#include <string.h>

#include "semaphore.h"

/* What lies at the beginning of the memory; the slots follow, each a header of 64 bytes and its room. */
typedef struct perdure_channel_memory {
  perdure_semaphore full;
  uint8_t gap1[56];
  perdure_semaphore empty;
  uint8_t gap2[56];
} perdure_channel_memory;

/* One end of a channel, in memory of the program's own. */
typedef struct perdure_channel {
  perdure_channel_memory *shared;
  uint32_t slots;
  uint32_t slot_bytes;
  /* The slot that is next, modulo 2^32. */
  uint32_t position;
} perdure_channel;

/* Bytes of memory, at a multiple of 64, for a channel of `slots`, a power of two, of `slot_bytes`, a multiple of 64. */
#define PERDURE_CHANNEL_BYTES(slots, slot_bytes) (128 + (slots) * (64 + (slot_bytes)))

/*
 * Takes one end of a channel that the other side has made or will make. Both have agreed on the sizes. 0, or -PERDURE_INVAL for sizes
 * that cannot be.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_CHANNEL_BYTES(4, 64)];
 *     perdure_channel sender, receiver;
 *     assert(perdure_channel_make(&sender, memory, 4, 64) == 0);
 *     assert(perdure_channel_join(&receiver, memory, 4, 64) == 0);
 *     assert(perdure_channel_join(&receiver, memory, 5, 64) == -PERDURE_INVAL);
 */
static inline int32_t perdure_channel_join(perdure_channel *end, void *memory, uint32_t slots, uint32_t slot_bytes) {
  if (slots == 0 || (slots & (slots - 1)) != 0 || slot_bytes % 64 != 0 || slot_bytes == 0) return -PERDURE_INVAL;
  if ((uint64_t)slots * (64 + (uint64_t)slot_bytes) > 0x7fffffff) return -PERDURE_INVAL;
  end->shared = (perdure_channel_memory *)memory;
  end->slots = slots;
  end->slot_bytes = slot_bytes;
  end->position = 0;
  return 0;
}

/*
 * Makes an empty channel of memory, and takes one end of it. Who makes it does so before the other side waits for anything. 0, or an
 * error as of perdure_channel_join.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_CHANNEL_BYTES(4, 64)];
 *     perdure_channel end;
 *     assert(perdure_channel_make(&end, memory, 4, 64) == 0);
 *     assert(end.shared->empty.count == 4);
 */
static inline int32_t perdure_channel_make(perdure_channel *end, void *memory, uint32_t slots, uint32_t slot_bytes) {
  int32_t bad = perdure_channel_join(end, memory, slots, slot_bytes);
  if (bad != 0) return bad;
  end->shared->full = (perdure_semaphore)PERDURE_SEMAPHORE(0);
  end->shared->empty = (perdure_semaphore)PERDURE_SEMAPHORE(slots);
  return 0;
}

/* The slot that is next: its length, and 64 bytes behind that its room. */
static inline uint8_t *perdure_channel_slot_(const perdure_channel *end) {
  size_t index = end->position & (end->slots - 1);
  return (uint8_t *)end->shared + sizeof(perdure_channel_memory) + index * (64 + (size_t)end->slot_bytes);
}

/*
 * Waits at most `timeout` ns for an empty slot. 0, with `room` to write up to `slot_bytes` of the next message to, which
 * perdure_channel_send then sends; or an error: TIMEDOUT, and what a semaphore gives.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_CHANNEL_BYTES(1, 64)];
 *     perdure_channel end;
 *     void *room;
 *     perdure_channel_make(&end, memory, 1, 64);
 *     assert(perdure_channel_room(&end, &room, 0) == 0);
 *     assert(perdure_channel_room(&end, &room, 0) == -PERDURE_TIMEDOUT);
 */
static inline int32_t perdure_channel_room(perdure_channel *end, void **room, int64_t timeout) {
  int32_t bad = perdure_take_within(&end->shared->empty, timeout);
  if (bad == 0) *room = perdure_channel_slot_(end) + 64;
  return bad;
}

/*
 * Sends what was written to the room, the first `bytes` of it. 0, or an error: INVAL where that is more than a slot has.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_CHANNEL_BYTES(4, 64)];
 *     perdure_channel end, other;
 *     void *room;
 *     perdure_channel_make(&end, memory, 4, 64);
 *     perdure_channel_join(&other, memory, 4, 64);
 *     assert(perdure_channel_room(&end, &room, PERDURE_FOREVER) == 0);
 *     memcpy(room, "hello", 5);
 *     assert(perdure_channel_send(&end, 5) == 0);
 */
static inline int32_t perdure_channel_send(perdure_channel *end, uint32_t bytes) {
  if (bytes > end->slot_bytes) return -PERDURE_INVAL;
  *(volatile uint32_t *)perdure_channel_slot_(end) = bytes;
  end->position++;
  return perdure_give(&end->shared->full);
}

/*
 * The message that a wait set has told of, where the channel's `full` is a member: what perdure_channel_message does when it has
 * waited.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_CHANNEL_BYTES(4, 64)];
 *     perdure_channel end, other;
 *     const void *message;
 *     uint64_t told;
 *     perdure_channel_make(&end, memory, 4, 64);
 *     perdure_channel_join(&other, memory, 4, 64);
 *     perdure_handle set = perdure_waitset_create();
 *     perdure_waitset_add(set, &other.shared->full, 9);
 *     perdure_send(&end, "hello", 5, PERDURE_FOREVER);
 *     assert(perdure_waitset_wait(set, &told, 1, PERDURE_FOREVER) == 1 && told == 9);
 *     assert(perdure_channel_told(&other, &message) == 5 && memcmp(message, "hello", 5) == 0);
 *     assert(perdure_channel_done(&other) == 0);
 */
static inline int32_t perdure_channel_told(perdure_channel *end, const void **message) {
  const uint8_t *slot = perdure_channel_slot_(end);
  uint32_t bytes = *(const volatile uint32_t *)slot;
  if (bytes > end->slot_bytes) {
    end->position++;
    perdure_give(&end->shared->empty);
    return -PERDURE_BADMSG;
  }
  *message = slot + 64;
  return (int32_t)bytes;
}

/*
 * Waits at most `timeout` ns for a message. Its bytes, with `message` where they are, which may be looked at until perdure_channel_done; or an
 * error: TIMEDOUT; BADMSG where the other side has written a length that cannot be (the message counts as received). Zero bytes are a
 * message too.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_CHANNEL_BYTES(4, 64)];
 *     perdure_channel end, other;
 *     const void *message;
 *     perdure_channel_make(&end, memory, 4, 64);
 *     perdure_channel_join(&other, memory, 4, 64);
 *     assert(perdure_send(&end, "hello", 5, PERDURE_FOREVER) == 0);
 *     assert(perdure_channel_message(&other, &message, PERDURE_FOREVER) == 5);
 *     assert(memcmp(message, "hello", 5) == 0);
 *     assert(perdure_channel_done(&other) == 0);
 *     assert(perdure_channel_message(&other, &message, 0) == -PERDURE_TIMEDOUT);
 */
static inline int32_t perdure_channel_message(perdure_channel *end, const void **message, int64_t timeout) {
  int32_t bad = perdure_take_within(&end->shared->full, timeout);
  return bad != 0 ? bad : perdure_channel_told(end, message);
}

/*
 * Gives the slot of the message back that was looked at. 0, or an error of a semaphore.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_CHANNEL_BYTES(1, 64)];
 *     perdure_channel end, other;
 *     const void *message;
 *     perdure_channel_make(&end, memory, 1, 64);
 *     perdure_channel_join(&other, memory, 1, 64);
 *     for (int i = 0; i < 100; i++) {
 *       assert(perdure_send(&end, &i, sizeof i, 0) == 0);
 *       assert(perdure_channel_message(&other, &message, 0) == sizeof i && *(const int *)message == i);
 *       assert(perdure_channel_done(&other) == 0);
 *     }
 */
static inline int32_t perdure_channel_done(perdure_channel *end) {
  end->position++;
  return perdure_give(&end->shared->empty);
}

/*
 * Sends a copy of `bytes` bytes, waiting at most `timeout` ns for an empty slot. 0, or an error: TIMEDOUT, INVAL where it is more than a
 * slot has room for.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_CHANNEL_BYTES(2, 64)];
 *     perdure_channel end;
 *     char text[100] = "too long for a slot";
 *     perdure_channel_make(&end, memory, 2, 64);
 *     assert(perdure_send(&end, text, 20, 0) == 0);
 *     assert(perdure_send(&end, text, 100, 0) == -PERDURE_INVAL);
 */
static inline int32_t perdure_send(perdure_channel *end, const void *data, uint32_t bytes, int64_t timeout) {
  void *room;
  if (bytes > end->slot_bytes) return -PERDURE_INVAL;
  int32_t bad = perdure_channel_room(end, &room, timeout);
  if (bad != 0) return bad;
  memcpy(room, data, bytes);
  return perdure_channel_send(end, bytes);
}

/*
 * Receives a copy of a message, waiting for it at most `timeout` ns: its first `capacity` bytes, the rest is lost. How many bytes it had, or an
 * error: TIMEDOUT, BADMSG. The copy is the program's own: what is true of it stays true.
 *
 *     static _Alignas(64) uint8_t memory[PERDURE_CHANNEL_BYTES(2, 64)];
 *     perdure_channel end, other;
 *     char text[8] = "";
 *     perdure_channel_make(&end, memory, 2, 64);
 *     perdure_channel_join(&other, memory, 2, 64);
 *     perdure_send(&end, "hello", 6, 0);
 *     assert(perdure_receive(&other, text, sizeof text, 0) == 6 && strcmp(text, "hello") == 0);
 *     *(uint32_t *)(memory + 128 + 128) = 1000000;
 *     perdure_give(&end.shared->full);
 *     assert(perdure_receive(&other, text, sizeof text, 0) == -PERDURE_BADMSG);
 */
static inline int32_t perdure_receive(perdure_channel *end, void *out, uint32_t capacity, int64_t timeout) {
  const void *message;
  int32_t bytes = perdure_channel_message(end, &message, timeout);
  if (bytes < 0) return bytes;
  memcpy(out, message, (uint32_t)bytes < capacity ? (uint32_t)bytes : capacity);
  int32_t bad = perdure_channel_done(end);
  return bad < 0 ? bad : bytes;
}

#endif
