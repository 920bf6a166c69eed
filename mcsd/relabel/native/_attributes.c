/* Reading and writing labels on disk: by name in the current directory, and through /proc/thread-self/fd, whose
 * magic links lead to a descriptor's inode, wherever that has been renamed to.
 */
#include "_attributes.h"

#include "_tally.h"
#include "_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

void go_to(struct worker *worker, int descriptor)
{
    if (worker->here != descriptor)
        worker->here = fchdir(descriptor) == 0 ? descriptor : -1;
}

const char *as_number(int descriptor, char room[16])
{
    char *at = room + 15;
    *at = 0;
    do
        *--at = (char)('0' + descriptor % 10);
    while (descriptor /= 10);
    return at;
}

void note_change(struct walk *walk, const struct statx *found)
{
    if (modified_at(found) >= walk->began - TICK)
        atomic_store_explicit(&walk->is_disturbed, true, memory_order_relaxed);
}

typedef ssize_t reader(const char *path, const char *attribute, void *room, size_t size);

/* Read a label; NULL with errno. For each call the kernel allocates and clears a buffer of the size that it is
 * given, so it is first given only as much as labels usually take. */
static const struct label *read_label(struct worker *worker, reader *read, const char *path)
{
    char text[LABEL_MAX];
    ssize_t length = read(path, SELINUX, text, LABEL_USUAL);
    if (length < 0 && errno == ERANGE)
        length = read(path, SELINUX, text, sizeof text);
    if (length < 0 && errno != ENODATA)
        return NULL;
    errno = ENOMEM;
    return label_seen(worker, text, length);
}

const struct label *label_of(struct worker *worker, int descriptor)
{
    char number[16];
    go_to(worker, worker->proc);
    if (worker->here != worker->proc) /* the number would be looked up as a name in the volume */
        return NULL;
    return read_label(worker, getxattr, as_number(descriptor, number));
}

const struct label *label_by_name(struct worker *worker, int descriptor, const char *name)
{
    go_to(worker, descriptor);
    return worker->here == descriptor ? read_label(worker, lgetxattr, name) : NULL;
}

int write_label(int descriptor, const struct value *value)
{
    char room[16];
    const char *number = as_number(descriptor, room);
    if (!value->absent)
        return setxattr(number, SELINUX, value->text, value->length, 0);
    int result = removexattr(number, SELINUX);
    return result < 0 && errno == ENODATA ? 0 : result;
}
