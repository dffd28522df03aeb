/*
 * Calls every function of wasi_snapshot_preview1 directly and checks what it does, the errors too.
 * `wasi DIRECTORY` where DIRECTORY is a writable, empty preopened folder (or one inside it). One line a check:
 * `ok NAME`, `FAIL NAME: got ERRNO, wanted ERRNO`. Ends with the number of failures, and 1 if there are any. Where
 * the specification leaves a choice, each of the choices passes. `wasi raise` only calls proc_raise (which ends the
 * program, or returns its errno as the status).
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <wasi/api.h>

/* The headers of wasi-libc leave this one out. */
__attribute__((import_module("wasi_snapshot_preview1"), import_name("proc_raise"))) int32_t proc_raise(int32_t signal);

static int failures;
static __wasi_fd_t dir = 3;

static void check_any(const char *name, int got, int wanted, int also, int third) {
  if (got == wanted || got == also || got == third) {
    printf("ok %s\n", name);
  } else {
    printf("FAIL %s: got %d, wanted %d\n", name, got, wanted);
    failures++;
  }
}
static void check(const char *name, int got, int wanted) { check_any(name, got, wanted, wanted, wanted); }
static void truth(const char *name, int holds) { check(name, holds ? 1 : 0, 1); }

static void arguments(void) {
  __wasi_size_t count = 0, bytes = 0;
  check("args_sizes_get", __wasi_args_sizes_get(&count, &bytes), 0);
  uint8_t *argv[32];
  uint8_t buffer[4096];
  truth("args_sizes_get sizes", count >= 1 && count <= 32 && bytes <= sizeof buffer);
  check("args_get", __wasi_args_get(argv, buffer), 0);
  size_t total = 0;
  for (__wasi_size_t i = 0; i < count; i++) total += strlen((char *)argv[i]) + 1;
  truth("args_get fills what args_sizes_get said", total == bytes);
  check("environ_sizes_get", __wasi_environ_sizes_get(&count, &bytes), 0);
  truth("environ sizes", count <= 32 && bytes <= sizeof buffer);
  check("environ_get", __wasi_environ_get(argv, buffer), 0);
  int shaped = 1;
  for (__wasi_size_t i = 0; i < count; i++) shaped &= strchr((char *)argv[i], '=') != NULL;
  truth("environ_get gives NAME=VALUE", shaped);
}

static void clocks(void) {
  __wasi_timestamp_t a = 0, b = 0;
  check("clock_res_get realtime", __wasi_clock_res_get(__WASI_CLOCKID_REALTIME, &a), 0);
  check("clock_res_get monotonic", __wasi_clock_res_get(__WASI_CLOCKID_MONOTONIC, &a), 0);
  truth("clock_res_get is not zero", a > 0);
  check("clock_time_get realtime", __wasi_clock_time_get(__WASI_CLOCKID_REALTIME, 1, &a), 0);
  truth("clock_time_get realtime is of this century", a > 946684800ULL * 1000000000ULL);
  check("clock_time_get monotonic", __wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &a), 0);
  check("clock_time_get monotonic again", __wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &b), 0);
  truth("monotonic does not go back", b >= a);
  check_any("clock_time_get cputime", __wasi_clock_time_get(__WASI_CLOCKID_PROCESS_CPUTIME_ID, 1, &a), 0,
            __WASI_ERRNO_NOTSUP, __WASI_ERRNO_INVAL);
  check_any("clock_time_get of no clock", __wasi_clock_time_get(99, 1, &a), __WASI_ERRNO_INVAL, __WASI_ERRNO_NOTSUP,
            __WASI_ERRNO_BADF);
}

static void randoms(void) {
  uint8_t a[64] = {0}, b[64] = {0};
  check("random_get", __wasi_random_get(a, sizeof a), 0);
  check("random_get again", __wasi_random_get(b, sizeof b), 0);
  truth("random_get is not the same twice", memcmp(a, b, sizeof a) != 0);
  check("random_get of nothing", __wasi_random_get(a, 0), 0);
  check("sched_yield", __wasi_sched_yield(), 0);
}

