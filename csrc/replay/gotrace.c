// gotrace.c: the wire format of Go execution traces. See gotrace.h.
//
// Follows internal/trace: readBatch (batch.go), readGeneration and
// readGenerationWithSpill (generation.go), Reader.ReadEvent (reader.go),
// batchCursor (batchcursor.go). The heap of threads is theirs move by move, since
// events of equal time come out in its order.

#include "gotrace.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gotrace_int.h"

#define HEADER_BYTES    16u
#define MAX_BATCH       (64u << 10)  // tracev2.MaxBatchSize
#define MAX_BATCH_HEAD  42u          // two bytes and four numbers
#define MAX_STRING      1024u        // tracev2.MaxEventTrailerDataSize
#define MAX_FRAMES      128u         // tracev2.MaxFramesPerStack
#define EXP_ALLOC_FREE  1
#define MAX_LOG         ((size_t)1 << 20)
// The category of what our hook says of the run.
#define LOG_KEY         "goheap"

// Arguments of each timed event, the time included; 0: not a timed event.
static const uint8_t event_args[NUM_EVENTS] = {
    [EV_PROCS_CHANGE] = 3, [EV_PROC_START] = 3, [EV_PROC_STOP] = 1,
    [EV_PROC_STEAL] = 4, [EV_PROC_STATUS] = 3, [EV_GO_CREATE] = 4,
    [EV_GO_CREATE_SYSCALL] = 2, [EV_GO_START] = 3, [EV_GO_DESTROY] = 1,
    [EV_GO_DESTROY_SYSCALL] = 1, [EV_GO_STOP] = 3, [EV_GO_BLOCK] = 3,
    [EV_GO_UNBLOCK] = 4, [EV_GO_SYSCALL_BEGIN] = 3, [EV_GO_SYSCALL_END] = 1,
    [EV_GO_SYSCALL_END_BLOCKED] = 1, [EV_GO_STATUS] = 4, [EV_STW_BEGIN] = 3,
    [EV_STW_END] = 1, [EV_GC_ACTIVE] = 2, [EV_GC_BEGIN] = 3, [EV_GC_END] = 2,
    [EV_SWEEP_ACTIVE] = 2, [EV_SWEEP_BEGIN] = 2, [EV_SWEEP_END] = 3,
    [EV_ASSIST_ACTIVE] = 2, [EV_ASSIST_BEGIN] = 2, [EV_ASSIST_END] = 1,
    [EV_HEAP_ALLOC] = 2, [EV_HEAP_GOAL] = 2, [EV_GO_LABEL] = 2,
    [EV_TASK_BEGIN] = 5, [EV_TASK_END] = 3, [EV_REGION_BEGIN] = 4,
    [EV_REGION_END] = 4, [EV_USER_LOG] = 5, [EV_GO_SWITCH] = 3,
    [EV_GO_SWITCH_DESTROY] = 3, [EV_GO_CREATE_BLOCKED] = 4,
    [EV_GO_STATUS_STACK] = 5, [EV_SPAN] = 4, [EV_SPAN_ALLOC] = 4,
    [EV_SPAN_FREE] = 2, [EV_OBJECT] = 3, [EV_OBJECT_ALLOC] = 3,
    [EV_OBJECT_FREE] = 2, [EV_STACK_EXISTS] = 3, [EV_STACK_ALLOC] = 3,
    [EV_STACK_FREE] = 2,
};

// ---- errors and memory ------------------------------------------------------------

bool
gt_bad(gh_gotrace *g, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(g->error.message, sizeof(g->error.message), format, args);
    va_end(args);
    g->error.offset = g->at;
    g->ended = GH_GOTRACE_BAD;
    return false;
}

bool
gt_no_memory(gh_gotrace *g)
{
    g->ended = GH_GOTRACE_NOMEM;
    return false;
}

bool
gt_hold(gh_gotrace *g, uint64_t n)
{
    if (g->held + n > GH_GOTRACE_MEMORY + 64 * g->fed) {
        return gt_bad(g, "needs more memory than a sound trace of its length");
    }
    g->held += n;
    return true;
}

void
gt_release(gh_gotrace *g, uint64_t n)
{
    g->held -= n;
}

