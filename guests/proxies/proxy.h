/*
 * What the proxies here share: a ring that serves, a ring by which they ask what stands behind them, and passing a request on from one
 * to the other. Neither the client nor what is behind knows: both see the operations of perdure/ring.h.
 *
 * A proxy is granted what it stands for under a name (`perdure_granted`), makes a table, and one object of it, number 1: whoever
 * started the proxy hands that on. One request is carried out after the other; the clients wait meanwhile, nobody else does.
 */
#ifndef PROXY_H
#define PROXY_H

#include <perdure.h>
#include <stdlib.h>
#include <string.h>

#define PROXY_ENTRIES 16
/* Most bytes of one read or write that are passed on; a client takes the rest with its next one. */
#define PROXY_BYTES 65536
#define PROXY_OBJECTS 1024
#define PROXY_REGULAR_FILE 4
#define PROXY_DIRECTORY 3

/* An object that a client has, and what it stands for. A number is used again when nobody holds the object any more. */
typedef struct proxy_object {
  perdure_handle behind;
  /* Of a union: the lower one, 0 for none. */
  perdure_handle lower;
} proxy_object;

static perdure_ring proxy_serving, proxy_asking;
static perdure_handle proxy_table;
static proxy_object proxy_objects[PROXY_OBJECTS];
static uint8_t proxy_in[PROXY_BYTES + 1], proxy_out[PROXY_BYTES];

/* The answer to a request. */
typedef struct proxy_answer {
  int32_t result;
  int64_t value;
  /* Bytes of proxy_out for the client. */
  uint32_t bytes;
  /* An object for the client, 0 for none. It is then no longer ours. */
  perdure_handle object;
} proxy_answer;

/* A number for an object on these handles; 0 where there is none left. */
static uint64_t proxy_number(perdure_handle behind, perdure_handle lower) {
  for (uint64_t i = 1; i < PROXY_OBJECTS; i++) {
    if (proxy_objects[i].behind || proxy_objects[i].lower) continue;
    proxy_objects[i] = (proxy_object){behind, lower};
    return i;
  }
  return 0;
}

static void proxy_release(uint64_t number) {
  proxy_object *object = &proxy_objects[number];
  if (object->behind) perdure_close(object->behind);
  if (object->lower) perdure_close(object->lower);
  *object = (proxy_object){0, 0};
}

/* Makes the rings, the table of a kind, and object 1 on what was granted under these names. Ends the program where it cannot. */
static void proxy_begin(uint32_t kind, const char *name, const char *lower) {
  static _Alignas(64) uint8_t serving[PERDURE_RING_BYTES(PROXY_ENTRIES, PERDURE_RING_SERVES)];
  static _Alignas(64) uint8_t asking[PERDURE_RING_BYTES(PROXY_ENTRIES, 0)];
  perdure_handle behind = perdure_granted(name);
  perdure_handle other = lower ? perdure_granted(lower) : 0;
  if (behind < 0 || other < 0) exit(2);
  if (perdure_ring_open(&proxy_serving, serving, PROXY_ENTRIES, PERDURE_RING_SERVES) < 0) exit(3);
  if (perdure_ring_open(&proxy_asking, asking, PROXY_ENTRIES, 0) < 0) exit(3);
  proxy_table = perdure_table_create(proxy_serving.handle, kind, 0);
  if (proxy_table < 0 || proxy_number(behind, other) != 1) exit(3);
  if (perdure_table_object(proxy_table, 1, PERDURE_ALL_RIGHTS) < 0) exit(3);
}

/* What the client gives, in proxy_in with a zero behind it: how many bytes, at most PROXY_BYTES. */
static uint32_t proxy_given(const perdure_request *request) {
  uint32_t bytes = request->given < PROXY_BYTES ? request->given : PROXY_BYTES;
  if (bytes <= request->inside) memcpy(proxy_in, request->data, bytes);
  else {
    int32_t got = perdure_request_read(request->number, 0, proxy_in, bytes);
    bytes = got < 0 ? 0 : (uint32_t)got;
  }
  proxy_in[bytes] = 0;
  return bytes;
}

/*
 * Passes on a read or write whose buffer is part of a segment of the client's: what stands behind has it as we have it, and nothing is
 * copied. 0 where it brings none, or none that we may have: then it is as any other.
 */
static int proxy_lends(const perdure_request *request, perdure_submission *ask) {
  perdure_handle segment = request->brought > 0 ? perdure_request_take(request->number, 0) : -PERDURE_INVAL;
  if (segment < 0) return 0;
  perdure_use_segment(ask, segment, request->other, request->operation == PERDURE_OP_READ ? request->room : request->given);
  return 1;
}

