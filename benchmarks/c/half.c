// half.c: sweep and refill of a half-dead heap.
//
//   half N
//
// A row holds N nodes of 64 bytes, of which the first four words are pointers; a
// random half of them is let go. Then a cycle begins by itself, and nothing is swept
// when its marking ends. What is timed from there is as many new nodes as have died,
// each garbage at once. No other cycle begins: each takes the place of a dead one,
// in a span that has to be swept first.

#include "bench.h"

int
main(int argc, char **argv)
{
    const uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    if (n == 0) {
        fprintf(stderr, "usage: half N\n");
        return 2;
    }
    gh_options opt;
    gh_options_init(&opt);
    opt.gogc = -1;
    opt.policy.eager_sweep = false;  // as Go
    gh_mut *m = bench_open(&opt);
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
    const uint64_t cycles = gh_cycles(h);
    gh_set_gogc(m, 1);
    while (gh_cycles(h) == cycles) {
        bench_check(gh_new_inline(m, made, t, 1), "gh_new");
    }
    gh_set_gogc(m, -1);
    bench_run r = bench_begin(h);
    for (uint64_t i = 0; i < dead; i++) {
        bench_check(gh_new_inline(m, made, t, 1), "gh_new");
    }
    const bench_time d = bench_since(r.t0);
    bench_look(&r, h);
    bench_answer(&r, d, h, dead);
    gh_slots_free(slots);
    bench_close(m);
    return 0;
}
