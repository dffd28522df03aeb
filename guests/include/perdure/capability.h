/*
 * Capabilities: what a program may reach. It begins with those that it was granted under names, and gets others by making objects and
 * by being given them.
 */
#ifndef PERDURE_CAPABILITY_H
#define PERDURE_CAPABILITY_H

#include <string.h>

#include "error.h"

/* What a capability allows. */
enum perdure_right {
  PERDURE_READ = 1,
  PERDURE_WRITE = 2,
  PERDURE_INVOKE = 4,
  PERDURE_MAP = 8,
  PERDURE_SHARE = 16,
  PERDURE_DERIVE = 32,
  PERDURE_REVOKE = 64,
  PERDURE_MANAGE = 128,
  PERDURE_ALL_RIGHTS = 255,
};

/* Kinds of object. */
enum perdure_kind {
  PERDURE_DOMAIN = 1,
  PERDURE_PROGRAM = 2,
  PERDURE_GATE = 3,
  PERDURE_SEGMENT = 4,
  PERDURE_RING = 5,
  PERDURE_TABLE = 6,
  PERDURE_SERVED = 7,
  PERDURE_HOST = 8,
  PERDURE_NODE = 9,
  PERDURE_WAIT_SET = 10,
  PERDURE_PROGRAMMED = 11,
  PERDURE_ACTIVATION = 12,
  PERDURE_ACCOUNT = 13,
};

/* What a capability is to. */
typedef struct perdure_description {
  /* A perdure_kind. */
  uint32_t kind;
  /* perdure_right bits. */
  uint32_t rights;
  /* The number that whoever serves the object sees, 0 for none. */
  uint64_t badge;
  /* The object's, the same for all who have it and for ever. */
  uint8_t id[16];
} perdure_description;

PERDURE_KERNEL("granted") int32_t perdure_granted_(const char *name, uint32_t length);

/*
 * The capability that was granted under a name (UTF-8). A handle, or -PERDURE_NOENT.
 *
 *     perdure_handle peer = perdure_granted("peer");
 *     assert(peer > 0);
 *     assert(perdure_granted("nothing of the kind") == -PERDURE_NOENT);
 */
static inline perdure_handle perdure_granted(const char *name) {
  return perdure_granted_(name, (uint32_t)strlen(name));
}

/*
 * The same capability once more, with those of `rights` that it has. A handle, or an error: DQUOT, and what the handle itself gives
 * (BADF, REVOKED, GONE).
 *
 *     perdure_handle peer = perdure_granted("peer");
 *     perdure_handle look = perdure_copy(peer, PERDURE_READ);
 *     perdure_description what;
 *     assert(perdure_describe(look, &what) == 0);
 *     assert(what.rights == PERDURE_READ);
 */
PERDURE_KERNEL("cap_copy")
perdure_handle perdure_copy(perdure_handle handle, uint32_t rights);

/*
 * A capability that can be revoked apart from the one it is made of: the handle that is given may revoke what is passed on of it.
 * `badge`: a number that whoever serves the object sees, 0 to keep that of the old one. Needs PERDURE_DERIVE. A handle, or an error:
 * NOTCAPABLE also where the old one has a badge already, DEPTH where it was derived too often, DQUOT.
 *
 *     perdure_handle peer = perdure_granted("peer");
 *     perdure_handle lent = perdure_derive(peer, PERDURE_READ | PERDURE_SHARE, 7);
 *     perdure_description what;
 *     assert(perdure_describe(lent, &what) == 0 && what.badge == 7);
 */
PERDURE_KERNEL("cap_derive")
perdure_handle perdure_derive(perdure_handle handle, uint32_t rights, uint64_t badge);

/*
 * Gives the place in the list back; with the last one that leads to it, an object of the program's own ends. 0, or -PERDURE_BADF.
 *
 *     perdure_handle set = perdure_waitset_create();
 *     assert(perdure_close(set) == 0);
 *     assert(perdure_close(set) == -PERDURE_BADF);
 */
