/* Which inodes have an original: see _index.c. Floor 1. */
#ifndef MCSD_INDEX_H
#define MCSD_INDEX_H

#include "_walk.h"

int index_init(struct index *index);
void index_free(struct index *index);
/* Add inodes, in the encoding of index.py, with a new origin. Return 0; -1: no memory; -2: not that encoding. */
int index_add(struct index *index, const uint8_t *data, size_t size, int64_t time, const char *label,
              size_t length, bool absent);
/* Return the origin of an inode, NULL if it has none. The caller holds the read lock as long as it uses the result. */
const struct origin *index_find(const struct index *index, uint64_t inode);
/* Merge all runs into one. Return 0; -1: no memory. */
int index_fold(const struct index *index, struct run *whole);
/* Encode the intervals of one origin; return the number of bytes written to `out`, at most 20 for each. */
size_t encode_spans(const struct span *spans, size_t count, uint32_t origin, uint8_t *out);
/* Encode ascending inode numbers; return the number of bytes written to `out`, which has room for 20 for each. */
size_t encode_inodes(const uint64_t *inodes, size_t count, uint8_t *out);

#endif
