/* Which worker walks which directory: each worker's own list, and the list that they share.
 *
 * A worker takes its newest directory, so that its list stays short, and gives away its oldest ones. Of a directory
 * that it is reading, it can give away parts of the listing, but not the directory itself.
 */
#include "_queue.h"

#include "_requests.h"
#include "_tree.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define SHARED_AT_ONCE 128

int push(struct items *items, struct item item)
{
    if (items->count == items->room && items->first) {
        memmove(items->at, items->at + items->first, (items->count - items->first) * sizeof *items->at);
        items->count -= items->first;
        items->first = 0;
    }
    if (items->count == items->room) {
        size_t room = items->room ? 2 * items->room : 64;
        struct item *grown = realloc(items->at, room * sizeof *grown);
        if (!grown)
            return -1;
        items->at = grown;
        items->room = room;
    }
    items->at[items->count++] = item;
    return 0;
}

bool pop(struct items *items, struct item *item)
{
    if (items->count == items->first)
        return false;
    *item = items->at[--items->count];
    if (items->count == items->first)
        items->count = items->first = 0;
    return true;
}

void drop_items(struct items *items)
{
    struct item item;
    while (pop(items, &item)) {
        free(item.block);
        node_release(item.node);
    }
    free(items->at);
    memset(items, 0, sizeof *items);
}

static bool put_shared(struct walk *walk, struct item item)
{
    pthread_mutex_lock(&walk->mutex);
    bool is_done = push(&walk->shared, item) == 0;
    pthread_cond_signal(&walk->work);
    pthread_mutex_unlock(&walk->mutex);
    return is_done;
}

/* Have the caller's thread start the other workers, once: there is work for more than one. */
static void call_help(struct walk *walk)
{
    if (atomic_load(&walk->has_help) || walk->worker_count == 1)
        return;
    pthread_mutex_lock(&walk->mutex);
    walk->wants_help = true;
    pthread_cond_signal(&walk->requested);
    pthread_mutex_unlock(&walk->mutex);
}

/* As many parts as there are workers are kept ready, so that none has to wait while the directory's reader is busy. */
bool donate_names(struct worker *worker, struct node *node, const struct dirent64 *const *names, size_t count)
{
    struct walk *walk = worker->walk;
    call_help(walk);
    if (!atomic_load(&walk->has_help) || atomic_load(&walk->offered) >= walk->worker_count)
        return false;
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += names[i]->d_reclen;
    struct block *block = malloc(sizeof *block + size);
    if (!block)
        return false;
    block->size = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(block->data + block->size, names[i], names[i]->d_reclen);
        block->size += names[i]->d_reclen;
    }
    atomic_fetch_add(&walk->offered, 1);
    if (put_shared(walk, (struct item){node_hold(node), block}))
        return true;
    atomic_fetch_sub(&walk->offered, 1);
    node_release(node);
    free(block);
    return false;
}

void share(struct worker *worker)
{
    struct walk *walk = worker->walk;
    struct items *own = &worker->own;
    size_t most = (own->count - own->first) / 2;
    if (most)
        call_help(walk);
    if (!most || !atomic_load_explicit(&walk->hungry, memory_order_relaxed))
        return;
    pthread_mutex_lock(&walk->mutex);
    for (size_t i = 0; i < most && i < SHARED_AT_ONCE; i++) {
        struct item *oldest = &own->at[own->first];
        if (oldest->node->descriptor >= 0) /* open in this worker's table, partly read: stays here */
            break;
        oldest->node->owner = NO_OWNER;
        if (push(&walk->shared, *oldest) != 0)
            break;
        own->first++;
    }
    pthread_cond_broadcast(&walk->work);
    pthread_mutex_unlock(&walk->mutex);
}

bool take(struct worker *worker, struct item *item)
{
    struct walk *walk = worker->walk;
    if (pop(&worker->own, item))
        return true;
    bool is_found = false;
    pthread_mutex_lock(&walk->mutex);
    walk->idle++;
    while (!atomic_load(&walk->is_stopped) && !walk->is_drained && !(is_found = pop(&walk->shared, item))) {
        if (walk->idle == walk->running) {
            walk->is_drained = true;
            wake_all(walk);
            break;
        }
        atomic_fetch_add(&walk->hungry, 1);
        pthread_cond_wait(&walk->work, &walk->mutex);
        atomic_fetch_sub(&walk->hungry, 1);
    }
    walk->idle--;
    pthread_mutex_unlock(&walk->mutex);
    if (is_found && item->block)
        atomic_fetch_sub(&walk->offered, 1);
    if (is_found && item->node->owner == NO_OWNER)
        item->node->owner = worker->number;
    return is_found;
}
