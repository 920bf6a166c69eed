/* Writing a batch: see _flush.c. Floor 8. */
#ifndef MCSD_FLUSH_H
#define MCSD_FLUSH_H

#include "_walk.h"

/* Write a worker's batch, or drop it if the walk is over; the batch is empty afterwards. */
void flush(struct worker *worker);

#endif
