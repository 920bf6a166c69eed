/* Reading and writing labels on disk: see _attributes.c. Floor 6. */
#ifndef MCSD_ATTRIBUTES_H
#define MCSD_ATTRIBUTES_H

#include "_walk.h"

struct statx;

/* Make a descriptor's directory the current one; if that fails, `here` is not the descriptor. */
void go_to(struct worker *worker, int descriptor);
/* Return a descriptor's number as text, its name in /proc/thread-self/fd. */
const char *as_number(int descriptor, char room[16]);
/* Read the label of a descriptor's inode; NULL with errno. */
const struct label *label_of(struct worker *worker, int descriptor);
/* Read the label of a name in a directory, without following a link; NULL if it cannot be read. */
const struct label *label_by_name(struct worker *worker, int descriptor, const char *name);
/* Write or remove the label of a descriptor's inode; -1 with errno. The current directory must be `proc`. */
int write_label(int descriptor, const struct value *value);
/* Set `is_disturbed` if a directory's content has changed since the walk began: it may have missed something. */
void note_change(struct walk *walk, const struct statx *found);

#endif
