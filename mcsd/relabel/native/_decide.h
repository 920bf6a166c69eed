/* What is to be done with an inode: see _decide.c. Floor 7. */
#ifndef MCSD_DECIDE_H
#define MCSD_DECIDE_H

#include "_walk.h"

struct statx;

/* What the caller says of a label: is it one of ours, the target, to be left alone? Asked once for each. */
unsigned verdict_of(struct worker *worker, const struct label *label);
/* Tell whether nothing but its label need be known of an inode, and that is as it should be. */
bool is_settled(struct worker *worker, const struct label *had, uint64_t inode);
/* Fill in what is to be done with an entry. False: nothing, whatever had to be counted is. */
bool decide(struct worker *worker, struct entry *entry, const struct statx *found, const char *name);
/* What a file born in the volume falls back on: the nearest directory's original, or the root's. */
struct value fallback_for(const struct walk *walk, const struct node *node);

#endif
