/* Worker threads: how they start, share directories, ask the caller, and end. */
#include "_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define SHARED_AT_ONCE 128
#define STACK (256 * 1024)

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

static void drop_items(struct items *items)
{
    struct item item;
    while (pop(items, &item)) {
        free(item.block);
        node_release(item.node);
    }
    free(items->at);
    memset(items, 0, sizeof *items);
}

static void wake_all(struct walk *walk)
{
    pthread_cond_broadcast(&walk->work);
    pthread_cond_broadcast(&walk->requested);
    for (size_t i = 0; i < walk->worker_count; i++)
        pthread_cond_signal(&walk->workers[i].answered);
}

/* End the walk early; code 0 is a cancellation. */
void fail(struct walk *walk, int code)
{
    int none = 0;
    if (code)
        atomic_compare_exchange_strong(&walk->failure, &none, code);
    pthread_mutex_lock(&walk->mutex);
    atomic_store(&walk->is_stopped, true);
    wake_all(walk);
    pthread_mutex_unlock(&walk->mutex);
}

/* Put a request to the caller's thread and wait for the answer; ECANCELED when the walk is over instead. */
int ask(struct worker *worker, enum request request)
{
    struct walk *walk = worker->walk;
    pthread_mutex_lock(&walk->mutex);
    worker->request = request;
    worker->is_answered = false;
    pthread_cond_signal(&walk->requested);
    while (!worker->is_answered && !atomic_load(&walk->is_stopped))
        pthread_cond_wait(&worker->answered, &walk->mutex);
    int result = worker->is_answered ? 0 : ECANCELED;
    worker->request = REQUEST_NONE;
    pthread_mutex_unlock(&walk->mutex);
    return result;
}

void walk_answer(struct worker *worker)
{
    pthread_mutex_lock(&worker->walk->mutex);
    worker->is_answered = true;
    worker->request = REQUEST_NONE;
    pthread_cond_signal(&worker->answered);
    pthread_mutex_unlock(&worker->walk->mutex);
}

static bool put_shared(struct walk *walk, struct item item)
{
    pthread_mutex_lock(&walk->mutex);
    bool is_done = push(&walk->shared, item) == 0;
    pthread_cond_signal(&walk->work);
    pthread_mutex_unlock(&walk->mutex);
    return is_done;
}

/* There is work for more than one: have the caller's thread start the others, once. */
static void call_help(struct walk *walk)
{
    if (atomic_load(&walk->has_help) || walk->worker_count == 1)
        return;
    pthread_mutex_lock(&walk->mutex);
    walk->wants_help = true;
    pthread_cond_signal(&walk->requested);
    pthread_mutex_unlock(&walk->mutex);
}

/* Give a part of a listing to somebody who has nothing to do, or soon will have: one part for each worker is
 * kept ready, so that nobody waits for the next while the directory's reader is busy. */
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

/* Give the oldest directories, which have most below them, to whoever has nothing to do. */
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
        if (oldest->node->descriptor >= 0) /* half read, or the owner's for another reason */
            break;
        oldest->node->owner = NO_OWNER;
        if (push(&walk->shared, *oldest) != 0)
            break;
        own->first++;
    }
    pthread_cond_broadcast(&walk->work);
    pthread_mutex_unlock(&walk->mutex);
}

/* Find something to do; false when nobody has anything left. */
static bool take(struct worker *worker, struct item *item)
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

static void be_nice(struct worker *worker)
{
    const struct walk *walk = worker->walk;
    worker->is_nice = true;
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), walk->nice_value);
    if (walk->io_priority >= 0)
        syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, walk->io_priority);
}

