/* See shim.h. */
#include "shim.h"
#undef fcntl
#include <stdarg.h>
#include "pwd.h"

int perdure_fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  int result = 0;
  if (command == F_GETLK) {
    va_arg(arguments, struct flock *)->l_type = F_UNLCK;
  } else if (command == F_GETFL || command == F_GETFD) {
    result = fcntl(fd, command);
  } else if (command == F_SETFL || command == F_SETFD) {
    result = fcntl(fd, command, va_arg(arguments, int));
  }
  va_end(arguments);
  return result;
}
int chmod(const char *path, mode_t mode) {
  (void)path, (void)mode;
  return 0;
}
int fchmod(int fd, mode_t mode) {
  (void)fd, (void)mode;
  return 0;
}
int fchown(int fd, uid_t owner, gid_t group) {
  (void)fd, (void)owner, (void)group;
  return 0;
}
uid_t geteuid(void) { return 0; }
uid_t getuid(void) { return 0; }
struct passwd *getpwuid(uid_t user) {
  (void)user;
  return NULL;
}
