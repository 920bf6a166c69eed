/* The per-inode loop of the relabel engine: what its files share.
 *
 * Theory of operation
 *
 * A walk is one pass over everything below a volume's root. A few worker threads do it. Each has a descriptor
 * table and a current directory of its own (unshare), so descriptors cost no atomic operation, limits count for
 * each worker alone, and a name can be read relative to the current directory. No worker ever runs Python: the
 * thread that called the engine waits for requests (judge a label, put originals on disk, find a default label)
 * and answers them.
 *
 * An inode goes through four steps, in this order and in one worker:
 *
 *     gather   its label is read by name, it is opened (O_PATH) and looked at through the descriptor
 *     decide   from label, inode, birth and links: nothing, count it, or hold it in the batch
 *     record   the batch's originals are on disk: asked of the caller's thread, one request for a batch
 *     write    through the descriptor held since the first step, so to the very inode that was judged
 *
 * What always holds:
 *
 * - Nothing is written to an inode before the request that records its batch was answered.
 * - A descriptor in a batch was looked at by statx: it is on the volume's device and mount, no device node, and
 *   for anything but a directory its only name was below the root (or its label proves whose it is).
 * - The label recorded of an inode was its own: it did not change since before its label was read by name, and no
 *   mount came or went that could have shown another there (or it was read again through the descriptor).
 * - No name is resolved from a path: each step is one name below a directory's descriptor, no link followed.
 * - `failure` is set once. Whoever sets it has stopped the walk; nobody writes after having seen `is_stopped`.
 * - A walk that ends with neither `failure` nor cancellation has counted every inode that it met, done or skipped.
 *
 * What a failure means: of one inode (its reason is counted, the walk goes on); of the walk (`fail`: no memory, a
 * worker that cannot start, EROFS and EINVAL, which every other inode would meet too). Then every worker stops at
 * its next look at `is_stopped`, withdraws what it asked, drops its batch unwritten, and closes what it has open.
 *
 * Ownership: a node is used by the worker that owns it; the others only read its name, inode and parent,
 * which never change after it was published under the walk's mutex. Whoever holds a reference keeps a
 * node and, through it, its ancestors. An open descriptor belongs to the owner's table, so the owner's
 * list of open nodes holds a reference for as long. A request's content belongs to the caller's thread from
 * taking it to answering it (_requests.c). Locks are leaves: nobody holds two of them.
 *
 * Floors. A file uses what is below it and nothing above; each header says its number, and a test holds it:
 *
 *     1 index  2 tree  3 tally  4 requests  5 queue  6 attributes  7 decide  8 flush  9 gather  10 work
 *
 * _walk.c on top is the Python side.
 */
#ifndef MCSD_WALK_H
#define MCSD_WALK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct dirent64;

#define LABEL_MAX 4096 /* longer ones are counted as errors; the kernel's are below 4096 */
#define LABEL_USUAL 256
#define NO_OWNER (-1)
#define EXAMPLES 5
#define LINKED_MAX 65536

/* -- _index.c: which inodes have an original, as intervals of neighbours with the same one */

struct origin {
    int64_t time; /* nanoseconds; a file born later is another one */
    uint32_t length;
    bool absent;
    char *text;
};

struct span {
    uint64_t first;
    uint32_t count;
    uint32_t origin;
};

struct run {
    struct span *spans;
    size_t count;
};

struct index {
    pthread_rwlock_t lock;
    struct origin *origins;
    size_t origin_count, origin_room;
    struct run runs[64]; /* each at least twice as long as the next */
    size_t run_count;
};

/* -- _tree.c: directories, and who works on which */

struct node {
    struct node *parent;
    atomic_int references;
    int owner;
    int descriptor;         /* in the owner's table, -1 while closed */
    struct node *newer, *older; /* the owner's list of open nodes */
    uint64_t inode;
    int64_t born;
    bool pinned; /* half read: must stay open */
    uint16_t length;
    char name[];
};

struct block { /* a part of a directory's listing, as getdents64 gives it */
    uint32_t size;
    char data[];
};

struct item {
    struct node *node;
    struct block *block; /* or NULL: the whole directory, or the rest of it if the node is open */
};

struct items {
    struct item *at;
    size_t first, count, room; /* at[first] is the oldest */
};

/* -- _tally.c: every distinct label met, once, and what is counted */

