/* Accounts: how much a program may use, of which it can set apart a share for those that it makes. */
#ifndef PERDURE_ACCOUNT_H
#define PERDURE_ACCOUNT_H

#include "error.h"

/* What is counted. */
enum perdure_resource {
  /* Bytes: memories, code made at run time, segments. */
  PERDURE_MEMORY = 0,
  /* Processor time, microseconds. It is not given back. */
  PERDURE_CPU = 1,
  /* Places in lists of capabilities, capabilities, members of wait sets. */
  PERDURE_CAPABILITIES = 2,
  /* Requests that wait for an answer. */
  PERDURE_REQUESTS = 3,
  /* Entries of rings. */
  PERDURE_ENTRIES = 4,
  /* Domains that the program has made. */
  PERDURE_DOMAINS = 5,
  /* Bytes on their way out: written, and not out yet. Where there is no room a write waits, or gives DQUOT. */
  PERDURE_OUTBOX = 6,
  PERDURE_RESOURCES = 7,
};

/* The limit and the use of one resource. A limit of PERDURE_UNLIMITED is none. */
typedef struct perdure_share {
  uint64_t limit;
  uint64_t used;
} perdure_share;
#define PERDURE_UNLIMITED ((uint64_t)9007199254740991)

/*
 * The account that pays for what the program does. A handle, or an error.
 *
 *     perdure_handle account = perdure_account_own();
 *     assert(account > 0);
 */
PERDURE_KERNEL("account_own")
perdure_handle perdure_account_own(void);

/*
 * Takes a part off what is left of an account, and makes an account of it; what is not used comes back when nobody has that any
 * more. Needs PERDURE_WRITE. A handle, or an error: DQUOT where less is left, DEPTH.
 *
 *     uint64_t parts[PERDURE_RESOURCES] = {0};
 *     parts[PERDURE_MEMORY] = 65536;
 *     perdure_handle part = perdure_account_divide(perdure_account_own(), parts);
 *     assert(part > 0);
 *     parts[PERDURE_MEMORY] = 1ull << 50;
 *     assert(perdure_account_divide(perdure_account_own(), parts) == -PERDURE_DQUOT);
 */
PERDURE_KERNEL("account_divide")
perdure_handle perdure_account_divide(perdure_handle account, const uint64_t parts[PERDURE_RESOURCES]);

/*
 * The limit and the use of each resource. Needs PERDURE_READ. 0, or an error.
 *
 *     perdure_share shares[PERDURE_RESOURCES];
 *     assert(perdure_account_status(perdure_account_own(), shares) == 0);
 *     assert(shares[PERDURE_MEMORY].used <= shares[PERDURE_MEMORY].limit);
 */
PERDURE_KERNEL("account_status")
int32_t perdure_account_status(perdure_handle account, perdure_share out[PERDURE_RESOURCES]);

#endif
