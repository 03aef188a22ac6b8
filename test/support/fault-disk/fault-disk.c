/*
 * Stands between a program and the C library (LD_PRELOAD) for every call on files below one folder, whoever makes it:
 * Node's thread pool, SQLite's own code. It records what changes the folder, and makes chosen calls fail, stop short
 * or be the last thing the program does.
 *
 *   FAULT_DISK_DIR      the folder, absolute and without symbolic links
 *   FAULT_DISK_CONTROL  a file of sizeof(struct control) bytes, shared with the test (fault-disk.ts writes it)
 *   FAULT_DISK_LOG      optional; what changed, in order: a struct record and its bytes for each (recording.ts reads it)
 *
 * Calls that change something run one at a time, so the order of the log is the order in which they took effect. The
 * first bytes of an HTTP answer are recorded in the same order. What SQLite does through shared memory is not seen: the
 * index of its log (-shm), which does not survive its readers anyway.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The numbers are those of `operations` in fault-disk.ts. */
enum operation {
  OPEN, CREATE, CLOSE, READ, WRITE, TRUNCATE, FSYNC, LINK, UNLINK, RENAME, MKDIR, RMDIR, STAT, READDIR, ANSWER, FAULT
};

enum action { NOTHING, FAIL, CUT_SHORT, DIE_BEFORE, DIE_AFTER };

struct control {
  uint64_t armed;
  uint64_t operations; /* a bit for each that counts */
  uint64_t action;
  uint64_t error;
  uint64_t nth;   /* the first call that is struck, counted from 1 */
  uint64_t times; /* and how many */
  uint64_t seen;  /* calls that counted so far */
  uint64_t fired;
  char path[184]; /* only paths that contain this */
  uint64_t kill;  /* not 0: the program is to die, between two recorded calls */
};

struct record {
  uint32_t size; /* with everything that follows */
  uint8_t operation;
  uint8_t is_directory;
  uint16_t path_size;
  uint16_t other_size;
  uint16_t unused;
  uint32_t data_size;
  uint64_t inode;
  int64_t offset;
};

#define MAX_DESCRIPTORS 65536
struct open_file {
  char *path;
  uint64_t inode;
  int is_directory;
};

