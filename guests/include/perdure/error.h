/*
 * Errors, whose negatives calls give. The numbers up to 76 are those of WASI, which wasi-libc has as EBADF and so on; the others
 * are Perdure's.
 */
#ifndef PERDURE_ERROR_H
#define PERDURE_ERROR_H

#include <stdint.h>

typedef enum perdure_error {
  PERDURE_OK = 0,
  PERDURE_AGAIN = 6,
  /* There is no such handle. */
  PERDURE_BADF = 8,
  /* Somebody else's bytes make no sense. */
  PERDURE_BADMSG = 9,
  PERDURE_BUSY = 10,
  PERDURE_CANCELED = 11,
  /* What is asked for would wait for itself. */
  PERDURE_DEADLK = 16,
  /* More than the program may have. */
  PERDURE_DQUOT = 19,
  PERDURE_EXIST = 20,
  /* A pointer outside of memory. */
  PERDURE_FAULT = 21,
  /* An object of another kind, or an argument that makes no sense. */
  PERDURE_INVAL = 28,
  PERDURE_IO = 29,
  PERDURE_NOENT = 44,
  PERDURE_NOMEM = 48,
  PERDURE_NOSPC = 51,
  PERDURE_NOSYS = 52,
  PERDURE_NOTSUP = 58,
  PERDURE_PERM = 63,
  PERDURE_RANGE = 68,
  /* What is sealed cannot be written. */
  PERDURE_ROFS = 69,
  /* The time was up. */
  PERDURE_TIMEDOUT = 73,
  /* The capability lacks a right. */
  PERDURE_NOTCAPABLE = 76,
  /* The capability was revoked, or what it was derived from. */
  PERDURE_REVOKED = 128,
  /* The object is no more, or whoever serves it. */
  PERDURE_GONE = 129,
  /* What was called ended in a trap or an exception. */
  PERDURE_FAULTED = 130,
  /* What was called is suspended. */
  PERDURE_STOPPED = 131,
  /* The call would enter a domain again that does not allow it. */
  PERDURE_REENTERED = 132,
  /* Calls, or capabilities derived of one another, are nested too deep. */
  PERDURE_DEPTH = 133,
  /* Someone has frozen what would be written. */
  PERDURE_FROZEN = 134,
  /* It stayed behind when the program was carried here from another space, and has not been granted again. */
  PERDURE_LEFT = 135,
} perdure_error;

/* A place in the program's list of capabilities: what names an object. 0 and below name none. */
typedef int32_t perdure_handle;

/* For ever, as a time to wait for. */
#define PERDURE_FOREVER ((int64_t)-1)

/* For the headers: a function that the kernel supplies. */
#define PERDURE_KERNEL(name) __attribute__((import_module("perdure_kernel"), import_name(name)))

#endif
