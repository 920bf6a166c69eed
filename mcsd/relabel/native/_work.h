/* Worker threads, from start to end: see _work.c. Floor 10. */
#ifndef MCSD_WORK_H
#define MCSD_WORK_H

#include "_walk.h"

/* Start the first worker; the others follow when there is work for them. Return 0 or an errno. */
int walk_start(struct walk *walk);
/* Wait for a request, for at most this long, and take it; NULL if there is none. `is_over`: all workers have ended. */
struct worker *walk_wait(struct walk *walk, int milliseconds, bool *is_over);
/* Stop the workers, wait until they have ended, and free what they had. */
void walk_end(struct walk *walk);

#endif
