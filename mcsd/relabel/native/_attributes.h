/* Labels on disk, read and written: see _attributes.c. Floor 6. */
#ifndef MCSD_ATTRIBUTES_H
#define MCSD_ATTRIBUTES_H

#include "_walk.h"

struct statx;

/* Make a descriptor the current directory; `here` says whether it is. */
void go_to(struct worker *worker, int descriptor);
/* Write a descriptor's number, as /proc/thread-self/fd names it. */
const char *as_number(int descriptor, char room[16]);
/* Read what a descriptor's inode carries; NULL with errno. */
const struct label *label_of(struct worker *worker, int descriptor);
/* Read what a name in a directory carries; NULL where that cannot be told. */
const struct label *label_by_name(struct worker *worker, int descriptor, const char *name);
/* Write or remove the label of a descriptor's inode; -1 with errno. `go_to(worker, worker->proc)` came first. */
int write_label(int descriptor, const struct value *value);
/* Note whether a directory has changed since the walk began, so that something may have been missed. */
void note_change(struct walk *walk, const struct statx *found);

#endif
