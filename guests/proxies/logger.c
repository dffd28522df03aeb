/*
 * A file tree that says on standard output what is done with it: one line for each operation on a name, with its result. It was granted
 * the tree as "tree".
 */
#include <stdio.h>

#include "proxy.h"

static const char *const NAMES[] = {"nop",    "open",   "read",     "write", "list", "describe", "create",
                                    "remove", "rename", "link",     "change", "read-link", "sync"};

static proxy_answer decide(const perdure_request *request) {
  uint8_t operation = request->operation;
  char path[256];
  uint32_t length = request->given_first < sizeof path - 1 ? request->given_first : sizeof path - 1;
  if (operation == PERDURE_OP_WRITE) length = 0;
  memcpy(path, proxy_in, length);
  path[length] = 0;
  proxy_answer answer = proxy_through(request);
  if (operation > PERDURE_OP_SYNC) return answer;
  printf("%s %s: %s%d\n", NAMES[operation], path, answer.result < 0 ? "error " : "", answer.result < 0 ? -answer.result : answer.result);
  fflush(stdout);
  return answer;
}

int main(void) {
  proxy_begin(PERDURE_FILE_TABLE, "tree", NULL);
  proxy_serve(decide);
}
