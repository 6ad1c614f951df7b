// test_schedules.c: all orders of events of a small concurrent heap, up to a few
// deviations.
//
// The core's locks, waits, clock and yield points are replaced by those of a scheduler
// that lets one thread run at a time: this file defines what lock.c and delays.c
// define, so the linker takes neither. A thread runs until it waits, and then the next
// one in turn; at each yield point and each wait one may be passed over. Every set of
// at most `bound` such deviations is run (delay bounding: Emmi, Qadeer and
// Rakamaric, 2011). Time passes only when all wait. After each run the cycle has
// been traced again and the heap is verified.
//
// `test_schedules BOUND` goes further; make test has it go to 2.

#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "delays.h"
#include "goheap.h"
#include "heap.h"

enum { MAX_THREADS = 16, MAX_BOUND = 4 };

// ---- the scheduler -----------------------------------------------------------------

typedef enum what { RUNS, WAITS, ENDED } what;

typedef struct thread {
    pthread_t id;
    pthread_cond_t go;
    what state;
    const void *on;  // a mutex, cond or thread
    int64_t until;   // when it no longer waits
    void *(*fn)(void *arg);
    void *arg;
} thread;

typedef struct mutex {
    int owner;  // number of a thread + 1
    int depth;
} mutex;

_Static_assert(sizeof(mutex) <= sizeof(gh_mutex), "in its place");

static struct {
    pthread_mutex_t big;
    thread t[MAX_THREADS];
    int n, current;
    int64_t now;
    uint64_t points;          // passed in this run
    int ndeviations, next;
    uint64_t at[MAX_BOUND];   // at which points to deviate, ascending
    int refuse_from;          // threads that the OS refuses, by number; 0: none
} sim = {.big = PTHREAD_MUTEX_INITIALIZER};

static void
report(void)
{
    (void)fprintf(stderr, "schedule:");
    for (int i = 0; i < sim.ndeviations; i++) {
        (void)fprintf(stderr, " %llu", (unsigned long long)sim.at[i]);
    }
    (void)fprintf(stderr, " (at point %llu)\n", (unsigned long long)sim.points);
}

static bool succeeded;

static void
report_failure(void)
{
    if (!succeeded) {
        report();
    }
}

// deviates counts a point; whether this is one to deviate at.
static bool
deviates(void)
{
    const uint64_t k = sim.points++;
    if (sim.next < sim.ndeviations && sim.at[sim.next] == k) {
        sim.next++;
        return true;
    }
    return false;
}

// next_after is the next thread in turn that runs, or -1.
static int
next_after(int i)
{
    for (int k = 1; k <= sim.n; k++) {
        const int j = (i + k) % sim.n;
        if (sim.t[j].state == RUNS) {
            return j;
        }
    }
    return -1;
}

// let_time_pass ends the wait that ends first.
static void
let_time_pass(void)
{
    int first = -1;
    for (int i = 0; i < sim.n; i++) {
        if (sim.t[i].state == WAITS
            && (first < 0 || sim.t[i].until < sim.t[first].until)) {
            first = i;
        }
    }
    if (first < 0 || sim.t[first].until == INT64_MAX) {
        report();
        (void)fprintf(stderr, "all wait for each other\n");
        abort();
    }
    if (sim.now < sim.t[first].until) {
        sim.now = sim.t[first].until;
    }
    sim.t[first].state = RUNS;
}

// pass_on has thread number `to` go on, and stops the caller until it is its turn.
static void
pass_on(int me, int to)
{
    if (to == me) {
        return;
    }
    (void)pthread_mutex_lock(&sim.big);
    sim.current = to;
    (void)pthread_cond_signal(&sim.t[to].go);
    while (sim.t[me].state != ENDED && sim.current != me) {
        (void)pthread_cond_wait(&sim.t[me].go, &sim.big);
    }
    (void)pthread_mutex_unlock(&sim.big);
}

// wait_for stops the calling thread until somebody ends its wait.
static void
wait_for(const void *on, int64_t until, what state)
{
    const int me = sim.current;
    sim.t[me].state = state;
    sim.t[me].on = on;
    sim.t[me].until = until;
    int to = next_after(me);
    if (to >= 0 && deviates()) {
        to = next_after(to);
    }
    while (to < 0) {
        let_time_pass();
        to = next_after(me);
    }
    pass_on(me, to);
}

