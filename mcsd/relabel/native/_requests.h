/* What a worker asks the caller's thread, and how a walk ends: see _requests.c. Floor 4. */
#ifndef MCSD_REQUESTS_H
#define MCSD_REQUESTS_H

#include "_walk.h"

/* Ask the caller's thread and wait for the answer; ECANCELED when the walk is over instead. Whatever the
 * request consists of may be changed or freed once this has returned, and not before. */
int ask(struct worker *worker, enum request request);
/* Take a request that waits, NULL where there is none: from here on it is the caller's to read, and the worker
 * waits until `request_answer` or `requests_let_go`. The caller holds the walk's mutex. */
struct worker *request_take(struct walk *walk);
void request_answer(struct worker *worker);
/* Give up every request that was taken and not answered: nobody will. */
void requests_let_go(struct walk *walk);
/* Wake whoever waits for anything. The caller holds the walk's mutex. */
void wake_all(struct walk *walk);
/* End the walk early; code 0 is a cancellation. */
void fail(struct walk *walk, int code);

#endif
