/*
 * What SQLite's Unix layer and shell expect and wasi-libc does not have. WASI has no users, modes, file locks or
 * child processes: owners and modes are accepted and forgotten, locks always succeed (a file of a space has one
 * user at a time, or the users agree by other means), processes cannot be made.
 */
#ifndef PERDURE_SQLITE_SHIM_H
#define PERDURE_SQLITE_SHIM_H
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2
#define F_GETLK 5
#define F_SETLK 6
#define F_SETLKW 7

int perdure_fcntl(int fd, int command, ...);
int chmod(const char *path, mode_t mode);
int fchmod(int fd, mode_t mode);
int fchown(int fd, uid_t owner, gid_t group);
uid_t geteuid(void);
uid_t getuid(void);
#define fcntl perdure_fcntl
#endif
