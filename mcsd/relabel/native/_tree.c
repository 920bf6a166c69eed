/* The directories of a volume: each is opened by its name in the one above, never by a path, and few are open at once.
 *
 * A directory that has been closed meanwhile is opened again from the nearest open one above it, name by name, and
 * each must have the inode number that it had. So a tree ten thousand levels deep takes about a hundred descriptors.
 */
#include "_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define OPEN_MAX_NODES 128
#define LOW_NUMBERS 64 /* descriptors that a worker has open besides directories and a batch */
#define LIST_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)

struct node *node_new(struct node *parent, const char *name, size_t length, uint64_t inode, int64_t born,
                      int owner)
{
    struct node *node = malloc(sizeof *node + length + 1);
    if (!node)
        return NULL;
    memset(node, 0, sizeof *node);
    atomic_init(&node->references, 1);
    node->parent = parent ? node_hold(parent) : NULL;
    node->owner = owner;
    node->descriptor = -1;
    node->inode = inode;
    node->born = born;
    node->length = (uint16_t)length;
    memcpy(node->name, name, length);
    node->name[length] = 0;
    return node;
}

struct node *node_hold(struct node *node)
{
    atomic_fetch_add_explicit(&node->references, 1, memory_order_relaxed);
    return node;
}

void node_release(struct node *node)
{
    while (node && atomic_fetch_sub_explicit(&node->references, 1, memory_order_acq_rel) == 1) {
        struct node *parent = node->parent;
        free(node);
        node = parent;
    }
}

static void unlink_open(struct worker *worker, struct node *node)
{
    *(node->newer ? &node->newer->older : &worker->newest) = node->older;
    *(node->older ? &node->older->newer : &worker->oldest) = node->newer;
    node->newer = node->older = NULL;
}

static void link_open(struct worker *worker, struct node *node)
{
    node->older = worker->newest;
    *(worker->newest ? &worker->newest->newer : &worker->oldest) = node;
    worker->newest = node;
}

/* Forget the current directory if its descriptor is about to be closed: the number may be used for another. */
void forget_here(struct worker *worker, int descriptor)
{
    if (worker->here == descriptor)
        worker->here = -1;
}

static void close_node(struct worker *worker, struct node *node)
{
    unlink_open(worker, node);
    worker->open_count--;
    forget_here(worker, node->descriptor);
    close(node->descriptor);
    node->descriptor = -1;
    node_release(node);
}

/* Move a directory's descriptor to a high number. So the files of a batch get consecutive low numbers, and
 * close_range(2) closes them in one call. */
static int lifted(const struct worker *worker, int descriptor)
{
    int high = fcntl(descriptor, F_DUPFD_CLOEXEC, (int)worker->walk->batch_most + LOW_NUMBERS);
    if (high < 0) /* RLIMIT_NOFILE is too low */
        return descriptor;
    close(descriptor);
    return high;
}

static void adopt(struct worker *worker, struct node *node, int descriptor)
{
    node->descriptor = descriptor;
    link_open(worker, node_hold(node));
    worker->open_count++;
    struct node *old = worker->oldest;
    while (worker->open_count > OPEN_MAX_NODES && old && old != node) {
        struct node *next = old->newer;
        if (!old->pinned)
            close_node(worker, old);
        old = next;
    }
}

void node_pin(struct worker *worker, struct node *node)
{
    worker->pinned_count += !node->pinned;
    node->pinned = true;
}

void node_unpin(struct worker *worker, struct node *node)
{
    worker->pinned_count -= node->pinned;
    node->pinned = false;
}

void nodes_close(struct worker *worker)
{
    while (worker->oldest)
        close_node(worker, worker->oldest);
}

int look_at(int descriptor, struct statx *found)
{
    return statx(descriptor, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
                 STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, found);
}

bool is_in_volume(const struct walk *walk, const struct statx *found)
{
    return makedev(found->stx_dev_major, found->stx_dev_minor) == walk->device &&
           found->stx_mnt_id == walk->mount;
}

