// count_alloc.c: what instructions.py counts instructions of and disassembles.
//
//   count_alloc N
//
// Makes N noscan objects of 16 bytes, each in place of the one before.

#include "bench.h"

// alloc_16 is one inlined allocation, alone in a function of its own.
gh_status alloc_16(gh_mut *m, gh_slot *slot);

__attribute__((noinline)) gh_status
alloc_16(gh_mut *m, gh_slot *slot)
{
    return gh_alloc_inline(m, slot, 16);
}

static __attribute__((noinline)) void
loop_16(gh_mut *m, gh_slot *slot, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        bench_check(gh_alloc_inline(m, slot, 16), "gh_alloc_inline");
    }
}

int
main(int argc, char **argv)
{
    gh_mut *m = bench_heap(100, true);
    gh_slots *slots;
    bench_check(gh_slots_new(gh_mut_heap(m), 1, &slots), "gh_slots_new");
    bench_check(alloc_16(m, gh_slots_at(slots, 0)), "alloc_16");
    loop_16(m, gh_slots_at(slots, 0),
            argc > 1 ? strtoull(argv[1], NULL, 10) : 1000);
    gh_slots_free(slots);
    bench_close(m);
    return 0;
}