static __wasi_errno_t open_at(const char *path, __wasi_oflags_t o, __wasi_fdflags_t f, __wasi_fd_t *out) {
  __wasi_rights_t rights = __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_WRITE | __WASI_RIGHTS_FD_SEEK |
                           __WASI_RIGHTS_FD_TELL | __WASI_RIGHTS_FD_FILESTAT_GET | __WASI_RIGHTS_FD_FILESTAT_SET_SIZE |
                           __WASI_RIGHTS_FD_FILESTAT_SET_TIMES | __WASI_RIGHTS_FD_ALLOCATE | __WASI_RIGHTS_FD_SYNC |
                           __WASI_RIGHTS_FD_DATASYNC | __WASI_RIGHTS_FD_ADVISE | __WASI_RIGHTS_FD_FDSTAT_SET_FLAGS |
                           __WASI_RIGHTS_POLL_FD_READWRITE;
  if (o & __WASI_OFLAGS_DIRECTORY) rights = __WASI_RIGHTS_FD_READDIR;
  return __wasi_path_open(dir, 0, path, o, rights, rights, f, out);
}

static void preopens(void) {
  __wasi_prestat_t p;
  memset(&p, 0, sizeof p);
  check("fd_prestat_get", __wasi_fd_prestat_get(dir, &p), 0);
  truth("fd_prestat_get is a folder", p.tag == __WASI_PREOPENTYPE_DIR && p.u.dir.pr_name_len < 200);
  uint8_t name[256] = {0};
  check("fd_prestat_dir_name", __wasi_fd_prestat_dir_name(dir, name, p.u.dir.pr_name_len), 0);
  truth("fd_prestat_dir_name has its length", strlen((char *)name) == p.u.dir.pr_name_len);
  check_any("fd_prestat_dir_name too short",
            __wasi_fd_prestat_dir_name(dir, name, p.u.dir.pr_name_len ? p.u.dir.pr_name_len - 1 : 0),
            __WASI_ERRNO_NAMETOOLONG, __WASI_ERRNO_NOBUFS, __WASI_ERRNO_INVAL);
  check("fd_prestat_get of nothing", __wasi_fd_prestat_get(77, &p), __WASI_ERRNO_BADF);
  check_any("fd_prestat_get of stdout", __wasi_fd_prestat_get(1, &p), __WASI_ERRNO_BADF, __WASI_ERRNO_INVAL,
            __WASI_ERRNO_NOTSUP);
}

