/* Requests of the workers to the caller's thread, and how a walk ends early.
 *
 * No worker runs Python, so verdicts on labels, default labels and writing originals are requested. A request has one
 * of four states, which only change under the walk's mutex:
 *
 *     NOT_ASKED --ask--> WAITING --request_take--> TAKEN --request_answer--> ANSWERED --ask returns--> NOT_ASKED
 *
 * Until a request is taken, the worker may withdraw it, and does so when the walk is stopped. Once it is taken, the
 * caller's thread reads its content (the label, the groups, the batch) without the mutex. So the worker then waits
 * until the request is answered or `requests_let_go` is called, even if the walk is stopped meanwhile. This cannot
 * deadlock: between taking a request and answering it, the caller's thread waits for no worker.
 */
#include "_requests.h"

#include <errno.h>

void wake_all(struct walk *walk)
{
    pthread_cond_broadcast(&walk->work);
    pthread_cond_broadcast(&walk->requested);
    for (size_t i = 0; i < walk->worker_count; i++)
        pthread_cond_signal(&walk->workers[i].answered);
}

void fail(struct walk *walk, int code)
{
    int none = 0;
    if (code)
        atomic_compare_exchange_strong(&walk->failure, &none, code);
    pthread_mutex_lock(&walk->mutex);
    atomic_store(&walk->is_stopped, true);
    wake_all(walk);
    pthread_mutex_unlock(&walk->mutex);
}

int ask(struct worker *worker, enum request request)
{
    struct walk *walk = worker->walk;
    pthread_mutex_lock(&walk->mutex);
    worker->request = request;
    worker->request_state = WAITING;
    pthread_cond_signal(&walk->requested);
    while (worker->request_state == TAKEN || (worker->request_state == WAITING && !atomic_load(&walk->is_stopped)))
        pthread_cond_wait(&worker->answered, &walk->mutex);
    int result = worker->request_state == ANSWERED ? 0 : ECANCELED;
    worker->request_state = NOT_ASKED;
    pthread_mutex_unlock(&walk->mutex);
    return result;
}

struct worker *request_take(struct walk *walk)
{
    for (size_t i = 0; i < walk->worker_count && !atomic_load(&walk->is_stopped); i++)
        if (walk->workers[i].request_state == WAITING) {
            walk->workers[i].request_state = TAKEN;
            return &walk->workers[i];
        }
    return NULL;
}

void request_answer(struct worker *worker)
{
    pthread_mutex_lock(&worker->walk->mutex);
    worker->request_state = ANSWERED;
    pthread_cond_signal(&worker->answered);
    pthread_mutex_unlock(&worker->walk->mutex);
}

void requests_let_go(struct walk *walk)
{
    pthread_mutex_lock(&walk->mutex);
    for (size_t i = 0; i < walk->worker_count; i++)
        if (walk->workers[i].request_state == TAKEN) {
            walk->workers[i].request_state = NOT_ASKED;
            pthread_cond_signal(&walk->workers[i].answered);
        }
    pthread_mutex_unlock(&walk->mutex);
}