/* Asks what stands behind for what a request wants. proxy_given was called before, unless it brings a segment. */
static proxy_answer proxy_pass(const perdure_request *request, perdure_handle to, perdure_handle other) {
  perdure_submission ask = {
      .operation = request->operation,
      .method = request->method,
      .handle = to,
      .other = other,
      .offset = request->offset,
      .rights = request->rights,
      .options = request->options,
  };
  proxy_answer answer = {0, 0, 0, 0};
  if (proxy_lends(request, &ask)) {
    answer.result = perdure_ring_call(&proxy_asking, &ask, &answer.value);
    return answer;
  }
  uint32_t room = request->room < PROXY_BYTES ? request->room : PROXY_BYTES;
  uint32_t given = request->given < PROXY_BYTES ? request->given : PROXY_BYTES;
  if (request->brought > 0) given = proxy_given(request);
  uint32_t first = request->given_first < given ? request->given_first : given;
  switch (request->operation) {
  case PERDURE_OP_READ:
  case PERDURE_OP_LIST:
    ask.first = proxy_out;
    ask.first_length = room;
    break;
  case PERDURE_OP_DESCRIBE:
  case PERDURE_OP_READ_LINK:
    ask.first = proxy_in;
    ask.first_length = first;
    ask.second = proxy_out;
    ask.second_length = room;
    break;
  default:
    ask.first = proxy_in;
    ask.first_length = first;
    ask.second = proxy_in + first;
    ask.second_length = given - first;
  }
  answer.result = perdure_ring_call(&proxy_asking, &ask, &answer.value);
  if (answer.result > 0 && room > 0) answer.bytes = (uint32_t)answer.result < room ? (uint32_t)answer.result : room;
  return answer;
}

/* Makes an object of ours of what was opened behind, in an answer to `open`. */
static proxy_answer proxy_wrap(const perdure_request *request, perdure_handle behind, perdure_handle lower, int64_t type) {
  proxy_answer answer = {0, type, 0, 0};
  uint64_t number = proxy_number(behind, lower);
  uint32_t rights = request->rights ? request->rights : PERDURE_ALL_RIGHTS;
  perdure_handle object = number ? perdure_table_object(proxy_table, number, rights | PERDURE_SHARE) : -PERDURE_DQUOT;
  if (object > 0) answer.object = object;
  else {
    answer.result = object;
    if (number) proxy_release(number);
    else {
      if (behind) perdure_close(behind);
      if (lower) perdure_close(lower);
    }
  }
  return answer;
}

/* What the one handle behind an object makes of a request: what most proxies do when nothing speaks against it. */
static proxy_answer proxy_through(const perdure_request *request) {
  perdure_handle other = request->other && request->other < PROXY_OBJECTS ? proxy_objects[request->other].behind : 0;
  proxy_answer answer = proxy_pass(request, proxy_objects[request->object].behind, other);
  if (request->operation != PERDURE_OP_OPEN || answer.result < 0) return answer;
  return proxy_wrap(request, answer.result, 0, answer.value);
}

static void proxy_reply(uint64_t number, proxy_answer answer) {
  perdure_submission *reply = perdure_ring_next(&proxy_serving);
  reply->operation = PERDURE_OP_REPLY;
  reply->flags = PERDURE_SUBMIT_QUIET;
  reply->offset = number;
  reply->rights = (uint32_t)answer.result;
  reply->limit = (uint64_t)answer.value;
  reply->first = proxy_out;
  reply->first_length = answer.bytes;
  reply->other = answer.object;
  if (answer.object) reply->options = PERDURE_OPTION_MOVE;
  perdure_ring_enter(&proxy_serving, 0, 0);
  // The client may have given up: then there is a completion that says so, and the object is still ours.
  perdure_completion done;
  while (perdure_ring_take(&proxy_serving, &done)) {
    if (answer.object) perdure_close(answer.object);
  }
}

/* Answers requests for ever by what `decide` says. */
static _Noreturn void proxy_serve(proxy_answer (*decide)(const perdure_request *request)) {
  perdure_request request;
  for (;;) {
    while (perdure_ring_request(&proxy_serving, &request)) {
      if (request.operation == PERDURE_OP_RELEASED) proxy_release(request.object);
      else if (request.operation != PERDURE_OP_CANCELED) {
        if (request.brought == 0) proxy_given(&request);
        proxy_reply(request.number, decide(&request));
      }
    }
    perdure_ring_enter(&proxy_serving, 1, PERDURE_FOREVER);
  }
}

#endif
