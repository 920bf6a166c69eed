/* The per-inode loop of the relabel engine: what its files share.
 *
 * Theory of operation
 *
 * A walk is one pass over everything below a volume's root, by a few worker threads. Each has its own descriptor
 * table and current directory (unshare(2)): so the kernel uses descriptors without atomic operations, the limit of
 * open files applies to each worker alone, and names can be read relative to the current directory. No worker
 * runs Python. The thread that called the engine ("the caller's thread") waits for the workers' requests (judge a
 * label, write originals to disk, look up default labels) and answers them.
 *
 * An inode goes through four steps, in this order and in one worker:
 *
 *     gather   read its label by name, open it (O_PATH), and statx the descriptor
 *     decide   from label, inode number, time of birth and links: do nothing, count it, or put it into the batch
 *     record   have the caller's thread write the batch's originals to disk, in one request
 *     write    through the descriptor held since the first step, so to the very inode that was judged
 *
 * What always holds:
 *
 * - No label is written to an inode before the request that records its batch has been answered.
 * - Every descriptor in a batch has been checked with statx: it is on the volume's device and mount, and is no device
 *   node. Anything but a directory had one name, below the root; or, when a volume is restored, it has an original,
 *   or a label that no other volume's files carry.
 * - The label recorded for an inode was its own. Its ctime shows that the inode did not change since before the
 *   label was read by name, and no mount came or went that could have shown another inode under that name.
 *   Otherwise the label was read again through the descriptor.
 * - No path is resolved: each step is one name relative to a directory's descriptor, and follows no symbolic link.
 * - `failure` is set once, by `fail`, which also sets `is_stopped`. No worker writes after it has seen `is_stopped`.
 * - A walk that ends with neither a failure nor a cancellation has accounted for every inode it met: it needed
 *   nothing, was changed, was counted by reason, or is in `linked`, for the caller to decide.
 *
 * An error with one inode is counted by its reason, and the walk goes on. `fail` ends the walk: no memory, a worker
 * without /proc or a descriptor table of its own, a root whose path cannot be read, and EROFS and EINVAL, which
 * every other inode would meet too. Then every worker stops when it next checks `is_stopped`, withdraws its request
 * (or waits until it is answered, once it is taken), drops the rest of its batch, and closes its descriptors.
 *
 * Ownership: a node is used by the worker that owns it. The others only read its name, inode number, time of birth,
 * parent and owner, none of which changes once anything below it has been published under the walk's mutex. A
 * reference keeps a node, and through it its ancestors. An open descriptor is in the owner's table, so while a
 * node is open, the owner's list of open nodes holds a reference. The content of a request belongs to the caller's
 * thread from the moment it is taken until it is answered (_requests.c). No thread holds two locks at once.
 *
 * Floors: a file uses only files on lower floors. Each header states its number, and a test checks it:
 *
 *     1 index  2 tree  3 tally  4 requests  5 queue  6 attributes  7 decide  8 flush  9 gather  10 work
 *
 * _walk.c, on top, is the interface to Python.
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

#define LABEL_MAX 4096 /* a longer label is an error (ERANGE); the kernel's are shorter */
#define LABEL_USUAL 256
#define NO_OWNER (-1)
#define EXAMPLES 5
#define LINKED_MAX 65536

/* -- _index.c: which inodes have an original, as intervals of inode numbers with the same origin */

struct origin {
    int64_t time; /* of recording, in nanoseconds: a file born later only has the same inode number */
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

/* -- _tree.c: directories, and which worker has which */

struct node {
    struct node *parent;
    atomic_int references;
    int owner;
    int descriptor;         /* in the owner's table, -1 while closed */
    struct node *newer, *older; /* the owner's list of open nodes */
    uint64_t inode;
    int64_t born;
    bool pinned; /* partly read: must stay open */
    uint16_t length;
    char name[];
};

struct block { /* a part of a directory's listing, as getdents64(2) returns it */
    uint32_t size;
    char data[];
};

struct item {
    struct node *node;
    struct block *block; /* NULL: the whole directory, or the rest of it if the node is open */
};

struct items {
    struct item *at;
    size_t first, count, room; /* at[first] is the oldest */
};

/* -- _tally.c: each distinct label once, and what is counted */

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

struct linked { /* one name of a file with several hard links */
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
    uint32_t name; /* offset in the batch's names */
    uint16_t mode;
    int descriptor;
    bool records, writes, needs_default, is_unsure;
};

struct batch {
    struct entry *entries;
    size_t count, room, limit; /* limit: the count at which the batch is flushed */
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
    int mounts; /* /proc/thread-self/mountinfo, on which poll(2) reports a change of mounts; -1 if not open */
    int here; /* the descriptor of the current directory, -1 if unknown */
    char *listing, *large;
    const struct dirent64 **names; /* of a listing, sorted by inode number */
    size_t names_room;
    struct batch batch;
    int64_t batch_began;
    const struct label *last_label;
    struct node **chain;
    size_t chain_room;
    bool is_nice, is_apart;
    unsigned long long seen; /* not yet added to the walk's count */
    /* the request: its state is guarded by the walk's mutex, its content belongs to one thread at a time */
    enum request request;
    enum request_state request_state;
    const struct label *asked;
    struct group *groups;
    size_t group_count;
    int64_t youngest; /* the latest time of birth of the inodes in the groups */
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
    atomic_size_t hungry, offered; /* waiting workers; parts of listings that are in `shared` */
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
