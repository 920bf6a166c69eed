/* Worker threads: how they start, work and end, and how the caller's thread waits for their requests. */
#include "_work.h"

#include "_attributes.h"
#include "_flush.h"
#include "_gather.h"
#include "_queue.h"
#include "_requests.h"
#include "_tree.h"

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

#define STACK (256 * 1024)

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
    worker->mounts = open("/proc/thread-self/mountinfo", O_RDONLY | O_CLOEXEC); /* -1: labels are read twice */
    worker->here = -1;
    worker->listing = malloc(LISTING_ROOM);
    if (worker->proc >= 0 && worker->listing)
        return true;
    errno = worker->listing ? errno : ENOMEM;
    return false;
}

/* Close everything in the volume. The kernel would, too, but possibly only after pthread_join(3) has returned; and
 * until then the volume could not be unmounted. */
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
    /* Block all signals: a handler may write to a descriptor, such as Python's wakeup descriptor, whose number means
     * something else in a worker's own table. */
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
        worker->proc = worker->mounts = worker->here = -1;
        worker->batch.limit = walk->batch_limit;
        pthread_cond_init(&worker->answered, NULL);
    }
    return 0;
}

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
            return; /* those that run are enough */
}

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
        asking = request_take(walk);
        if (!asking)
            code = pthread_cond_timedwait(&walk->requested, &walk->mutex, &until);
    }
    *is_over = !walk->running;
    pthread_mutex_unlock(&walk->mutex);
    return asking;
}

void walk_end(struct walk *walk)
{
    if (!walk->workers)
        return;
    fail(walk, 0);
    requests_let_go(walk);
    for (size_t i = 0; i < walk->worker_count; i++) /* all, before any is freed: they signal each other */
        if (walk->workers[i].is_started)
            pthread_join(walk->workers[i].thread, NULL);
    for (size_t i = 0; i < walk->worker_count; i++) {
        struct worker *worker = &walk->workers[i];
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
