/* The directories of a volume: see _tree.c. Floor 2. */
#ifndef MCSD_TREE_H
#define MCSD_TREE_H

#include "_walk.h"

struct statx;

struct node *node_new(struct node *parent, const char *name, size_t length, uint64_t inode, int64_t born,
                      int owner);
struct node *node_hold(struct node *node);
void node_release(struct node *node);
/* Return a descriptor for listing a directory and opening names in it; -1 with errno. The caller closes it if
 * `is_temporary` (the node is another worker's); otherwise it stays open until others need its place. */
int node_open(struct worker *worker, struct node *node, bool *is_temporary);
void node_pin(struct worker *worker, struct node *node);
void node_unpin(struct worker *worker, struct node *node);
void nodes_close(struct worker *worker);
void forget_here(struct worker *worker, int descriptor);
/* Return the path, relative to the root, of a name in a directory, or of the directory for ""; NULL: no memory. */
char *node_path(const struct node *node, const char *name, size_t *length);
/* statx(2) of a descriptor's inode; -1 with errno. */
int look_at(int descriptor, struct statx *found);
bool is_in_volume(const struct walk *walk, const struct statx *found);
int64_t changed_at(const struct statx *found);
int64_t modified_at(const struct statx *found);
int64_t born_at(const struct statx *found);
int64_t clock_stamp(void);

#endif