bool
gt_grow(gh_gotrace *g, void **array, size_t n, size_t *cap, size_t elem)
{
    if (n < *cap) {
        return true;
    }
    const size_t want = *cap == 0 ? 64 : *cap * 2;
    if (!gt_hold(g, (uint64_t)(want - *cap) * elem)) {
        return false;
    }
    void *a = realloc(*array, want * elem);
    if (a == NULL) {
        return gt_no_memory(g);
    }
    *array = a;
    *cap = want;
    return true;
}

gh_idval *
gt_put(gh_gotrace *g, gh_idmap *m, uint64_t key)
{
    const size_t cap = m->cap;
    gh_idval *v = gh_idmap_put(m, key);
    if (v == NULL) {
        gt_no_memory(g);
        return NULL;
    }
    return gt_hold(g, (uint64_t)(m->cap - cap) * sizeof(*v)) ? v : NULL;
}

static void
drop_map(gh_gotrace *g, gh_idmap *m)
{
    gt_release(g, (uint64_t)m->cap * sizeof(*m->slot));
    gh_idmap_fini(m);
}

// ---- batches ------------------------------------------------------------------------

static void
list_init(gt_list *l)
{
    l->first = NULL;
    l->last = &l->first;
}

static void
list_add(gt_list *l, gt_batch *b)
{
    *l->last = b;
    l->last = &b->next;
}

static void
free_batch(gh_gotrace *g, gt_batch *b)
{
    gt_release(g, sizeof(*b) + b->len);
    free(b);
}

static gt_batch *
list_pop(gt_list *l)
{
    gt_batch *b = l->first;
    l->first = b->next;
    if (l->first == NULL) {
        l->last = &l->first;
    }
    return b;
}

static void
list_drop(gh_gotrace *g, gt_list *l)
{
    while (l->first != NULL) {
        free_batch(g, list_pop(l));
    }
}

// drop_generation forgets the tables and batches of the present generation.
static void
drop_generation(gh_gotrace *g)
{
    for (size_t i = 0; i < g->ncursors; i++) {
        list_drop(g, &g->cursor[i].batches);
    }
    g->ncursors = 0;
    drop_map(g, &g->cursor_of);
    drop_map(g, &g->forced_stack);
    list_drop(g, &g->strings);
    list_drop(g, &g->stacks);
    list_drop(g, &g->types);
    g->nsamples = g->sample_at = 0;
    g->nheap = 0;
    g->gen = 0;
    g->min_time = 0;
    g->freq = 0;
    g->snapshot = false;
}

gh_status
gh_gotrace_new(gh_gotrace **out)
{
    gh_gotrace *g = calloc(1, sizeof(*g));
    if (g == NULL) {
        return GH_ERR_NOMEM;
    }
    g->ended = GH_GOTRACE_BUDGET;
    list_init(&g->strings);
    list_init(&g->stacks);
    list_init(&g->types);
    g->type = calloc(64, sizeof(*g->type));
    if (g->type == NULL) {
        free(g);
        return GH_ERR_NOMEM;
    }
    g->type_cap = 64;
    g->ntypes = 1;  // number 0: no type
    *out = g;
    return GH_OK;
}

void
gh_gotrace_free(gh_gotrace *g)
{
    if (g == NULL) {
        return;
    }
    drop_generation(g);
    gt_heap_fini(g);
    free(g->spill);
    free(g->cursor);
    free(g->heap);
    free(g->sample);
    free(g->in);
    free(g->log);
    free(g->forced);
    gh_idmap_fini(&g->ms);
    gh_idmap_fini(&g->ps);
    gh_idmap_fini(&g->gs);
    for (size_t i = 0; i < NUM_COLUMNS; i++) {
        gh_colout_fini(&g->col[i]);
    }
    free(g);
}

