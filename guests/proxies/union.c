/*
 * Two folders as one: what was granted as "upper", and behind it, where that has no such name, "lower". What is made or changed is made
 * and changed in the upper one, where it covers what lies below; of the lower one nothing is changed, trying is PERM.
 */
#include "proxy.h"

static const int32_t NO_ENTRY = PERDURE_NOENT;

/* Asks one of the two; NOENT where there is none. */
static proxy_answer ask(const perdure_request *request, perdure_handle which) {
  if (!which) return (proxy_answer){-NO_ENTRY, 0, 0, 0};
  return proxy_pass(request, which, 0);
}

/* Whether a name is in a folder. */
static int has(perdure_handle folder, const uint8_t *name, uint32_t length) {
  static uint8_t attributes[64];
  perdure_submission describe = {.operation = PERDURE_OP_DESCRIBE,
                                 .handle = folder,
                                 .first = name,
                                 .first_length = length,
                                 .second = attributes,
                                 .second_length = sizeof attributes};
  return perdure_ring_call(&proxy_asking, &describe, NULL) >= 0;
}

/* Opens in both: a folder is a union again where both have one. */
static proxy_answer open_both(const perdure_request *request, proxy_object object) {
  int changes = (request->options & (PERDURE_OPTION_CREATE | PERDURE_OPTION_TRUNCATE | PERDURE_OPTION_WRITE)) != 0;
  // What is made anew covers what lies below; the bytes there cannot be changed.
  if (changes && !(request->options & PERDURE_OPTION_TRUNCATE) && object.behind && object.lower &&
      !has(object.behind, proxy_in, request->given_first) && has(object.lower, proxy_in, request->given_first))
    return (proxy_answer){-PERDURE_PERM, 0, 0, 0};
  proxy_answer upper = ask(request, object.behind);
  if (upper.result < 0 && upper.result != -NO_ENTRY) return upper;
  if (upper.result > 0 && upper.value != PROXY_DIRECTORY) return proxy_wrap(request, upper.result, 0, upper.value);
  proxy_answer lower = {-NO_ENTRY, 0, 0, 0};
  if (!changes) lower = ask(request, object.lower);
  if (upper.result < 0) {
    if (changes) return upper;
    if (lower.result < 0) return lower.result == -NO_ENTRY ? upper : lower;
    return proxy_wrap(request, lower.value == PROXY_DIRECTORY ? 0 : lower.result, lower.value == PROXY_DIRECTORY ? lower.result : 0,
                      lower.value);
  }
  if (lower.result > 0 && lower.value != PROXY_DIRECTORY) {
    perdure_close(lower.result);
    lower.result = 0;
  }
  return proxy_wrap(request, upper.result, lower.result > 0 ? lower.result : 0, upper.value);
}

/* Entries of the upper folder have even cookies, those of the lower one odd ones, and come after. */
static proxy_answer list(const perdure_request *request, proxy_object object) {
  static uint8_t entries[PROXY_BYTES];
  uint32_t room = request->room < PROXY_BYTES ? request->room : PROXY_BYTES, used = 0;
  int lower = (request->offset & 1) != 0 || !object.behind;
  uint64_t cookie = request->offset >> 1;
  for (;;) {
    perdure_handle from = lower ? object.lower : object.behind;
    perdure_submission ask = {.operation = PERDURE_OP_LIST, .handle = from, .first = entries, .first_length = room, .offset = cookie};
    int32_t got = from ? perdure_ring_call(&proxy_asking, &ask, NULL) : 0;
    if (got < 0) return (proxy_answer){got, 0, 0, 0};
    uint64_t before = cookie;
    for (uint32_t at = 0; at + 24 <= (uint32_t)got;) {
      uint64_t next;
      uint32_t length;
      memcpy(&next, entries + at, 8);
      memcpy(&length, entries + at + 16, 4);
      if (at + 24 + length > (uint32_t)got) break;
      if (!lower || !object.behind || !has(object.behind, entries + at + 24, length)) {
        uint64_t ours = next << 1 | (uint64_t)lower;
        memcpy(entries + at, &ours, 8);
        uint32_t fits = 24 + length < room - used ? 24 + length : room - used;
        memcpy(proxy_out + used, entries + at, fits);
        used += fits;
        if (used == room) return (proxy_answer){(int32_t)used, 0, used, 0};
      }
      cookie = next;
      at += 24 + length;
    }
    if ((uint32_t)got == room && cookie != before) continue;
    if (lower || !object.lower) return (proxy_answer){(int32_t)used, 0, used, 0};
    lower = 1;
    cookie = 0;
  }
}

static proxy_answer decide(const perdure_request *request) {
  proxy_object object = proxy_objects[request->object];
  proxy_answer answer;
  switch (request->operation) {
  case PERDURE_OP_OPEN:
    return open_both(request, object);
  case PERDURE_OP_LIST:
    return list(request, object);
  case PERDURE_OP_DESCRIBE:
  case PERDURE_OP_READ_LINK:
    answer = ask(request, object.behind);
    return answer.result == -NO_ENTRY ? ask(request, object.lower) : answer;
  case PERDURE_OP_RENAME:
  case PERDURE_OP_LINK:
    if (request->other && !proxy_objects[request->other].behind) return (proxy_answer){-PERDURE_PERM, 0, 0, 0};
    break;
  }
  // Whatever else there is to be done is done above; what lies only below cannot be changed.
  if (!object.behind) return (proxy_answer){-PERDURE_PERM, 0, 0, 0};
  answer = proxy_through(request);
  int lies_below = answer.result == -NO_ENTRY && object.lower && request->operation != PERDURE_OP_CREATE &&
                   has(object.lower, proxy_in, request->given_first);
  if (lies_below) answer.result = -PERDURE_PERM;
  return answer;
}

int main(void) {
  proxy_begin(PERDURE_FILE_TABLE, "upper", "lower");
  proxy_serve(decide);
}
