/* Writes a batch: checks unsure entries again, has their originals recorded, then writes labels. */
#include "_flush.h"

#include "_attributes.h"
#include "_decide.h"
#include "_index.h"
#include "_requests.h"
#include "_tally.h"
#include "_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 3

static const char *name_of(const struct worker *worker, const struct entry *entry)
{
    return worker->batch.names + entry->name;
}

static bool is_stopped(const struct worker *worker)
{
    return atomic_load(&worker->walk->is_stopped);
}

/* Tell whether the inode got or lost no link between two statx calls. link(2) and unlink(2) set ctime; but within one
 * tick of the clock a second change leaves the same ctime. So an equal ctime only counts if it is older than a
 * tick, or in the future (any change would have replaced it), or equal to mtime (the last change was a write). */
static bool is_steady(const struct entry *entry, const struct statx *again)
{
    int64_t changed = changed_at(again), now = clock_stamp();
    return again->stx_ino == entry->inode && again->stx_nlink == 1 && changed == entry->changed &&
           (changed < now - TICK || changed > now + TICK || changed == modified_at(again));
}

static bool settle_one(struct worker *worker, struct entry *entry)
{
    struct statx found;
    if (look_at(entry->descriptor, &found) != 0 || found.stx_nlink != 1)
        return false;
    entry->changed = changed_at(&found);
    if (label_of(worker, entry->descriptor) != entry->had)
        return false;
    bool is_temporary;
    int directory = node_open(worker, entry->node, &is_temporary);
    if (directory < 0)
        return false;
    int result = statx(directory, name_of(worker, entry), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
                       STATX_BASIC_STATS, &found);
    if (is_temporary) {
        forget_here(worker, directory);
        close(directory);
    }
    return result == 0 && is_steady(entry, &found);
}

/* Check again files that had changed while they were read. Those that stay unsure are skipped. */
static void settle(struct worker *worker)
{
    struct batch *batch = &worker->batch;
    for (int round = 0; round < PATIENCE && !is_stopped(worker); round++) {
        bool has_unsure = false;
        for (size_t i = 0; i < batch->count; i++)
            has_unsure = has_unsure || batch->entries[i].is_unsure;
        if (!has_unsure)
            return;
        nanosleep(&(struct timespec){0, TICK + TICK / 4}, NULL);
        for (size_t i = 0; i < batch->count; i++)
            if (batch->entries[i].is_unsure)
                batch->entries[i].is_unsure = !settle_one(worker, &batch->entries[i]);
    }
    for (size_t i = 0; i < batch->count; i++)
        if (batch->entries[i].is_unsure) {
            skip(worker->walk, SWAPPED, batch->entries[i].node, name_of(worker, &batch->entries[i]));
            batch->entries[i].records = batch->entries[i].writes = false;
        }
}

/* Tell whether mounts have come or gone since the last call, or cannot be watched. */
static bool mounts_changed(const struct worker *worker)
{
    struct pollfd mounts = {worker->mounts, POLLPRI, 0};
    return worker->mounts < 0 || poll(&mounts, 1, 0) != 0;
}

/* A mount over a name hides the inode below it without changing that inode's ctime. So if mounts have come or gone,
 * the labels that were read by name are read again through the descriptors. Entries whose label differs are skipped. */
static void distrust_names(struct worker *worker)
{
    struct batch *batch = &worker->batch;
    if (!batch->count || !mounts_changed(worker))
        return;
    for (size_t i = 0; i < batch->count && !is_stopped(worker); i++) {
        struct entry *entry = &batch->entries[i];
        if (label_of(worker, entry->descriptor) == entry->had)
            continue;
        skip(worker->walk, SWAPPED, entry->node, name_of(worker, entry));
        entry->records = entry->writes = entry->needs_default = entry->is_unsure = false;
    }
}

static int by_label_and_inode(const void *one, const void *other)
{
    const struct entry *a = *(struct entry *const *)one, *b = *(struct entry *const *)other;
    if (a->had != b->had)
        return (uintptr_t)a->had < (uintptr_t)b->had ? -1 : 1;
    return (a->inode > b->inode) - (a->inode < b->inode);
}

static bool add_group(struct worker *worker, struct entry **entries, size_t count, uint64_t *inodes)
{
    struct group *grown = realloc(worker->groups, (worker->group_count + 1) * sizeof *grown);
    if (!grown)
        return false;
    worker->groups = grown;
    uint8_t *data = malloc(count * 20 + 1);
    if (!data)
        return false;
    for (size_t i = 0; i < count; i++)
        inodes[i] = entries[i]->inode;
    size_t size = encode_inodes(inodes, count, data);
    worker->groups[worker->group_count++] = (struct group){entries[0]->had, data, size};
    return true;
}

static bool make_groups(struct worker *worker)
{
    struct batch *batch = &worker->batch;
    struct entry **sorted = malloc((batch->count + 1) * sizeof *sorted);
    uint64_t *inodes = malloc((batch->count + 1) * sizeof *inodes);
    bool is_done = sorted && inodes;
    size_t count = 0;
    worker->youngest = 0;
    for (size_t i = 0; is_done && i < batch->count; i++)
        if (batch->entries[i].records) {
            sorted[count++] = &batch->entries[i];
            if (batch->entries[i].born > worker->youngest)
                worker->youngest = batch->entries[i].born;
        }
    if (is_done)
        qsort(sorted, count, sizeof *sorted, by_label_and_inode);
    for (size_t i = 0, end; is_done && i < count; i = end) {
        for (end = i + 1; end < count && sorted[end]->had == sorted[i]->had; end++)
            ;
        is_done = add_group(worker, sorted + i, end - i, inodes);
    }
    free(sorted);
    free(inodes);
    if (!is_done)
        fail(worker->walk, ENOMEM);
    return is_done;
}