static void reading_and_writing(void) {
  __wasi_fd_t fd;
  check("path_open creates", open_at("one", __WASI_OFLAGS_CREAT, 0, &fd), 0);
  __wasi_fd_t none;
  check("path_open exclusive of what is there", open_at("one", __WASI_OFLAGS_CREAT | __WASI_OFLAGS_EXCL, 0, &none),
        __WASI_ERRNO_EXIST);
  check("path_open of nothing", open_at("none", 0, 0, &none), __WASI_ERRNO_NOENT);
  check("path_open of a file as a folder", open_at("one", __WASI_OFLAGS_DIRECTORY, 0, &none), __WASI_ERRNO_NOTDIR);
  uint8_t text[] = "hello, persistent world";
  __wasi_ciovec_t out[3] = {{text, 5}, {text + 5, 0}, {text + 5, 18}};
  __wasi_size_t n = 0;
  check("fd_write gathers", __wasi_fd_write(fd, out, 3, &n), 0);
  truth("fd_write says how much", n == 23);
  __wasi_filesize_t at = 0;
  check("fd_tell", __wasi_fd_tell(fd, &at), 0);
  truth("fd_tell is after what was written", at == 23);
  check("fd_seek from the start", __wasi_fd_seek(fd, 7, __WASI_WHENCE_SET, &at), 0);
  uint8_t back[32] = {0};
  __wasi_iovec_t in[2] = {{back, 4}, {back + 4, 6}};
  check("fd_read scatters", __wasi_fd_read(fd, in, 2, &n), 0);
  truth("fd_read reads it", n == 10 && memcmp(back, "persistent", 10) == 0);
  check("fd_seek from here", __wasi_fd_seek(fd, -10, __WASI_WHENCE_CUR, &at), 0);
  truth("fd_seek from here is there", at == 7);
  check("fd_seek from the end", __wasi_fd_seek(fd, -5, __WASI_WHENCE_END, &at), 0);
  truth("fd_seek from the end is there", at == 18);
  check("fd_seek before the start", __wasi_fd_seek(fd, -100, __WASI_WHENCE_CUR, &at), __WASI_ERRNO_INVAL);
  check("fd_seek by nothing known", __wasi_fd_seek(fd, 0, 9, &at), __WASI_ERRNO_INVAL);
  memset(back, 0, sizeof back);
  check("fd_pread", __wasi_fd_pread(fd, in, 2, 0, &n), 0);
  truth("fd_pread reads there", n == 10 && memcmp(back, "hello, per", 10) == 0);
  __wasi_ciovec_t capital = {(uint8_t *)"H", 1};
  check("fd_pwrite", __wasi_fd_pwrite(fd, &capital, 1, 0, &n), 0);
  check("fd_tell is where it was", __wasi_fd_tell(fd, &at), 0);
  truth("fd_pread and fd_pwrite move nothing", at == 18);
  check("fd_read to the end", __wasi_fd_read(fd, in, 2, &n), 0);
  truth("fd_read gives what is left", n == 5);
  check("fd_read at the end", __wasi_fd_read(fd, in, 2, &n), 0);
  truth("fd_read at the end is nothing", n == 0);
  __wasi_filestat_t st;
  check("fd_filestat_get", __wasi_fd_filestat_get(fd, &st), 0);
  truth("fd_filestat_get knows it", st.size == 23 && st.filetype == __WASI_FILETYPE_REGULAR_FILE && st.nlink >= 1);
  check("fd_filestat_set_size down", __wasi_fd_filestat_set_size(fd, 4), 0);
  check("fd_filestat_set_size up", __wasi_fd_filestat_set_size(fd, 9), 0);
  memset(back, 1, sizeof back);
  check("fd_pread of the hole", __wasi_fd_pread(fd, in, 2, 0, &n), 0);
  truth("the hole is zero", n == 9 && memcmp(back, "Hell\0\0\0\0\0", 9) == 0);
  check_any("fd_allocate", __wasi_fd_allocate(fd, 0, 100), 0, __WASI_ERRNO_NOTSUP, __WASI_ERRNO_NOSYS);
  check("fd_advise", __wasi_fd_advise(fd, 0, 9, __WASI_ADVICE_SEQUENTIAL), 0);
  check("fd_datasync", __wasi_fd_datasync(fd), 0);
  check("fd_sync", __wasi_fd_sync(fd), 0);
  check("fd_filestat_set_times",
        __wasi_fd_filestat_set_times(fd, 1000000000ULL * 1000000000ULL, 1100000000ULL * 1000000000ULL,
                                     __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_MTIM),
        0);
  check("fd_filestat_get again", __wasi_fd_filestat_get(fd, &st), 0);
  truth("the times are set", st.mtim == 1100000000ULL * 1000000000ULL && st.atim == 1000000000ULL * 1000000000ULL);
  check("fd_filestat_set_times twice the same",
        __wasi_fd_filestat_set_times(fd, 1, 1, __WASI_FSTFLAGS_MTIM | __WASI_FSTFLAGS_MTIM_NOW), __WASI_ERRNO_INVAL);
  check("fd_close", __wasi_fd_close(fd), 0);
  check("fd_close again", __wasi_fd_close(fd), __WASI_ERRNO_BADF);
  check("fd_read of what is closed", __wasi_fd_read(fd, in, 2, &n), __WASI_ERRNO_BADF);
}

