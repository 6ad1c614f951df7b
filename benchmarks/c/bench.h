// bench.h: what the benchmark drivers share: clocks, one way to die, a heap.
//
// Client of goheap.h.

#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "goheap.h"

typedef struct bench_time {
    double cpu, wall;  // s
} bench_time;

static inline double
bench_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline bench_time
bench_now(void)
{
    return (bench_time){bench_clock(CLOCK_PROCESS_CPUTIME_ID),
                        bench_clock(CLOCK_MONOTONIC)};
}

static inline bench_time
bench_since(bench_time t0)
{
    const bench_time t = bench_now();
    return (bench_time){t.cpu - t0.cpu, t.wall - t0.wall};
}

static inline void
bench_check(gh_status st, const char *what)
{
    if (st != GH_OK) {
        fprintf(stderr, "%s: %s\n", what, gh_status_name(st));
        exit(1);
    }
}

// bench_heap makes a heap with default options and enters it. types: keep type
// and length of every object aside, which is the default and which Go doesn't.
static inline gh_mut *
bench_heap(int32_t gogc, bool types)
{
    gh_options opt;
    gh_options_init(&opt);
    opt.gogc = gogc;
    opt.track_types = types;
    gh_heap *h;
    gh_mut *m;
    bench_check(gh_heap_new(&opt, &h), "gh_heap_new");
    bench_check(gh_enter(h, GH_ANY_P, &m), "gh_enter");
    return m;
}

static inline void
bench_close(gh_mut *m)
{
    gh_heap *h = gh_mut_heap(m);
    gh_leave(m);
    gh_heap_free(h);
}

// bench_type is a type of size bytes whose first nptrs words are pointers.
static inline const gh_type *
bench_type(gh_mut *m, uint64_t size, unsigned nptrs)
{
    const uint64_t mask[1] = {nptrs == 64 ? ~(uint64_t)0
                                          : ((uint64_t)1 << nptrs) - 1};
    const gh_type_desc desc = {
        .name = "bench",
        .size = size,
        .align = 8,
        .ptrdata = nptrs * UINT64_C(8),
        .mask = mask,
    };
    const gh_type *t;
    bench_check(gh_type_new(m, &desc, &t), "gh_type_new");
    return t;
}

static inline uint64_t
bench_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

#endif  // BENCH_H
