// Four threads on one heap that share what is in it, each with a job of its own:
// alloc, store, drop, collect. Under -fsanitize=thread (make tsan) there must be no
// report. An argument is the number of seconds.
//
// Each object of a ring has a number in word 1, and its neighbour in word 0: so a
// lost object, or one that was handed out twice, is seen by who reads it.

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "goheap.h"

enum { THREADS = 4, RING = 400, HANDLES = 64 };

typedef struct shared {
    gh_heap *h;
    const gh_type *node;  // two words, the first a pointer
    gh_slots *ring;       // of all threads
    atomic_bool stop;
    // Handles that the allocating thread made and the dropping thread drops,
    // without a P; 0: none.
    _Atomic uint32_t handle[HANDLES];
    _Atomic(gh_pin *) pin;
    atomic_ullong steps[THREADS];
    atomic_ullong polls;
} shared;

typedef struct worker {
    shared *s;
    unsigned id;
    uint64_t seed;
} worker;

static void
print_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static uint64_t
draw(worker *w, uint64_t below)
{
    w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
    return (w->seed >> 33) % below;
}

static gh_mut *
enter(worker *w)
{
    gh_mut *m;
    // Now and then on a P of its own choice, which may just have ended.
    const int32_t p = draw(w, 3) == 0 ? (int32_t)draw(w, 3) : GH_ANY_P;
    if (gh_try_enter(w->s->h, p, &m) == GH_OK) {
        return m;
    }
    CHECK(gh_enter(w->s->h, GH_ANY_P, &m) == GH_OK);
    return m;
}

static void
put_node(shared *s, gh_mut *m, gh_slot *slot, uint64_t number)
{
    CHECK(gh_new(m, slot, s->node, 1) == GH_OK);
    ((uint64_t *)gh_data(slot))[1] = number;
}

// check_node reads through a pointer and looks whether a node is there.
static void
check_node(gh_mut *m, gh_slot *tmp, const gh_slot *from)
{
    if (from->word == 0) {
        return;
    }
    CHECK(((const uint64_t *)gh_data(from))[1] < RING);
    CHECK(gh_load(m, tmp, from, 0) == GH_OK);
    if (tmp->word != 0) {
        CHECK(((const uint64_t *)gh_data(tmp))[1] < RING);
    }
    gh_clear(m, tmp);
}

// alloc: garbage of all sizes, nodes into the ring, and handles for others.
static void
job_alloc(worker *w)
{
    static const uint64_t sizes[] = {0, 3, 8, 15, 24, 100, 512, 2000, 9000, 33000,
                                     200000};
    shared *s = w->s;
    gh_mut *m = enter(w);
    uint32_t id;
    CHECK(gh_handle_new(m, &id) == GH_OK);
    gh_slot *slot = gh_handle_slot(s->h, id);
    for (unsigned i = 0; i < 50; i++) {
        const uint64_t k = draw(w, RING);
        CHECK(gh_alloc(m, slot, sizes[draw(w, 11)]) == GH_OK);
        put_node(s, m, gh_slots_at(s->ring, k), k);
        if (gh_poll(m)) {
            atomic_fetch_add(&s->polls, 1);
        }
    }
    put_node(s, m, slot, 7);
    gh_pin *pin = NULL;
    if (draw(w, 4) == 0) {
        CHECK(gh_pin_new(m, slot, &pin) == GH_OK);
    }
    gh_leave(m);
    if (pin != NULL) {
        gh_pin *old = atomic_exchange(&s->pin, pin);
        if (old != NULL) {
            gh_pin_free(old);  // needs no P
        }
    }
    const uint32_t before = atomic_exchange(&s->handle[draw(w, HANDLES)], id);
    if (before != 0) {
        gh_handle_drop(s->h, before);
    }
}

// store: neighbours in the ring, in both directions.
static void
job_store(worker *w)
{
    shared *s = w->s;
    gh_mut *m = enter(w);
    uint32_t id;
    CHECK(gh_handle_new(m, &id) == GH_OK);
    gh_slot *tmp = gh_handle_slot(s->h, id);
    for (unsigned i = 0; i < 100; i++) {
        gh_slot *a = gh_slots_at(s->ring, draw(w, RING));
        gh_slot *b = gh_slots_at(s->ring, draw(w, RING));
        if (a->word != 0) {
            CHECK(gh_store(m, a, 0, draw(w, 8) == 0 ? NULL : b) == GH_OK);
        }
        check_node(m, tmp, b);
        (void)gh_poll(m);
    }
    gh_leave(m);
    gh_handle_drop(s->h, id);
}