static void descriptors(void) {
  __wasi_fd_t fd, other;
  __wasi_fdstat_t st;
  __wasi_size_t n;
  check("path_open to append", open_at("log", __WASI_OFLAGS_CREAT, __WASI_FDFLAGS_APPEND, &fd), 0);
  check("fd_fdstat_get", __wasi_fd_fdstat_get(fd, &st), 0);
  truth("fd_fdstat_get knows it",
        st.fs_filetype == __WASI_FILETYPE_REGULAR_FILE && (st.fs_flags & __WASI_FDFLAGS_APPEND));
  __wasi_ciovec_t a = {(uint8_t *)"aaaa", 4}, b = {(uint8_t *)"bb", 2};
  __wasi_filesize_t at;
  check("fd_write a", __wasi_fd_write(fd, &a, 1, &n), 0);
  check("fd_seek 0", __wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &at), 0);
  check("fd_write b", __wasi_fd_write(fd, &b, 1, &n), 0);
  __wasi_filestat_t file;
  check("fd_filestat_get log", __wasi_fd_filestat_get(fd, &file), 0);
  truth("append writes at the end", file.size == 6);
  check_any("fd_fdstat_set_flags", __wasi_fd_fdstat_set_flags(fd, 0), 0, __WASI_ERRNO_NOTSUP, __WASI_ERRNO_NOSYS);
  check("path_open second", open_at("two", __WASI_OFLAGS_CREAT, 0, &other), 0);
  check("fd_renumber", __wasi_fd_renumber(fd, other), 0);
  check("fd_renumber leaves the first closed", __wasi_fd_fdstat_get(fd, &st), __WASI_ERRNO_BADF);
  check("fd_filestat_get of the second", __wasi_fd_filestat_get(other, &file), 0);
  truth("fd_renumber moved it", file.size == 6);
  check("fd_renumber of nothing", __wasi_fd_renumber(fd, other), __WASI_ERRNO_BADF);
  check("fd_fdstat_set_rights drops",
        __wasi_fd_fdstat_set_rights(other, __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_SEEK | __WASI_RIGHTS_FD_TELL, 0), 0);
  check_any("fd_write without the right", __wasi_fd_write(other, &a, 1, &n), __WASI_ERRNO_NOTCAPABLE,
            __WASI_ERRNO_BADF, __WASI_ERRNO_ACCES);
  check("fd_fdstat_set_rights does not add", __wasi_fd_fdstat_set_rights(other, __WASI_RIGHTS_FD_WRITE, 0),
        __WASI_ERRNO_NOTCAPABLE);
  check("fd_close other", __wasi_fd_close(other), 0);
  check("fd_fdstat_get stdout", __wasi_fd_fdstat_get(1, &st), 0);
  check("fd_fdstat_get nothing", __wasi_fd_fdstat_get(55, &st), __WASI_ERRNO_BADF);
}

