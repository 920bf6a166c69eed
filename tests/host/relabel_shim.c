/* Preloaded into a process that walks: ends it at the nth step, or makes labels fail for chosen inodes.
 *
 * A step is a call that changes what is on disk, in the volume or in the store of originals.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long steps, last = -1;
static long failing, code;

/* End the process at its nth step from now; -1: never. */
void shim_kill_at(long step)
{
    atomic_store(&steps, 0);
    atomic_store(&last, step);
}

long shim_steps(void)
{
    return atomic_load(&steps);
}

/* Let labels of one inode fail to be written; inode 1: all of them. */
void shim_fail(long inode, long with)
{
    failing = inode;
    code = with;
}

static void step(void)
{
    if (atomic_fetch_add(&steps, 1) == atomic_load(&last))
        kill(getpid(), SIGKILL);
}

static int fails(const char *path, const char *name)
{
    struct stat found;
    if (!failing || strcmp(name, "security.selinux") != 0)
        return 0;
    if (failing != 1 && (stat(path, &found) != 0 || (long)found.st_ino != failing))
        return 0;
    errno = (int)code;
    return 1;
}

#define REAL(type, name) \
    static type real; \
    if (!real) \
        real = (type)dlsym(RTLD_NEXT, name)

typedef int (*set_type)(const char *, const char *, const void *, size_t, int);
int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
    REAL(set_type, "setxattr");
    step();
    return fails(path, name) ? -1 : real(path, name, value, size, flags);
}

typedef int (*remove_type)(const char *, const char *);
int removexattr(const char *path, const char *name)
{
    REAL(remove_type, "removexattr");
    step();
    return fails(path, name) ? -1 : real(path, name);
}

typedef ssize_t (*write_type)(int, const void *, size_t);
ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write_type, "write");
    struct stat found;
    if (atomic_load(&last) >= 0 && fstat(fd, &found) == 0 && S_ISREG(found.st_mode)) {
        if (atomic_load(&steps) + 1 == atomic_load(&last) && size > 1)
            real(fd, data, size / 2); /* torn: the next step ends it */
        else
            return step(), real(fd, data, size);
        step();
        step();
    }
    return real(fd, data, size);
}

#define STEP_FD(name) \
    typedef int (*name##_type)(int); \
    int name(int fd) \
    { \
        REAL(name##_type, #name); \
        step(); \
        return real(fd); \
    }
STEP_FD(fsync)
STEP_FD(fdatasync)

typedef int (*rename_type)(const char *, const char *);
int rename(const char *from, const char *to)
{
    REAL(rename_type, "rename");
    step();
    return real(from, to);
}

typedef int (*unlink_type)(const char *);
int unlink(const char *path)
{
    REAL(unlink_type, "unlink");
    step();
    return real(path);
}
