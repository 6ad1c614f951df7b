// many.c: a million objects of 24 bytes, two words of them pointers, into a block of
// root slots of a heap that was dropped and swept: what goheap.Heap.new_many does, in
// a loop of the core's.
//
//   many N REPS
//
// The quickest of REPS is reported, of one object. The block is made anew each time
// and counts, as it does in Python.

#include "bench.h"

#include "goheap_inline.h"

int
main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: many N REPS\n");
        return 2;
    }
    const uint64_t n = strtoull(argv[1], NULL, 10);
    const int reps = atoi(argv[2]);
    gh_mut *m = bench_heap(-1, true);
    gh_heap *h = gh_mut_heap(m);
    const gh_type *t = bench_type(m, 24, 2);
    bench_time best = {1e9, 1e9};
    for (int r = 0; r <= reps; r++) {
        const bench_time t0 = bench_now();
        gh_slots *b;
        bench_check(gh_slots_new(h, n, &b), "gh_slots_new");
        for (uint64_t i = 0; i < n; i++) {
            bench_check(gh_new_inline(m, gh_slots_at(b, i), t, 1), "gh_new");
        }
        const bench_time d = bench_since(t0);
        if (r > 0 && d.cpu < best.cpu) {  // the first one touches new memory
            best = d;
        }
        gh_memstats ms;
        gh_stats(m, &ms);
        if (ms.heap_objects != n) {
            fprintf(stderr, "many: %llu objects live, not %llu\n",
                    (unsigned long long)ms.heap_objects, (unsigned long long)n);
            return 1;
        }
        gh_slots_free(b);
        bench_check(gh_gc(m), "gh_gc");
    }
    printf("{\"cpu_s\": %.12f, \"wall_s\": %.12f, \"check\": %llu}\n",
           best.cpu / (double)n, best.wall / (double)n, (unsigned long long)n);
    bench_close(m);
    return 0;
}
