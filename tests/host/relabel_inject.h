/* Compiled into every file of the extension before anything else (MCSD_INJECT in setup.py), for the tests: lets the
 * nth call of a kind fail with an errno. `inject_calls` counts all of them, so that a test can go through them.
 */
#ifndef RELABEL_INJECT_H
#define RELABEL_INJECT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum inject_kind {
    INJECT_STATX, INJECT_OPEN, INJECT_OPENAT, INJECT_OPENAT2, INJECT_GETDENTS, INJECT_GETXATTR,
    INJECT_LGETXATTR, INJECT_SETXATTR, INJECT_REMOVEXATTR, INJECT_READLINKAT, INJECT_FCHDIR, INJECT_CHDIR,
    INJECT_FCNTL, INJECT_UNSHARE, INJECT_CLOSE_RANGE, INJECT_POLL, INJECT_THREAD, INJECT_ALLOCATE, INJECT_OTHER,
    INJECT_KINDS
};

/* One for the whole extension, whichever file it comes from. */
#define INJECT_SHARED __attribute__((weak, visibility("default")))
INJECT_SHARED atomic_long inject_calls[INJECT_KINDS];
INJECT_SHARED atomic_int inject_which = -1, inject_code, inject_done;
INJECT_SHARED atomic_long inject_first, inject_count, inject_clock;

/* Let calls of a kind fail, `count` of them from the nth on; kind -1: none. `ahead`: nanoseconds that the clock
 * is ahead of the inodes' times, so that none looks as if it had changed this very moment. */
INJECT_SHARED void inject_set(int kind, long first, long count, int code, long ahead)
{
    for (int i = 0; i < INJECT_KINDS; i++)
        atomic_store(&inject_calls[i], 0);
    atomic_store(&inject_done, 0);
    atomic_store(&inject_first, first);
    atomic_store(&inject_count, count);
    atomic_store(&inject_code, code);
    atomic_store(&inject_clock, ahead);
    atomic_store(&inject_which, kind);
}

INJECT_SHARED long inject_called(int kind)
{
    return atomic_load(&inject_calls[kind]);
}

INJECT_SHARED int inject_failed(void)
{
    return atomic_load(&inject_done);
}

static inline int inject_fails(int kind)
{
    long number = atomic_fetch_add(&inject_calls[kind], 1), first = atomic_load(&inject_first);
    if (kind != atomic_load(&inject_which) || number < first || number >= first + atomic_load(&inject_count))
        return 0;
    atomic_store(&inject_done, 1);
    errno = atomic_load(&inject_code);
    return 1;
}

static inline ssize_t inject_getxattr(const char *path, const char *name, void *value, size_t size)
{
    return inject_fails(INJECT_GETXATTR) ? -1 : getxattr(path, name, value, size);
}

/* Have a file mounted over a name for just as long as the name's label is read. */
INJECT_SHARED const char *inject_name, *inject_from, *inject_over;

INJECT_SHARED void inject_mount(const char *name, const char *from, const char *over)
{
    inject_name = name;
    inject_from = from;
    inject_over = over;
}

static inline ssize_t inject_lgetxattr(const char *path, const char *name, void *value, size_t size)
{
    if (inject_fails(INJECT_LGETXATTR))
        return -1;
    int is_covered = inject_name && strcmp(path, inject_name) == 0 &&
                     mount(inject_from, inject_over, NULL, MS_BIND, NULL) == 0;
    ssize_t length = lgetxattr(path, name, value, size);
    int code = errno;
    if (is_covered)
        umount2(inject_over, MNT_DETACH);
    errno = code;
    return length;
}

static inline void *inject_malloc(size_t size)
{
    return inject_fails(INJECT_ALLOCATE) ? NULL : malloc(size);
}

static inline void *inject_calloc(size_t count, size_t size)
{
    return inject_fails(INJECT_ALLOCATE) ? NULL : calloc(count, size);
}

static inline void *inject_realloc(void *old, size_t size)
{
    return inject_fails(INJECT_ALLOCATE) ? NULL : realloc(old, size);
}

static inline int inject_clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = clock_gettime(clock, now);
    if (clock == CLOCK_REALTIME_COARSE)
        now->tv_sec += atomic_load(&inject_clock) / 1000000000L;
    return result;
}

static inline int inject_syscall_kind(long number)
{
    return number == SYS_openat2 ? INJECT_OPENAT2 : number == SYS_getdents64 ? INJECT_GETDENTS : INJECT_OTHER;
}

#define getxattr inject_getxattr
#define lgetxattr inject_lgetxattr
#define malloc inject_malloc
#define calloc inject_calloc
#define realloc inject_realloc
#define clock_gettime inject_clock_gettime
#define statx(...) (inject_fails(INJECT_STATX) ? -1 : statx(__VA_ARGS__))
#define open(...) (inject_fails(INJECT_OPEN) ? -1 : open(__VA_ARGS__))
#define openat(...) (inject_fails(INJECT_OPENAT) ? -1 : openat(__VA_ARGS__))
#define setxattr(...) (inject_fails(INJECT_SETXATTR) ? -1 : setxattr(__VA_ARGS__))
#define removexattr(...) (inject_fails(INJECT_REMOVEXATTR) ? -1 : removexattr(__VA_ARGS__))
#define readlinkat(...) (inject_fails(INJECT_READLINKAT) ? -1 : readlinkat(__VA_ARGS__))
#define fchdir(...) (inject_fails(INJECT_FCHDIR) ? -1 : fchdir(__VA_ARGS__))
#define chdir(...) (inject_fails(INJECT_CHDIR) ? -1 : chdir(__VA_ARGS__))
#define fcntl(...) (inject_fails(INJECT_FCNTL) ? -1 : fcntl(__VA_ARGS__))
#define unshare(...) (inject_fails(INJECT_UNSHARE) ? -1 : unshare(__VA_ARGS__))
#define close_range(...) (inject_fails(INJECT_CLOSE_RANGE) ? -1 : close_range(__VA_ARGS__))
#define poll(...) (inject_fails(INJECT_POLL) ? -1 : poll(__VA_ARGS__))
#define setpriority(...) (inject_fails(INJECT_OTHER) ? -1 : setpriority(__VA_ARGS__))
#define syscall(number, ...) (inject_fails(inject_syscall_kind(number)) ? -1 : syscall(number, ##__VA_ARGS__))
#define pthread_create(...) (inject_fails(INJECT_THREAD) ? errno : pthread_create(__VA_ARGS__))

#endif
