/* Which inodes have an original: intervals of consecutive inode numbers with the same origin.
 *
 * Files of a tree are mostly created one after another, so neighbouring inodes mostly share an origin, and a million
 * files take some thousand intervals. Added intervals form sorted runs. As in a binary counter, a new run is merged
 * with the last one unless that is at least twice as long. Where two runs overlap, the newer one counts.
 */
#include "_index.h"

#include <stdlib.h>
#include <string.h>

int index_init(struct index *index)
{
    memset(index, 0, sizeof *index);
    return pthread_rwlock_init(&index->lock, NULL);
}

void index_free(struct index *index)
{
    for (size_t i = 0; i < index->origin_count; i++)
        free(index->origins[i].text);
    free(index->origins);
    for (size_t i = 0; i < index->run_count; i++)
        free(index->runs[i].spans);
    pthread_rwlock_destroy(&index->lock);
}

static void emit(struct run *out, uint64_t first, uint64_t end, uint32_t origin)
{
    struct span *last = out->count ? &out->spans[out->count - 1] : NULL;
    if (last && last->origin == origin && last->first + last->count == first &&
        last->count + (end - first) <= UINT32_MAX) {
        last->count += (uint32_t)(end - first);
        return;
    }
    out->spans[out->count++] = (struct span){first, (uint32_t)(end - first), origin};
}

/* Merge two runs into `out`, which has enough room; where they overlap, `newer` counts. */
static void merge(const struct run *older, const struct run *newer, struct run *out)
{
    size_t i = 0, j = 0;
    uint64_t from = older->count ? older->spans[0].first : 0; /* where the rest of older's current interval begins */
    while (i < older->count && j < newer->count) {
        const struct span *a = &older->spans[i], *b = &newer->spans[j];
        uint64_t a_end = a->first + a->count, b_end = b->first + b->count;
        if (b_end <= from) {
            emit(out, b->first, b_end, b->origin);
            j++;
            continue;
        }
        if (from < b->first)
            emit(out, from, a_end < b->first ? a_end : b->first, a->origin);
        if (a_end <= b_end) {
            i++;
            from = i < older->count ? older->spans[i].first : 0;
        } else {
            from = b_end;
        }
    }
    for (; i < older->count; i++) {
        const struct span *a = &older->spans[i];
        emit(out, from, a->first + a->count, a->origin);
        from = i + 1 < older->count ? older->spans[i + 1].first : 0;
    }
    for (; j < newer->count; j++)
        emit(out, newer->spans[j].first, newer->spans[j].first + newer->spans[j].count,
             newer->spans[j].origin);
}

static int add_run(struct index *index, struct run run)
{
    while (index->run_count && index->runs[index->run_count - 1].count < 2 * run.count) {
        struct run *last = &index->runs[index->run_count - 1];
        struct run merged = {malloc((last->count + 2 * run.count) * sizeof(struct span)), 0};
        if (!merged.spans) {
            free(run.spans);
            return -1;
        }
        merge(last, &run, &merged);
        free(last->spans);
        free(run.spans);
        index->run_count--;
        struct span *fitting = realloc(merged.spans, merged.count * sizeof(struct span));
        run = (struct run){fitting ? fitting : merged.spans, merged.count};
    }
    index->runs[index->run_count++] = run; /* each is at least twice as long as the next, so 64 are enough */
    return 0;
}

static bool take_number(const uint8_t **at, const uint8_t *end, uint64_t *number)
{
    *number = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        if (shift == 63 && (byte & 0x7e))
            return false;
        *number |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static int decode(const uint8_t *data, size_t size, uint32_t origin, struct run *run)
{
    const uint8_t *at = data, *end = data + size;
    uint64_t next = 0;
    *run = (struct run){malloc((size / 2 + 1) * sizeof(struct span)), 0};
    if (!run->spans)
        return -1;
    while (at < end) {
        uint64_t gap, count;
        if (!take_number(&at, end, &gap) || !take_number(&at, end, &count) || count == 0 ||
            count > UINT32_MAX || gap > UINT64_MAX - next || count > UINT64_MAX - next - gap) {
            free(run->spans);
            return -2;
        }
        run->spans[run->count++] = (struct span){next + gap, (uint32_t)count, origin};
        next += gap + count;
    }
    return 0;
}

static int add_origin(struct index *index, int64_t time, const char *label, size_t length, bool absent)
{
    if (index->origin_count == index->origin_room) {
        size_t room = index->origin_room ? 2 * index->origin_room : 16;
        struct origin *grown = realloc(index->origins, room * sizeof *grown);
        if (!grown)
            return -1;
        index->origins = grown;
        index->origin_room = room;
    }
    char *text = malloc(length + 1);
    if (!text)
        return -1;
    memcpy(text, label, length);
    text[length] = 0;
    index->origins[index->origin_count++] = (struct origin){time, (uint32_t)length, absent, text};
    return 0;
}

int index_add(struct index *index, const uint8_t *data, size_t size, int64_t time, const char *label,
              size_t length, bool absent)
{
    struct run run;
    pthread_rwlock_wrlock(&index->lock);
    int result = decode(data, size, (uint32_t)index->origin_count, &run);
    if (result == 0)
        result = add_origin(index, time, label, length, absent);
    if (result == 0 && run.count)
        result = add_run(index, run);
    else if (result != -2 && run.spans)
        free(run.spans);
    pthread_rwlock_unlock(&index->lock);
    return result;
}

const struct origin *index_find(const struct index *index, uint64_t inode)
{
    for (size_t r = index->run_count; r-- > 0;) {
        const struct run *run = &index->runs[r];
        size_t low = 0, high = run->count;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (run->spans[middle].first <= inode)
                low = middle + 1;
            else
                high = middle;
        }
        if (low && inode - run->spans[low - 1].first < run->spans[low - 1].count)
            return &index->origins[run->spans[low - 1].origin];
    }
    return NULL;
}

static size_t put_number(uint64_t number, uint8_t *out)
{
    size_t used = 0;
    for (; number > 0x7f; number >>= 7)
        out[used++] = (uint8_t)(number | 0x80);
    out[used++] = (uint8_t)number;
    return used;
}

int index_fold(const struct index *index, struct run *whole)
{
    *whole = (struct run){malloc(sizeof(struct span)), 0};
    for (size_t r = 0; whole->spans && r < index->run_count; r++) {
        struct run merged = {malloc((whole->count + 2 * index->runs[r].count) * sizeof(struct span)), 0};
        if (merged.spans)
            merge(whole, &index->runs[r], &merged);
        free(whole->spans);
        *whole = merged;
    }
    return whole->spans ? 0 : -1;
}

size_t encode_spans(const struct span *spans, size_t count, uint32_t origin, uint8_t *out)
{
    size_t used = 0;
    uint64_t next = 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].origin != origin)
            continue;
        used += put_number(spans[i].first - next, out + used);
        used += put_number(spans[i].count, out + used);
        next = spans[i].first + spans[i].count;
    }
    return used;
}

size_t encode_inodes(const uint64_t *inodes, size_t count, uint8_t *out)
{
    size_t used = 0;
    uint64_t next = 0;
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && inodes[end] <= inodes[end - 1] + 1)
            end++;
        uint64_t length = inodes[end - 1] - inodes[i] + 1; /* equal numbers count once */
        used += put_number(inodes[i] - next, out + used);
        used += put_number(length, out + used);
        next = inodes[i] + length;
        i = end;
    }
    return used;
}
