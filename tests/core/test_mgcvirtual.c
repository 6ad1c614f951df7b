// test_mgcvirtual.c: cycles beside the program on the virtual clock. Nothing is
// lost with cycles all the time, runs repeat, the goal is kept, assists and
// workers do their parts.

#include "check.h"
#include "heap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
say(void *arg, const char *line)
{
    (void)arg;
    (void)fprintf(stderr, "%s\n", line);
}

static gh_heap *
make(gh_mut **m, int32_t procs, int32_t gogc, uint64_t min_heap)
{
    gh_options opt;
    gh_options_init(&opt);
    opt.mode = GH_MODE_VIRTUAL;
    opt.policy.eager_sweep = false;
    opt.policy.min_heap = min_heap;
    opt.gogc = gogc;
    opt.procs = procs;
    gh_heap *h;
    CHECK(gh_heap_new(&opt, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, m) == GH_OK);
    return h;
}

static const gh_type *
tree_type(gh_mut *m)
{
    static const uint64_t mask[1] = {3};
    const gh_type_desc d = {.name = "tree", .size = 24, .align = 8,
                            .ptrdata = 16, .mask = mask};
    const gh_type *t;
    CHECK(gh_type_new(m, &d, &t) == GH_OK);
    return t;
}

static uint64_t seed;

static uint64_t
draw(uint64_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % n;
}

#define LIVE 20000u

typedef struct result {
    uint64_t cycles, during, digest, assists, background, idle;
    double worst;  // heap at the end of a cycle over its goal
    int64_t now;
} result;

// churn keeps LIVE nodes and moves pointers between them all the time.
static result
churn(int32_t procs, int32_t gogc, int steps, uint64_t min_heap, bool verify)
{
    seed = 42;
    gh_mut *m;
    gh_heap *h = make(&m, procs, gogc, min_heap);
    const gh_type *t = tree_type(m);
    gh_slots *b;
    CHECK(gh_slots_new(h, LIVE + 1, &b) == GH_OK);
    gh_slot *tmp = gh_slots_at(b, LIVE);
    for (size_t i = 0; i < LIVE; i++) {
        CHECK(gh_new(m, gh_slots_at(b, i), t, 1) == GH_OK);
        ((uint64_t *)gh_data(gh_slots_at(b, i)))[2] = i;
    }
    result r = {0};
    for (int step = 0; step < steps; step++) {
        r.during += gh_gc_phase(h) == GH_PHASE_MARK;
        gh_slot *x = gh_slots_at(b, draw(LIVE));
        gh_slot *y = gh_slots_at(b, draw(LIVE));
        switch (draw(4)) {
        case 0: {
            // A new node takes x's place and points at the old one's child.
            CHECK(gh_load(m, tmp, x, 0) == GH_OK);
            CHECK(gh_new(m, x, t, 1) == GH_OK);
            ((uint64_t *)gh_data(x))[2] = (uint64_t)step;
            CHECK(gh_store(m, x, 1, tmp) == GH_OK);
            gh_clear(m, tmp);
            break;
        }
        case 1:
            CHECK(gh_store(m, x, draw(2), y) == GH_OK);
            break;
        case 2:
            CHECK(gh_store(m, x, draw(2), NULL) == GH_OK);
            break;
        case 3:
            CHECK(gh_alloc(m, tmp, 16 + draw(600)) == GH_OK);
            break;
        }
        if (verify && step % 97 == 0) {
            CHECK(gh_verify(m, say, NULL) == 0);
        }
    }
    CHECK(gh_verify(m, say, NULL) == 0);
    r.cycles = gh_cycles(h);
    for (uint64_t i = 0; i < r.cycles; i++) {
        gh_cycle c;
        CHECK(gh_cycle_get(h, i, &c) == GH_OK);
        const double over = (double)c.heap_end / (double)c.heap_goal;
        if (i >= 3) {  // until then the pacer hasn't measured anything
            r.worst = over > r.worst ? over : r.worst;
        }
        r.assists += (uint64_t)c.assist_ns;
        r.background += (uint64_t)c.background_ns;
        r.idle += (uint64_t)c.idle_ns;
        r.digest = r.digest * 31 + (uint64_t)c.end_ns + c.heap_marked
                   + c.scan_work * 7;
    }
    r.now = gh_now(h);
    CHECK(gh_gc(m) == GH_OK);
    CHECK(gh_gc_phase(h) == GH_PHASE_OFF);
    CHECK(gh_verify(m, say, NULL) == 0);
    gh_slots_free(b);
    CHECK(gh_gc(m) == GH_OK);
    gh_memstats s;
    gh_stats(m, &s);
    CHECK(s.heap_objects == 0);
    gh_leave(m);
    gh_heap_free(h);
    return r;
}