gh_status
gh_gotrace_feed(gh_gotrace *g, const uint8_t *data, size_t n, bool last)
{
    if (g->last) {
        return GH_ERR_STATE;
    }
    const size_t left = g->in_end - g->in_at;
    if (n > SIZE_MAX / 4 - left) {
        return GH_ERR_NOMEM;
    }
    if (left + n > g->in_cap) {
        uint8_t *in = malloc(left + n);
        if (in == NULL) {
            return GH_ERR_NOMEM;
        }
        if (left > 0) {
            memcpy(in, g->in + g->in_at, left);
        }
        free(g->in);
        g->in = in;
        g->in_cap = left + n;
    } else if (left > 0) {
        memmove(g->in, g->in + g->in_at, left);
    }
    if (n > 0) {
        memcpy(g->in + left, data, n);
    }
    g->in_at = 0;
    g->in_end = left + n;
    g->fed += n;
    g->last = last;
    return GH_OK;
}

static void
consume(gh_gotrace *g, size_t n)
{
    g->in_at += n;
    g->in_offset += n;
}

// read_header reads the version line. Each further format is refused by name: its
// events are not known here.
static bool
read_header(gh_gotrace *g)
{
    const char *h = (const char *)g->in + g->in_at;
    const bool go = g->in_end - g->in_at >= HEADER_BYTES
                    && memcmp(h, "go 1.", 5) == 0 && h[5] >= '0'
                    && h[5] <= '9' && h[6] >= '0' && h[6] <= '9'
                    && memcmp(h + 7, " trace\0\0\0", 9) == 0;
    if (!go) {
        return gt_bad(g, "not a Go execution trace");
    }
    const int version = 10 * (h[5] - '0') + (h[6] - '0');
    if (version < 23) {
        return gt_bad(g, "a trace of format go 1.%d has no alloc and free "
                      "events; they came with Go 1.23", version);
    }
    if (version != 23 && version != 25 && version != 26) {
        return gt_bad(g, "a trace of format go 1.%d is not read: known are go "
                      "1.23, 1.25 and 1.26, which Go 1.23 to 1.26 write",
                      version);
    }
    g->version = g->sum.version = version;
    consume(g, HEADER_BYTES);
    return true;
}

// batch_end is what read_batch found.
typedef enum batch_end { BATCH, NO_BYTES, BATCH_BAD, GENERATION_END } batch_end;

// read_batch takes the next batch off the input.
static batch_end
read_batch(gh_gotrace *g, uint64_t *gen, gt_batch **out)
{
    const uint8_t *const start = g->in + g->in_at, *const end = g->in + g->in_end;
    const uint8_t *p = start;
    g->at = g->in_offset;
    const bool sure = (size_t)(end - start) >= MAX_BATCH_HEAD || g->last;
    if (p == end || !sure) {
        return NO_BYTES;
    }
    const uint8_t kind = *p++;
    uint8_t exp = 0;
    if (kind == EV_END_OF_GENERATION && g->version >= 26) {
        consume(g, 1);
        return GENERATION_END;
    }
    if (kind != EV_EVENT_BATCH && kind != EV_EXPERIMENTAL_BATCH) {
        gt_bad(g, "a batch cannot begin with byte %u", (unsigned)kind);
        return BATCH_BAD;
    }
    if (kind == EV_EXPERIMENTAL_BATCH) {
        if (p == end) {
            return NO_BYTES;
        }
        exp = *p++;
    }
    uint64_t m, time, size;
    if (!gt_uvarint(&p, end, gen) || !gt_uvarint(&p, end, &m)
        || !gt_uvarint(&p, end, &time) || !gt_uvarint(&p, end, &size)) {
        if (g->last && (size_t)(end - start) < MAX_BATCH_HEAD) {
            return NO_BYTES;
        }
        gt_bad(g, "the head of a batch is damaged");
        return BATCH_BAD;
    }
    if (*gen == 0) {
        gt_bad(g, "a batch of generation 0");
        return BATCH_BAD;
    }
    if (size > MAX_BATCH) {
        gt_bad(g, "a batch of %llu bytes; the most is %u",
               (unsigned long long)size, MAX_BATCH);
        return BATCH_BAD;
    }
    if ((uint64_t)(end - p) < size) {
        return NO_BYTES;
    }
    if (!gt_hold(g, sizeof(gt_batch) + size)) {
        return BATCH_BAD;
    }
    gt_batch *b = malloc(sizeof(*b) + (size_t)size);
    if (b == NULL) {
        gt_no_memory(g);
        return BATCH_BAD;
    }
    *b = (gt_batch){.m = m, .time = time, .len = (uint32_t)size, .exp = exp,
                    .offset = g->in_offset + (uint64_t)(p - start)};
    memcpy(b->data, p, (size_t)size);
    consume(g, (size_t)(p - start) + (size_t)size);
    *out = b;
    return BATCH;
}