PERDURE_KERNEL("cap_close")
int32_t perdure_close(perdure_handle handle);

/*
 * Ends all other copies of a capability, and all that was derived of it, wherever they have gone to. Needs PERDURE_REVOKE, which
 * who made the capability has. 0, or an error.
 *
 *     perdure_handle set = perdure_waitset_create();
 *     perdure_handle copy = perdure_copy(set, PERDURE_READ);
 *     uint64_t told;
 *     assert(perdure_revoke(set) == 0);
 *     assert(perdure_waitset_wait(copy, &told, 1, 0) == -PERDURE_REVOKED);
 */
PERDURE_KERNEL("cap_revoke")
int32_t perdure_revoke(perdure_handle handle);

/*
 * Tells what a capability is to. 0, or an error.
 *
 *     perdure_description what;
 *     perdure_handle set = perdure_waitset_create();
 *     assert(perdure_describe(set, &what) == 0);
 *     assert(what.kind == PERDURE_WAIT_SET && what.rights == PERDURE_ALL_RIGHTS);
 */
PERDURE_KERNEL("cap_describe")
int32_t perdure_describe(perdure_handle handle, perdure_description *out);

/* Bytes of a sturdy reference with its closing 0. */
#define PERDURE_STURDY_BYTES 85

PERDURE_KERNEL("cap_sturdy") int32_t perdure_sturdy_(perdure_handle handle, uint32_t rights, char *out);
PERDURE_KERNEL("cap_restore") int32_t perdure_restore_(const char *text, uint32_t length);
PERDURE_KERNEL("sturdy_forget") int32_t perdure_forget_(const char *text, uint32_t length);

/*
 * Writes a text that gives a copy of the capability back, with at most those rights, to whoever has the text: also after a restart,
 * and years later. It cannot be guessed. Needs PERDURE_SHARE. 0, or an error: DQUOT.
 *
 *     char text[PERDURE_STURDY_BYTES];
 *     assert(perdure_sturdy(perdure_granted("peer"), PERDURE_READ, text) == 0);
 *     assert(strncmp(text, "perdure:", 8) == 0);
 */
static inline int32_t perdure_sturdy(perdure_handle handle, uint32_t rights, char out[PERDURE_STURDY_BYTES]) {
  int32_t bytes = perdure_sturdy_(handle, rights, out);
  if (bytes < 0) return bytes;
  out[PERDURE_STURDY_BYTES - 1] = 0;
  return 0;
}

/*
 * What a sturdy reference stands for. A handle, or an error: INVAL where it is no such text, NOENT where nothing is kept under it,
 * REVOKED, GONE, DQUOT.
 *
 *     char text[PERDURE_STURDY_BYTES];
 *     perdure_description what;
 *     perdure_sturdy(perdure_granted("peer"), PERDURE_READ, text);
 *     perdure_handle again = perdure_restore(text);
 *     assert(perdure_describe(again, &what) == 0 && what.kind == PERDURE_DOMAIN && what.rights == PERDURE_READ);
 *     assert(perdure_restore("open sesame") == -PERDURE_INVAL);
 */
static inline perdure_handle perdure_restore(const char *text) { return perdure_restore_(text, (uint32_t)strlen(text)); }

/*
 * Ends a sturdy reference that the program's account pays for. 0, or an error: NOTCAPABLE where another does.
 *
 *     char text[PERDURE_STURDY_BYTES];
 *     perdure_sturdy(perdure_granted("peer"), PERDURE_READ, text);
 *     assert(perdure_forget(text) == 0);
 *     assert(perdure_restore(text) == -PERDURE_NOENT);
 */
static inline int32_t perdure_forget(const char *text) { return perdure_forget_(text, (uint32_t)strlen(text)); }

/*
 * How many places of the list are in use.
 *
 *     int32_t before = perdure_count();
 *     perdure_handle set = perdure_waitset_create();
 *     assert(perdure_count() == before + 1);
 *     perdure_close(set);
 */
PERDURE_KERNEL("cap_count")
int32_t perdure_count(void);

#endif
