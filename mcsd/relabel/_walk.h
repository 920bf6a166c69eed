/* The per-inode loop of the relabel engine: what the C files share.
 *
 * A walk has a few worker threads. Each has a descriptor table and a current directory of its own
 * (unshare), so descriptors cost no atomic operation, limits count for each worker alone, and a name can
 * be read relative to the current directory. No worker ever runs Python: the thread that called the engine
 * waits for requests (judge a label, put originals on disk, find a default label) and answers them.
 *
 * Ownership: a node is used by the worker that owns it; the others only read its name, inode and parent,
 * which never change after it was published under the walk's mutex. Whoever holds a reference keeps a
 * node and, through it, its ancestors. An open descriptor belongs to the owner's table, so the owner's
 * list of open nodes holds a reference for as long.
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

#define LABEL_MAX 4096 /* longer ones are counted as errors; the kernel's are below 4096 */
#define LABEL_USUAL 256
#define NO_OWNER (-1)
#define EXAMPLES 5
#define LINKED_MAX 65536

/* -- index.c: which inodes have an original, as intervals of neighbours with the same one */

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

int index_init(struct index *index);
void index_free(struct index *index);
/* Add inodes, encoded as index.py says, under a new origin. 0, -1 no memory, -2 not an encoding. */
int index_add(struct index *index, const uint8_t *data, size_t size, int64_t time, const char *label,
              size_t length, bool absent);
/* Give the origin of an inode, NULL if none. The caller holds the read lock while it uses it. */
const struct origin *index_find(const struct index *index, uint64_t inode);
int index_fold(const struct index *index, struct run *whole);
size_t encode_spans(const struct span *spans, size_t count, uint32_t origin, uint8_t *out);
/* Encode rising inode numbers; gives the bytes written to `out`, which has room for 20 bytes for each. */
size_t encode_inodes(const uint64_t *inodes, size_t count, uint8_t *out);

struct dirent64;

/* -- tree.c: directories, and who works on which */

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

/* -- tally.c: every distinct label met, once, and what is counted */

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
extern const char *const reason_names[REASONS];
enum reason reason_for(int code);

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

enum request { REQUEST_NONE, REQUEST_JUDGE, REQUEST_RECORD, REQUEST_DEFAULT };

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
    int proc; /* /proc/thread-self/fd */
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
    /* the request, under the walk's mutex */
    enum request request;
    bool is_answered;
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
    bool swept, links_consented;
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

/* tree.c */
struct node *node_new(struct node *parent, const char *name, size_t length, uint64_t inode, int64_t born,
                      int owner);
struct node *node_hold(struct node *node);
void node_release(struct node *node);
int node_open(struct worker *worker, struct node *node, bool *is_temporary);
void node_pin(struct worker *worker, struct node *node);
void node_unpin(struct worker *worker, struct node *node);
void nodes_close(struct worker *worker);
void forget_here(struct worker *worker, int descriptor);
char *node_path(const struct node *node, const char *name, size_t *length);
struct statx;
int look_at(int descriptor, struct statx *found);
bool is_in_volume(const struct walk *walk, const struct statx *found);
int64_t changed_at(const struct statx *found);
int64_t modified_at(const struct statx *found);
int64_t born_at(const struct statx *found);
int64_t clock_stamp(void);

/* tally.c */
void skip(struct walk *walk, enum reason reason, const struct node *node, const char *name);
int keep_linked(struct walk *walk, const struct node *node, const char *name, uint64_t inode);
void tally_free(struct walk *walk);
struct label *label_intern(struct walk *walk, const char *text, size_t length, bool absent);
const struct label *label_seen(struct worker *worker, const char *text, ssize_t length);
bool label_equals(const struct label *label, const struct origin *origin);
void labels_free(struct walk *walk);

/* decide.c */
unsigned verdict_of(struct worker *worker, const struct label *label);
bool is_settled(struct worker *worker, const struct label *had, uint64_t inode);
/* Fill in what is to be done with an entry. False: nothing, whatever had to be counted is. */
bool decide(struct worker *worker, struct entry *entry, const struct statx *found, const char *name);
struct value fallback_for(const struct walk *walk, const struct node *node);

/* gather.c */
void go_to(struct worker *worker, int descriptor);
const char *as_number(int descriptor, char room[16]);
void process(struct worker *worker, struct item item);
void note_change(struct walk *walk, const struct statx *found);

/* flush.c */
void flush(struct worker *worker);
void batch_drop(struct worker *worker);

/* work.c */
int push(struct items *items, struct item item);
bool pop(struct items *items, struct item *item);
void share(struct worker *worker);
bool donate_names(struct worker *worker, struct node *node, const struct dirent64 *const *names, size_t count);
int ask(struct worker *worker, enum request request);
void fail(struct walk *walk, int code);
int walk_start(struct walk *walk);
struct worker *walk_wait(struct walk *walk, int milliseconds, bool *is_over);
void walk_answer(struct worker *worker);
void walk_end(struct walk *walk);

#define LISTING_ROOM (32 * 1024)
#define SELINUX "security.selinux"
#define TICK 20000000LL /* nanoseconds: two ticks of the slowest clock (CONFIG_HZ=100) */

#endif