static void
end_waits(const void *on)
{
    for (int i = 0; i < sim.n; i++) {
        if (sim.t[i].state == WAITS && sim.t[i].on == on) {
            sim.t[i].state = RUNS;
        }
    }
}

void
gh_delay(gh_heap *h, gh_point at)
{
    (void)h;
    (void)at;
    if (deviates()) {
        pass_on(sim.current, next_after(sim.current));
    }
}

void
gh_delays_report(const gh_heap *h)
{
    (void)h;
    report();
}

// ---- lock.h ------------------------------------------------------------------------

void
gh_mutex_init(gh_mutex *m)
{
    memset(m, 0, sizeof(*m));
}

void
gh_mutex_fini(gh_mutex *m)
{
    CHECK_EQ(((const mutex *)m)->owner, 0);
}

// own returns whether it had to wait.
static bool
own(mutex *m)
{
    bool waited = false;
    while (m->owner != 0 && m->owner != sim.current + 1) {
        wait_for(m, INT64_MAX, WAITS);
        waited = true;
    }
    m->owner = sim.current + 1;
    m->depth++;
    return waited;
}

void
gh_lock(gh_mutex *mem)
{
    mutex *m = (mutex *)mem;
    CHECK(m->owner != sim.current + 1);  // or it would wait for itself
    (void)own(m);
}

bool
gh_try_lock(gh_mutex *mem)
{
    mutex *m = (mutex *)mem;
    if (m->owner != 0) {
        return false;
    }
    return !own(m);
}

void
gh_unlock(gh_mutex *mem)
{
    mutex *m = (mutex *)mem;
    CHECK_EQ(m->owner, sim.current + 1);
    if (--m->depth == 0) {
        m->owner = 0;
        end_waits(m);
    }
}

void
gh_rmutex_init(gh_rmutex *m)
{
    gh_mutex_init(&m->park);
}

void
gh_rmutex_fini(gh_rmutex *m)
{
    gh_mutex_fini(&m->park);
}

bool
gh_rlock(gh_rmutex *m)
{
    return own((mutex *)&m->park);
}

void
gh_runlock(gh_rmutex *m)
{
    gh_unlock(&m->park);
}

// No other thread runs meanwhile: nothing is gained by a spin.
bool
gh_spins(gh_spin *s)
{
    (void)s;
    return false;
}

void
gh_cond_init(gh_cond *c)
{
    (void)c;
}

void
gh_cond_fini(gh_cond *c)
{
    (void)c;
}

void
gh_cond_wait(gh_cond *c, gh_mutex *m)
{
    gh_cond_wait_until(c, m, INT64_MAX);
}

void
gh_cond_wait_until(gh_cond *c, gh_mutex *m, int64_t end)
{
    gh_unlock(m);
    wait_for(c, end, WAITS);
    gh_lock(m);
}

void
gh_cond_broadcast(gh_cond *c)
{
    end_waits(c);
}

static void *
thread_main(void *arg)
{
    thread *t = arg;
    const int me = (int)(t - sim.t);
    (void)pthread_mutex_lock(&sim.big);
    while (sim.current != me) {
        (void)pthread_cond_wait(&t->go, &sim.big);
    }
    (void)pthread_mutex_unlock(&sim.big);
    (void)t->fn(t->arg);
    end_waits(t);
    wait_for(NULL, INT64_MAX, ENDED);
    return NULL;
}

bool
gh_thread_start(gh_thread *out, void *(*fn)(void *arg), void *arg)
{
    CHECK(sim.n < MAX_THREADS);
    if (sim.refuse_from != 0 && sim.n >= sim.refuse_from) {
        return false;
    }
    thread *t = &sim.t[sim.n];
    *t = (thread){.fn = fn, .arg = arg, .state = RUNS};
    (void)pthread_cond_init(&t->go, NULL);
    sim.n++;
    CHECK(pthread_create(&t->id, NULL, thread_main, t) == 0);
    out->id = t->id;
    return true;
}

void
gh_thread_join(gh_thread *out)
{
    for (int i = 0; i < sim.n; i++) {
        thread *t = &sim.t[i];
        if (i > 0 && pthread_equal(t->id, out->id)) {
            while (t->state != ENDED) {
                wait_for(t, INT64_MAX, WAITS);
            }
            CHECK(pthread_join(t->id, NULL) == 0);
            return;
        }
    }
    CHECK(!"no such thread");
}