// ---- tables of a generation ---------------------------------------------------------

// damaged names the place p in a batch and ends the reading.
static bool
damaged(gh_gotrace *g, const gt_batch *b, const uint8_t *p, const char *what)
{
    g->at = b->offset + (uint64_t)(p - b->data);
    return gt_bad(g, "%s is damaged", what);
}

static bool
read_sync(gh_gotrace *g, const gt_batch *b)
{
    const uint8_t *p = b->data, *const end = b->data + b->len;
    if (g->version >= 25) {
        p++;
    }
    while (p < end) {
        const uint8_t kind = *p++;
        uint64_t v[4];
        if (kind == EV_FREQUENCY && g->freq == 0) {
            if (!gt_uvarint(&p, end, &g->freq) || g->freq == 0) {
                return damaged(g, b, p, "the clock's frequency");
            }
            g->ns = 1.0 / ((double)g->freq / 1e9);
        } else if (kind == EV_CLOCK_SNAPSHOT && g->version >= 25
                   && !g->snapshot) {
            for (int i = 0; i < 4; i++) {
                if (!gt_uvarint(&p, end, &v[i])) {
                    return damaged(g, b, p, "the clock's snapshot");
                }
            }
            g->snapshot = true;
        } else {
            return damaged(g, b, p - 1, "a batch of clock readings");
        }
    }
    return true;
}

static bool
read_samples(gh_gotrace *g, const gt_batch *b)
{
    const uint8_t *p = b->data + 1, *const end = b->data + b->len;
    while (p < end) {
        uint64_t v[5];
        const uint8_t kind = *p++;
        for (int i = 0; i < 5; i++) {
            if (kind != EV_CPU_SAMPLE || !gt_uvarint(&p, end, &v[i])) {
                return damaged(g, b, p, "a CPU sample");
            }
        }
        if (!gt_grow(g, (void **)&g->sample, g->nsamples, &g->sample_cap,
                     sizeof(*g->sample))) {
            return false;
        }
        // The clock's frequency may follow: units until the generation is in.
        g->sample[g->nsamples++] = (int64_t)v[0];
    }
    return true;
}

// next_string takes one entry of a batch of strings.
static bool
next_string(gh_gotrace *g, const gt_batch *b, const uint8_t **p, uint64_t *id,
            const uint8_t **text, uint64_t *len)
{
    const uint8_t *const end = b->data + b->len;
    const uint8_t kind = *(*p)++;
    if (kind != EV_STRING || !gt_uvarint(p, end, id) || !gt_uvarint(p, end, len)
        || *len > MAX_STRING || *len > (uint64_t)(end - *p)) {
        return damaged(g, b, *p, "the table of strings");
    }
    *text = *p;
    *p += *len;
    return true;
}

static bool
is_text(const uint8_t *text, uint64_t len, const char *want)
{
    return len == strlen(want) && memcmp(text, want, (size_t)len) == 0;
}

// read_stacks notes the stacks that have the function with this name's number.
static bool
read_stacks(gh_gotrace *g, const gt_batch *b, const gh_idmap *functions)
{
    const uint8_t *p = b->data + 1, *const end = b->data + b->len;
    while (p < end) {
        uint64_t id, n, v[4];
        const uint8_t kind = *p++;
        if (kind != EV_STACK || !gt_uvarint(&p, end, &id)
            || !gt_uvarint(&p, end, &n) || n > MAX_FRAMES) {
            return damaged(g, b, p, "the table of stacks");
        }
        bool found = false;
        for (uint64_t i = 0; i < n; i++) {
            for (int k = 0; k < 4; k++) {
                if (!gt_uvarint(&p, end, &v[k])) {
                    return damaged(g, b, p, "the table of stacks");
                }
            }
            found |= gh_idmap_get(functions, v[1]) != NULL;
        }
        if (found && gt_put(g, &g->forced_stack, id) == NULL) {
            return false;
        }
    }
    return true;
}

