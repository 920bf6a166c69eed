/* Requests to the caller's thread, and how a walk ends early: see _requests.c. Floor 4. */
#ifndef MCSD_REQUESTS_H
#define MCSD_REQUESTS_H

#include "_walk.h"

/* Send a request to the caller's thread and wait for the answer. Return 0; ECANCELED: the walk is over. The content
 * of the request must not be changed or freed before this returns. */
int ask(struct worker *worker, enum request request);
/* Take a waiting request and return its worker, NULL if there is none. From then on the content may be read, and the
 * worker waits for `request_answer` or `requests_let_go`. The caller holds the walk's mutex. */
struct worker *request_take(struct walk *walk);
void request_answer(struct worker *worker);
/* Cancel every request that was taken and will not be answered. */
void requests_let_go(struct walk *walk);
/* Wake all workers and the caller's thread. The caller holds the walk's mutex. */
void wake_all(struct walk *walk);
/* End the walk early, with an errno, or 0 for a cancellation. */
void fail(struct walk *walk, int code);

#endif