enum verdict { JUDGED = 1, OURS = 2, TARGET = 4, LEFT_ALONE = 8, EXCLUSIVE = 16 };

struct label {
    struct label *next;
    atomic_uint verdict;
    uint32_t length;
    bool absent;
    char text[];
};

#define LABEL_BUCKETS 1024

enum reason {
    MULTIPLY_LINKED,
    DEVICE_NODE,
    MOUNT_POINT,
    PROTECTED_TYPE,
    VANISHED,
    FOREIGN_LABEL,
    DIFFERS,
    SWAPPED,
    READ_ONLY,
    NOT_SUPPORTED,
    NO_SPACE,
    IO_ERROR,
    NOT_PERMITTED,
    LOOP,
    REASONS
};

struct example {
    enum reason reason;
    size_t length;
    char *path;
};

struct linked { /* a name of a file with more names */
    uint64_t inode;
    size_t length;
    char *path;
};

/* -- an inode held for writing */

struct value { /* a label to be written; its text outlives the walk */
    const char *text;
    uint32_t length;
    bool absent;
};

struct entry {
    struct node *node; /* the directory it was found in */
    const struct label *had;
    struct value value;
    uint64_t inode;
    int64_t changed, born;
    uint32_t name; /* place in the batch's names */
    uint16_t mode;
    int descriptor;
    bool records, writes, needs_default, is_unsure;
};

struct batch {
    struct entry *entries;
    size_t count, room, limit; /* limit: flushed when so many are held */
    char *names;
    size_t names_used, names_room;
};

/* -- requests to the caller's thread */

enum request { REQUEST_JUDGE, REQUEST_RECORD, REQUEST_DEFAULT };
enum request_state { NOT_ASKED, WAITING, TAKEN, ANSWERED }; /* see _requests.c */

struct group {
    const struct label *label;
    uint8_t *data;
    size_t size;
};

enum mode { RELABEL, RESTORE, VERIFY };

struct worker {
    struct walk *walk;
    int number;
    pthread_t thread;
    bool is_started;
    struct items own;
    struct node *newest, *oldest; /* open nodes */
    size_t open_count;
    size_t pinned_count;
    int proc;   /* /proc/thread-self/fd */
    int mounts; /* /proc/thread-self/mountinfo, which polls as ready when mounts have come or gone; or -1 */
    int here; /* the descriptor that is the current directory, -1 if unknown */
    char *listing, *large;
    const struct dirent64 **names; /* of a listing, sorted */
    size_t names_room;
    struct batch batch;
    int64_t batch_began;
    const struct label *last_label;
    struct node **chain;
    size_t chain_room;
    bool is_nice, is_apart;
    unsigned long long seen; /* not yet added to the walk's */
    /* the request: its state under the walk's mutex, its content whoever's turn it is */
    enum request request;
    enum request_state request_state;
    const struct label *asked;
    struct group *groups;
    size_t group_count;
    int64_t youngest; /* of what is in the groups: the latest time of birth */
    pthread_cond_t answered;
};

struct walk {
    enum mode mode;
    int root;
    uint64_t device, mount;
    int64_t began, created;
    bool swept;
    struct index *index;
    struct node *root_node;
    struct label *target, *fallback;
    size_t worker_count, batch_limit, batch_most;
    int nice_value, io_priority;

    pthread_mutex_t mutex;
    pthread_cond_t work, requested;
    struct items shared;
    size_t idle, running;
    bool is_drained, wants_help;
    atomic_size_t hungry, offered; /* workers with nothing to do; parts of listings nobody has taken yet */
    atomic_bool is_stopped, is_disturbed, is_yielding, is_begun, has_help;
    atomic_int failure; /* an errno that ended the walk */
    struct worker *workers;

    pthread_mutex_t label_mutex;
    struct label *labels[LABEL_BUCKETS];

    pthread_mutex_t tally_mutex;
    atomic_ullong seen, changed;
    atomic_ullong skipped[REASONS];
    struct example examples[REASONS * EXAMPLES];
    size_t example_count;
    struct linked *linked;
    size_t linked_count, linked_room;
};

#define LISTING_ROOM (32 * 1024)
#define SELINUX "security.selinux"
#define TICK 20000000LL /* nanoseconds: two ticks of the slowest clock (CONFIG_HZ=100) */

#endif