static void paths(void) {
  __wasi_filestat_t st;
  __wasi_fd_t fd;
  check("path_create_directory", __wasi_path_create_directory(dir, "sub"), 0);
  check("path_create_directory again", __wasi_path_create_directory(dir, "sub"), __WASI_ERRNO_EXIST);
  check("path_create_directory in nothing", __wasi_path_create_directory(dir, "no/sub"), __WASI_ERRNO_NOENT);
  check("path_filestat_get of a folder", __wasi_path_filestat_get(dir, 0, "sub", &st), 0);
  truth("it is a folder", st.filetype == __WASI_FILETYPE_DIRECTORY);
  check("path_open in a folder", open_at("sub/inner", __WASI_OFLAGS_CREAT, 0, &fd), 0);
  __wasi_ciovec_t text = {(uint8_t *)"inner", 5};
  __wasi_size_t n;
  check("fd_write inner", __wasi_fd_write(fd, &text, 1, &n), 0);
  check("path_remove_directory not empty", __wasi_path_remove_directory(dir, "sub"), __WASI_ERRNO_NOTEMPTY);
  check_any("path_unlink_file of a folder", __wasi_path_unlink_file(dir, "sub"), __WASI_ERRNO_ISDIR,
            __WASI_ERRNO_PERM, __WASI_ERRNO_PERM);
  check("path_remove_directory of a file", __wasi_path_remove_directory(dir, "sub/inner"), __WASI_ERRNO_NOTDIR);
  check("path_rename", __wasi_path_rename(dir, "sub/inner", dir, "moved"), 0);
  check("path_rename of nothing", __wasi_path_rename(dir, "sub/inner", dir, "moved"), __WASI_ERRNO_NOENT);
  check("path_link", __wasi_path_link(dir, 0, "moved", dir, "linked"), 0);
  check("path_filestat_get linked", __wasi_path_filestat_get(dir, 0, "linked", &st), 0);
  truth("a link is the same file", st.size == 5 && st.nlink == 2);
  check("path_link over what is there", __wasi_path_link(dir, 0, "moved", dir, "linked"), __WASI_ERRNO_EXIST);
  check("path_symlink", __wasi_path_symlink("moved", dir, "pointer"), 0);
  uint8_t target[64] = {0};
  check("path_readlink", __wasi_path_readlink(dir, "pointer", target, sizeof target, &n), 0);
  truth("path_readlink reads it", n == 5 && memcmp(target, "moved", 5) == 0);
  check("path_readlink of a file", __wasi_path_readlink(dir, "moved", target, sizeof target, &n), __WASI_ERRNO_INVAL);
  check("path_filestat_get of the link", __wasi_path_filestat_get(dir, 0, "pointer", &st), 0);
  truth("it is a link", st.filetype == __WASI_FILETYPE_SYMBOLIC_LINK);
  check("path_filestat_get through it",
        __wasi_path_filestat_get(dir, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, "pointer", &st), 0);
  truth("it is the file", st.filetype == __WASI_FILETYPE_REGULAR_FILE && st.size == 5);
  check("path_filestat_set_times",
        __wasi_path_filestat_set_times(dir, 0, "moved", 0, 1200000000ULL * 1000000000ULL, __WASI_FSTFLAGS_MTIM), 0);
  check("path_filestat_get moved", __wasi_path_filestat_get(dir, 0, "moved", &st), 0);
  truth("path_filestat_set_times set it", st.mtim == 1200000000ULL * 1000000000ULL);
  check("path_symlink in a circle", __wasi_path_symlink("circle", dir, "circle"), 0);
  check_any("path_open of a circle",
            __wasi_path_open(dir, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, "circle", 0, __WASI_RIGHTS_FD_READ, 0, 0, &fd),
            __WASI_ERRNO_LOOP, __WASI_ERRNO_LOOP, __WASI_ERRNO_LOOP);
  __wasi_fd_t out;
  check_any("a path does not leave by ..", open_at("../outside", __WASI_OFLAGS_CREAT, 0, &out),
            __WASI_ERRNO_NOTCAPABLE, __WASI_ERRNO_PERM, __WASI_ERRNO_PERM);
  check_any("a path does not leave by sub/../..", open_at("sub/../../outside", __WASI_OFLAGS_CREAT, 0, &out),
            __WASI_ERRNO_NOTCAPABLE, __WASI_ERRNO_PERM, __WASI_ERRNO_PERM);
  check_any("a path does not leave by /", open_at("/etc/passwd", 0, 0, &out), __WASI_ERRNO_NOTCAPABLE,
            __WASI_ERRNO_PERM, __WASI_ERRNO_NOENT);
  __wasi_errno_t made = __wasi_path_symlink("..", dir, "leaver");
  check_any("path_symlink to ..", made, 0, __WASI_ERRNO_NOTCAPABLE, __WASI_ERRNO_PERM);
  if (made == 0) {
    check_any("a path does not leave by a link",
              __wasi_path_open(dir, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, "leaver/outside", __WASI_OFLAGS_CREAT,
                               __WASI_RIGHTS_FD_READ, 0, 0, &out),
              __WASI_ERRNO_NOTCAPABLE, __WASI_ERRNO_PERM, __WASI_ERRNO_PERM);
    check("path_unlink_file leaver", __wasi_path_unlink_file(dir, "leaver"), 0);
  }
  check("a path may go down and up", __wasi_path_filestat_get(dir, 0, "sub/../moved", &st), 0);
  check("an empty path is not there", __wasi_path_filestat_get(dir, 0, "", &st), __WASI_ERRNO_NOENT);
  check("path_unlink_file pointer", __wasi_path_unlink_file(dir, "pointer"), 0);
  check("path_unlink_file circle", __wasi_path_unlink_file(dir, "circle"), 0);
  check("path_unlink_file linked", __wasi_path_unlink_file(dir, "linked"), 0);
  check("path_unlink_file of nothing", __wasi_path_unlink_file(dir, "linked"), __WASI_ERRNO_NOENT);
  check("path_remove_directory", __wasi_path_remove_directory(dir, "sub"), 0);
  check("path_rename over a file", __wasi_path_rename(dir, "moved", dir, "log"), 0);
  check("path_filestat_get log", __wasi_path_filestat_get(dir, 0, "log", &st), 0);
  truth("path_rename replaced it", st.size == 5);
  uint8_t back[8];
  __wasi_iovec_t in = {back, 5};
  check("a renamed file stays open", __wasi_fd_pread(fd, &in, 1, 0, &n), 0);
  truth("and is read", n == 5 && memcmp(back, "inner", 5) == 0);
  check("path_unlink_file log", __wasi_path_unlink_file(dir, "log"), 0);
  check("a removed file stays open", __wasi_fd_pread(fd, &in, 1, 0, &n), 0);
  check("fd_close inner", __wasi_fd_close(fd), 0);
}

