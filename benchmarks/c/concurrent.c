// concurrent.c: the collector beside running threads.
//
//   concurrent pauses MIB CYCLES THREADS GOGC   stops, latencies, stalls
//   concurrent store MIB ROUNDS                 one pointer store, idle and marking
//
// pauses: MIB of live 64-byte objects, the first four words pointers to any of
// them, and a row that holds all. Each thread makes an object, points it at one
// and puts it into a place of the row, until CYCLES cycles have begun and ended.
// A batch is 16 of that, timed one by one.
//
// store: 512 objects, 1024 values; MIB of graph besides, so that marking lasts.

#include "bench.h"

#include <pthread.h>

#define BATCH 16
#define LOOK_AT 16  // every so many

// ---- latencies -----------------------------------------------------------------

// Durations in ns by 32 equal parts of each power of two.
#define PARTS 32u
typedef struct latencies {
    uint64_t count[64 * PARTS], n;
    int64_t worst;
} latencies;

static void
note(latencies *l, int64_t ns)
{
    const uint64_t v = (uint64_t)ns + PARTS;
    const unsigned top = 63 - (unsigned)__builtin_clzll(v);
    l->count[top * PARTS + ((v >> (top - 5)) & (PARTS - 1))]++;
    l->n++;
    l->worst = ns > l->worst ? ns : l->worst;
}

static void
add(latencies *sum, const latencies *l)
{
    for (unsigned i = 0; i < 64 * PARTS; i++) {
        sum->count[i] += l->count[i];
    }
    sum->n += l->n;
    sum->worst = l->worst > sum->worst ? l->worst : sum->worst;
}

static double
quantile_us(const latencies *l, double q)
{
    uint64_t left = (uint64_t)((double)l->n * q);
    unsigned i = 0;
    while (i < 64 * PARTS - 1 && left >= l->count[i]) {
        left -= l->count[i++];
    }
    const double low = (double)((uint64_t)1 << (i / PARTS));
    return (low * (1 + (i % PARTS) / (double)PARTS) - PARTS) * 1e-3;
}

static int64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// ---- a concurrent heap -----------------------------------------------------------

static gh_heap *
heap(int32_t gogc, int32_t procs)
{
    gh_options opt;
    gh_options_init(&opt);
    opt.mode = GH_MODE_CONCURRENT;
    opt.gogc = gogc;
    opt.procs = procs;
    opt.policy.eager_sweep = false;  // as in Go
    gh_heap *h;
    bench_check(gh_heap_new(&opt, &h), "gh_heap_new");
    return h;
}

// live makes n objects of type t with four pointers, and the row that holds them
// in slot.
static void
live(gh_mut *m, gh_slot *slot, const gh_type *t, uint64_t n)
{
    gh_slots *tmp;
    bench_check(gh_slots_new(gh_mut_heap(m), 1, &tmp), "gh_slots_new");
    bench_check(gh_new(m, slot, bench_type(m, 8, 1), n), "gh_new");
    uintptr_t *row = gh_data(slot);
    for (uint64_t i = 0; i < n; i++) {
        bench_check(gh_new(m, gh_slots_at(tmp, 0), t, 1), "gh_new");
        gh_store_inline(m, &row[i], gh_data(gh_slots_at(tmp, 0)));
    }
    uint64_t s = 0x9e3779b97f4a7c15u;
    for (uint64_t i = 0; i < n; i++) {
        for (unsigned k = 0; k < 4; k++) {
            gh_store_inline(m, (uintptr_t *)row[i] + k,
                            (void *)row[bench_random(&s) % n]);
        }
    }
    gh_slots_free(tmp);
}

// ---- pauses -------------------------------------------------------------------------

typedef struct churn {
    pthread_t thread;
    gh_heap *h;
    const gh_type *t;
    gh_slot *row;
    uint64_t n, seed, until;  // until that many cycles are over
    latencies l;
} churn;

static void *
churn_main(void *arg)
{
    churn *c = arg;
    gh_mut *m;
    gh_slots *tmp;
    bench_check(gh_slots_new(c->h, 1, &tmp), "gh_slots_new");
    bench_check(gh_enter(c->h, GH_ANY_P, &m), "gh_enter");
    gh_slot *made = gh_slots_at(tmp, 0);
    uintptr_t *row = gh_data(c->row);
    uint64_t s = c->seed;
    int64_t t0 = now_ns();
    while (gh_cycles(c->h) < c->until) {
        for (int k = 0; k < BATCH; k++) {
            bench_check(gh_new(m, made, c->t, 1), "gh_new");
            uintptr_t *o = gh_data(made);
            const uint64_t i = bench_random(&s) % c->n;
            gh_store_inline(m, o, (void *)row[bench_random(&s) % c->n]);
            gh_store_inline(m, &row[i], o);
        }
        gh_poll(m);
        const int64_t t = now_ns();
        note(&c->l, t - t0);
        t0 = t;
    }
    gh_leave(m);
    gh_slots_free(tmp);
    return NULL;
}

