// bench.h: what the benchmark drivers share: clocks, one way to die, a heap, and
// the answer of a run.
//
// Client of goheap.h. go/bench.go says the same for the other side.

#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "goheap.h"
#include "goheap_inline.h"

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

// bench_open makes a heap and enters it.
static inline gh_mut *
bench_open(const gh_options *opt)
{
    gh_heap *h;
    gh_mut *m;
    bench_check(gh_heap_new(opt, &h), "gh_heap_new");
    bench_check(gh_enter(h, GH_ANY_P, &m), "gh_enter");
    return m;
}

// bench_heap_of is bench_open with default options otherwise. types: keep type and
// length of every object aside, which is the default and which Go doesn't.
static inline gh_mut *
bench_heap_of(int32_t gogc, bool types, gh_mode mode, int32_t procs)
{
    gh_options opt;
    gh_options_init(&opt);
    opt.gogc = gogc;
    opt.track_types = types;
    opt.mode = mode;
    opt.procs = procs;
    opt.policy.eager_sweep = mode == GH_MODE_STW;
    return bench_open(&opt);
}

static inline gh_mut *
bench_heap(int32_t gogc, bool types)
{
    return bench_heap_of(gogc, types, GH_MODE_STW, 1);
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

// bench_row_type is a type of size bytes, every word a pointer.
static inline const gh_type *
bench_row_type(gh_mut *m, uint64_t size)
{
    const size_t words = (size / 8 + 63) / 64;
    uint64_t *mask = malloc(words * sizeof(*mask));
    if (mask == NULL) {
        bench_check(GH_ERR_NOMEM, "bench_row_type");
    }
    memset(mask, 0xff, words * sizeof(*mask));
    if (size / 8 % 64 != 0) {
        mask[words - 1] = ((uint64_t)1 << size / 8 % 64) - 1;
    }
    const gh_type_desc desc = {
        .name = "row", .size = size, .align = 8, .ptrdata = size, .mask = mask};
    const gh_type *t;
    bench_check(gh_type_new(m, &desc, &t), "gh_type_new");
    free(mask);
    return t;
}

// bench_put makes pointer word number k of what obj holds hold what src holds.
static inline void
bench_put(gh_mut *m, const gh_slot *obj, uint64_t k, const gh_slot *src)
{
    gh_store_inline(m, (uintptr_t *)obj->word + k, (void *)src->word);
}

// bench_run is a measured stretch of work on a heap.
typedef struct bench_run {
    bench_time t0;
    uint64_t cycles;
    uint64_t peak;  // of HeapInuse + HeapIdle - HeapReleased
} bench_run;

// bench_look notes how much memory of the OS the heap has at this moment. Every
// driver looks as often, and at the same places, as its counterpart.
static inline void
bench_look(bench_run *r, const gh_heap *h)
{
    gh_memstats ms;
    gh_stats_peek(h, &ms);
    const uint64_t now = ms.heap_inuse + ms.heap_idle - ms.heap_released;
    if (now > r->peak) {
        r->peak = now;
    }
}

static inline bench_run
bench_begin(const gh_heap *h)
{
    return (bench_run){bench_now(), gh_cycles(h), 0};
}

// bench_rss is the most memory that the process ever had, in bytes.
static inline uint64_t
bench_rss(void)
{
    char line[128];
    uint64_t kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            kb = strtoull(line + 6, NULL, 10);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return kb * 1024;
}

// bench_answer_more prints what a run took, and more: "" or further figures, each
// with a comma before it. check is what the work came to: both sides must say the
// same.
static inline void
bench_answer_more(const bench_run *r, bench_time d, const gh_heap *h,
                  uint64_t check, const char *more)
{
    printf("{\"cpu_s\": %.6f, \"wall_s\": %.6f, \"gcs\": %llu, "
           "\"peak\": %llu, \"rss\": %llu, \"check\": %llu%s}\n",
           d.cpu, d.wall, (unsigned long long)(gh_cycles(h) - r->cycles),
           (unsigned long long)r->peak, (unsigned long long)bench_rss(),
           (unsigned long long)check, more);
}

static inline void
bench_answer(const bench_run *r, bench_time d, const gh_heap *h, uint64_t check)
{
    bench_answer_more(r, d, h, check, "");
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
