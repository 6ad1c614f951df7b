// churn.c: a memory limit that binds.
//
//   churn LIVE_MIB TIMES LIMIT_MIB
//
// Blocks without pointers, of the sizes of a busy server, until LIVE_MIB are held
// by a row; then one after the other is replaced, at random, until TIMES as many
// bytes have been made anew. Every block is filled. GOMEMLIMIT is LIMIT_MIB (0:
// none), GOGC 100.

#include "bench.h"

static const struct { uint32_t lo, hi, weight; } sizes[] = {
    {8, 16, 180},        {17, 24, 80},         {25, 32, 140},
    {33, 48, 150},       {49, 64, 120},        {65, 96, 90},
    {97, 128, 60},       {129, 192, 45},       {193, 256, 35},
    {257, 512, 45},      {513, 1024, 25},      {1025, 2048, 14},
    {2049, 4096, 8},     {4097, 8192, 4},      {8193, 16384, 2},
    {16385, 32768, 1},   {32769, 131072, 1},
};

static uint32_t
draw(uint64_t *s)
{
    uint32_t r = (uint32_t)(bench_random(s) % 1000);
    for (int i = 0;; i++) {
        if (r < sizes[i].weight) {
            const uint32_t width = sizes[i].hi - sizes[i].lo + 1;
            return sizes[i].lo + (uint32_t)(bench_random(s) % width);
        }
        r -= sizes[i].weight;
    }
}

static void
put(gh_mut *m, gh_slot *row, uint64_t i, gh_slot *block, uint32_t size)
{
    bench_check(gh_alloc_inline(m, block, size), "gh_alloc_inline");
    memset(gh_data(block), 1, size);
    bench_put(m, row, i, block);
}

int
main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: churn LIVE_MIB TIMES LIMIT_MIB\n");
        return 2;
    }
    const uint64_t live = strtoull(argv[1], NULL, 10) << 20;
    const uint64_t times = strtoull(argv[2], NULL, 10);
    const int64_t limit = atoll(argv[3]) << 20;
    gh_options opt;
    gh_options_init(&opt);
    if (limit != 0) {
        opt.memory_limit = limit;
    }
    gh_mut *m = bench_open(&opt);
    gh_heap *h = gh_mut_heap(m);
    gh_slots *slots;
    bench_check(gh_slots_new(h, 2, &slots), "gh_slots_new");
    gh_slot *row = gh_slots_at(slots, 0), *block = gh_slots_at(slots, 1);
    const uint64_t most = live / 40;
    uint32_t *size = malloc(most * sizeof(*size));
    if (size == NULL) {
        bench_check(GH_ERR_NOMEM, "churn");
    }
    bench_check(gh_new(m, row, bench_type(m, 8, 1), most), "gh_new");

    bench_run r = bench_begin(h);
    uint64_t s = 0x9e3779b97f4a7c15u, held = 0, n = 0, sum = 0;
    while (held < live && n < most) {
        size[n] = draw(&s);
        put(m, row, n, block, size[n]);
        held += size[n++];
    }
    bench_look(&r, h);
    uint64_t next = live / 16;
    while (sum < live * times) {
        const uint64_t i = bench_random(&s) % n;
        const uint32_t z = draw(&s);
        put(m, row, i, block, z);
        held = held + z - size[i];
        size[i] = z;
        sum += z;
        if (sum > next) {
            next += live / 16;
            bench_look(&r, h);
        }
    }
    const bench_time d = bench_since(r.t0);
    bench_answer(&r, d, h, held + sum);
    free(size);
    gh_slots_free(slots);
    bench_close(m);
    return 0;
}
