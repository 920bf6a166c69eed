/* Decides what to do with an inode, by the same rules as strategies.py, for the three kinds of walk. */
#include "_decide.h"

#include "_index.h"
#include "_requests.h"
#include "_tally.h"
#include "_tree.h"

#include <errno.h>
#include <sys/stat.h>

unsigned verdict_of(struct worker *worker, const struct label *label)
{
    unsigned verdict = atomic_load_explicit(&label->verdict, memory_order_acquire);
    if (verdict & JUDGED)
        return verdict;
    worker->asked = label;
    if (ask(worker, REQUEST_JUDGE) != 0)
        return 0;
    return atomic_load_explicit(&label->verdict, memory_order_acquire);
}

bool is_settled(struct worker *worker, const struct label *had, uint64_t inode)
{
    struct walk *walk = worker->walk;
    unsigned verdict = verdict_of(worker, had);
    if (!(verdict & JUDGED))
        return false;
    if (walk->mode != RESTORE)
        return (walk->swept || walk->mode == VERIFY) && verdict & TARGET;
    if (verdict & OURS)
        return false;
    pthread_rwlock_rdlock(&walk->index->lock);
    const struct origin *origin = index_find(walk->index, inode);
    bool is_back = !origin || label_equals(had, origin);
    pthread_rwlock_unlock(&walk->index->lock);
    return is_back;
}

static struct value value_of(const struct origin *origin)
{
    return (struct value){origin->text, origin->length, origin->absent};
}

struct value fallback_for(const struct walk *walk, const struct node *node)
{
    struct value value = {walk->fallback->text, walk->fallback->length, walk->fallback->absent};
    pthread_rwlock_rdlock(&walk->index->lock);
    for (; node; node = node->parent) {
        const struct origin *origin = index_find(walk->index, node->inode);
        if (origin && node->born <= origin->time) {
            value = value_of(origin);
            break;
        }
    }
    pthread_rwlock_unlock(&walk->index->lock);
    return value;
}

struct case_of { /* what a decision about an inode is made from */
    struct entry *entry;
    unsigned verdict;
    const struct origin *origin;
    int64_t born;
};

static enum reason decide_relabel(const struct walk *walk, const struct case_of *is)
{
    struct entry *entry = is->entry;
    bool is_ours = is->verdict & OURS;
    if (!is_ours && is->verdict & LEFT_ALONE)
        return PROTECTED_TYPE;
    bool was_born_here = walk->swept || (is->born && is->born >= walk->created);
    entry->records = is_ours ? !is->origin && !was_born_here
                             : !is->origin || !label_equals(entry->had, is->origin);
    entry->writes = !(is->verdict & TARGET);
    entry->value = (struct value){walk->target->text, walk->target->length, false};
    return REASONS;
}

static enum reason decide_restore(const struct case_of *is)
{
    struct entry *entry = is->entry;
    if (!(is->verdict & OURS))
        return is->origin && !label_equals(entry->had, is->origin) ? FOREIGN_LABEL : REASONS;
    if (is->origin) {
        entry->writes = !label_equals(entry->had, is->origin);
        entry->value = value_of(is->origin);
    } else {
        entry->needs_default = entry->writes = true;
    }
    return REASONS;
}

static enum reason decide_verify(const struct case_of *is, const struct statx *found)
{
    if (is->verdict & TARGET)
        return REASONS;
    if (is->verdict & LEFT_ALONE)
        return PROTECTED_TYPE;
    return found->stx_nlink > 1 && !S_ISDIR(found->stx_mode) ? MULTIPLY_LINKED : DIFFERS;
}

/* Tell whether a file has one name, so that it may be written. If not, count it or keep its name. */
static bool may_write(struct worker *worker, struct entry *entry, const struct statx *found, const char *name)
{
    struct walk *walk = worker->walk;
    if (found->stx_nlink == 0) {
        skip(walk, VANISHED, entry->node, name);
        return false;
    }
    if (found->stx_nlink == 1)
        return true;
    int kept = keep_linked(walk, entry->node, name, entry->inode);
    if (kept < 0)
        fail(walk, ENOMEM);
    else if (kept > 0)
        skip(walk, MULTIPLY_LINKED, entry->node, name);
    return false;
}

bool decide(struct worker *worker, struct entry *entry, const struct statx *found, const char *name)
{
    struct walk *walk = worker->walk;
    struct case_of is = {entry, verdict_of(worker, entry->had), NULL, born_at(found)};
    if (!(is.verdict & JUDGED))
        return false; /* the walk is over */
    pthread_rwlock_rdlock(&walk->index->lock);
    const struct origin *origin = index_find(walk->index, entry->inode);
    is.origin = origin && is.born <= origin->time ? origin : NULL;
    enum reason reason = walk->mode == RELABEL   ? decide_relabel(walk, &is)
                         : walk->mode == RESTORE ? decide_restore(&is)
                                                 : decide_verify(&is, found);
    bool is_known = walk->mode == RESTORE && (is.origin || is.verdict & EXCLUSIVE);
    pthread_rwlock_unlock(&walk->index->lock);
    if (reason != REASONS)
        skip(walk, reason, entry->node, name);
    if (reason != REASONS || !(entry->records || entry->writes))
        return false;
    if (S_ISDIR(found->stx_mode) || is_known) {
        entry->is_unsure = false; /* one name, or an original, or a label of this volume alone */
        return true;
    }
    return may_write(worker, entry, found, name);
}