static int
pauses(uint64_t mib, uint64_t cycles, int threads, int32_t gogc)
{
    gh_heap *h = heap(-1, threads);
    gh_mut *m;
    gh_slots *root;
    const uint64_t n = (mib << 20) / 64;
    bench_check(gh_enter(h, GH_ANY_P, &m), "gh_enter");
    bench_check(gh_slots_new(h, 1, &root), "gh_slots_new");
    const gh_type *t = bench_type(m, 64, 4);
    live(m, gh_slots_at(root, 0), t, n);
    bench_check(gh_gc(m), "gh_gc");
    gh_set_gogc(m, gogc);
    const uint64_t before = gh_cycles(h);
    bench_run run = bench_begin(h);
    bench_look(&run, h);
    gh_leave(m);
    churn *c = calloc((size_t)threads, sizeof(*c));
    const bench_time t0 = bench_now();
    for (int i = 0; i < threads; i++) {
        c[i].h = h;
        c[i].t = t;
        c[i].row = gh_slots_at(root, 0);
        c[i].n = n;
        c[i].seed = 0x9e3779b97f4a7c15u * (uint64_t)(i + 1);
        c[i].until = before + cycles;
        pthread_create(&c[i].thread, NULL, churn_main, &c[i]);
    }
    latencies all = {0};
    for (int i = 0; i < threads; i++) {
        pthread_join(c[i].thread, NULL);
        add(&all, &c[i].l);
    }
    const bench_time d = bench_since(t0);
    bench_check(gh_enter(h, GH_ANY_P, &m), "gh_enter");
    bench_look(&run, h);
    uint64_t held = 0;  // of those looked at, objects that still point at one
    for (uint64_t i = 0; i < n; i += LOOK_AT) {
        const uintptr_t *o = ((uintptr_t **)gh_data(gh_slots_at(root, 0)))[i];
        held += o != NULL && *o != 0;
    }
    gh_leave(m);
    int64_t stop = 0, both = 0, mark = 0, stops = 0;
    double work = 0, assist = 0;
    for (uint64_t i = before; i < before + cycles; i++) {
        gh_cycle r;
        bench_check(gh_cycle_get(h, i, &r), "gh_cycle_get");
        char line[400];
        gh_cycle_format(&r, line, sizeof(line));
        fprintf(stderr, "%s\n", line);
        for (int k = 0; k < 2; k++) {
            stop = r.pause_ns[k] > stop ? r.pause_ns[k] : stop;
            stops += r.pause_ns[k];
        }
        both = r.pause_ns[0] + r.pause_ns[1] > both
                   ? r.pause_ns[0] + r.pause_ns[1] : both;
        mark += r.mark_end_ns - r.mark_start_ns;
        work += (double)(r.assist_ns + r.background_ns + r.idle_ns);
        assist += (double)r.assist_ns;
    }
    printf("{\"cpu_s\": %.6f, \"wall_s\": %.6f, \"gcs\": %llu, \"objects\": %llu, "
           "\"stop_max_us\": %.1f, \"stop_mean_us\": %.1f, "
           "\"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, "
           "\"stall_us\": %.1f, \"mark_s\": %.4f, \"mark_cpu_s\": %.4f, "
           "\"assist_cpu_s\": %.4f, \"peak\": %llu, \"rss\": %llu, \"check\": %llu}\n",
           d.cpu, d.wall, (unsigned long long)cycles,
           (unsigned long long)all.n * BATCH, (double)stop * 1e-3,
           (double)stops * 1e-3 / (double)(2 * cycles), quantile_us(&all, 0.5),
           quantile_us(&all, 0.99), quantile_us(&all, 0.999),
           (double)all.worst * 1e-3, (double)mark * 1e-9 / (double)cycles,
           work * 1e-9 / (double)cycles, assist * 1e-9 / (double)cycles,
           (unsigned long long)run.peak, (unsigned long long)bench_rss(),
           (unsigned long long)held);
    free(c);
    gh_slots_free(root);
    gh_heap_free(h);
    return 0;
}

// ---- stores ---------------------------------------------------------------------------------

static _Atomic bool over;

static void *
collect_main(void *arg)
{
    gh_heap *h = arg;
    gh_mut *m;
    while (!atomic_load(&over)) {
        bench_check(gh_enter(h, GH_ANY_P, &m), "gh_enter");
        bench_check(gh_gc(m), "gh_gc");
        gh_leave(m);
    }
    return NULL;
}

#define TARGETS 512
#define VALUES 1024
#define STORES (1 << 16)

