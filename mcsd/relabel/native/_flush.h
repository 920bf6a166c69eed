/* Writing what is held: see _flush.c. Floor 8. */
#ifndef MCSD_FLUSH_H
#define MCSD_FLUSH_H

#include "_walk.h"

/* Write a worker's batch, and leave it empty. */
void flush(struct worker *worker);

#endif
