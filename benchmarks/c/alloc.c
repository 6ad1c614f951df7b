// alloc.c: the price of an allocation that is garbage at once.
//
//   alloc SIZE PTRS N [notypes]
//
// Makes N objects of SIZE bytes, each in place of the one before, as Go's own
// allocation benchmarks do: the heap holds one object and collects whenever
// 4 MiB have been used. PTRS 0: no pointers, through the inlined fast path; 1:
// every word is a pointer, through gh_new. Sizes are constants of the loops, as
// types are in Go's.

#include "bench.h"
#include "goheap_inline.h"

typedef void loop(gh_mut *m, gh_slot *slot, const gh_type *t, uint64_t n);

#define LOOPS(size)                                                          \
    static __attribute__((noinline)) void                                    \
    noscan_##size(gh_mut *m, gh_slot *slot, const gh_type *t, uint64_t n)    \
    {                                                                        \
        (void)t;                                                             \
        for (uint64_t i = 0; i < n; i++) {                                   \
            bench_check(gh_alloc_inline(m, slot, size), "gh_alloc_inline");  \
        }                                                                    \
    }

LOOPS(16)
LOOPS(64)
LOOPS(512)

static __attribute__((noinline)) void
pointers(gh_mut *m, gh_slot *slot, const gh_type *t, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        bench_check(gh_new(m, slot, t, 1), "gh_new");
    }
}

int
main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: alloc SIZE PTRS N [notypes]\n");
        return 2;
    }
    const uint64_t size = strtoull(argv[1], NULL, 10);
    const bool ptrs = argv[2][0] == '1';
    const uint64_t n = strtoull(argv[3], NULL, 10);
    loop *run = ptrs          ? pointers
                : size == 16  ? noscan_16
                : size == 64  ? noscan_64
                : size == 512 ? noscan_512
                              : NULL;
    if (run == NULL || (ptrs && (size > 512 || size % 8 != 0))) {
        fprintf(stderr, "alloc: no loop for %s bytes\n", argv[1]);
        return 2;
    }
    gh_mut *m = bench_heap(100, argc < 5 || strcmp(argv[4], "notypes") != 0);
    gh_heap *h = gh_mut_heap(m);
    const gh_type *t = ptrs ? bench_type(m, size, (unsigned)(size / 8)) : NULL;
    gh_slots *slots;
    bench_check(gh_slots_new(h, 1, &slots), "gh_slots_new");
    gh_slot *slot = gh_slots_at(slots, 0);

    run(m, slot, t, n / 10 + 1);
    const uint64_t cycles = gh_cycles(h);
    const bench_time t0 = bench_now();
    run(m, slot, t, n);
    const bench_time d = bench_since(t0);
    printf("{\"cpu_s\": %.6f, \"wall_s\": %.6f, \"gcs\": %llu}\n", d.cpu, d.wall,
           (unsigned long long)(gh_cycles(h) - cycles));
    gh_slots_free(slots);
    bench_close(m);
    return 0;
}