static void listing(void) {
  __wasi_fd_t list, fd;
  check("path_open a folder", open_at(".", __WASI_OFLAGS_DIRECTORY, 0, &list), 0);
  char name[16];
  for (int i = 0; i < 20; i++) {
    snprintf(name, sizeof name, "entry-%d", i);
    if (open_at(name, __WASI_OFLAGS_CREAT, 0, &fd) == 0) __wasi_fd_close(fd);
  }
  uint8_t buffer[200]; /* small, so that the cookies are used */
  __wasi_dircookie_t cookie = 0;
  int found = 0, rounds = 0;
  uint32_t seen = 0;
  __wasi_errno_t error = 0;
  for (;;) {
    __wasi_size_t used = 0;
    error = __wasi_fd_readdir(list, buffer, sizeof buffer, cookie, &used);
    if (error != 0) break;
    __wasi_size_t at = 0;
    while (at + sizeof(__wasi_dirent_t) <= used) {
      __wasi_dirent_t entry;
      memcpy(&entry, buffer + at, sizeof entry);
      if (at + sizeof entry + entry.d_namlen > used) break;
      char text[64] = {0};
      if (entry.d_namlen < sizeof text) memcpy(text, buffer + at + sizeof entry, entry.d_namlen);
      int number;
      if (sscanf(text, "entry-%d", &number) == 1 && number < 20) {
        found++;
        seen |= 1u << number;
      }
      at += sizeof entry + entry.d_namlen;
      cookie = entry.d_next;
    }
    if (used < sizeof buffer || ++rounds > 100) break;
  }
  check("fd_readdir", error, 0);
  truth("fd_readdir gives each once", found == 20 && seen == 0xfffff);
  for (int i = 0; i < 20; i++) {
    snprintf(name, sizeof name, "entry-%d", i);
    __wasi_path_unlink_file(dir, name);
  }
  __wasi_size_t used;
  check("fd_close list", __wasi_fd_close(list), 0);
  check_any("fd_readdir of stdout", __wasi_fd_readdir(1, buffer, sizeof buffer, 0, &used), __WASI_ERRNO_NOTDIR,
            __WASI_ERRNO_BADF, __WASI_ERRNO_NOTCAPABLE);
  check("path_unlink_file one", __wasi_path_unlink_file(dir, "one"), 0);
  check("path_unlink_file two", __wasi_path_unlink_file(dir, "two"), 0);
}