// read_strings finds the numbers of the few strings that mean something here,
// and the stacks of forced collections.
static bool
read_strings(gh_gotrace *g)
{
    gh_idmap functions = {0};
    bool ok = true;
    g->log_found = false;
    for (const gt_batch *b = g->strings.first; b != NULL && ok; b = b->next) {
        const uint8_t *p = b->data + 1, *const end = b->data + b->len;
        while (p < end && ok) {
            uint64_t id, len;
            const uint8_t *text;
            ok = next_string(g, b, &p, &id, &text, &len);
            if (ok && is_text(text, len, LOG_KEY)) {
                g->log_key = id;
                g->log_found = true;
            } else if (ok && (is_text(text, len, "runtime.GC")
                              || is_text(text, len, "runtime/debug.freeOSMemory"))) {
                ok = gt_put(g, &functions, id) != NULL;
            }
        }
    }
    for (const gt_batch *b = g->stacks.first; b != NULL && ok; b = b->next) {
        ok = read_stacks(g, b, &functions);
    }
    drop_map(g, &functions);
    list_drop(g, &g->stacks);
    return ok;
}

bool
gt_wire_log(gh_gotrace *g, uint64_t string)
{
    for (const gt_batch *b = g->strings.first; b != NULL; b = b->next) {
        const uint8_t *p = b->data + 1, *const end = b->data + b->len;
        while (p < end) {
            uint64_t id, len;
            const uint8_t *text;
            if (!next_string(g, b, &p, &id, &text, &len)) {
                return false;
            }
            if (id != string) {
                continue;
            }
            for (uint64_t i = 0; i < len && g->log_len < MAX_LOG; i++) {
                if (!gt_grow(g, (void **)&g->log, g->log_len, &g->log_cap, 1)) {
                    return false;
                }
                g->log[g->log_len++] = (char)text[i];
            }
            return true;
        }
    }
    return true;
}

// add_batch puts a batch where it belongs in the present generation.
static bool
add_batch(gh_gotrace *g, gt_batch *b)
{
    const uint8_t first = b->len > 0 ? b->data[0] : 0;
    const bool plain = b->exp == 0;
    bool ok = true;
    if (plain && first == EV_STRINGS) {
        list_add(&g->strings, b);
        return true;
    }
    if (plain && first == EV_STACKS) {
        list_add(&g->stacks, b);
        return true;
    }
    if (b->exp == EXP_ALLOC_FREE) {
        list_add(&g->types, b);
        return true;
    }
    if (plain && first == EV_CPU_SAMPLES) {
        ok = read_samples(g, b);
    } else if (plain && first == (g->version >= 25 ? EV_SYNC : EV_FREQUENCY)) {
        ok = read_sync(g, b);
    } else if (plain) {
        gh_idval *v = gt_put(g, &g->cursor_of, b->m);
        if (v == NULL) {
            free_batch(g, b);
            return false;
        }
        if (v->a == 0) {
            if (!gt_grow(g, (void **)&g->cursor, g->ncursors, &g->cursor_cap,
                         sizeof(*g->cursor))) {
                free_batch(g, b);
                return false;
            }
            g->cursor[g->ncursors] = (gt_cursor){.m = b->m};
            v->a = ++g->ncursors;
        }
        // A list's end points into it, and cursors move: so set it anew.
        gt_list *l = &g->cursor[v->a - 1].batches;
        if (l->first == NULL) {
            l->last = &l->first;
        }
        list_add(l, b);
        return true;
    }
    free_batch(g, b);
    return ok;
}

// ---- the clock ------------------------------------------------------------------------

// to_ns is frequency.mul of base.go; false: beyond what an int64 holds.
static bool
to_ns(gh_gotrace *g, uint64_t units, int64_t *out)
{
    const double ns = (double)units * g->ns;
    if (!(ns < 9e18)) {
        return gt_bad(g, "a time of %.3g ns", ns);
    }
    *out = (int64_t)ns;
    return true;
}

