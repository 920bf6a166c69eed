/* What a walk counts, and the distinct labels that it met. All workers share both. */
#include "_tally.h"

#include "_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const reason_names[REASONS] = {
    [MULTIPLY_LINKED] = "multiply-linked", [DEVICE_NODE] = "device-node",
    [MOUNT_POINT] = "mount-point",         [PROTECTED_TYPE] = "protected-type",
    [VANISHED] = "vanished",               [FOREIGN_LABEL] = "foreign-label",
    [DIFFERS] = "differs",                 [SWAPPED] = "swapped",
    [READ_ONLY] = "read-only",             [NOT_SUPPORTED] = "not-supported",
    [NO_SPACE] = "no-space",               [IO_ERROR] = "io-error",
    [NOT_PERMITTED] = "not-permitted",     [LOOP] = "loop",
};

enum reason reason_for(int code)
{
    switch (code) {
    case ENOENT:
    case ESTALE:
        return VANISHED;
    case EXDEV:
        return MOUNT_POINT;
    case EROFS:
        return READ_ONLY;
    case ENOTSUP:
        return NOT_SUPPORTED;
    case ENOSPC:
    case EDQUOT:
        return NO_SPACE;
    case EPERM:
    case EACCES:
        return NOT_PERMITTED;
    case ELOOP:
        return LOOP;
    case ENOTDIR:
        return SWAPPED;
    default:
        return IO_ERROR;
    }
}

void skip(struct walk *walk, enum reason reason, const struct node *node, const char *name)
{
    if (atomic_fetch_add(&walk->skipped[reason], 1) >= EXAMPLES)
        return;
    size_t length;
    char *path = node_path(node, name, &length);
    pthread_mutex_lock(&walk->tally_mutex);
    if (path && walk->example_count < REASONS * EXAMPLES)
        walk->examples[walk->example_count++] = (struct example){reason, length, path};
    else
        free(path);
    pthread_mutex_unlock(&walk->tally_mutex);
}

int keep_linked(struct walk *walk, const struct node *node, const char *name, uint64_t inode)
{
    size_t length;
    int result = 0;
    char *path = node_path(node, name, &length);
    if (!path)
        return -1;
    pthread_mutex_lock(&walk->tally_mutex);
    if (walk->linked_count == walk->linked_room && walk->linked_room < LINKED_MAX) {
        size_t room = walk->linked_room ? 2 * walk->linked_room : 64;
        struct linked *grown = realloc(walk->linked, room * sizeof *grown);
        if (grown) {
            walk->linked = grown;
            walk->linked_room = room;
        } else {
            result = -1;
        }
    }
    if (walk->linked_count < walk->linked_room)
        walk->linked[walk->linked_count++] = (struct linked){inode, length, path};
    else if (result == 0)
        result = 1;
    pthread_mutex_unlock(&walk->tally_mutex);
    if (result)
        free(path);
    return result;
}

void tally_free(struct walk *walk)
{
    for (size_t i = 0; i < walk->example_count; i++)
        free(walk->examples[i].path);
    for (size_t i = 0; i < walk->linked_count; i++)
        free(walk->linked[i].path);
    free(walk->linked);
}

static bool is_same(const struct label *label, const char *text, size_t length, bool absent)
{
    return label->length == length && label->absent == absent && memcmp(label->text, text, length) == 0;
}

struct label *label_intern(struct walk *walk, const char *text, size_t length, bool absent)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    struct label **bucket = &walk->labels[hash % LABEL_BUCKETS];
    pthread_mutex_lock(&walk->label_mutex);
    struct label *label = *bucket;
    while (label && !is_same(label, text, length, absent))
        label = label->next;
    if (!label && (label = malloc(sizeof *label + length + 1))) {
        atomic_init(&label->verdict, 0);
        label->length = (uint32_t)length;
        label->absent = absent;
        memcpy(label->text, text, length);
        label->text[length] = 0;
        label->next = *bucket;
        *bucket = label;
    }
    pthread_mutex_unlock(&walk->label_mutex);
    return label;
}

/* Mostly it is the label met last, which is compared first. */
const struct label *label_seen(struct worker *worker, const char *text, ssize_t length)
{
    const struct label *last = worker->last_label;
    bool absent = length < 0;
    size_t size = absent ? 0 : (size_t)length;
    if (!last || !is_same(last, text, size, absent))
        last = worker->last_label = label_intern(worker->walk, text, size, absent);
    return last;
}

bool label_equals(const struct label *label, const struct origin *origin)
{
    return is_same(label, origin->text, origin->length, origin->absent);
}

void labels_free(struct walk *walk)
{
    for (size_t i = 0; i < LABEL_BUCKETS; i++)
        while (walk->labels[i]) {
            struct label *next = walk->labels[i]->next;
            free(walk->labels[i]);
            walk->labels[i] = next;
        }
}