static bool settle_in(struct worker *worker)
{
    unsigned root = (unsigned)worker->walk->root;
    if (unshare(CLONE_FS | CLONE_FILES) != 0)
        return false;
    worker->is_apart = true;
    if (root > 3)
        close_range(3, root - 1, 0);
    close_range(root + 1, ~0U, 0);
    worker->proc = open("/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    worker->here = -1;
    worker->listing = malloc(LISTING_ROOM);
    if (worker->proc >= 0 && worker->listing)
        return true;
    errno = worker->listing ? errno : ENOMEM;
    return false;
}

/* Let go of the volume: the kernel would, but only some time after the thread was joined. */
static void settle_out(struct worker *worker)
{
    nodes_close(worker);
    drop_items(&worker->own);
    if (!worker->is_apart)
        return;
    close_range(3, ~0U, 0);
    if (chdir("/") != 0)
        worker->here = -1;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct walk *walk = worker->walk;
    struct item item;
    if (!settle_in(worker))
        fail(walk, errno);
    while (!atomic_load(&walk->is_stopped) && take(worker, &item)) {
        if (!worker->is_nice && atomic_load_explicit(&walk->is_yielding, memory_order_relaxed))
            be_nice(worker);
        process(worker, item);
        share(worker);
    }
    if (worker->listing)
        flush(worker);
    settle_out(worker);
    pthread_mutex_lock(&walk->mutex);
    walk->running--;
    wake_all(walk);
    pthread_mutex_unlock(&walk->mutex);
    return NULL;
}

static int start_one(struct walk *walk, struct worker *worker)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    /* A signal handler would write to a descriptor that is something else in a worker's own table. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    int code = pthread_create(&worker->thread, &attributes, work, worker);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    worker->is_started = code == 0;
    walk->running += code == 0;
    return code;
}

static int prepare(struct walk *walk)
{
    struct statx found;
    if (look_at(walk->root, &found) != 0)
        return errno;
    if (!(found.stx_mask & STATX_MNT_ID))
        return ENOSYS;
    walk->mount = found.stx_mnt_id;
    walk->device = makedev(found.stx_dev_major, found.stx_dev_minor);
    walk->began = clock_stamp();
    if (modified_at(&found) >= walk->began - TICK)
        atomic_store(&walk->is_disturbed, true);
    walk->root_node = node_new(NULL, "", 0, found.stx_ino, born_at(&found), 0);
    if (!walk->root_node || push(&walk->shared, (struct item){node_hold(walk->root_node), NULL}) != 0)
        return ENOMEM;
    walk->workers = calloc(walk->worker_count, sizeof *walk->workers);
    if (!walk->workers)
        return ENOMEM;
    for (size_t i = 0; i < walk->worker_count; i++) {
        struct worker *worker = &walk->workers[i];
        worker->walk = walk;
        worker->number = (int)i;
        worker->proc = worker->here = -1;
        worker->batch.limit = walk->batch_limit;
        pthread_cond_init(&worker->answered, NULL);
    }
    return 0;
}

/* Start the first worker; the others follow when there is work for them. Gives 0 or an errno. */
int walk_start(struct walk *walk)
{
    int code = prepare(walk);
    pthread_mutex_lock(&walk->mutex);
    if (!code)
        code = start_one(walk, &walk->workers[0]);
    pthread_mutex_unlock(&walk->mutex);
    return code;
}

static void help(struct walk *walk)
{
    walk->wants_help = false;
    if (atomic_load(&walk->has_help) || walk->is_drained || !walk->running)
        return;
    atomic_store(&walk->has_help, true);
    for (size_t i = 1; i < walk->worker_count; i++)
        if (start_one(walk, &walk->workers[i]) != 0)
            return; /* fewer will do */
}

/* Wait for a request, at most so long; NULL when there is none. `is_over`: all workers have ended. */
struct worker *walk_wait(struct walk *walk, int milliseconds, bool *is_over)
{
    struct timespec until;
    struct worker *asking = NULL;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += milliseconds * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&walk->mutex);
    for (int code = 0; !asking && walk->running && code == 0;) {
        if (walk->wants_help)
            help(walk);
        for (size_t i = 0; i < walk->worker_count && !atomic_load(&walk->is_stopped); i++)
            if (walk->workers[i].request != REQUEST_NONE && !walk->workers[i].is_answered)
                asking = &walk->workers[i];
        if (!asking)
            code = pthread_cond_timedwait(&walk->requested, &walk->mutex, &until);
    }
    *is_over = !walk->running;
    pthread_mutex_unlock(&walk->mutex);
    return asking;
}

/* Stop whatever runs, wait for it, and release what the workers had. */
void walk_end(struct walk *walk)
{
    if (!walk->workers)
        return;
    fail(walk, 0);
    for (size_t i = 0; i < walk->worker_count; i++) {
        struct worker *worker = &walk->workers[i];
        if (worker->is_started)
            pthread_join(worker->thread, NULL);
        pthread_cond_destroy(&worker->answered);
        free(worker->batch.entries);
        free(worker->batch.names);
        free(worker->listing);
        free(worker->large);
        free(worker->names);
        free(worker->chain);
    }
    free(walk->workers);
    walk->workers = NULL;
    drop_items(&walk->shared);
    node_release(walk->root_node);
    walk->root_node = NULL;
}
