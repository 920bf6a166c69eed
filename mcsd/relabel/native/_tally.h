/* What a walk counts, and the labels it met: see _tally.c. Floor 3. */
#ifndef MCSD_TALLY_H
#define MCSD_TALLY_H

#include "_walk.h"

extern const char *const reason_names[REASONS];
enum reason reason_for(int code);
void skip(struct walk *walk, enum reason reason, const struct node *node, const char *name);
/* Remember a name of a multiply linked file: 0; 1: there are too many, and -1: no memory. */
int keep_linked(struct walk *walk, const struct node *node, const char *name, uint64_t inode);
void tally_free(struct walk *walk);
/* Return the one value that stands for a label in this walk; NULL: no memory. */
struct label *label_intern(struct walk *walk, const char *text, size_t length, bool absent);
/* Return the same for what getxattr gave, a length below 0 being no label. */
const struct label *label_seen(struct worker *worker, const char *text, ssize_t length);
bool label_equals(const struct label *label, const struct origin *origin);
void labels_free(struct walk *walk);

#endif
