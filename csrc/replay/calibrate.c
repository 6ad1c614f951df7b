// calibrate.c: prices measured. See calibrate.h.
//
// Of several runs the fastest counts: what makes one slower (another process, an
// interrupt) is not the work's.

#define _POSIX_C_SOURCE 200809L  // clock_gettime

#include "calibrate.h"

#include <pthread.h>
#include <time.h>

#define RUNS 5

static double
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

// bench is a heap that collects only when asked, with somebody inside.
typedef struct bench {
    gh_heap *heap;
    gh_mut *m;
    gh_slots *slots;
} bench;

static void
bench_end(bench *b)
{
    gh_slots_free(b->slots);
    gh_leave(b->m);
    gh_heap_free(b->heap);
}

static gh_status
bench_new(bench *b, size_t nslots)
{
    gh_options opt;
    gh_options_init(&opt);
    opt.gogc = -1;
    opt.track_types = false;
    opt.policy.eager_sweep = false;
    gh_status st = gh_heap_new(&opt, &b->heap);
    if (st != GH_OK) {
        return st;
    }
    st = gh_slots_new(b->heap, nslots, &b->slots);
    if (st == GH_OK) {
        st = gh_enter(b->heap, GH_ANY_P, &b->m);
        if (st != GH_OK) {
            gh_slots_free(b->slots);
        }
    }
    if (st != GH_OK) {
        gh_heap_free(b->heap);
    }
    return st;
}

static void
keep_least(double *least, double x)
{
    if (*least == 0 || x < *least) {
        *least = x;
    }
}

// ---- an allocation, and a byte of it ------------------------------------------------

static const uint64_t sizes[] = {16, 32, 64, 128, 256, 512, 1024, 2048};
#define NSIZES (sizeof(sizes) / sizeof(sizes[0]))
#define ALLOC_BYTES ((uint64_t)4 << 20)

// alloc_ns is one allocation of size, on memory that was used before.
static gh_status
alloc_ns(bench *b, uint64_t size, double *ns)
{
    const uint64_t n = ALLOC_BYTES / size;
    gh_slot *slot = gh_slots_at(b->slots, 0);
    *ns = 0;
    for (int run = 0; run <= RUNS; run++) {
        gh_clear(b->m, slot);
        gh_status st = gh_gc(b->m);
        const double begin = now_ns();
        for (uint64_t i = 0; i < n && st == GH_OK; i++) {
            st = gh_alloc(b->m, slot, size);
        }
        if (st != GH_OK) {
            return st;
        }
        if (run > 0) {  // the first finds new memory
            keep_least(ns, (now_ns() - begin) / (double)n);
        }
    }
    return GH_OK;
}

// measure_alloc fits a straight line through the prices of the sizes.
static gh_status
measure_alloc(gh_costs *c)
{
    bench b;
    gh_status st = bench_new(&b, 1);
    if (st != GH_OK) {
        return st;
    }
    double n = 0, x = 0, y = 0, xx = 0, xy = 0;
    for (size_t i = 0; i < NSIZES && st == GH_OK; i++) {
        double ns;
        st = alloc_ns(&b, sizes[i], &ns);
        const double size = (double)sizes[i];
        n++;
        x += size;
        y += ns;
        xx += size * size;
        xy += size * ns;
    }
    bench_end(&b);
    const double slope = (n * xy - x * y) / (n * xx - x * x);
    c->alloc_byte = slope > 0 ? slope : 0;
    c->alloc = (y - c->alloc_byte * x) / n;
    if (c->alloc < 1) {
        c->alloc = 1;
    }
    return st;
}

// ---- a byte scanned, and a page swept -----------------------------------------------

#define NODES 200000u

typedef struct marks {
    double begin, end;
} marks;

static void
note_mark(void *arg, const gh_event *e)
{
    marks *m = arg;
    *(e->kind == GH_EV_GC_START ? &m->begin : &m->end) = now_ns();
}

