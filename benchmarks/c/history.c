// history.c: the allocations and deaths of a recorded program, nothing else.
//
//   history FILE [notypes]
//
// FILE is what history.py writes: 32-bit words, little-endian. The first is the
// number of slots, the second the number of objects; then come the sizes of the
// 68 size classes, and then
//   slot << 9 | spanclass << 1 | 1   an object is made and held by slot; if
//                                    spanclass >> 1 is 0, the next word is its
//                                    number of 8 KiB pages
//   slot << 1                        slot lets go of its object
// Every word of an object with pointers is a nil pointer: what points where
// isn't recorded.

#include "bench.h"

#define HEADER ((size_t)2 + 68)
#define LOOK_EVERY 10000  // events

static uint32_t *
read_all(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    const long bytes = ftell(f);
    rewind(f);
    *n = bytes < 0 ? 0 : (size_t)bytes / sizeof(uint32_t);
    uint32_t *words = malloc(*n * sizeof(*words) + 1);
    if (words == NULL || *n < HEADER
        || fread(words, sizeof(*words), *n, f) != *n) {
        fprintf(stderr, "%s: cannot read it\n", path);
        exit(1);
    }
    fclose(f);
    return words;
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: history FILE [notypes]\n");
        return 2;
    }
    size_t n;
    uint32_t *words = read_all(argv[1], &n);
    const uint32_t *class_size = words + 2;
    gh_mut *m = bench_heap(100, argc < 3 || strcmp(argv[2], "notypes") != 0);
    gh_heap *h = gh_mut_heap(m);
    gh_slots *slots;
    bench_check(gh_slots_new(h, words[0] + UINT64_C(1), &slots),
                "gh_slots_new");
    gh_slot *slot = gh_slots_at(slots, 0);
    // Go's table of slots lies in its heap: the same weight, never used, here.
    bench_check(gh_new(m, &slot[words[0]], bench_type(m, 8, 1), words[0]),
                "gh_new");
    bench_check(gh_gc(m), "gh_gc");
    bench_run run = bench_begin(h);
    for (size_t i = HEADER, events = 0; i < n; i++) {
        const uint32_t w = words[i];
        if (++events % LOOK_EVERY == 0) {
            bench_look(&run, h);
        }
        if ((w & 1) == 0) {
            gh_clear(m, &slot[w >> 1]);
            continue;
        }
        const uint8_t sc = (uint8_t)(w >> 1);
        const uint64_t size = sc >> 1 != 0 ? class_size[sc >> 1]
                                           : words[++i] * UINT64_C(8192);
        bench_check(gh_alloc_spanclass(m, &slot[w >> 9], sc, size, NULL),
                    "gh_alloc_spanclass");
    }
    const bench_time d = bench_since(run.t0);
    uint64_t held = 0;
    for (uint32_t i = 0; i < words[0]; i++) {
        held += slot[i].word != 0;
    }
    bench_answer(&run, d, h, held);
    gh_slots_free(slots);
    bench_close(m);
    free(words);
    return 0;
}