static void polling(void) {
  __wasi_subscription_t subs[2];
  __wasi_event_t events[2];
  __wasi_size_t n = 0;
  memset(subs, 0, sizeof subs);
  subs[0].userdata = 0x1122334455667788ULL;
  subs[0].u.tag = __WASI_EVENTTYPE_CLOCK;
  subs[0].u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
  subs[0].u.u.clock.timeout = 5000000;
  __wasi_timestamp_t before, after;
  __wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &before);
  check("poll_oneoff clock", __wasi_poll_oneoff(subs, events, 1, &n), 0);
  __wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &after);
  truth("poll_oneoff waits long enough", after - before >= 5000000);
  truth("poll_oneoff names the clock",
        n == 1 && events[0].userdata == subs[0].userdata && events[0].type == __WASI_EVENTTYPE_CLOCK && !events[0].error);
  subs[0].u.u.clock.timeout = after + 3000000;
  subs[0].u.u.clock.flags = __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME;
  check("poll_oneoff absolute", __wasi_poll_oneoff(subs, events, 1, &n), 0);
  __wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &before);
  truth("poll_oneoff absolute waits long enough", before >= after + 3000000);
  subs[0].u.u.clock.timeout = 60000000000ULL;
  subs[0].u.u.clock.flags = 0;
  subs[1].userdata = 7;
  subs[1].u.tag = __WASI_EVENTTYPE_FD_WRITE;
  subs[1].u.u.fd_write.file_descriptor = 1;
  check("poll_oneoff stdout or a minute", __wasi_poll_oneoff(subs, events, 2, &n), 0);
  truth("poll_oneoff says stdout", n == 1 && events[0].userdata == 7 && events[0].type == __WASI_EVENTTYPE_FD_WRITE);
  subs[1].u.u.fd_write.file_descriptor = 66;
  __wasi_errno_t error = __wasi_poll_oneoff(subs, events, 2, &n);
  truth("poll_oneoff of nothing is an error",
        error == __WASI_ERRNO_BADF || (error == 0 && n == 1 && events[0].error == __WASI_ERRNO_BADF));
  check("poll_oneoff of none", __wasi_poll_oneoff(subs, events, 0, &n), __WASI_ERRNO_INVAL);
}

static void sockets(void) {
  __wasi_fd_t accepted;
  __wasi_size_t n = 0;
  __wasi_roflags_t flags;
  uint8_t byte = 0;
  __wasi_iovec_t in = {&byte, 1};
  __wasi_ciovec_t out = {&byte, 1};
  check("sock_accept of nothing", __wasi_sock_accept(66, 0, &accepted), __WASI_ERRNO_BADF);
  check("sock_recv of nothing", __wasi_sock_recv(66, &in, 1, 0, &n, &flags), __WASI_ERRNO_BADF);
  check("sock_send of nothing", __wasi_sock_send(66, &out, 1, 0, &n), __WASI_ERRNO_BADF);
  check("sock_shutdown of nothing", __wasi_sock_shutdown(66, __WASI_SDFLAGS_WR), __WASI_ERRNO_BADF);
  check_any("sock_send of a folder", __wasi_sock_send(dir, &out, 1, 0, &n), __WASI_ERRNO_NOTSOCK, __WASI_ERRNO_BADF,
            __WASI_ERRNO_NOTCAPABLE);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "raise") == 0) return proc_raise(6);
  arguments();
  clocks();
  randoms();
  preopens();
  if (argc > 1) {
    __wasi_fd_t inner;
    /* Everything but writing, which would be EISDIR for a folder. */
    __wasi_rights_t all = 0x1fffffffULL;
    check("path_open of the folder to work in",
          __wasi_path_open(3, 0, argv[1], __WASI_OFLAGS_DIRECTORY, all & ~__WASI_RIGHTS_FD_WRITE, all, 0, &inner),
          0);
    dir = inner;
  }
  reading_and_writing();
  descriptors();
  paths();
  listing();
  polling();
  sockets();
  printf("%d failed\n", failures);
  return failures != 0;
}
