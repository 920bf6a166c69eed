/* Examining the entries of a directory: see _gather.c. Floor 9. */
#ifndef MCSD_GATHER_H
#define MCSD_GATHER_H

#include "_walk.h"

/* Walk one item, and release its node and block. */
void process(struct worker *worker, struct item item);

#endif
