/* What a walk counts, and the labels it met: see _tally.c. Floor 3. */
#ifndef MCSD_TALLY_H
#define MCSD_TALLY_H

#include "_walk.h"

extern const char *const reason_names[REASONS];
enum reason reason_for(int code);
void skip(struct walk *walk, enum reason reason, const struct node *node, const char *name);
/* Keep a name of a file with several links. Return 0; 1: there are too many; -1: no memory. */
int keep_linked(struct walk *walk, const struct node *node, const char *name, uint64_t inode);
void tally_free(struct walk *walk);
/* Return the one `struct label` that this walk has for a label; NULL: no memory. */
struct label *label_intern(struct walk *walk, const char *text, size_t length, bool absent);
/* The same for a result of getxattr(2): a length below 0 means that there is no label. */
const struct label *label_seen(struct worker *worker, const char *text, ssize_t length);
bool label_equals(const struct label *label, const struct origin *origin);
void labels_free(struct walk *walk);

#endif
