/* Which worker walks which directory: see _queue.c. Floor 5. */
#ifndef MCSD_QUEUE_H
#define MCSD_QUEUE_H

#include "_walk.h"

/* Add an item as the newest. Return 0; -1: no memory. */
int push(struct items *items, struct item item);
/* Take the newest item; false if there is none. */
bool pop(struct items *items, struct item *item);
void drop_items(struct items *items);
/* If a worker waits, give away up to half of the directories, the oldest, which mostly have the most below them. */
void share(struct worker *worker);
/* Offer a part of a listing to the other workers; false: enough parts are offered, or there is no other worker yet. */
bool donate_names(struct worker *worker, struct node *node, const struct dirent64 *const *names, size_t count);
/* Take the next item, and wait for one if there is none; false when no worker has any left, or the walk is over. */
bool take(struct worker *worker, struct item *item);

#endif