static void drop_groups(struct worker *worker)
{
    for (size_t i = 0; i < worker->group_count; i++)
        free(worker->groups[i].data);
    free(worker->groups);
    worker->groups = NULL;
    worker->group_count = 0;
}

/* Have the caller record the batch's originals, and before the first of them the intent to label the volume. False:
 * nothing may be written. */
static bool record(struct worker *worker)
{
    bool has_writes = false;
    for (size_t i = 0; i < worker->batch.count; i++)
        has_writes = has_writes || worker->batch.entries[i].writes;
    bool is_done = make_groups(worker);
    if (is_done && (worker->group_count || (has_writes && !atomic_load(&worker->walk->is_begun))))
        is_done = ask(worker, REQUEST_RECORD) == 0;
    drop_groups(worker);
    return is_done;
}

struct whereabouts { /* whether a directory is still below the root, by the path of an inode found in it */
    char root[PATH_MAX], path[PATH_MAX];
    ssize_t root_length;
    const struct node *node;
    bool is_inside;
};

static bool is_inside(struct worker *worker, struct whereabouts *are, int descriptor)
{
    char number[16];
    ssize_t length = readlinkat(worker->proc, as_number(descriptor, number), are->path, PATH_MAX);
    if (length < 0)
        return errno == ENAMETOOLONG; /* longer than the kernel returns: nothing shows that it left */
    return length > are->root_length && memcmp(are->path, are->root, (size_t)are->root_length) == 0 &&
           are->path[are->root_length] == '/';
}

static bool is_still_inside(struct worker *worker, struct whereabouts *are, const struct entry *entry)
{
    if (are->node != entry->node || !are->is_inside) { /* a file may be moved out alone: ask again */
        are->node = entry->node;
        are->is_inside = is_inside(worker, are, entry->descriptor);
    }
    return are->is_inside;
}

static void apply(struct worker *worker)
{
    struct walk *walk = worker->walk;
    struct batch *batch = &worker->batch;
    struct whereabouts *are = malloc(sizeof *are);
    char number[16];
    size_t changed = 0;
    go_to(worker, worker->proc);
    if (are) {
        are->node = NULL;
        are->root_length = readlinkat(worker->proc, as_number(walk->root, number), are->root, PATH_MAX);
    }
    if (!are || are->root_length <= 1 || worker->here != worker->proc) { /* 1: the root directory, which is no volume */
        free(are);
        fail(walk, are ? EIO : ENOMEM);
        return;
    }
    for (size_t i = 0; i < batch->count && !is_stopped(worker); i++) {
        struct entry *entry = &batch->entries[i];
        struct statx found;
        if (!entry->writes)
            continue;
        if (!is_still_inside(worker, are, entry)) {
            skip(walk, SWAPPED, entry->node, name_of(worker, entry));
        } else if (write_label(entry->descriptor, &entry->value) != 0) {
            int code = errno;
            if (code == EINVAL || code == EROFS) /* every other inode would fail, too */
                fail(walk, code);
            skip(walk, reason_for(code), entry->node, name_of(worker, entry));
        } else {
            changed++;
            if (S_ISDIR(entry->mode) && look_at(entry->descriptor, &found) == 0)
                note_change(walk, &found);
        }
    }
    atomic_fetch_add(&walk->changed, changed);
    free(are);
}

static void batch_drop(struct worker *worker)
{
    struct batch *batch = &worker->batch;
    for (size_t i = 0, end; i < batch->count; i = end) {
        int first = batch->entries[i].descriptor;
        for (end = i + 1; end < batch->count && batch->entries[end].descriptor == first + (int)(end - i); end++)
            ;
        close_range((unsigned)first, (unsigned)(first + (int)(end - i) - 1), 0);
        for (size_t j = i; j < end; j++)
            node_release(batch->entries[j].node);
    }
    batch->count = batch->names_used = 0;
}

static int64_t monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void take_defaults(struct worker *worker)
{
    bool is_needed = false;
    for (size_t i = 0; i < worker->batch.count; i++)
        is_needed = is_needed || worker->batch.entries[i].needs_default;
    if (is_needed)
        ask(worker, REQUEST_DEFAULT);
    for (size_t i = 0; i < worker->batch.count; i++) {
        struct entry *entry = &worker->batch.entries[i];
        if (entry->needs_default && !entry->value.text)
            entry->writes = false;
    }
}

/* Write the batch. If recording takes more than a sixteenth of the time, the next batch may be twice as large: a disk
 * that is slow to sync gets few large batches, a quick one small batches, which stay in the processor's cache. */
void flush(struct worker *worker)
{
    struct batch *batch = &worker->batch;
    distrust_names(worker);
    settle(worker);
    if (batch->count && !is_stopped(worker)) {
        take_defaults(worker);
        int64_t before = monotonic();
        bool may_write = record(worker) && !is_stopped(worker);
        int64_t after = monotonic();
        if (may_write)
            apply(worker);
        if ((after - before) * 16 > monotonic() - worker->batch_began && batch->limit < worker->walk->batch_most)
            batch->limit *= 2;
    }
    batch_drop(worker);
    worker->batch_began = monotonic();
}
