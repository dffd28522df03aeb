/* A view of a file tree, which it was granted as "tree", through which nothing can be changed: that is a read-only file system. */
#include "proxy.h"

static const int32_t READ_ONLY = 69; /* ROFS */

static proxy_answer decide(const perdure_request *request) {
  const uint32_t changes = PERDURE_OPTION_CREATE | PERDURE_OPTION_TRUNCATE | PERDURE_OPTION_WRITE;
  switch (request->operation) {
  case PERDURE_OP_OPEN:
    if (request->options & changes) return (proxy_answer){-READ_ONLY, 0, 0, 0};
    break;
  case PERDURE_OP_WRITE:
  case PERDURE_OP_CREATE:
  case PERDURE_OP_REMOVE:
  case PERDURE_OP_RENAME:
  case PERDURE_OP_LINK:
  case PERDURE_OP_CHANGE:
    return (proxy_answer){-READ_ONLY, 0, 0, 0};
  }
  return proxy_through(request);
}

int main(void) {
  proxy_begin(PERDURE_FILE_TABLE, "tree", NULL);
  proxy_serve(decide);
}
