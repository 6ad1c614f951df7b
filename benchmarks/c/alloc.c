// alloc.c: the price of an allocation that is garbage at once.
//
//   alloc SIZE PTRS N [THREADS]
//
// Makes N objects of SIZE bytes, each in place of the one before, as Go's own
// allocation benchmarks do: the heap holds one object and collects whenever
// 4 MiB have been used. PTRS 0: no pointers; 1: every word is a pointer. Sizes are
// constants of the loops, as types are in Go's. Two THREADS each make N of them at
// once, in a heap that collects beside them (GH_MODE_CONCURRENT); so does one, if
// it is said.

#include <pthread.h>

#include "bench.h"

typedef void loop(gh_mut *m, gh_slot *slot, const gh_type *t, uint64_t n);

#define LOOPS(size)                                                          \
    static __attribute__((noinline)) void                                    \
    noscan_##size(gh_mut *m, gh_slot *slot, const gh_type *t, uint64_t n)    \
    {                                                                        \
        (void)t;                                                             \
        for (uint64_t i = 0; i < n; i++) {                                   \
            bench_check(gh_alloc_inline(m, slot, size), "gh_alloc_inline");  \
        }                                                                    \
    }                                                                        \
    static __attribute__((noinline)) void                                    \
    pointers_##size(gh_mut *m, gh_slot *slot, const gh_type *t, uint64_t n)  \
    {                                                                        \
        for (uint64_t i = 0; i < n; i++) {                                   \
            bench_check(gh_new_inline(m, slot, t, 1), "gh_new");                    \
        }                                                                    \
    }

#define SIZES(X)                                                             \
    X(8) X(16) X(24) X(32) X(48) X(64) X(96) X(128) X(256) X(512) X(1024)    \
    X(2048) X(4096) X(8192) X(16384) X(32768) X(65536) X(131072) X(262144)   \
    X(524288) X(1048576)

SIZES(LOOPS)

#define ENTRY(size) {size, {noscan_##size, pointers_##size}},

static const struct {
    uint64_t size;
    loop *run[2];
} loops[] = {SIZES(ENTRY)};

// Looks at the heap's size while a thread works; go/alloc.go has as many.
enum { LOOKS = 32 };

typedef struct job {
    gh_heap *h;
    loop *run;
    const gh_type *t;
    uint64_t n;
    int32_t p;
    pthread_barrier_t *bar;
    bench_run *r;  // of the first thread, else NULL
} job;

static void
work(job *j, gh_mut *m, gh_slot *slot, uint64_t n)
{
    for (uint64_t i = 0; i < LOOKS; i++) {
        j->run(m, slot, j->t, n * (i + 1) / LOOKS - n * i / LOOKS);
        if (j->r != NULL) {
            bench_look(j->r, j->h);
        }
    }
}

static void *
thread(void *arg)
{
    job *j = arg;
    gh_mut *m;
    gh_slots *slots;
    bench_check(gh_slots_new(j->h, 1, &slots), "gh_slots_new");
    bench_check(gh_enter(j->h, j->p, &m), "gh_enter");
    j->run(m, gh_slots_at(slots, 0), j->t, j->n / 10 + 1);
    gh_leave(m);
    pthread_barrier_wait(j->bar);  // all have warmed up,
    pthread_barrier_wait(j->bar);  // and the clock runs
    bench_check(gh_enter(j->h, j->p, &m), "gh_enter");
    work(j, m, gh_slots_at(slots, 0), j->n);
    gh_leave(m);
    gh_slots_free(slots);
    return NULL;
}

// threads_work runs the job on n threads and tells what it took.
static bench_time
threads_work(const job *j, unsigned n, bench_run *r)
{
    pthread_barrier_t bar;
    pthread_barrier_init(&bar, NULL, n + 1);
    job of[2];
    pthread_t id[2];
    for (unsigned i = 0; i < n; i++) {
        of[i] = *j;
        of[i].p = (int32_t)i;
        of[i].bar = &bar;
        of[i].r = i == 0 ? r : NULL;
        pthread_create(&id[i], NULL, thread, &of[i]);
    }
    pthread_barrier_wait(&bar);
    *r = bench_begin(j->h);
    pthread_barrier_wait(&bar);
    for (unsigned i = 0; i < n; i++) {
        pthread_join(id[i], NULL);
    }
    return bench_since(r->t0);
}

int
main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: alloc SIZE PTRS N [THREADS]\n");
        return 2;
    }
    const uint64_t size = strtoull(argv[1], NULL, 10);
    const bool ptrs = argv[2][0] == '1';
    const unsigned threads = argc > 4 ? (unsigned)atoi(argv[4]) : 0;
    job j = {.n = strtoull(argv[3], NULL, 10)};
    for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
        if (loops[i].size == size) {
            j.run = loops[i].run[ptrs];
        }
    }
    if (j.run == NULL || threads > 2) {
        fprintf(stderr, "alloc: no loop for %s bytes\n", argv[1]);
        return 2;
    }
    gh_options opt;
    gh_options_init(&opt);
    if (threads != 0) {
        opt.mode = GH_MODE_CONCURRENT;
        opt.procs = 2;
        opt.policy.eager_sweep = false;  // as in Go: nothing is swept in the stop
    }
    gh_mut *m = bench_open(&opt);
    j.h = gh_mut_heap(m);
    j.t = bench_row_type(m, size);

    bench_run r = {0};
    bench_time d;
    gh_memstats before, after;
    gh_read_mem_stats(m, &before);
    if (threads != 0) {
        gh_leave(m);
        d = threads_work(&j, threads, &r);
        bench_check(gh_enter(j.h, GH_ANY_P, &m), "gh_enter");
    } else {
        gh_slots *slots;
        bench_check(gh_slots_new(j.h, 1, &slots), "gh_slots_new");
        j.run(m, gh_slots_at(slots, 0), j.t, j.n / 10 + 1);
        r = bench_begin(j.h);
        j.r = &r;
        work(&j, m, gh_slots_at(slots, 0), j.n);
        d = bench_since(r.t0);
        gh_slots_free(slots);
    }
    gh_read_mem_stats(m, &after);
    const uint64_t warm = (j.n / 10 + 1) * (threads == 0 ? 1 : threads);
    bench_answer(&r, d, j.h, after.mallocs - before.mallocs - warm);
    bench_close(m);
    return 0;
}