static struct open_file files[MAX_DESCRIPTORS];
static char root[4096];
static size_t root_size;
static int log_descriptor = -1;
static struct control *control;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) \
  static __typeof__(&name) real_##name; \
  if (!real_##name) real_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* Without a fault of its own, for what this library does itself. */
static long raw(long number, long a, long b, long c, long d) {
  static long (*real)(long, ...);
  if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  return real(number, a, b, c, d, 0, 0);
}

static void die(void) {
  raw(SYS_kill, getpid(), SIGKILL, 0, 0);
  for (;;) pause();
}

/*
 * A SIGKILL from outside can come when a call has had its effect and is not yet in the log. So the test asks for it here:
 * it strikes at any moment too, but not between those two.
 */
static void *watch_for_kill(void *unused) {
  (void)unused;
  while (!__atomic_load_n(&control->kill, __ATOMIC_ACQUIRE)) usleep(1000);
  pthread_mutex_lock(&mutex);
  die();
  return NULL;
}

__attribute__((constructor)) static void start(void) {
  const char *dir = getenv("FAULT_DISK_DIR"), *control_path = getenv("FAULT_DISK_CONTROL"), *log_path = getenv("FAULT_DISK_LOG");
  if (!dir || !control_path) return;
  root_size = strlen(dir);
  if (root_size >= sizeof root) abort();
  memcpy(root, dir, root_size + 1);
  int descriptor = raw(SYS_openat, AT_FDCWD, (long)control_path, O_RDWR | O_CLOEXEC, 0);
  if (descriptor < 0) abort();
  control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (control == MAP_FAILED) abort();
  raw(SYS_close, descriptor, 0, 0, 0);
  if (!log_path) return;
  log_descriptor = raw(SYS_openat, AT_FDCWD, (long)log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (log_descriptor < 0) abort();
  pthread_t watcher;
  sigset_t every, before;
  sigfillset(&every);
  /* Signals are for the program's own threads. */
  pthread_sigmask(SIG_SETMASK, &every, &before);
  if (pthread_create(&watcher, NULL, watch_for_kill, NULL) != 0) abort();
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int is_ours(const char *path) {
  return control && path && strncmp(path, root, root_size) == 0 && (path[root_size] == '/' || path[root_size] == 0);
}

/* The path relative to the folder. */
static const char *shown(const char *path) {
  return path[root_size] == '/' ? path + root_size + 1 : "";
}

static struct open_file *file_of(int descriptor) {
  if (!control || descriptor < 0 || descriptor >= MAX_DESCRIPTORS) return NULL;
  struct open_file *file = &files[descriptor];
  return __atomic_load_n(&file->path, __ATOMIC_ACQUIRE) ? file : NULL;
}

static void write_record(struct record record, const char *path, const char *other, const struct iovec *data, int count, size_t data_size) {
  if (log_descriptor < 0) return;
  record.path_size = strlen(path);
  record.other_size = other ? strlen(other) : 0;
  record.data_size = data_size;
  record.size = sizeof record + record.path_size + record.other_size + data_size;
  struct iovec parts[3 + 1024];
  int n = 0;
  parts[n++] = (struct iovec){&record, sizeof record};
  parts[n++] = (struct iovec){(void *)path, record.path_size};
  parts[n++] = (struct iovec){(void *)other, record.other_size};
  size_t left = data_size;
  for (int i = 0; i < count && left > 0 && i < 1024; i++) {
    size_t size = data[i].iov_len < left ? data[i].iov_len : left;
    parts[n++] = (struct iovec){data[i].iov_base, size};
    left -= size;
  }
  /* Shorter would make the rest of the log unreadable. */
  if (left > 0 || raw(SYS_writev, log_descriptor, (long)parts, n, 0) != (long)record.size) abort();
}

static void note(enum operation operation, const char *path, const char *other, uint64_t inode, int64_t offset, int is_directory) {
  struct record record = {.operation = operation, .inode = inode, .offset = offset, .is_directory = is_directory};
  write_record(record, shown(path), other ? shown(other) : NULL, NULL, 0, 0);
}

/* What becomes of this call. Dies here where it has to be dead before. */
static enum action fate(enum operation operation, const char *path) {
  if (!__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE)) return NOTHING;
  if (!(control->operations >> operation & 1) || !strstr(path, control->path)) return NOTHING;
  uint64_t nth = __atomic_add_fetch(&control->seen, 1, __ATOMIC_ACQ_REL);
  if (nth < control->nth || nth - control->nth >= control->times) return NOTHING;
  if (control->action == CUT_SHORT && operation != WRITE) return NOTHING;
  __atomic_add_fetch(&control->fired, 1, __ATOMIC_ACQ_REL);
  struct record record = {.operation = FAULT, .offset = operation};
  write_record(record, shown(path), NULL, NULL, 0, 0);
  if (control->action == DIE_BEFORE) die();
  return control->action;
}

/* The mutex is held. */
static void outlive(enum action action) {
  if (action == DIE_AFTER) die();
}

#define LOCK pthread_mutex_lock(&mutex)
#define UNLOCK pthread_mutex_unlock(&mutex)

/* The mutex is not held: another thread may be between its call and the record of it. */
static void outlive_alone(enum action action) {
  if (action != DIE_AFTER) return;
  LOCK;
  die();
}

static int failed(void) {
  errno = control->error;
  UNLOCK;
  return -1;
}

/* --- open, close ---------------------------------------------------------------------------------------------- */

static int open_file(const char *path, int flags, mode_t mode) {
  struct stat before, after;
  LOCK;
  int existed = raw(SYS_newfstatat, AT_FDCWD, (long)path, (long)&before, flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0) == 0;
  int creates = !existed && flags & O_CREAT;
  enum action action = fate(creates ? CREATE : OPEN, path);
  if (action == FAIL) return failed();
  int descriptor = raw(SYS_openat, AT_FDCWD, (long)path, flags, mode);
  int error = errno;
  if (descriptor >= 0) {
    if (fstat(descriptor, &after) != 0 || descriptor >= MAX_DESCRIPTORS) abort();
    if (creates) note(CREATE, path, NULL, after.st_ino, 0, 0);
    else if (flags & O_TRUNC && before.st_size > 0) note(TRUNCATE, path, NULL, after.st_ino, 0, 0);
    struct open_file *file = &files[descriptor];
    file->inode = after.st_ino;
    file->is_directory = S_ISDIR(after.st_mode);
    __atomic_store_n(&file->path, strdup(path), __ATOMIC_RELEASE);
  }
  outlive(action);
  UNLOCK;
  errno = error;
  return descriptor;
}

static mode_t mode_argument(int flags, va_list arguments) {
  return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

#define OPEN_FUNCTION(name) \
  int name(const char *path, int flags, ...) { \
    REAL(name); \
    va_list arguments; \
    va_start(arguments, flags); \
    mode_t mode = mode_argument(flags, arguments); \
    va_end(arguments); \
    return is_ours(path) ? open_file(path, flags, mode) : real_##name(path, flags, mode); \
  }
OPEN_FUNCTION(open)
OPEN_FUNCTION(open64)

#define OPENAT_FUNCTION(name) \
  int name(int folder, const char *path, int flags, ...) { \
    REAL(name); \
    va_list arguments; \
    va_start(arguments, flags); \
    mode_t mode = mode_argument(flags, arguments); \
    va_end(arguments); \
    return is_ours(path) ? open_file(path, flags, mode) : real_##name(folder, path, flags, mode); \
  }
OPENAT_FUNCTION(openat)
OPENAT_FUNCTION(openat64)

int close(int descriptor) {
  REAL(close);
  struct open_file *file = file_of(descriptor);
  if (!file) return real_close(descriptor);
  LOCK;
  enum action action = fate(CLOSE, file->path);
  free(file->path);
  __atomic_store_n(&file->path, NULL, __ATOMIC_RELEASE);
  int result = real_close(descriptor), error = errno;
  outlive(action);
  /* Like the kernel: the descriptor is gone, whatever close says. */
  if (action == FAIL) return failed();
  UNLOCK;
  errno = error;
  return result;
}

/* --- read ----------------------------------------------------------------------------------------------------- */

#define READ_FUNCTION(type, name, parameters, call) \
  type name parameters { \
    REAL(name); \
    struct open_file *file = file_of(descriptor); \
    if (!file || !__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE)) return call; \
    LOCK; \
    enum action action = fate(READ, file->path); \
    if (action == FAIL) return failed(); \
    UNLOCK; \
    type result = call; \
    outlive_alone(action); \
    return result; \
  }
READ_FUNCTION(ssize_t, read, (int descriptor, void *bytes, size_t size), real_read(descriptor, bytes, size))
READ_FUNCTION(ssize_t, pread, (int descriptor, void *bytes, size_t size, off_t offset), real_pread(descriptor, bytes, size, offset))
READ_FUNCTION(ssize_t, pread64, (int descriptor, void *bytes, size_t size, off64_t offset), real_pread64(descriptor, bytes, size, offset))
READ_FUNCTION(ssize_t, preadv, (int descriptor, const struct iovec *parts, int count, off_t offset), real_preadv(descriptor, parts, count, offset))
READ_FUNCTION(ssize_t, preadv64, (int descriptor, const struct iovec *parts, int count, off64_t offset), real_preadv64(descriptor, parts, count, offset))

/* --- write ---------------------------------------------------------------------------------------------------- */

static ssize_t write_file(struct open_file *file, int descriptor, const struct iovec *parts, int count, off64_t offset) {
  size_t size = 0;
  for (int i = 0; i < count; i++) size += parts[i].iov_len;
  struct iovec cut[1024];
  if (count > 1024) abort();
  memcpy(cut, parts, count * sizeof *cut);
  LOCK;
  enum action action = fate(WRITE, file->path);
  if (action == FAIL) return failed();
  if (action == CUT_SHORT && size > 1) {
    size_t left = size / 2;
    for (int i = 0; i < count; i++) {
      if (cut[i].iov_len > left) cut[i].iov_len = left;
      left -= cut[i].iov_len;
    }
  }
  off64_t at = offset;
  if (at < 0) {
    struct stat facts;
    int flags = raw(SYS_fcntl, descriptor, F_GETFL, 0, 0);
    if (flags & O_APPEND) at = fstat(descriptor, &facts) == 0 ? facts.st_size : 0;
    else at = raw(SYS_lseek, descriptor, 0, SEEK_CUR, 0);
  }
  ssize_t written = offset < 0 ? raw(SYS_writev, descriptor, (long)cut, count, 0) : raw(SYS_pwritev, descriptor, (long)cut, count, offset);
  int error = errno;
  if (written > 0) {
    struct record record = {.operation = WRITE, .inode = file->inode, .offset = at};
    write_record(record, shown(file->path), NULL, cut, count, written);
  }
  outlive(action);
  UNLOCK;
  errno = error;
  return written;
}

#define WRITE_FUNCTION(name, parameters, list, size, offset, call) \
  ssize_t name parameters { \
    REAL(name); \
    struct open_file *file = file_of(descriptor); \
    if (!file) return call; \
    return write_file(file, descriptor, list, size, offset); \
  }
#define ONE_PART (&(struct iovec){(void *)bytes, size})
WRITE_FUNCTION(pwrite, (int descriptor, const void *bytes, size_t size, off_t offset), ONE_PART, 1, offset, real_pwrite(descriptor, bytes, size, offset))
WRITE_FUNCTION(pwrite64, (int descriptor, const void *bytes, size_t size, off64_t offset), ONE_PART, 1, offset, real_pwrite64(descriptor, bytes, size, offset))
WRITE_FUNCTION(pwritev, (int descriptor, const struct iovec *parts, int count, off_t offset), parts, count, offset, real_pwritev(descriptor, parts, count, offset))
WRITE_FUNCTION(pwritev64, (int descriptor, const struct iovec *parts, int count, off64_t offset), parts, count, offset, real_pwritev64(descriptor, parts, count, offset))

/* Recorded before it is sent: what a client may have seen. */
static enum action answer(const void *bytes, size_t size) {
  if (!control || size < 12 || memcmp(bytes, "HTTP/1.1 ", 9) != 0) return NOTHING;
  LOCK;
  enum action action = fate(ANSWER, root);
  struct record record = {.operation = ANSWER};
  struct iovec part = {(void *)bytes, size};
  write_record(record, "", NULL, &part, 1, size < 1024 ? size : 1024);
  UNLOCK;
  return action;
}

ssize_t write(int descriptor, const void *bytes, size_t size) {
  REAL(write);
  struct open_file *file = file_of(descriptor);
  if (file) return write_file(file, descriptor, ONE_PART, 1, -1);
  enum action action = answer(bytes, size);
  ssize_t result = real_write(descriptor, bytes, size);
  outlive_alone(action);
  return result;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  REAL(writev);
  struct open_file *file = file_of(descriptor);
  if (file) return write_file(file, descriptor, parts, count, -1);
  enum action action = count > 0 ? answer(parts[0].iov_base, parts[0].iov_len) : NOTHING;
  ssize_t result = real_writev(descriptor, parts, count);
  outlive_alone(action);
  return result;
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
  REAL(sendmsg);
  enum action action = message->msg_iovlen > 0 ? answer(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len) : NOTHING;
  ssize_t result = real_sendmsg(descriptor, message, flags);
  outlive_alone(action);
  return result;
}

/* --- the rest of what a descriptor can be asked ----------------------------------------------------------------- */

static int change_file(enum operation operation, int descriptor, off64_t offset, long system_call) {
  struct open_file *file = file_of(descriptor);
  LOCK;
  enum action action = fate(operation, file->path);
  if (action == FAIL) return failed();
  int result = raw(system_call, descriptor, offset, 0, 0), error = errno;
  if (result == 0) note(operation, file->path, NULL, file->inode, offset, file->is_directory);
  outlive(action);
  UNLOCK;
  errno = error;
  return result;
}

int ftruncate(int descriptor, off_t size) {
  REAL(ftruncate);
  return file_of(descriptor) ? change_file(TRUNCATE, descriptor, size, SYS_ftruncate) : real_ftruncate(descriptor, size);
}

int ftruncate64(int descriptor, off64_t size) {
  REAL(ftruncate64);
  return file_of(descriptor) ? change_file(TRUNCATE, descriptor, size, SYS_ftruncate) : real_ftruncate64(descriptor, size);
}

int fsync(int descriptor) {
  REAL(fsync);
  return file_of(descriptor) ? change_file(FSYNC, descriptor, 0, SYS_fsync) : real_fsync(descriptor);
}

int fdatasync(int descriptor) {
  REAL(fdatasync);
  return file_of(descriptor) ? change_file(FSYNC, descriptor, 0, SYS_fdatasync) : real_fdatasync(descriptor);
}

/* --- names ------------------------------------------------------------------------------------------------------ */

static int change_names(enum operation operation, const char *path, const char *other, int (*change)(const char *, const char *)) {
  LOCK;
  enum action action = fate(operation, other ? other : path);
  if (action == FAIL) return failed();
  struct stat facts = {0};
  raw(SYS_newfstatat, AT_FDCWD, (long)path, (long)&facts, AT_SYMLINK_NOFOLLOW);
  int result = change(path, other), error = errno;
  if (result == 0) note(operation, path, other, facts.st_ino, 0, S_ISDIR(facts.st_mode));
  outlive(action);
  UNLOCK;
  errno = error;
  return result;
}

static int do_link(const char *path, const char *other) { return raw(SYS_linkat, AT_FDCWD, (long)path, AT_FDCWD, (long)other); }
static int do_unlink(const char *path, const char *other) { (void)other; return raw(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0); }
static int do_rmdir(const char *path, const char *other) { (void)other; return raw(SYS_unlinkat, AT_FDCWD, (long)path, AT_REMOVEDIR, 0); }
static int do_rename(const char *path, const char *other) { return raw(SYS_renameat, AT_FDCWD, (long)path, AT_FDCWD, (long)other); }

int link(const char *path, const char *other) {
  REAL(link);
  return is_ours(other) ? change_names(LINK, path, other, do_link) : real_link(path, other);
}

int unlink(const char *path) {
  REAL(unlink);
  return is_ours(path) ? change_names(UNLINK, path, NULL, do_unlink) : real_unlink(path);
}

int rename(const char *path, const char *other) {
  REAL(rename);
  return is_ours(other) ? change_names(RENAME, path, other, do_rename) : real_rename(path, other);
}

int rmdir(const char *path) {
  REAL(rmdir);
  return is_ours(path) ? change_names(RMDIR, path, NULL, do_rmdir) : real_rmdir(path);
}

int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  if (!is_ours(path)) return real_mkdir(path, mode);
  LOCK;
  enum action action = fate(MKDIR, path);
  if (action == FAIL) return failed();
  int result = raw(SYS_mkdirat, AT_FDCWD, (long)path, mode, 0), error = errno;
  if (result == 0) note(MKDIR, path, NULL, 0, 0, 1);
  outlive(action);
  UNLOCK;
  errno = error;
  return result;
}

/* --- looking ---------------------------------------------------------------------------------------------------- */

/* 0: go on; -1: fail. */
static int look(enum operation operation, const char *path) {
  if (!path || !__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE)) return 0;
  LOCK;
  enum action action = fate(operation, path);
  if (action == FAIL) return failed();
  outlive(action);
  UNLOCK;
  return 0;
}