// drop: slots of the ring with a P, handles and pins without one.
static void
job_drop(worker *w)
{
    shared *s = w->s;
    for (unsigned i = 0; i < 8; i++) {
        const uint32_t id = atomic_exchange(&s->handle[draw(w, HANDLES)], 0);
        if (id != 0) {
            gh_handle_drop(s->h, id);
        }
    }
    gh_pin *pin = atomic_exchange(&s->pin, NULL);
    if (pin != NULL) {
        gh_pin_free(pin);
    }
    gh_mut *m = enter(w);
    for (unsigned i = 0; i < 20; i++) {
        gh_clear(m, gh_slots_at(s->ring, draw(w, RING)));
    }
    gh_leave(m);
}

// collect: whole cycles, cycles by hand that give way between two steps, figures,
// settings, and the heap's own check.
static void
job_collect(worker *w)
{
    shared *s = w->s;
    gh_mut *m = enter(w);
    const uint64_t what = draw(w, 8);
    if (what < 3) {
        CHECK(gh_gc(m) == GH_OK);
    } else if (what == 3) {
        const gh_status st = gh_gc_start(m);
        CHECK(st == GH_OK || st == GH_ERR_STATE);
    } else if (what == 4 && gh_gc_phase(s->h) != GH_PHASE_OFF) {
        uint64_t left;
        CHECK(gh_gc_step(m, draw(w, 100), NULL, NULL, &left) == GH_OK);
        (void)gh_poll(m);
    } else if (what == 5) {
        (void)gh_set_gogc(m, (int32_t)draw(w, 300) - 1);
        const gh_status st = gh_set_procs(m, 1 + gh_mut_p(m)
                                                 + (int32_t)draw(w, 3));
        CHECK(st == GH_OK || st == GH_ERR_STATE);
    } else if (what == 6) {
        CHECK(gh_free_os_memory(m) == GH_OK);
    } else {
        gh_memstats a, b;
        gh_stats(m, &a);
        gh_read_mem_stats(m, &b);
        CHECK_EQ(a.mallocs - a.frees, b.heap_objects);
    }
    if (draw(w, 4) == 0) {
        CHECK_EQ(gh_verify(m, print_line, NULL), 0);
    }
    gh_leave(m);
}

static void *
run(void *arg)
{
    static void (*const jobs[THREADS])(worker *) = {job_alloc, job_store, job_drop,
                                                    job_collect};
    worker *w = arg;
    while (!atomic_load_explicit(&w->s->stop, memory_order_relaxed)) {
        jobs[w->id](w);
        atomic_fetch_add_explicit(&w->s->steps[w->id], 1, memory_order_relaxed);
    }
    return NULL;
}

int
main(int argc, char **argv)
{
    const int seconds = argc > 1 ? atoi(argv[1]) : 1;
    static shared s;
    gh_options o;
    gh_options_init(&o);
    o.procs = 3;
    o.gogc = 50;
    o.track_types = true;
    o.policy.eager_sweep = false;
    o.policy.min_heap = 1 << 18;
    CHECK(gh_heap_new(&o, &s.h) == GH_OK);
    CHECK(gh_slots_new(s.h, RING, &s.ring) == GH_OK);
    gh_mut *m;
    CHECK(gh_enter(s.h, GH_ANY_P, &m) == GH_OK);
    static const uint64_t mask[1] = {1};
    const gh_type_desc desc = {.name = "node", .size = 16, .align = 8, .ptrdata = 8,
                               .mask = mask};
    CHECK(gh_type_new(m, &desc, &s.node) == GH_OK);
    gh_leave(m);

    pthread_t thread[THREADS];
    worker w[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (worker){.s = &s, .id = i, .seed = i + 1};
        CHECK(pthread_create(&thread[i], NULL, run, &w[i]) == 0);
    }
    struct timespec t = {.tv_sec = seconds};
    (void)nanosleep(&t, NULL);
    atomic_store(&s.stop, true);
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK(pthread_join(thread[i], NULL) == 0);
    }

    CHECK(gh_enter(s.h, GH_ANY_P, &m) == GH_OK);
    CHECK_EQ(gh_verify(m, print_line, NULL), 0);
    CHECK(gh_gc(m) == GH_OK);
    CHECK_EQ(gh_verify(m, print_line, NULL), 0);
    gh_leave(m);
    if (argc > 1) {
        printf("%d s: alloc %llu, store %llu, drop %llu, collect %llu steps, "
               "%llu times handed on, %llu cycles\n", seconds,
               (unsigned long long)s.steps[0], (unsigned long long)s.steps[1],
               (unsigned long long)s.steps[2], (unsigned long long)s.steps[3],
               (unsigned long long)s.polls, (unsigned long long)gh_cycles(s.h));
    }
    gh_pin *pin = atomic_load(&s.pin);
    gh_slots_free(s.ring);
    gh_heap_free(s.h);
    if (pin != NULL) {
        gh_pin_free(pin);  // its memory outlived the heap
    }
    return 0;
}
