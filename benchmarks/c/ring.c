// ring.c: objects that live for 256 allocations, ours and other allocators'.
//
//   ring SIZE N
//
// Allocation number i, zeroed, replaces number i - 256. Built with PEER=... it is
// the same through calloc and free of another allocator (peer.h): the row shows a
// garbage collector beside allocators that are told what is dead.

#include "bench.h"
#include "peer.h"

enum { RING = 256 };

#ifdef PEER
typedef struct { void *p[RING]; } ring;
#define PUT(r, i, size)                                                     \
    do {                                                                    \
        void **at = &(r)->p[(i) % RING];                                    \
        peer_free(*at);                                                     \
        *at = peer_zeroed(size);                                            \
        ((volatile char *)*at)[(size) - 1] = 1;                             \
    } while (0)
#else
typedef struct { gh_mut *m; gh_slot *slot; } ring;
#define PUT(r, i, size)                                                     \
    do {                                                                    \
        gh_slot *at = &(r)->slot[(i) % RING];                               \
        bench_check(gh_alloc_inline((r)->m, at, size), "gh_alloc_inline");  \
        ((volatile char *)at->word)[(size) - 1] = 1;                        \
    } while (0)
#endif

#define LOOP(size)                                                          \
    static __attribute__((noinline)) void                                   \
    loop_##size(ring *r, uint64_t n)                                        \
    {                                                                       \
        for (uint64_t i = 0; i < n; i++) {                                  \
            PUT(r, i, size);                                                \
        }                                                                   \
    }
LOOP(16)
LOOP(32)
LOOP(48)
LOOP(64)

int
main(int argc, char **argv)
{
    const int size = argc < 3 ? 0 : atoi(argv[1]);
    void (*run)(ring *, uint64_t) = size == 16   ? loop_16
                                    : size == 32 ? loop_32
                                    : size == 48 ? loop_48
                                    : size == 64 ? loop_64
                                                 : NULL;
    if (run == NULL) {
        fprintf(stderr, "usage: ring 16|32|48|64 N\n");
        return 2;
    }
    const uint64_t n = strtoull(argv[2], NULL, 10);
#ifdef PEER
    static ring r;
    run(&r, n / 10 + RING);
    const bench_time t0 = bench_now();
    run(&r, n);
    peer_answer(bench_since(t0), n);
#else
    gh_mut *m = bench_heap(100, true);
    gh_heap *h = gh_mut_heap(m);
    gh_slots *slots;
    bench_check(gh_slots_new(h, RING, &slots), "gh_slots_new");
    ring r = {m, gh_slots_at(slots, 0)};
    run(&r, n / 10 + RING);
    gh_memstats before, after;
    gh_stats(m, &before);
    bench_run b = bench_begin(h);
    run(&r, n);
    const bench_time d = bench_since(b.t0);
    bench_look(&b, h);
    gh_stats(m, &after);
    bench_answer(&b, d, h, after.mallocs - before.mallocs);
    gh_slots_free(slots);
    bench_close(m);
#endif
    return 0;
}
