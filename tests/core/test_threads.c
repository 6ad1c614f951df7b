// test_threads.c: four threads on one heap, each doing all it can: for the
// ThreadSanitizer (make tsan), and short enough for every run.

#include "check.h"
#include "goheap.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 4
#define SLOTS   64

static void
say(void *arg, const char *line)
{
    (void)arg;
    (void)fprintf(stderr, "%s\n", line);
}

typedef struct job {
    gh_heap *h;
    const gh_type *type;
    uint64_t seed;
    int steps;
} job;

static uint64_t
draw(uint64_t *seed, uint64_t n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % n;
}

static gh_mut *
come_in(job *j)
{
    gh_mut *m;
    const int32_t p = draw(&j->seed, 3) == 0 ? GH_ANY_P
                                             : (int32_t)draw(&j->seed, 4);
    gh_status st = draw(&j->seed, 2) == 0
                       ? gh_enter(j->h, p, &m)
                       : gh_enter_until(j->h, p, 1000000, &m);
    if (st == GH_AGAIN) {
        st = gh_enter(j->h, p, &m);
    }
    CHECK(st == GH_OK);
    return m;
}

static void *
work(void *arg)
{
    job *j = arg;
    gh_slots *b = NULL;
    uint32_t handle[SLOTS] = {0};
    gh_pin *pin[SLOTS] = {0};
    CHECK(gh_slots_new(j->h, SLOTS, &b) == GH_OK);
    for (int step = 0; step < j->steps; step++) {
        gh_mut *m = come_in(j);
        for (int k = 0; k < 20; k++) {
            const size_t x = draw(&j->seed, SLOTS), y = draw(&j->seed, SLOTS);
            switch (draw(&j->seed, 7)) {
            case 0:
                CHECK(gh_new(m, gh_slots_at(b, x), j->type, 1) == GH_OK);
                break;
            case 1:
                CHECK(gh_alloc(m, gh_slots_at(b, x),
                               draw(&j->seed, 40) == 0 ? 50000
                                                       : draw(&j->seed, 300))
                      == GH_OK);
                break;
            case 2:
                if (gh_is_pointer_word(j->h, gh_slots_at(b, x), 0)) {
                    CHECK(gh_store(m, gh_slots_at(b, x), draw(&j->seed, 2),
                                   gh_slots_at(b, y)) == GH_OK);
                }
                break;
            case 3:
                gh_clear(m, gh_slots_at(b, x));
                break;
            case 4:
                if (handle[x] == 0 && gh_slots_at(b, y)->word != 0) {
                    CHECK(gh_handle_new(m, &handle[x]) == GH_OK);
                    gh_set(m, gh_handle_slot(j->h, handle[x]),
                           gh_slots_at(b, y));
                }
                break;
            case 5:
                if (pin[x] == NULL && gh_slots_at(b, y)->word != 0) {
                    CHECK(gh_pin_new(m, gh_slots_at(b, y), &pin[x]) == GH_OK);
                }
                break;
            case 6:
                (void)gh_poll(m);
                break;
            }
        }
        switch (draw(&j->seed, 40)) {
        case 0:
            CHECK(gh_gc(m) == GH_OK);
            break;
        case 1:
            if (gh_gc_phase(j->h) == GH_PHASE_OFF) {
                CHECK(gh_gc_start(m) == GH_OK);
            }
            break;
        case 2:
        case 3:
            if (gh_gc_phase(j->h) == GH_PHASE_MARK) {
                uint64_t left;
                CHECK(gh_gc_step(m, 50, NULL, NULL, &left) == GH_OK);
            }
            break;
        case 4:
            CHECK(gh_verify(m, say, NULL) == 0);
            break;
        default:
            break;
        }
        gh_leave(m);
        // What needs no P: drops, in the middle of whatever the others do.
        const size_t x = draw(&j->seed, SLOTS), y = draw(&j->seed, SLOTS);
        if (handle[x] != 0) {
            gh_handle_drop(j->h, handle[x]);
            handle[x] = 0;
        }
        gh_pin_free(pin[y]);
        pin[y] = NULL;
        if (draw(&j->seed, 30) == 0) {
            gh_slots_free(b);
            CHECK(gh_slots_new(j->h, SLOTS, &b) == GH_OK);
        }
    }
    for (size_t i = 0; i < SLOTS; i++) {
        if (handle[i] != 0) {
            gh_handle_drop(j->h, handle[i]);
        }
        gh_pin_free(pin[i]);
    }
    gh_slots_free(b);
    return NULL;
}

int
main(int argc, char **argv)
{
    const int steps = argc > 1 ? atoi(argv[1]) : 1500;
    gh_options opt;
    gh_options_init(&opt);
    opt.procs = 4;
    opt.policy.min_heap = 64 << 10;
    gh_heap *h;
    CHECK(gh_heap_new(&opt, &h) == GH_OK);
    gh_mut *m;
    CHECK(gh_enter(h, 0, &m) == GH_OK);
    static const uint64_t mask[1] = {3};
    const gh_type_desc d = {.name = "node", .size = 32, .align = 8,
                            .ptrdata = 16, .mask = mask};
    const gh_type *t;
    CHECK(gh_type_new(m, &d, &t) == GH_OK);
    gh_leave(m);
    job jobs[THREADS];
    pthread_t id[THREADS];
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (job){h, t, (uint64_t)i + 1, steps};
        CHECK(pthread_create(&id[i], NULL, work, &jobs[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(id[i], NULL) == 0);
    }
    CHECK(gh_enter(h, 0, &m) == GH_OK);
    CHECK(gh_gc(m) == GH_OK);
    CHECK(gh_gc(m) == GH_OK);
    CHECK(gh_verify(m, say, NULL) == 0);
    gh_memstats s;
    gh_stats(m, &s);
    CHECK(s.heap_objects == 0);
    gh_leave(m);
    gh_heap_free(h);
    return 0;
}