/* Open a directory for listing, if it still has its inode number. Return a descriptor, -1 with errno. */
static int open_listing(struct worker *worker, int parent, const struct node *node)
{
    struct open_how how = {.flags = LIST_FLAGS | O_NOATIME,
                           .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS};
    int descriptor = (int)syscall(SYS_openat2, parent, node->name, &how, sizeof how);
    if (descriptor < 0 && errno == EPERM) { /* O_NOATIME takes ownership or CAP_FOWNER */
        how.flags = LIST_FLAGS;
        descriptor = (int)syscall(SYS_openat2, parent, node->name, &how, sizeof how);
    }
    if (descriptor < 0)
        return -1;
    struct statx found;
    int code = look_at(descriptor, &found) != 0             ? errno
               : !is_in_volume(worker->walk, &found)        ? EXDEV
               : found.stx_ino != node->inode               ? ENOTDIR
                                                            : 0;
    if (code) {
        close(descriptor);
        errno = code;
        return -1;
    }
    return descriptor;
}

static int chain_of(struct worker *worker, struct node *node, size_t *count)
{
    *count = 0;
    for (; node->parent && !(node->owner == worker->number && node->descriptor >= 0); node = node->parent) {
        if (*count == worker->chain_room) {
            size_t room = worker->chain_room ? 2 * worker->chain_room : 64;
            struct node **grown = realloc(worker->chain, room * sizeof *grown);
            if (!grown) {
                errno = ENOMEM;
                return -1;
            }
            worker->chain = grown;
            worker->chain_room = room;
        }
        worker->chain[(*count)++] = node;
    }
    return node->parent ? node->descriptor : worker->walk->root;
}

int node_open(struct worker *worker, struct node *node, bool *is_temporary)
{
    size_t count;
    *is_temporary = false;
    if (!node->parent && node->owner != worker->number) {
        *is_temporary = true;
        return openat(worker->walk->root, ".", LIST_FLAGS);
    }
    if (!node->parent && node->descriptor < 0) {
        int descriptor = openat(worker->walk->root, ".", LIST_FLAGS);
        if (descriptor >= 0)
            adopt(worker, node, descriptor);
        return descriptor;
    }
    int descriptor = node->parent ? chain_of(worker, node, &count) : (count = 0, node->descriptor);
    if (count == 0 && node->newer) { /* move it to the front: the oldest are closed first */
        unlink_open(worker, node);
        link_open(worker, node);
    }
    while (descriptor >= 0 && count > 0) {
        struct node *next = worker->chain[--count];
        int opened = open_listing(worker, descriptor, next);
        int code = errno;
        if (*is_temporary)
            close(descriptor);
        *is_temporary = next->owner != worker->number;
        descriptor = opened;
        errno = code;
        if (opened >= 0 && !*is_temporary) {
            descriptor = lifted(worker, opened);
            adopt(worker, next, descriptor);
        }
    }
    if (descriptor < 0)
        *is_temporary = false;
    return descriptor;
}

char *node_path(const struct node *node, const char *name, size_t *length)
{
    size_t total = strlen(name);
    for (const struct node *one = node; one->parent; one = one->parent)
        total += one->length + 1;
    char *path = malloc(total + 1);
    if (!path)
        return NULL;
    size_t at = total - strlen(name);
    memcpy(path + at, name, strlen(name) + 1);
    for (const struct node *one = node; one->parent; one = one->parent) {
        path[--at] = '/';
        at -= one->length;
        memcpy(path + at, one->name, one->length);
    }
    *length = *name ? total : (total ? total - 1 : 0);
    return path;
}

static int64_t nanoseconds(struct statx_timestamp time)
{
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int64_t changed_at(const struct statx *found)
{
    return nanoseconds(found->stx_ctime);
}

int64_t modified_at(const struct statx *found)
{
    return nanoseconds(found->stx_mtime);
}

int64_t born_at(const struct statx *found)
{
    return found->stx_mask & STATX_BTIME ? nanoseconds(found->stx_btime) : 0;
}

int64_t clock_stamp(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}