static int
earlier(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

// ---- the heap of threads ----------------------------------------------------------------

static int64_t
time_at(const gh_gotrace *g, size_t i)
{
    return g->cursor[g->heap[i]].ev.time;
}

static void
swap(gh_gotrace *g, size_t i, size_t j)
{
    const size_t x = g->heap[i];
    g->heap[i] = g->heap[j];
    g->heap[j] = x;
}

static size_t
sift_up(gh_gotrace *g, size_t i)
{
    while (i > 0 && time_at(g, (i - 1) / 2) > time_at(g, i)) {
        swap(g, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
    return i;
}

static void
sift_down(gh_gotrace *g, size_t i)
{
    for (;;) {
        size_t least = i;
        for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < g->nheap; c++) {
            if (time_at(g, c) < time_at(g, least)) {
                least = c;
            }
        }
        if (least == i) {
            return;
        }
        swap(g, i, least);
        i = least;
    }
}

static void
heap_remove(gh_gotrace *g, size_t i)
{
    for (; i > 0; i = (i - 1) / 2) {
        swap(g, i, (i - 1) / 2);
    }
    swap(g, 0, --g->nheap);
    if (g->nheap > 0) {
        sift_down(g, 0);
    }
}

// sort_heap keeps the order of equal times; Go's sort does for up to 12 threads.
static void
sort_heap(gh_gotrace *g)
{
    for (size_t i = 1; i < g->nheap; i++) {
        for (size_t j = i; j > 0 && time_at(g, j) < time_at(g, j - 1); j--) {
            swap(g, j, j - 1);
        }
    }
}

// next_event reads the next event of a thread; *more false: it has none left in
// this generation.
static bool
next_event(gh_gotrace *g, gt_cursor *c, bool *more)
{
    while (c->batches.first != NULL && c->at == c->batches.first->len) {
        free_batch(g, list_pop(&c->batches));
        c->at = 0;
        c->last_time = 0;
    }
    gt_batch *const b = c->batches.first;
    *more = b != NULL;
    if (b == NULL) {
        return true;
    }
    const uint8_t *p = b->data + c->at, *const end = b->data + b->len;
    g->at = b->offset + c->at;
    if (c->last_time == 0 && !to_ns(g, b->time, &c->last_time)) {
        return false;
    }
    const uint8_t type = *p++;
    const unsigned nargs = type < NUM_EVENTS ? event_args[type] : 0;
    if (nargs == 0) {
        return gt_bad(g, "byte %u is not an event", (unsigned)type);
    }
    uint64_t units = 0;
    int64_t ns = 0;
    if (!gt_uvarint(&p, end, &units)) {
        return gt_bad(g, "an event's time is damaged");
    }
    for (unsigned i = 0; i + 1 < nargs; i++) {
        if (!gt_uvarint(&p, end, &c->ev.args[i])) {
            return gt_bad(g, "an event is damaged");
        }
    }
    if (!to_ns(g, units, &ns)) {
        return false;
    }
    if (ns > INT64_MAX / 2 - c->last_time) {
        return gt_bad(g, "an event's time is impossible");
    }
    c->ev.type = type;
    c->ev.time = c->last_time += ns;
    c->at = (uint32_t)(p - b->data);
    return true;
}

// ---- generations ------------------------------------------------------------------------

// start_generation makes the events of a complete generation ready to run.
static bool
start_generation(gh_gotrace *g)
{
    g->at = g->gen_offset;
    if (g->freq == 0) {
        return gt_bad(g, "generation %llu has no clock frequency",
                      (unsigned long long)g->gen);
    }
    if (g->version >= 25 && !g->snapshot) {
        return gt_bad(g, "generation %llu has no clock snapshot",
                      (unsigned long long)g->gen);
    }
    if (!read_strings(g) || !gt_heap_types(g)) {
        return false;
    }
    g->at = g->gen_offset;
    for (size_t i = 0; i < g->nsamples; i++) {
        if (!to_ns(g, (uint64_t)g->sample[i], &g->sample[i])) {
            return false;
        }
    }
    if (g->nsamples > 0) {
        qsort(g->sample, g->nsamples, sizeof(*g->sample), earlier);
    }
    // A generation begins with an event of its own, which Go calls Sync.
    int64_t sync = 0;
    if (!to_ns(g, g->min_time, &sync)) {
        return false;
    }
    gt_stamp(g, sync);
    if (!g->started) {
        g->started = true;
        g->start_time = g->last_time;
        g->first_gen = g->gen;
    }
    free(g->heap);
    g->heap = malloc((g->ncursors + 1) * sizeof(*g->heap));
    if (g->heap == NULL) {
        return gt_no_memory(g);
    }
    g->nheap = 0;
    for (size_t i = 0; i < g->ncursors; i++) {
        bool more;
        g->cursor[i].at = 0;
        g->cursor[i].last_time = 0;
        if (!next_event(g, &g->cursor[i], &more)) {
            return false;
        }
        if (more) {
            g->heap[g->nheap++] = i;
            sift_up(g, g->nheap - 1);
        }
    }
    g->running = true;
    g->ngens++;
    return true;
}

// cut says that the trace ends before its present generation does. The
// generations before it stand; what is left of this one is dropped and counted.
static bool
cut(gh_gotrace *g)
{
    if (g->ngens == 0) {
        g->at = g->fed;
        return gt_bad(g, "the trace ends inside its first generation");
    }
    if (g->gen != 0 || g->spill != NULL) {
        g->repairs[GT_CUT_BYTES] += g->fed - g->gen_offset;
    } else {
        g->repairs[GT_CUT_BYTES] += g->in_end - g->in_at;
    }
    drop_generation(g);
    g->finished = true;
    return true;
}

static bool
begin_generation(gh_gotrace *g, gt_batch *b, uint64_t gen, uint64_t offset)
{
    g->gen = gen;
    g->gen_offset = offset;
    g->min_time = b->time;
    return add_batch(g, b);
}

// read_generation takes batches until a generation is complete: *ready. Else more
// bytes are needed, or the trace has ended.
static bool
read_generation(gh_gotrace *g, bool *ready)
{
    *ready = false;
    if (g->spill != NULL && g->gen == 0) {
        gt_batch *b = g->spill;
        g->spill = NULL;
        if (!begin_generation(g, b, g->spill_gen, b->offset)) {
            return false;
        }
    }
    for (;;) {
        uint64_t gen = 0;
        gt_batch *b = NULL;
        const uint64_t offset = g->in_offset;
        switch (read_batch(g, &gen, &b)) {
        case BATCH_BAD:
            return false;
        case NO_BYTES:
            if (!g->last) {
                return true;
            }
            if (g->in_at != g->in_end) {
                return cut(g);
            }
            if (g->gen == 0) {
                g->finished = true;
                return g->ngens > 0 || gt_bad(g, "the trace has no events");
            }
            // Before Go 1.26 a generation ends where the next one begins, or at
            // the end; its clock comes last.
            if (g->version >= 26 || g->freq == 0) {
                return cut(g);
            }
            *ready = true;
            return true;
        case GENERATION_END:
            if (g->gen == 0) {
                return gt_bad(g, "a generation without batches");
            }
            *ready = true;
            return true;
        case BATCH:
            break;
        }
        if (g->gen == 0) {
            if (!begin_generation(g, b, gen, offset)) {
                return false;
            }
            continue;
        }
        if (gen == g->gen + 1 && g->version < 26) {
            g->spill = b;
            g->spill_gen = gen;
            *ready = true;
            return true;
        }
        if (gen != g->gen) {
            free_batch(g, b);
            return gt_bad(g, "a batch of generation %llu inside generation %llu",
                          (unsigned long long)gen, (unsigned long long)g->gen);
        }
        if (g->min_time == 0 || b->time < g->min_time) {
            g->min_time = b->time;
        }
        if (!add_batch(g, b)) {
            return false;
        }
    }
}

// try_advance takes the event of thread number i of the heap, if it may come now.
static gt_advance
try_advance(gh_gotrace *g, size_t i)
{
    gt_cursor *c = &g->cursor[g->heap[i]];
    const gt_batch *b = c->batches.first;
    g->at = b != NULL ? b->offset + c->at : g->gen_offset;
    const gt_advance res = gt_order_advance(g, &c->ev, c->m);
    if (res != GT_ADVANCED) {
        return res;
    }
    bool more;
    if (!next_event(g, c, &more)) {
        return GT_FAILED;
    }
    if (!more) {
        heap_remove(g, i);
    } else if (sift_up(g, i) == i) {
        sift_down(g, i);
    }
    return GT_ADVANCED;
}

static bool
run_event(gh_gotrace *g)
{
    // CPU samples mean nothing here, but take their place in time.
    if (g->sample_at < g->nsamples
        && (g->nheap == 0 || g->sample[g->sample_at] < time_at(g, 0))) {
        gt_stamp(g, g->sample[g->sample_at++]);
        return true;
    }
    gt_advance res = try_advance(g, 0);
    if (res == GT_WAIT) {
        sort_heap(g);
        for (size_t i = 1; i < g->nheap && res == GT_WAIT; i++) {
            res = try_advance(g, i);
        }
        if (res == GT_WAIT) {
            return gt_bad(g, "no thread's next event fits the order of "
                          "generation %llu", (unsigned long long)g->gen);
        }
    }
    return res == GT_ADVANCED;
}

static bool
columns_failed(const gh_gotrace *g)
{
    for (size_t i = 0; i < NUM_COLUMNS; i++) {
        if (g->col[i].failed) {
            return true;
        }
    }
    return false;
}

// finish is the end of the trace: Go's parser gives one more Sync event there.
static void
finish(gh_gotrace *g)
{
    gt_stamp(g, g->last_time);
    g->sum.duration_ns = g->last_time - g->start_time;
    g->ended = GH_GOTRACE_DONE;
    if (!g->info) {
        g->at = 0;
        gt_bad(g, "the trace has no alloc and free events: record it with "
                  "GODEBUG=traceallocfree=1 in the environment");
    }
}

static gh_gotrace_result
run(gh_gotrace *g, uint64_t max_events)
{
    if (g->version == 0) {
        g->at = 0;
        if (g->in_end - g->in_at < HEADER_BYTES && !g->last) {
            return GH_GOTRACE_NEED;
        }
        if (!read_header(g)) {
            return g->ended;
        }
    }
    for (;;) {
        while (g->running && (g->nheap > 0 || g->sample_at < g->nsamples)) {
            if (max_events == 0) {
                return GH_GOTRACE_BUDGET;
            }
            max_events--;
            if (!run_event(g)) {
                return g->ended;
            }
            if (columns_failed(g)) {
                gt_no_memory(g);
                return g->ended;
            }
        }
        if (g->running) {
            g->running = false;
            drop_generation(g);
        }
        if (g->finished) {
            finish(g);
            return g->ended;
        }
        bool ready;
        if (!read_generation(g, &ready)) {
            return g->ended;
        }
        if (ready) {
            if (!start_generation(g)) {
                return g->ended;
            }
        } else if (!g->finished) {
            return GH_GOTRACE_NEED;
        }
    }
}

gh_gotrace_result
gh_gotrace_step(gh_gotrace *g, uint64_t max_events, gh_gotrace_error *err)
{
    if (g->ended == GH_GOTRACE_BUDGET) {
        for (size_t i = 0; i < NUM_COLUMNS; i++) {
            g->col[i].n = 0;
        }
        const gh_gotrace_result res = run(g, max_events);
        if (res == GH_GOTRACE_NEED || res == GH_GOTRACE_BUDGET) {
            return res;
        }
    }
    if (g->ended == GH_GOTRACE_BAD) {
        *err = g->error;
    }
    return g->ended;
}

// ---- what comes out ---------------------------------------------------------------------

size_t
gh_gotrace_log(const gh_gotrace *g, const char **out)
{
    *out = g->log;
    return g->log_len;
}

size_t
gh_gotrace_forced(const gh_gotrace *g, const uint32_t **out)
{
    *out = g->forced;
    return g->nforced;
}

void
gh_gotrace_summary_get(const gh_gotrace *g, gh_gotrace_summary *out)
{
    *out = g->sum;
    out->fed = g->fed;
    out->generations = g->ngens;
    out->objects = g->nobj;
}
