// test_proc.c: Ps, and coming in and going out, on one thread and on several.

#include <pthread.h>
#include <stdatomic.h>

#include "check.h"
#include "heap.h"
#include "lock.h"
#include "proc.h"

static void
print_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static gh_heap *
new_heap(int32_t procs)
{
    gh_options o;
    gh_options_init(&o);
    o.procs = procs;
    o.address_space = (uint64_t)1 << 30;
    gh_heap *h;
    CHECK(gh_heap_new(&o, &h) == GH_OK);
    return h;
}

static void
end(gh_heap *h)
{
    gh_mut *m;
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    CHECK_EQ(gh_verify(m, print_line, NULL), 0);
    gh_leave(m);
    gh_heap_free(h);
}

// Which P one gets, and that a refused entry leaves the heap free.
static void
test_enter(void)
{
    gh_heap *h = new_heap(4);
    gh_mut *m, *n = NULL;
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    CHECK_EQ(gh_mut_p(m), 0);
    CHECK(gh_mut_heap(m) == h);
    CHECK(gh_try_enter(h, GH_ANY_P, &n) == GH_AGAIN);
    CHECK(gh_try_enter(h, 3, &n) == GH_AGAIN);
    CHECK(n == NULL);
    CHECK(!gh_poll(m));
    gh_leave(m);
    CHECK(gh_enter(h, 4, &n) == GH_ERR_INVAL);
    CHECK(gh_enter(h, -2, &n) == GH_ERR_INVAL);
    CHECK(gh_try_enter(h, 4, &n) == GH_ERR_INVAL);
    CHECK(n == NULL);
    CHECK(gh_try_enter(h, 2, &m) == GH_OK);
    CHECK_EQ(gh_mut_p(m), 2);
    gh_leave(m);
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    CHECK_EQ(gh_mut_p(m), 2);
    CHECK(gh_switch_p(&m, 1) == GH_OK);
    CHECK_EQ(gh_mut_p(m), 1);
    n = m;
    CHECK(gh_switch_p(&m, 4) == GH_ERR_INVAL);
    CHECK(gh_switch_p(&m, -1) == GH_ERR_INVAL);
    CHECK(m == n);
    gh_leave(m);
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    CHECK_EQ(gh_mut_p(m), 1);
    gh_leave(m);
    end(h);
}

// Each P has its own span of a class; a P that ends gives its spans and pages
// back, and its objects stay.
static void
test_procs(void)
{
    gh_heap *h = new_heap(1);
    gh_mut *m;
    gh_slots *b;
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    CHECK(gh_slots_new(h, 8, &b) == GH_OK);
    CHECK(gh_set_procs(m, 0) == GH_ERR_INVAL);
    CHECK(gh_set_procs(m, GH_MAX_PROCS + 1) == GH_ERR_INVAL);
    CHECK(gh_set_procs(m, 8) == GH_OK);
    CHECK_EQ(gh_procs(h), 8);
    for (int32_t i = 0; i < 8; i++) {
        CHECK(gh_switch_p(&m, i) == GH_OK);
        CHECK(gh_alloc(m, gh_slots_at(b, (size_t)i), 1000) == GH_OK);
        const gh_mspan *s = gh_span_of(h, gh_slots_at(b, (size_t)i)->word);
        CHECK_EQ(s->cached_by, (unsigned)i);
        CHECK_EQ(s->alloc_count, 1);
        // The first page came straight from the growth.
        CHECK_EQ(gh_page_cache_empty(&m->pcache), i == 0);
    }
    CHECK_EQ(h->pages_in_use, 8);
    CHECK(gh_set_procs(m, 7) == GH_ERR_STATE);  // it holds P 7
    CHECK_EQ(gh_procs(h), 8);
    CHECK(gh_switch_p(&m, 1) == GH_OK);
    CHECK(gh_set_procs(m, 2) == GH_OK);
    CHECK_EQ(gh_procs(h), 2);
    CHECK_EQ(gh_mut_p(m), 1);
    for (size_t i = 0; i < 8; i++) {
        const gh_mspan *s = gh_span_of(h, gh_slots_at(b, i)->word);
        CHECK_EQ((uint64_t)s->cached_by, i < 2 ? i : (uint64_t)-1);
        CHECK_EQ(s->set != NULL, i >= 2);
    }
    CHECK_EQ(h->stats.small_alloc_count[32], 6);
    CHECK_EQ(gh_verify(m, print_line, NULL), 0);
    // Their pages are to be had again: P 7's block of 64 but the page of its
    // span, and what nobody had taken.
    CHECK(gh_alloc(m, gh_slots_at(b, 0), 127 * 8192) == GH_OK);
    CHECK_EQ(gh_addr(h, gh_slots_at(b, 0)), GH_ADDR_BASE + 385 * 8192);
    gh_memstats s;
    gh_stats(m, &s);
    CHECK_EQ(s.heap_sys, 4 << 20);
    gh_flush_p(m, 1);
    CHECK(h->allp[1]->mcache.alloc[65] == &h->empty_mspan);
    CHECK(h->allp[0]->mcache.alloc[65] != &h->empty_mspan);
    CHECK(gh_set_procs(m, GH_MAX_PROCS) == GH_OK);
    CHECK(gh_gc(m) == GH_OK);
    gh_slots_free(b);
    gh_leave(m);
    end(h);
}