uint64_t
gh_thread_self(void)
{
    return (uint64_t)sim.current;
}

void
gh_sleep(int64_t ns)
{
    sim.now += ns;
}

int64_t
gh_nanotime(void)
{
    return sim.now += 100;
}

// ---- what is run ---------------------------------------------------------------------

static const uint64_t node_mask[1] = {3};
static const gh_type_desc node_desc = {
    .name = "node", .size = 32, .align = 8, .ptrdata = 16, .mask = node_mask};

typedef struct world {
    gh_heap *h;
    const gh_type *node;
    gh_slots *slots;  // 0, 1: shared; the others: two for each mutator
} world;

static gh_slot *
slot(const world *w, size_t i)
{
    return gh_slots_at(w->slots, i);
}

static void
say(void *arg, const char *line)
{
    (void)arg;
    (void)fprintf(stderr, "%s\n", line);
}

// take moves the object below the shared one into a slot of its own, where a marker
// may have been already, drops the way there, and hangs it below a new object.
static void *
take(void *arg)
{
    const world *w = arg;
    gh_mut *m;
    gh_slot *x = slot(w, 2), *y = slot(w, 3);
    CHECK(gh_enter(w->h, GH_ANY_P, &m) == GH_OK);
    bool lost = gh_load(m, x, slot(w, 0), 0) != GH_OK
                || gh_store(m, slot(w, 0), 0, NULL) != GH_OK;
    gh_leave(m);
    CHECK(gh_enter(w->h, GH_ANY_P, &m) == GH_OK);
    CHECK(gh_new(m, y, w->node, 1) == GH_OK);
    lost |= gh_store(m, y, 1, x) != GH_OK;
    CHECK(!lost || w->h->opt.policy.barrier > GH_BARRIER_DELETION);
    gh_clear(m, x);
    gh_leave(m);
    return NULL;
}

// swap exchanges the shared slots by way of its own, and lets go of one.
static void *
swap(void *arg)
{
    const world *w = arg;
    gh_mut *m;
    gh_slot *x = slot(w, 4), *y = slot(w, 5);
    CHECK(gh_enter(w->h, GH_ANY_P, &m) == GH_OK);
    gh_set(m, x, slot(w, 0));
    gh_set(m, y, slot(w, 1));
    gh_set(m, slot(w, 1), x);
    (void)gh_poll(m);
    gh_set(m, slot(w, 0), y);
    if (x->word != 0 && gh_load(m, y, x, 0) == GH_OK) {
        gh_clear(m, x);
    }
    gh_leave(m);
    return NULL;
}

// Who starts a cycle does the first assist at once. Where that is used up by figures
// workers mark, else it marks all there is.
typedef struct config {
    int32_t procs;
    uint64_t figures;
    gh_barrier barrier;
} config;

