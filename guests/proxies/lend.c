/*
 * Writes and reads bytes of segments, which are not mapped: a file "big" of the folder granted as "tree", and where one is granted, lines to
 * "stream". Whatever stands in between is lent the segments, and passes them on.
 */
#include <perdure.h>
#include <stdio.h>

#define BYTES 300000
#define BEGIN 5000

static _Alignas(64) uint8_t memory[PERDURE_RING_BYTES(1, 0)];
static uint8_t bytes[BYTES];
static perdure_ring ring;

static int32_t move(uint8_t operation, perdure_handle object, perdure_handle segment, uint64_t begin, uint32_t length) {
  perdure_submission ask = {.operation = operation, .handle = object};
  if (operation == PERDURE_OP_WRITE && length < BYTES) ask.offset = PERDURE_STREAM_OFFSET;
  perdure_use_segment(&ask, segment, begin, length);
  return perdure_ring_call(&ring, &ask, NULL);
}

int main(void) {
  perdure_ring_open(&ring, memory, 1, 0);
  perdure_handle out = perdure_segment_create(BEGIN + BYTES), in = perdure_segment_create(BYTES);
  perdure_handle stream = perdure_granted("stream"), tree = perdure_granted("tree");
  if (stream >= 0) {
    static const char lines[] = "one\na secret line\ntwo\n";
    perdure_segment_write(out, 100, lines, sizeof lines - 1);
    printf("said %d\n", move(PERDURE_OP_WRITE, stream, out, 100, sizeof lines - 1));
  }
  if (tree < 0) return 0;
  perdure_submission open = {.operation = PERDURE_OP_OPEN,
                             .handle = tree,
                             .first = "big",
                             .first_length = 3,
                             .options = PERDURE_OPTION_CREATE | PERDURE_OPTION_READ | PERDURE_OPTION_WRITE};
  perdure_handle file = perdure_ring_call(&ring, &open, NULL);
  for (uint32_t i = 0; i < BYTES; i++) bytes[i] = (uint8_t)(i * 7 + (i >> 8));
  perdure_segment_write(out, BEGIN, bytes, BYTES);
  printf("wrote %d\n", move(PERDURE_OP_WRITE, file, out, BEGIN, BYTES));
  printf("read %d\n", move(PERDURE_OP_READ, file, in, 0, BYTES));
  memset(bytes, 0, BYTES);
  perdure_segment_read(in, 0, bytes, BYTES);
  uint32_t wrong = 0;
  for (uint32_t i = 0; i < BYTES; i++) wrong += bytes[i] != (uint8_t)(i * 7 + (i >> 8));
  printf("wrong %u\n", wrong);
  return 0;
}