// A cycle that the timer begins leaves idle Ps alone where a worker of its own
// marks, and takes one of them otherwise; the other kinds take all.
static void
test_periodic(void)
{
    static const struct {
        int32_t procs, idle;
    } rows[] = {{1, 1}, {3, 1}, {4, 0}, {8, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gh_mut *m;
        gh_heap *h = make(&m, rows[i].procs, 100, 4 << 20);
        const gh_type *t = tree_type(m);
        gh_slots *b;
        CHECK(gh_slots_new(h, 1000, &b) == GH_OK);
        for (size_t k = 0; k < 1000; k++) {
            CHECK(gh_new(m, gh_slots_at(b, k), t, 20) == GH_OK);
        }
        CHECK(gh_gc(m) == GH_OK);
        gh_advance(m, (int64_t)125000000000);
        gh_cycle c[2];
        CHECK_EQ(gh_cycles(h), 2);
        CHECK(gh_cycle_get(h, 0, &c[0]) == GH_OK);
        CHECK(gh_cycle_get(h, 1, &c[1]) == GH_OK);
        CHECK(c[0].forced && !c[1].forced);
        CHECK(c[0].idle_ns > 0);
        CHECK((c[1].idle_ns > 0) == (rows[i].idle > 0));
        gh_leave(m);
        gh_slots_free(b);
        gh_heap_free(h);
    }
}

// [gc:97] A list of 20 MiB under a limit of 1 MiB: cycle upon cycle, with the goal
// at what is live, until the limiter steps in.
static void
test_limiter(void)
{
    gh_options opt;
    gh_options_init(&opt);
    opt.mode = GH_MODE_VIRTUAL;
    opt.policy.eager_sweep = false;
    opt.memory_limit = 1 << 20;
    opt.costs.scan_byte = 20;
    gh_heap *h;
    gh_mut *m;
    CHECK(gh_heap_new(&opt, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    const gh_type *t = tree_type(m);
    gh_slots *b;
    CHECK(gh_slots_new(h, 3, &b) == GH_OK);
    gh_slot *head = gh_slots_at(b, 0), *next = gh_slots_at(b, 1);
    for (int i = 0; i < (20 << 20) / 24; i++) {
        CHECK(gh_new(m, next, t, 1) == GH_OK);
        CHECK(gh_store(m, next, 0, head) == GH_OK);
        gh_set(m, head, next);
    }
    uint64_t limited = 0;
    gh_pacer_stats p;
    for (int i = 0; i < 200000; i++) {
        CHECK(gh_alloc(m, gh_slots_at(b, 2), 4096) == GH_OK);
        if (gh_limiter_limiting(&h->limiter) && limited == 0) {
            CHECK_EQ(h->limiter.last_enabled_cycle, gh_cycles(h) + 1);
            limited = gh_cycles(h);
        }
        if (i % 1000 == 0 && gh_gc_phase(h) == GH_PHASE_OFF) {
            gh_pacer_get(h, &p);
            CHECK_EQ(p.heap_goal, p.heap_marked);
        }
    }
    CHECK(limited > 0);
    CHECK(gh_cycles(h) > limited);
    CHECK(gh_verify(m, say, NULL) == 0);
    gh_leave(m);
    gh_slots_free(b);
    gh_heap_free(h);
}

int
main(void)
{
    test_limiter();
    test_periodic();
    const int32_t procs[] = {1, 2, 4, 8};
    for (size_t i = 0; i < 4; i++) {
        const result a = churn(procs[i], 50, 200000, (uint64_t)1 << 20, false);
        if (getenv("SHOW") != NULL) {
            printf("procs %d: %llu cycles, %llu steps while marking, worst %.3f, "
                   "assist %llu background %llu idle %llu of %lld ns\n",
                   procs[i], (unsigned long long)a.cycles,
                   (unsigned long long)a.during, a.worst,
                   (unsigned long long)a.assists,
                   (unsigned long long)a.background, (unsigned long long)a.idle,
                   (long long)a.now);
        }
        CHECK(a.cycles > 10 && a.during > 100);
        CHECK(a.worst < 1.2);
        CHECK(a.background + a.idle + a.assists > 0);
        const result b = churn(procs[i], 50, 200000, (uint64_t)1 << 20, false);
        CHECK(memcmp(&a, &b, sizeof(a)) == 0);
        (void)churn(procs[i], 20, 30000, (uint64_t)64 << 10, true);
    }
    return 0;
}