static const char *path_of(int descriptor) {
  struct open_file *file = file_of(descriptor);
  return file ? file->path : NULL;
}

#define STAT_FUNCTION(name, parameters, call, path) \
  int name parameters { \
    static int (*real) parameters; \
    if (!real) real = (int (*) parameters)dlsym(RTLD_NEXT, #name); \
    return control && look(STAT, path) ? -1 : call; \
  }
#define OURS(path) (is_ours(path) ? path : NULL)
STAT_FUNCTION(__xstat, (int version, const char *path, struct stat *facts), real(version, path, facts), OURS(path))
STAT_FUNCTION(__lxstat, (int version, const char *path, struct stat *facts), real(version, path, facts), OURS(path))
STAT_FUNCTION(__xstat64, (int version, const char *path, struct stat64 *facts), real(version, path, facts), OURS(path))
STAT_FUNCTION(__lxstat64, (int version, const char *path, struct stat64 *facts), real(version, path, facts), OURS(path))
STAT_FUNCTION(__fxstat64, (int version, int descriptor, struct stat64 *facts), real(version, descriptor, facts), path_of(descriptor))

int scandir64(const char *path, struct dirent64 ***list, int (*filter)(const struct dirent64 *), int (*compare)(const struct dirent64 **, const struct dirent64 **)) {
  REAL(scandir64);
  return is_ours(path) && look(READDIR, path) ? -1 : real_scandir64(path, list, filter, compare);
}

/* Node closes files and asks for their facts this way. */
long syscall(long number, ...) {
  static long (*real)(long, ...);
  if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  va_list arguments;
  va_start(arguments, number);
  long a = va_arg(arguments, long), b = va_arg(arguments, long), c = va_arg(arguments, long);
  long d = va_arg(arguments, long), e = va_arg(arguments, long), f = va_arg(arguments, long);
  va_end(arguments);
  if (number == SYS_close) return close(a);
  if (control && number == SYS_statx) {
    const char *path = (const char *)b;
    if (path && *path == 0) path = path_of(a);
    else if (!is_ours(path)) path = NULL;
    if (look(STAT, path)) return -1;
  }
  return real(number, a, b, c, d, e, f);
}
