/* Looking at what a directory holds: see _gather.c. Floor 9. */
#ifndef MCSD_GATHER_H
#define MCSD_GATHER_H

#include "_walk.h"

/* Walk one item; its node is released. */
void process(struct worker *worker, struct item item);

#endif
