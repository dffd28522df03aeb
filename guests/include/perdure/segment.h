/*
 * Segments: memory that several domains may have at once, each as far as its capability allows. Mapped, a segment is reached through ordinary
 * pointers, from 2 GiB up; what is not mapped, or not to be written, traps as what lies outside of memory. To share a segment is to
 * pass a capability to it. A mapping ends with the capability that it was made with: when that is revoked, the next access traps.
 *
 * The ring's PERDURE_OP_MAP gives a segment with the bytes of a file. Those of a file of the host are read when they are touched, so it may
 * be far larger than the program's memory; once the file is changed from outside, what was not read yet traps. What is written into
 * such a segment goes to no file.
 */
#ifndef PERDURE_SEGMENT_H
#define PERDURE_SEGMENT_H

#include <stddef.h>

#include "capability.h"
#include "error.h"

PERDURE_KERNEL("seg_map")
int64_t perdure_segment_map_(perdure_handle segment, uint64_t offset, uint64_t bytes, uint32_t rights, void *near);

/*
 * A new segment of so many bytes, all 0, which count as memory of the program. A handle, or an error: DQUOT, NOSPC.
 *
 *     perdure_handle segment = perdure_segment_create(100000);
 *     assert(segment > 0 && perdure_segment_size(segment) == 100000);
 */
PERDURE_KERNEL("seg_create")
perdure_handle perdure_segment_create(uint64_t bytes);

/*
 * Its bytes, or an error.
 *
 *     assert(perdure_segment_size(perdure_segment_create(5)) == 5);
 *     assert(perdure_segment_size(12345) == -PERDURE_BADF);
 */
PERDURE_KERNEL("seg_size")
int64_t perdure_segment_size(perdure_handle segment);

/*
 * Makes it larger; what is new is 0. Mappings stay as long as they were. Needs PERDURE_MANAGE. 0, or an error.
 *
 *     perdure_handle segment = perdure_segment_create(10);
 *     assert(perdure_segment_grow(segment, 1000000) == 0);
 *     assert(perdure_segment_size(segment) == 1000000);
 */
PERDURE_KERNEL("seg_grow")
int32_t perdure_segment_grow(perdure_handle segment, uint64_t bytes);

/*
 * Maps `bytes` of a segment from `offset` on, a multiple of 4096, for reading, or with PERDURE_READ | PERDURE_WRITE for writing as well. 0, with
 * `address` where it is; or an error: NOTCAPABLE without PERDURE_MAP and the rights it is mapped with, ROFS where it is sealed, BUSY where another has
 * frozen it, INVAL, NOMEM.
 *
 *     int32_t *numbers;
 *     perdure_handle segment = perdure_segment_create(65536);
 *     assert(perdure_segment_map(segment, 0, 65536, PERDURE_READ | PERDURE_WRITE, (void **)&numbers) == 0);
 *     numbers[16383] = 7;
 *     assert(numbers[16383] == 7 && numbers[0] == 0);
 */
static inline int32_t perdure_segment_map(perdure_handle segment, uint64_t offset, uint64_t bytes, uint32_t rights,
                                          void **address) {
  int64_t at = perdure_segment_map_(segment, offset, bytes, rights, NULL);
  if (at < 0) return (int32_t)at;
  *address = (void *)(uintptr_t)at;
  return 0;
}

/*
 * Ends the mapping that begins at an address. 0, or -PERDURE_INVAL where none does.
 *
 *     void *at;
 *     perdure_segment_map(perdure_segment_create(4096), 0, 4096, PERDURE_READ, &at);
 *     assert(perdure_segment_unmap(at) == 0);
 *     assert(perdure_segment_unmap(at) == -PERDURE_INVAL);
 */
PERDURE_KERNEL("seg_unmap")
int32_t perdure_segment_unmap(void *address);

/*
 * Nobody ever writes it again, not by mappings there are either. Needs PERDURE_MANAGE. 0, or an error.
 *
 *     void *at;
 *     perdure_handle segment = perdure_segment_create(4096);
 *     assert(perdure_segment_seal(segment) == 0);
 *     assert(perdure_segment_map(segment, 0, 4096, PERDURE_READ | PERDURE_WRITE, &at) == -PERDURE_ROFS);
 *     assert(perdure_segment_map(segment, 0, 4096, PERDURE_READ, &at) == 0);
 */
PERDURE_KERNEL("seg_seal")
int32_t perdure_segment_seal(perdure_handle segment);

/*
 * Nobody but the program writes it until it thaws it, closes the handle or ends: what is read meanwhile stays as it was read. Needs
 * PERDURE_MANAGE. 0, or an error: BUSY where another has frozen it.
 *
 *     perdure_handle segment = perdure_segment_create(4096);
 *     assert(perdure_segment_freeze(segment) == 0);
 *     assert(perdure_segment_thaw(segment) == 0);
 */
PERDURE_KERNEL("seg_freeze")
int32_t perdure_segment_freeze(perdure_handle segment);

/*
 * Ends that. 0, or an error.
 *
 *     perdure_handle segment = perdure_segment_create(4096);
 *     perdure_segment_freeze(segment);
 *     assert(perdure_segment_thaw(segment) == 0);
 */
PERDURE_KERNEL("seg_thaw")
int32_t perdure_segment_thaw(perdure_handle segment);

/*
 * A segment with the same bytes, which nothing done to the other one changes. 64 KiB of it are copied when one of the two first writes there.
 * Needs PERDURE_READ. A handle, or an error.
 *
 *     char text[6];
 *     perdure_handle segment = perdure_segment_create(4096);
 *     perdure_segment_write(segment, 100, "before", 6);
 *     perdure_handle copy = perdure_segment_copy(segment);
 *     perdure_segment_write(segment, 100, "after!", 6);
 *     assert(perdure_segment_read(copy, 100, text, 6) == 6 && memcmp(text, "before", 6) == 0);
 */
PERDURE_KERNEL("seg_copy")
perdure_handle perdure_segment_copy(perdure_handle segment);

/*
 * Copies bytes to memory without mapping the segment, fewer at its end. Needs PERDURE_READ. How many, or an error.
 *
 *     char text[8];
 *     perdure_handle segment = perdure_segment_create(10);
 *     assert(perdure_segment_read(segment, 6, text, 8) == 4);
 */
PERDURE_KERNEL("seg_read")
int32_t perdure_segment_read(perdure_handle segment, uint64_t offset, void *out, uint32_t bytes);

/*
 * Copies bytes from memory, all of them or, where they do not fit, none. Needs PERDURE_WRITE. How many, or an error: INVAL, ROFS, BUSY.
 *
 *     perdure_handle segment = perdure_segment_create(10);
 *     assert(perdure_segment_write(segment, 0, "hello", 5) == 5);
 *     assert(perdure_segment_write(segment, 8, "hello", 5) == -PERDURE_INVAL);
 */
PERDURE_KERNEL("seg_write")
int32_t perdure_segment_write(perdure_handle segment, uint64_t offset, const void *data, uint32_t bytes);

#endif
