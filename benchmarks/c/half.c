// half.c: sweep and refill of a half-dead heap.
//
//   half N
//
// A row holds N nodes of 64 bytes, of which the first four words are pointers.
// After a full collection a random half of them is let go, and a second collection
// marks the rest and sweeps: half_s, CPU time. What the answer times is as many new
// nodes as have died, each garbage at once: with automatic cycles off, each takes
// the place of a dead one.

#include "bench.h"

int
main(int argc, char **argv)
{
    const uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    if (n == 0) {
        fprintf(stderr, "usage: half N\n");
        return 2;
    }
    gh_mut *m = bench_heap(-1, true);
    gh_heap *h = gh_mut_heap(m);
    const gh_type *t = bench_type(m, 64, 4);
    gh_slots *slots;
    bench_check(gh_slots_new(h, 2, &slots), "gh_slots_new");
    gh_slot *row = gh_slots_at(slots, 0), *made = gh_slots_at(slots, 1);
    bench_check(gh_new(m, row, bench_type(m, 8, 1), n), "gh_new");
    for (uint64_t i = 0; i < n; i++) {
        bench_check(gh_new_inline(m, made, t, 1), "gh_new");
        ((uint64_t *)gh_data(made))[4] = i;  // pages are touched before, not later
        bench_put(m, row, i, made);
    }
    gh_clear(m, made);
    bench_check(gh_gc(m), "gh_gc");
    uint64_t s = 0x9e3779b97f4a7c15u, dead = 0;
    for (uint64_t i = 0; i < n; i++) {
        if ((bench_random(&s) & 1 << 20) != 0) {
            bench_check(gh_store(m, row, i, NULL), "gh_store");
            dead++;
        }
    }
    bench_run r = bench_begin(h);
    bench_check(gh_gc(m), "gh_gc");
    const bench_time half = bench_since(r.t0);
    r = bench_begin(h);
    for (uint64_t i = 0; i < dead; i++) {
        bench_check(gh_new_inline(m, made, t, 1), "gh_new");
    }
    const bench_time d = bench_since(r.t0);
    bench_look(&r, h);
    char more[64];
    snprintf(more, sizeof(more), ", \"half_s\": %.6f", half.cpu);
    bench_answer_more(&r, d, h, dead, more);
    gh_slots_free(slots);
    bench_close(m);
    return 0;
}