// Ps that can't be had: their number is what it was.
static void
test_procs_fail(void)
{
    gh_mem_fault fault = {0};
    gh_options o;
    gh_options_init(&o);
    o.mem_ops = gh_mem_fault_ops();
    o.mem_ctx = &fault;
    gh_heap *h;
    gh_mut *m;
    CHECK(gh_heap_new(&o, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    gh_memstats before, after;
    gh_stats(m, &before);
    fault.fail_from = fault.calls;
    fault.fail_count = UINT64_MAX;
    CHECK(gh_set_procs(m, GH_MAX_PROCS) == GH_ERR_NOMEM);
    CHECK_EQ(gh_procs(h), 1);
    gh_stats(m, &after);
    CHECK_EQ(after.mcache_inuse, before.mcache_inuse);
    CHECK_EQ(gh_verify(m, print_line, NULL), 0);
    fault.fail_count = 0;
    CHECK(gh_set_procs(m, GH_MAX_PROCS) == GH_OK);
    gh_leave(m);
    end(h);
    CHECK_EQ(fault.bytes, 0);
}

// ---- threads -------------------------------------------------------------------

typedef struct shared {
    gh_heap *h;
    gh_slots *b;
    int inside;      // plain: only the holder touches it
    uint64_t sum;
    atomic_bool stop;
    atomic_uint stopped;
    atomic_uint entries;
} shared;

typedef struct worker {
    shared *s;
    unsigned id;
    uint64_t tries, refused;
} worker;

enum { WORKERS = 4, TURNS = 20000 };

static void
work(shared *s, gh_mut *m, unsigned id)
{
    CHECK_EQ(s->inside, 0);
    s->inside = 1;
    CHECK(s->h->inside == m);
    CHECK(gh_alloc(m, gh_slots_at(s->b, id), 1000 + id) == GH_OK);
    s->sum++;
    s->inside = 0;
}

static void *
enter_and_leave(void *arg)
{
    worker *w = arg;
    for (unsigned i = 0; i < TURNS; i++) {
        gh_mut *m;
        const int32_t p = i % 3 == 0 ? GH_ANY_P : (int32_t)w->id;
        if (i % 5 == 0) {
            gh_status st;
            while ((st = gh_try_enter(w->s->h, p, &m)) == GH_AGAIN) {
                w->refused++;
            }
            CHECK(st == GH_OK);
        } else if (i % 7 == 0) {
            // A refused entry wakes the next one too.
            CHECK(gh_enter(w->s->h, 99, &m) == GH_ERR_INVAL);
            continue;
        } else {
            CHECK(gh_enter(w->s->h, p, &m) == GH_OK);
        }
        work(w->s, m, w->id);
        gh_leave(m);
        w->tries++;
    }
    return NULL;
}

// One at a time, and nobody waits for ever.
static void
test_exclusion(void)
{
    shared s = {.h = new_heap(WORKERS)};
    CHECK(gh_slots_new(s.h, WORKERS, &s.b) == GH_OK);
    pthread_t t[WORKERS];
    worker w[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        w[i] = (worker){.s = &s, .id = i};
        CHECK(pthread_create(&t[i], NULL, enter_and_leave, &w[i]) == 0);
    }
    uint64_t n = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        CHECK(pthread_join(t[i], NULL) == 0);
        n += w[i].tries;
    }
    CHECK_EQ(s.sum, n);
    CHECK_EQ(atomic_load(&s.h->waiters), 0);
    CHECK(gh_cycles(s.h) > 5);
    gh_slots_free(s.b);
    end(s.h);
}

static void *
enter_until_stopped(void *arg)
{
    worker *w = arg;
    while (!atomic_load(&w->s->stop)) {
        gh_mut *m;
        CHECK(gh_enter(w->s->h, (int32_t)w->id, &m) == GH_OK);
        work(w->s, m, w->id);
        atomic_fetch_add(&w->s->entries, 1);
        gh_leave(m);
    }
    atomic_fetch_add(&w->s->stopped, 1);
    return NULL;
}

// A long run polls: whoever waits comes in, and the runner gets its own P back
// with everything as it should be. Before 10 ms it does not give way.
static void
test_poll(void)
{
    shared s = {.h = new_heap(3)};
    CHECK(gh_slots_new(s.h, 3, &s.b) == GH_OK);
    gh_mut *m;
    CHECK(gh_enter(s.h, 2, &m) == GH_OK);
    uint32_t handle;
    CHECK(gh_handle_new(m, &handle) == GH_OK);
    CHECK(gh_alloc(m, gh_handle_slot(s.h, handle), 100) == GH_OK);
    pthread_t t[2];
    worker w[2];
    for (unsigned i = 0; i < 2; i++) {
        w[i] = (worker){.s = &s, .id = i};
        CHECK(pthread_create(&t[i], NULL, enter_until_stopped, &w[i]) == 0);
    }
    unsigned handed = 0;
    while (handed < 5) {
        const unsigned before = atomic_load(&s.entries);
        const int64_t from = gh_nanotime();
        while (!gh_poll(m)) {
            work(&s, m, 2);
        }
        handed++;
        CHECK(gh_nanotime() - from >= 10000000);
        CHECK(atomic_load(&s.entries) > before);
        CHECK(s.h->inside == m);
        CHECK_EQ(gh_mut_p(m), 2);
        if (handed == 1) {
            gh_handle_drop(s.h, handle);
        } else if (handed == 2) {
            CHECK_EQ(gh_handle_slot(s.h, handle)->word, 0);
        }
    }
    atomic_store(&s.stop, true);
    // The others find the end only through a heap that is given away.
    while (atomic_load(&s.stopped) < 2) {
        (void)gh_poll(m);
    }
    gh_leave(m);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(pthread_join(t[i], NULL) == 0);
    }
    CHECK_EQ(atomic_load(&s.h->waiters), 0);
    gh_slots_free(s.b);
    end(s.h);
}

