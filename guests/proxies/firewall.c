/*
 * A firewall between a client and a stream, which it was granted as "stream": what is written is passed on line by line as it is, but
 * lines in which the word of its first argument stands are dropped, as if they had been written. What is read is passed on as it is.
 */
#include "proxy.h"

static const char *word;

/* Moves the lines that may pass to the front of proxy_in. How many bytes they are. */
static uint32_t filter(uint32_t bytes) {
  uint32_t kept = 0;
  for (uint32_t from = 0; from < bytes;) {
    const uint8_t *newline = memchr(proxy_in + from, '\n', bytes - from);
    uint32_t end = newline ? (uint32_t)(newline - proxy_in) + 1 : bytes;
    uint8_t behind = proxy_in[end];
    proxy_in[end] = 0;
    int bad = strstr((char *)proxy_in + from, word) != NULL;
    proxy_in[end] = behind;
    if (!bad) {
      memmove(proxy_in + kept, proxy_in + from, end - from);
      kept += end - from;
    }
    from = end;
  }
  return kept;
}

static proxy_answer decide(const perdure_request *request) {
  if (request->operation != PERDURE_OP_WRITE) return proxy_through(request);
  // A copy also of what lies in a segment, which the client could change after we have looked.
  uint32_t bytes = proxy_given(request);
  uint32_t kept = filter(bytes);
  for (uint32_t done = 0; done < kept;) {
    perdure_submission write = {.operation = PERDURE_OP_WRITE,
                                .handle = proxy_objects[request->object].behind,
                                .first = proxy_in + done,
                                .first_length = kept - done,
                                .offset = request->offset};
    int32_t taken = perdure_ring_call(&proxy_asking, &write, NULL);
    if (taken < 0) return (proxy_answer){taken, 0, 0, 0};
    done += (uint32_t)taken;
  }
  return (proxy_answer){(int32_t)bytes, 0, 0, 0};
}

int main(int argc, char **argv) {
  if (argc < 2) return 1;
  word = argv[1];
  proxy_begin(PERDURE_STREAM_TABLE, "stream", NULL);
  proxy_serve(decide);
}
