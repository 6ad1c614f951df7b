// mark.c: a forced collection of a heap of one shape.
//
//   mark N REPS [list | array] [small] [notypes] [huge] [beside | beside2]
//
// N nodes of 64 bytes, the first four words pointers, or small, 32 bytes and two,
// in an order that has nothing to do with their addresses. One root. A graph: two
// edges make a binary tree of all nodes, what there is besides goes anywhere. A list: one
// edge, to the next. An array: no edges, and one row of 10 * N pointers to any of them. Each of REPS
// collections finds all of them alive; the quickest is reported. beside: by a worker
// beside the program (which waits); beside2: by two, on two Ps. huge: with huge pages;
// ends with 3 if the system gives none.

#include "bench.h"

static uint32_t *
permutation(uint64_t n)
{
    uint32_t *p = malloc(n * sizeof(*p));
    if (p == NULL) {
        bench_check(GH_ERR_NOMEM, "permutation");
    }
    for (uint64_t i = 0; i < n; i++) {
        p[i] = (uint32_t)i;
    }
    uint64_t s = 88172645463325252u;
    for (uint64_t i = n - 1; i > 0; i--) {
        const uint64_t j = bench_random(&s) % (i + 1);
        const uint32_t t = p[i];
        p[i] = p[j];
        p[j] = t;
    }
    return p;
}

static bool
given(int argc, char **argv, const char *word)
{
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], word) == 0) {
            return true;
        }
    }
    return false;
}

int
main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: mark N REPS [list | array] [small] [notypes] "
                        "[huge] [beside | beside2]\n");
        return 2;
    }
    const uint64_t n = strtoull(argv[1], NULL, 10);
    const int reps = atoi(argv[2]);
    const bool list = given(argc, argv, "list");
    const bool array = given(argc, argv, "array");
    const bool small = given(argc, argv, "small");
    const unsigned words = small ? 2 : 4;
    const uint64_t edges = list ? 1 : array ? 0 : words;
    const bool two = given(argc, argv, "beside2");
    gh_options opt;
    gh_options_init(&opt);
    opt.gogc = -1;
    opt.track_types = !given(argc, argv, "notypes");
    opt.huge_pages = given(argc, argv, "huge");
    if (two || given(argc, argv, "beside")) {
        opt.mode = GH_MODE_CONCURRENT;
        opt.procs = two ? 2 : 1;
    }
    opt.policy.eager_sweep = opt.mode == GH_MODE_STW;
    gh_mut *m = bench_open(&opt);
    gh_heap *h = gh_mut_heap(m);
    const gh_type *t = bench_type(m, words * 16, words);
    gh_slots *root, *tmp;
    bench_run run = bench_begin(h);
    bench_check(gh_slots_new(h, 1, &root), "gh_slots_new");
    bench_check(gh_slots_new(h, n, &tmp), "gh_slots_new");
    for (uint64_t i = 0; i < n; i++) {
        bench_check(gh_new(m, gh_slots_at(tmp, i), t, 1), "gh_new");
    }
    bench_look(&run, h);
    uint32_t *p = permutation(n);
    uint64_t s = 0x9e3779b97f4a7c15u;
    for (uint64_t i = 0; i < n; i++) {
        for (uint64_t k = 0; k < edges; k++) {
            const uint64_t child = list ? i + 1 : 2 * i + 1 + k;
            if (list && child == n) {
                break;
            }
            const uint64_t to = k < 2 && child < n ? p[child]
                                                   : bench_random(&s) % n;
            bench_check(gh_store(m, gh_slots_at(tmp, p[i]), k,
                                 gh_slots_at(tmp, to)), "gh_store");
        }
    }
    if (array) {
        const uint64_t row = 10 * n;
        bench_check(gh_new(m, gh_slots_at(root, 0), bench_type(m, 8, 1), row),
                    "gh_new");
        for (uint64_t i = 0; i < row; i++) {
            bench_check(gh_store(m, gh_slots_at(root, 0), i,
                                 gh_slots_at(tmp, i < n ? p[i]
                                                        : bench_random(&s) % n)),
                        "gh_store");
        }
    } else {
        gh_set(m, gh_slots_at(root, 0), gh_slots_at(tmp, p[0]));
    }
    free(p);
    gh_slots_free(tmp);
    bench_look(&run, h);

    if (opt.huge_pages && gh_huge_pages(h) != GH_HUGE_ON) {
        fprintf(stderr, "mark: the system gives no huge pages\n");
        return 3;
    }
    bench_time best = {1e9, 1e9};
    for (int r = 0; r <= reps; r++) {
        const bench_time t0 = bench_now();
        bench_check(gh_gc(m), "gh_gc");
        const bench_time d = bench_since(t0);
        bench_look(&run, h);
        if (r > 0) {  // the first one warms up
            best.cpu = d.cpu < best.cpu ? d.cpu : best.cpu;
            best.wall = d.wall < best.wall ? d.wall : best.wall;
        }
    }
    gh_memstats ms;
    gh_stats(m, &ms);
    if (ms.heap_objects != n + array) {
        fprintf(stderr, "mark: %llu objects live, not %llu\n",
                (unsigned long long)ms.heap_objects,
                (unsigned long long)n + array);
        return 1;
    }
    bench_answer(&run, best, h, n);
    gh_slots_free(root);
    bench_close(m);
    return 0;
}