static void *
poll_until_stopped(void *arg)
{
    worker *w = arg;
    gh_mut *m;
    CHECK(gh_enter(w->s->h, (int32_t)w->id, &m) == GH_OK);
    while (!atomic_load(&w->s->stop)) {
        work(w->s, m, w->id);
        if (gh_poll(m)) {
            CHECK_EQ(gh_mut_p(m), w->id);
            if (atomic_fetch_add(&w->s->entries, 1) == 10) {
                atomic_store(&w->s->stop, true);
            }
        }
    }
    gh_leave(m);
    return NULL;
}

// Several long runs take turns by polling alone.
static void
test_pollers(void)
{
    shared s = {.h = new_heap(3)};
    CHECK(gh_slots_new(s.h, 3, &s.b) == GH_OK);
    pthread_t t[3];
    worker w[3];
    for (unsigned i = 0; i < 3; i++) {
        w[i] = (worker){.s = &s, .id = i};
        CHECK(pthread_create(&t[i], NULL, poll_until_stopped, &w[i]) == 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        CHECK(pthread_join(t[i], NULL) == 0);
    }
    CHECK(atomic_load(&s.entries) >= 10);
    CHECK_EQ(atomic_load(&s.h->waiters), 0);
    gh_slots_free(s.b);
    end(s.h);
}

static void *
poll_on_one_p(void *arg)
{
    worker *w = arg;
    gh_mut *m;
    CHECK(gh_enter(w->s->h, 1, &m) == GH_OK);
    w->s->inside++;  // here: who has entered and not left
    while (!atomic_load(&w->s->stop)) {
        if (!gh_poll(m)) {
            continue;
        }
        if (atomic_fetch_add(&w->s->entries, 1) == 5) {
            atomic_store(&w->s->stop, true);
        }
        if (w->s->inside == 2) {
            // The other one stands back on P 1 as well: it must not end.
            CHECK(gh_switch_p(&m, 0) == GH_OK);
            CHECK(gh_set_procs(m, 1) == GH_ERR_STATE);
            CHECK_EQ(gh_procs(w->s->h), 2);
            CHECK(gh_switch_p(&m, 1) == GH_OK);
        }
    }
    w->s->inside--;
    gh_leave(m);
    return NULL;
}

// A P stays while somebody stands back on it in a poll.
static void
test_parked(void)
{
    shared s = {.h = new_heap(2)};
    pthread_t t[2];
    worker w[2];
    for (unsigned i = 0; i < 2; i++) {
        w[i] = (worker){.s = &s, .id = i};
        CHECK(pthread_create(&t[i], NULL, poll_on_one_p, &w[i]) == 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        CHECK(pthread_join(t[i], NULL) == 0);
    }
    gh_mut *m;
    CHECK(gh_enter(s.h, 0, &m) == GH_OK);
    CHECK(gh_set_procs(m, 1) == GH_OK);
    gh_leave(m);
    end(s.h);
}

int
main(void)
{
    test_enter();
    test_procs();
    test_procs_fail();
    test_exclusion();
    test_poll();
    test_pollers();
    test_parked();
    return 0;
}
