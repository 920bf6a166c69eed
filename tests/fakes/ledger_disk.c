/* Writes down, in order, what a process does to the files below DISK_ROOT, into DISK_LOG.
 *
 * A record is a line `OPERATION offset length path`, then the bytes for W, or the new path for R:
 * W write, T truncate, S sync (a file or a directory), R rename, U unlink. The record follows the
 * operation, so that what is in the log has happened. Files named *-shm are not worth keeping.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int journal = -1;
static const char *root;

#define REAL(name) \
	static __typeof__(&name) real; \
	if (!real) \
		real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void put(const void *data, size_t length)
{
	static ssize_t (*real)(int, const void *, size_t);

	if (!real)
		real = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
	if (real(journal, data, length) != (ssize_t)length)
		abort();
}

static int is_kept(const char *path)
{
	size_t length = strlen(path);

	return root && !strncmp(path, root, strlen(root)) &&
	       !(length > 4 && !strcmp(path + length - 4, "-shm"));
}

static void note(char operation, const char *path, long long offset, const void *data, size_t length)
{
	char line[PATH_MAX + 64];
	int saved = errno, size;

	size = snprintf(line, sizeof(line), "%c %lld %zu %s\n", operation, offset, length, path);
	put(line, size);
	if (data)
		put(data, length);
	errno = saved;
}

static int path_of(int descriptor, char *path)
{
	char link[64];
	int saved = errno;
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
	length = readlink(link, path, PATH_MAX - 1);
	errno = saved;
	if (length < 0)
		return 0;
	path[length] = 0;
	return is_kept(path);
}

__attribute__((constructor)) static void begin(void)
{
	const char *log = getenv("DISK_LOG");

	root = getenv("DISK_ROOT");
	if (log && root)
		journal = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (journal < 0)
		root = NULL;
}

#define PWRITE(name) \
	ssize_t name(int descriptor, const void *data, size_t length, off64_t offset) \
	{ \
		char path[PATH_MAX]; \
		REAL(name); \
		ssize_t done = real(descriptor, data, length, offset); \
		if (done > 0 && path_of(descriptor, path)) \
			note('W', path, offset, data, done); \
		return done; \
	}
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t write(int descriptor, const void *data, size_t length)
{
	char path[PATH_MAX];
	REAL(write);
	ssize_t done = real(descriptor, data, length);

	if (done > 0 && path_of(descriptor, path))
		note('W', path, lseek(descriptor, 0, SEEK_CUR) - done, data, done);
	return done;
}

#define TRUNCATE(name) \
	int name(int descriptor, off64_t length) \
	{ \
		char path[PATH_MAX]; \
		REAL(name); \
		int failed = real(descriptor, length); \
		if (!failed && path_of(descriptor, path)) \
			note('T', path, length, NULL, 0); \
		return failed; \
	}
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define SYNC(name) \
	int name(int descriptor) \
	{ \
		char path[PATH_MAX]; \
		REAL(name); \
		int failed = real(descriptor); \
		if (!failed && path_of(descriptor, path)) \
			note('S', path, 0, NULL, 0); \
		return failed; \
	}
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *from, const char *to)
{
	REAL(rename);
	int failed = real(from, to);

	if (!failed && is_kept(from))
		note('R', from, 0, to, strlen(to));
	return failed;
}

int unlink(const char *path)
{
	REAL(unlink);
	int failed = real(path);

	if (!failed && is_kept(path))
		note('U', path, 0, NULL, 0);
	return failed;
}