static __attribute__((noinline)) void
store_some(gh_mut *m, uintptr_t *const *target, void *const *value)
{
    for (unsigned i = 0; i < STORES; i++) {
        gh_store_inline(m, &target[i % TARGETS][i % 4], value[i % VALUES]);
    }
}

// store_bare is the loop alone: what the machine takes to read both arrays and write.
static __attribute__((noinline)) void
store_bare(uintptr_t *const *target, void *const *value)
{
    for (unsigned i = 0; i < STORES; i++) {
        __atomic_store_n(&target[i % TARGETS][i % 4], (uintptr_t)value[i % VALUES],
                         __ATOMIC_RELEASE);
    }
}

static double
ns_a_store(const struct timespec *a, const struct timespec *b)
{
    return ((double)(b->tv_sec - a->tv_sec) * 1e9 + (double)(b->tv_nsec - a->tv_nsec))
           / STORES;
}

static int
by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static int
store(uint64_t mib, size_t rounds)
{
    gh_heap *h = heap(-1, 2);
    gh_mut *m;
    bench_check(gh_enter(h, GH_ANY_P, &m), "gh_enter");
    const gh_type *t = bench_type(m, 64, 4);
    gh_slots *root;
    bench_check(gh_slots_new(h, 1 + TARGETS + VALUES, &root), "gh_slots_new");
    uintptr_t *target[TARGETS];
    void *value[VALUES];
    for (size_t i = 0; i < TARGETS + VALUES; i++) {
        gh_slot *slot = gh_slots_at(root, 1 + i);
        bench_check(gh_new(m, slot, t, 1), "gh_new");
        if (i < TARGETS) {
            target[i] = gh_data(slot);
        } else {
            value[i - TARGETS] = gh_data(slot);
        }
    }
    live(m, gh_slots_at(root, 0), t, (mib << 20) / 64);
    bench_check(gh_gc(m), "gh_gc");
    bench_run run = bench_begin(h);
    bench_look(&run, h);

    // As many rounds of each kind; a round counts if it was of one kind.
    // The third, between those of the first: no barrier at all. Nothing marks then.
    double *ns[3];
    size_t n[2] = {0, 0};
    for (int k = 0; k < 3; k++) {
        ns[k] = calloc(rounds, sizeof(double));
    }
    pthread_t collector;
    for (int k = 0; k < 2; k++) {
        if (k == 1) {
            pthread_create(&collector, NULL, collect_main, h);
        }
        while (n[k] < rounds) {
            const bool before = gh_gc_phase(h) == GH_PHASE_MARK;
            const uint64_t cycles = gh_cycles(h);
            struct timespec a, b;
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
            store_some(m, target, value);
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
            const bool after = gh_gc_phase(h) == GH_PHASE_MARK;
            if (before == (k == 1) && after == before && cycles == gh_cycles(h)) {
                ns[k][n[k]++] = ns_a_store(&a, &b);
            }
            if (k == 0 && n[0] > 0) {
                clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
                store_bare(target, value);
                clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
                ns[2][n[0] - 1] = ns_a_store(&a, &b);
            }
            gh_poll(m);
        }
    }
    atomic_store(&over, true);
    bench_look(&run, h);
    uint64_t right = 0;  // what the last round of stores left
    for (unsigned i = STORES - TARGETS; i < STORES; i++) {
        right += target[i % TARGETS][i % 4] == (uintptr_t)value[i % VALUES];
    }
    gh_leave(m);
    pthread_join(collector, NULL);
    for (int k = 0; k < 3; k++) {
        qsort(ns[k], rounds, sizeof(double), by_value);
    }
    printf("{\"idle_ns\": %.4f, \"marking_ns\": %.4f, \"bare_ns\": %.4f, "
           "\"cycles\": %llu, \"peak\": %llu, \"rss\": %llu, \"check\": %llu}\n",
           ns[0][rounds / 2], ns[1][rounds / 2], ns[2][rounds / 2],
           (unsigned long long)gh_cycles(h), (unsigned long long)run.peak,
           (unsigned long long)bench_rss(), (unsigned long long)right);
    for (int k = 0; k < 3; k++) {
        free(ns[k]);
    }
    gh_slots_free(root);
    gh_heap_free(h);
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "pauses") == 0) {
        return pauses(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10),
                      atoi(argv[4]), atoi(argv[5]));
    }
    if (argc == 4 && strcmp(argv[1], "store") == 0) {
        return store(strtoull(argv[2], NULL, 10),
                     (size_t)strtoull(argv[3], NULL, 10));
    }
    fprintf(stderr, "usage: concurrent pauses MIB CYCLES THREADS GOGC | "
                    "store MIB ROUNDS\n");
    return 2;
}
