/* The directories of a volume: see _tree.c. Floor 2. */
#ifndef MCSD_TREE_H
#define MCSD_TREE_H

#include "_walk.h"

struct statx;

struct node *node_new(struct node *parent, const char *name, size_t length, uint64_t inode, int64_t born,
                      int owner);
struct node *node_hold(struct node *node);
void node_release(struct node *node);
/* Return a descriptor for listing a directory and opening names in it, or -1 with errno. One that belongs to
 * another worker's node is the caller's to close (`is_temporary`); the others stay open for a while. */
int node_open(struct worker *worker, struct node *node, bool *is_temporary);
void node_pin(struct worker *worker, struct node *node);
void node_unpin(struct worker *worker, struct node *node);
void nodes_close(struct worker *worker);
void forget_here(struct worker *worker, int descriptor);
/* Return the path below the root of a name in a directory (or of the directory, for ""); NULL: no memory. */
char *node_path(const struct node *node, const char *name, size_t *length);
/* Look at what a descriptor stands for; -1 with errno. */
int look_at(int descriptor, struct statx *found);
bool is_in_volume(const struct walk *walk, const struct statx *found);
int64_t changed_at(const struct statx *found);
int64_t modified_at(const struct statx *found);
int64_t born_at(const struct statx *found);
int64_t clock_stamp(void);

#endif
