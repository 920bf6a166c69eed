/* Examines the entries of a directory, and holds by descriptor those that are to be written.
 *
 * The label is read by name, relative to the current directory; then the name is opened, and the descriptor is
 * checked with statx. If the inode's ctime is older than the first of these steps, neither its label nor its links
 * have changed since: so the label is the inode's own, the name was its name when it was opened, and a link count
 * of one means that it has no other name. If the ctime is newer, the label is read again through the descriptor,
 * and name and link count are checked again before the inode is written (`settle` in _flush.c).
 */
#include "_gather.h"

#include "_attributes.h"
#include "_decide.h"
#include "_flush.h"
#include "_queue.h"
#include "_requests.h"
#include "_tally.h"
#include "_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LARGE_LISTING (2 * 1024 * 1024)
#define NAME_ROOM 512 /* more than one name takes in a listing */
#define PART 1024     /* names in a part of a listing that is given to another worker */
#define CROWDED 4096
#define MANY_CHILDREN 1024
#define PINNED_MAX 64

struct place { /* the directory in which names are looked up */
    struct node *node;
    int descriptor;
    int64_t since; /* the time before the first of these names was examined */
};

/* Open a name. If the descriptor table is full, flush the batch, which closes its descriptors, and try again. */
static int open_name(struct worker *worker, const struct place *place, const char *name)
{
    for (;;) {
        int descriptor = openat(place->descriptor, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (descriptor >= 0 || (errno != EMFILE && errno != ENFILE) || !worker->batch.count)
            return descriptor;
        flush(worker);
    }
}

static bool batch_add(struct batch *batch, struct entry *entry, const char *name)
{
    size_t length = strlen(name) + 1;
    if (batch->count == batch->room) {
        size_t room = batch->room ? 2 * batch->room : 256;
        struct entry *grown = realloc(batch->entries, room * sizeof *grown);
        if (!grown)
            return false;
        batch->entries = grown;
        batch->room = room;
    }
    if (batch->names_used + length > batch->names_room) {
        size_t room = 2 * batch->names_room + length + 1024;
        char *grown = realloc(batch->names, room);
        if (!grown)
            return false;
        batch->names = grown;
        batch->names_room = room;
    }
    entry->name = (uint32_t)batch->names_used;
    memcpy(batch->names + batch->names_used, name, length);
    batch->names_used += length;
    node_hold(entry->node);
    batch->entries[batch->count++] = *entry;
    return true;
}

static bool may_be_labelled(struct walk *walk, const struct statx *found, const struct node *node,
                            const char *name)
{
    bool is_inside = is_in_volume(walk, found);
    if (is_inside && !S_ISCHR(found->stx_mode) && !S_ISBLK(found->stx_mode))
        return true;
    skip(walk, is_inside ? DEVICE_NODE : MOUNT_POINT, node, name);
    return false;
}

/* Decide about an inode, and put it into the batch if it is to be written. True: the batch owns the descriptor. */
static bool consider(struct worker *worker, const struct place *place, const char *name, int descriptor,
                     const struct statx *found, const struct label *had)
{
    struct walk *walk = worker->walk;
    bool is_fresh = changed_at(found) >= place->since - TICK;
    if (is_fresh || !had)
        had = label_of(worker, descriptor);
    if (!had) {
        skip(walk, reason_for(errno), place->node, name);
        return false;
    }
    struct entry entry = {.node = place->node,
                          .had = had,
                          .inode = found->stx_ino,
                          .changed = changed_at(found),
                          .born = born_at(found),
                          .mode = found->stx_mode,
                          .descriptor = descriptor,
                          .is_unsure = is_fresh};
    if (!decide(worker, &entry, found, name))
        return false;
    if (batch_add(&worker->batch, &entry, name))
        return true;
    fail(walk, ENOMEM);
    return false;
}

static void found_directory(struct worker *worker, const struct place *place, const char *name,
                            const struct statx *found)
{
    note_change(worker->walk, found);
    struct node *child = node_new(place->node, name, strlen(name), found->stx_ino, born_at(found),
                                  worker->number);
    if (!child || push(&worker->own, (struct item){child, NULL}) != 0) {
        node_release(child);
        fail(worker->walk, ENOMEM);
    }
}

static bool is_plain(unsigned char type)
{
    return type == DT_REG || type == DT_LNK || type == DT_FIFO || type == DT_SOCK;
}

static void visit(struct worker *worker, const struct place *place, const struct dirent64 *at)
{
    struct walk *walk = worker->walk;
    const char *name = at->d_name;
    struct statx found;
    const struct label *had = label_by_name(worker, place->descriptor, name);
    if (had && is_plain(at->d_type) && is_settled(worker, had, at->d_ino)) {
        worker->seen++;
        return;
    }
    int descriptor = open_name(worker, place, name);
    if (descriptor < 0 && errno == ENOENT)
        return; /* removed since the directory was read: not met, not counted */
    worker->seen++;
    if (descriptor < 0 || look_at(descriptor, &found) != 0)
        skip(walk, reason_for(errno), place->node, name);
    else if (may_be_labelled(walk, &found, place->node, name)) {
        bool is_held = consider(worker, place, name, descriptor, &found, had);
        if (S_ISDIR(found.stx_mode))
            found_directory(worker, place, name, &found);
        if (is_held) {
            if (worker->batch.count >= worker->batch.limit)
                flush(worker);
            return;
        }
    }
    if (descriptor >= 0)
        close(descriptor);
}

static int by_inode(const void *one, const void *other)
{
    uint64_t a = (*(const struct dirent64 *const *)one)->d_ino, b = (*(const struct dirent64 *const *)other)->d_ino;
    return (a > b) - (a < b);
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Put the names of a listing into the worker's array, sorted by inode number, and return how many there are. Inodes
 * lie on disk in that order, so fewer blocks are read, written and journalled. */
static size_t sort_names(struct worker *worker, const char *data, size_t size)
{
    size_t count = 0;
    for (size_t at = 0; at < size; at += ((const struct dirent64 *)(const void *)(data + at))->d_reclen) {
        const struct dirent64 *name = (const void *)(data + at);
        if (is_dots(name->d_name))
            continue;
        if (count == worker->names_room) {
            size_t room = count ? 2 * count : 256;
            const struct dirent64 **grown = realloc(worker->names, room * sizeof *grown);
            if (!grown) {
                fail(worker->walk, ENOMEM);
                return 0;
            }
            worker->names = grown;
            worker->names_room = room;
        }
        worker->names[count++] = name;
    }
    if (count)
        qsort(worker->names, count, sizeof *worker->names, by_inode);
    return count;
}

static void visit_names(struct worker *worker, struct node *node, int descriptor,
                        const struct dirent64 *const *names, size_t count)
{
    struct place place = {node, descriptor, clock_stamp()};
    for (size_t i = 0; i < count && !atomic_load_explicit(&worker->walk->is_stopped, memory_order_relaxed); i++)
        visit(worker, &place, names[i]);
    atomic_fetch_add(&worker->walk->seen, worker->seen);
    worker->seen = 0;
}

static void read_block(struct worker *worker, struct item item)
{
    bool is_temporary;
    int descriptor = node_open(worker, item.node, &is_temporary);
    if (descriptor < 0) {
        skip(worker->walk, reason_for(errno), item.node, "");
    } else {
        if (!is_temporary)
            node_pin(worker, item.node);
        size_t count = sort_names(worker, item.block->data, item.block->size);
        visit_names(worker, item.node, descriptor, worker->names, count);
        if (is_temporary) {
            forget_here(worker, descriptor);
            close(descriptor);
        } else {
            node_unpin(worker, item.node);
        }
    }
    free(item.block);
}

static size_t waiting(const struct worker *worker)
{
    return worker->own.count - worker->own.first;
}

/* Put a partly read directory with many subdirectories back, to walk those found so far first. */
static bool put_off(struct worker *worker, struct node *node, size_t before)
{
    if (waiting(worker) - before < MANY_CHILDREN || worker->pinned_count > PINNED_MAX)
        return false;
    if (push(&worker->own, (struct item){node_hold(node), NULL}) != 0) {
        node_release(node);
        return false;
    }
    struct item *first = &worker->own.at[worker->own.first + before];
    struct item *last = &worker->own.at[worker->own.count - 1];
    struct item swapped = *first;
    *first = *last;
    *last = swapped;
    return true;
}

/* Return the buffer for the next part of a large directory's listing. The more names are sorted together, the better;
 * but while very many directories wait, a small buffer keeps their number from growing at once. */
static char *room_for(struct worker *worker, size_t *room)
{
    if (!worker->large)
        worker->large = malloc(LARGE_LISTING);
    bool is_large = worker->large && waiting(worker) <= CROWDED;
    *room = is_large ? LARGE_LISTING : LISTING_ROOM;
    return is_large ? worker->large : worker->listing;
}

static long list(int descriptor, char *room, size_t size)
{
    size_t used = 0;
    while (size - used > NAME_ROOM) {
        long more = syscall(SYS_getdents64, descriptor, room + used, size - used);
        if (more < 0 && !used)
            return more;
        if (more <= 0) /* end of the directory, or an error, which the next call meets again */
            break;
        used += (size_t)more;
    }
    return (long)used;
}

static void read_directory(struct worker *worker, struct node *node)
{
    struct walk *walk = worker->walk;
    bool is_temporary;
    int descriptor = node_open(worker, node, &is_temporary);
    if (descriptor < 0 && (errno == EMFILE || errno == ENFILE) && worker->batch.count) {
        flush(worker);
        descriptor = node_open(worker, node, &is_temporary);
    }
    if (descriptor < 0) {
        skip(walk, reason_for(errno), node, "");
        return;
    }
    node_pin(worker, node);
    size_t before = waiting(worker);
    char *listing = worker->listing;
    size_t room = LISTING_ROOM;
    for (bool is_first = true; !atomic_load(&walk->is_stopped); is_first = false) {
        long size = list(descriptor, listing, room);
        if (size < 0)
            skip(walk, reason_for(errno), node, "");
        if (size <= 0)
            break;
        size_t count = sort_names(worker, listing, (size_t)size);
        for (size_t at = 0; at < count && !atomic_load(&walk->is_stopped); at += PART) {
            size_t part = count - at < PART ? count - at : PART;
            if (is_first || !donate_names(worker, node, worker->names + at, part))
                visit_names(worker, node, descriptor, worker->names + at, part);
        }
        if (put_off(worker, node, before))
            return;
        if ((size_t)size + NAME_ROOM >= room)
            listing = room_for(worker, &room);
    }
    node_unpin(worker, node);
}

void process(struct worker *worker, struct item item)
{
    if (item.block)
        read_block(worker, item);
    else
        read_directory(worker, item.node);
    node_release(item.node);
}
