/* Deciding what to do with an inode: see _decide.c. Floor 7. */
#ifndef MCSD_DECIDE_H
#define MCSD_DECIDE_H

#include "_walk.h"

struct statx;

/* Return the caller's verdict on a label (ours, the target, to be left alone), asked once per label; 0: walk over. */
unsigned verdict_of(struct worker *worker, const struct label *label);
/* Tell whether an inode needs nothing, as far as label and inode number alone show. */
bool is_settled(struct worker *worker, const struct label *had, uint64_t inode);
/* Fill in what to do with an entry. False: nothing; it has been counted if it must be. */
bool decide(struct worker *worker, struct entry *entry, const struct statx *found, const char *name);
/* Return the fallback for a file created in the volume: the original of the nearest directory that has one, or
 * else the root's. */
struct value fallback_for(const struct walk *walk, const struct node *node);

#endif