// run_once runs a world with the deviations of sim; how many objects were lost.
static size_t
run_once(const config *of)
{
    sim.n = 1;
    sim.current = 0;
    sim.now = 0;
    sim.points = 0;
    sim.next = 0;
    sim.t[0].state = RUNS;

    gh_options opt;
    gh_options_init(&opt);
    opt.mode = GH_MODE_CONCURRENT;
    opt.procs = of->procs;
    opt.globals_scan = of->figures;
    opt.gogc = -1;
    opt.address_space = (uint64_t)1 << 26;
    opt.policy.eager_sweep = false;
    opt.policy.scavenger = false;
    opt.debug.checkmark = true;
    opt.debug.delays = 1;
    world w;
    gh_mut *m;
    CHECK(gh_heap_new(&opt, &w.h) == GH_OK);
    w.h->opt.policy.barrier = of->barrier;
    CHECK(gh_enter(w.h, GH_ANY_P, &m) == GH_OK);
    CHECK(gh_type_new(m, &node_desc, &w.node) == GH_OK);
    CHECK(gh_slots_new(w.h, 8, &w.slots) == GH_OK);
    // Two objects in the shared slots, one below each, one below both of these.
    CHECK(gh_new(m, slot(&w, 6), w.node, 1) == GH_OK);
    for (size_t i = 0; i < 2; i++) {
        CHECK(gh_new(m, slot(&w, 7), w.node, 1) == GH_OK);
        CHECK(gh_store(m, slot(&w, 7), i, slot(&w, 6)) == GH_OK);
        CHECK(gh_new(m, slot(&w, i), w.node, 1) == GH_OK);
        CHECK(gh_store(m, slot(&w, i), 0, slot(&w, 7)) == GH_OK);
    }
    gh_clear(m, slot(&w, 6));
    gh_clear(m, slot(&w, 7));
    sim.points = 0;
    sim.next = 0;
    gh_thread a, b;
    CHECK(gh_thread_start(&a, take, &w));
    CHECK(gh_thread_start(&b, swap, &w));
    CHECK(gh_gc(m) == GH_OK);
    gh_leave(m);
    gh_thread_join(&a);
    gh_thread_join(&b);
    const uint64_t points = sim.points;
    CHECK(gh_enter(w.h, GH_ANY_P, &m) == GH_OK);
    const size_t lost = gh_lost(w.h);
    if (of->barrier <= GH_BARRIER_DELETION) {
        CHECK_EQ(lost, 0);
        CHECK(gh_verify(m, say, NULL) == 0);
        CHECK(gh_gc(m) == GH_OK);
        CHECK(gh_verify(m, say, NULL) == 0);
    }
    gh_slots_free(w.slots);
    gh_leave(m);
    gh_heap_free(w.h);
    for (int i = 1; i < sim.n; i++) {
        CHECK(sim.t[i].state == ENDED);
        (void)pthread_cond_destroy(&sim.t[i].go);
    }
    sim.points = points;
    return lost;
}

typedef struct count {
    uint64_t runs, lost;  // in how many something was lost
} count;

// explore runs every schedule of up to `bound` more deviations after the last one,
// or until something is lost that may be.
static void
explore(const config *of, int bound, count *c)
{
    c->lost += run_once(of) > 0;
    c->runs++;
    const uint64_t points = sim.points;
    const int k = sim.ndeviations;
    for (uint64_t at = k == 0 ? 0 : sim.at[k - 1] + 1;
         bound > 0 && at < points && c->lost == 0; at++) {
        sim.at[k] = at;
        sim.ndeviations = k + 1;
        explore(of, bound - 1, c);
    }
    sim.ndeviations = k;
}

// Threads that the OS refuses: all workers, all but some, the sweeper. Cycles run with
// what there is, in a stop if there is no worker.
static void
test_refused_threads(void)
{
    const config of = {3, 65536, GH_BARRIER_HYBRID};
    for (sim.refuse_from = 3; sim.refuse_from <= 6; sim.refuse_from++) {
        CHECK_EQ(run_once(&of), 0);
    }
    sim.refuse_from = 0;
}

int
main(int argc, char **argv)
{
    static const struct {
        int32_t procs;
        uint64_t figures;
    } worlds[] = {{1, 65536}, {2, 0}, {2, 65536}, {3, 65536}};
    const int bound = argc > 1 ? atoi(argv[1]) : 1;
    CHECK(bound >= 0 && bound <= MAX_BOUND);
    (void)pthread_cond_init(&sim.t[0].go, NULL);
    (void)atexit(report_failure);
    test_refused_threads();
    for (size_t i = 0; i < sizeof(worlds) / sizeof(worlds[0]); i++) {
        config of = {worlds[i].procs, worlds[i].figures, GH_BARRIER_HYBRID};
        count sound = {0}, unsound = {0};
        explore(&of, bound, &sound);
        of.barrier = GH_BARRIER_DELETION;
        explore(&of, bound, &sound);
        of.barrier = GH_BARRIER_INSERTION;
        explore(&of, of.procs == 1 ? 1 : 2, &unsound);
        printf("%d Ps, %s: %llu schedules, nothing lost; without deletion half %s "
               "%llu\n", of.procs,
               of.figures == 0 ? "first assist marks" : "workers mark",
               (unsigned long long)sound.runs,
               unsound.lost > 0 ? "lost in number" : "nothing lost in",
               (unsigned long long)unsound.runs);
        (void)fflush(stdout);
        // On one P a turn of marking is a step: a few objects are marked in one.
        CHECK(unsound.lost > 0 || of.procs == 1);
    }
    succeeded = true;
    return 0;
}
