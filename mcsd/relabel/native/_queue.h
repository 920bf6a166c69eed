/* Who works on which directory: see _queue.c. Floor 5. */
#ifndef MCSD_QUEUE_H
#define MCSD_QUEUE_H

#include "_walk.h"

/* Add an item, the newest; -1: no memory. */
int push(struct items *items, struct item item);
/* Take the newest item; false where there is none. */
bool pop(struct items *items, struct item *item);
void drop_items(struct items *items);
/* Give the oldest directories, which have most below them, to whoever has nothing to do. */
void share(struct worker *worker);
/* Give a part of a listing to somebody who has nothing to do, or soon will have. */
bool donate_names(struct worker *worker, struct node *node, const struct dirent64 *const *names, size_t count);
/* Find something to do; false when nobody has anything left, or the walk is over. */
bool take(struct worker *worker, struct item *item);

#endif