// graph makes NODES nodes of 64 bytes whose first and last words point at others, so
// that all of a node is scan work.
static gh_status
graph(bench *b)
{
    const uint64_t mask = 1u << 7 | 1;
    const gh_type_desc desc = {.name = "node", .size = 64, .align = 8,
                               .ptrdata = 64, .mask = &mask};
    const gh_type *t;
    gh_status st = gh_type_new(b->m, &desc, &t);
    for (uint32_t i = 0; i < NODES && st == GH_OK; i++) {
        st = gh_new(b->m, gh_slots_at(b->slots, i), t, 1);
    }
    uint64_t x = 88172645463325252u;
    for (uint32_t i = 0; i < NODES && st == GH_OK; i++) {
        for (uint64_t word = 0; word < 8 && st == GH_OK; word += 7) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            st = gh_store(b->m, gh_slots_at(b->slots, i), word,
                          gh_slots_at(b->slots, x % NODES));
        }
    }
    return st;
}

static gh_status
measure_cycle(gh_costs *c)
{
    bench b;
    gh_status st = bench_new(&b, NODES);
    if (st != GH_OK) {
        return st;
    }
    marks m = {0};
    gh_listen(b.m, 1u << GH_EV_GC_START | 1u << GH_EV_GC_END, note_mark, &m);
    st = graph(&b);
    c->scan_byte = 0;
    c->sweep_page = 0;
    for (int run = 0; run < RUNS && st == GH_OK; run++) {
        gh_cycle cycle;
        st = gh_gc(b.m);
        const double swept = now_ns();
        if (st == GH_OK) {
            st = gh_cycle_get(b.heap, gh_cycles(b.heap) - 1, &cycle);
        }
        if (st == GH_OK) {
            keep_least(&c->scan_byte,
                       (m.end - m.begin) / (double)cycle.scan_work);
            keep_least(&c->sweep_page,
                       (swept - m.end) / (double)cycle.sweep.pages);
        }
    }
    bench_end(&b);
    return st;
}

// ---- a page first used ----------------------------------------------------------------

#define PAGE       8192u  // Go's
#define OS_PAGE    4096u
#define FRESH      ((uint64_t)16 << 20)

static gh_status
measure_fault(gh_costs *c)
{
    c->page_fault = 0;
    for (int run = 0; run < RUNS; run++) {
        bench b;
        gh_status st = bench_new(&b, 1);
        if (st != GH_OK) {
            return st;
        }
        gh_slot *slot = gh_slots_at(b.slots, 0);
        st = gh_alloc(b.m, slot, FRESH);
        if (st == GH_OK) {
            volatile char *p = gh_data(slot);
            const double begin = now_ns();
            for (uint64_t i = 0; i < FRESH; i += OS_PAGE) {
                p[i] = 1;
            }
            keep_least(&c->page_fault, (now_ns() - begin) / (FRESH / PAGE));
        }
        bench_end(&b);
        if (st != GH_OK) {
            return st;
        }
    }
    return GH_OK;
}

// ---- a stop ---------------------------------------------------------------------------

#define TURNS 2000

// table is where two threads take turns.
typedef struct table {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int turn;  // whose; guarded by lock
} table;

static void
take_turns(table *t, int me)
{
    for (int i = 0; i < TURNS; i++) {
        pthread_mutex_lock(&t->lock);
        while (t->turn != me) {
            pthread_cond_wait(&t->cond, &t->lock);
        }
        t->turn = !me;
        pthread_cond_signal(&t->cond);
        pthread_mutex_unlock(&t->lock);
    }
}

static void *
other(void *arg)
{
    take_turns(arg, 1);
    return NULL;
}

// measure_stop takes a stop for what it costs to have another thread stand still
// and say so: it wakes, and wakes the asker.
static gh_status
measure_stop(gh_costs *c)
{
    c->stop = 0;
    for (int run = 0; run < RUNS; run++) {
        table t = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
        pthread_t thread;
        const double begin = now_ns();
        if (pthread_create(&thread, NULL, other, &t) != 0) {
            return GH_ERR_NOMEM;
        }
        take_turns(&t, 0);
        pthread_join(thread, NULL);
        keep_least(&c->stop, (now_ns() - begin) / TURNS);
        pthread_cond_destroy(&t.cond);
        pthread_mutex_destroy(&t.lock);
    }
    return GH_OK;
}

gh_status
gh_calibrate(gh_costs *out)
{
    gh_costs c;
    gh_costs_init(&c);
    gh_status (*const steps[])(gh_costs *) = {measure_alloc, measure_cycle,
                                              measure_fault, measure_stop};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        const gh_status st = steps[i](&c);
        if (st != GH_OK) {
            return st;
        }
    }
    *out = c;
    return GH_OK;
}
