/* The shell looks up a home folder here when HOME is not set. There are no users. */
#ifndef PERDURE_PWD_H
#define PERDURE_PWD_H
#include <sys/types.h>
struct passwd {
  char *pw_dir;
};
struct passwd *getpwuid(uid_t user);
#endif
