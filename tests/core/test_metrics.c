// test_metrics.c: runtime/metrics. The list is whole and sorted, and its classes
// sum up, on heaps with work of all kinds behind them.

#include "check.h"
#include "goheap.h"

#include <math.h>
#include <string.h>

#include "heap.h"

static const gh_metric *
find(const gh_metrics *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++) {
        if (strcmp(m->metric[i].name, name) == 0) {
            return &m->metric[i];
        }
    }
    fprintf(stderr, "no metric %s\n", name);
    exit(1);
}

static double
cpu(const gh_metrics *m, const char *what)
{
    char name[100];
    snprintf(name, sizeof(name), "/cpu/classes/%s:cpu-seconds", what);
    return find(m, name)->f64;
}

static bool
near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b)) + 1e-12;
}

static void
check_sums(const gh_heap *h, const gh_metrics *m)
{
    uint64_t memory = 0;
    CHECK_EQ(m->n, GH_NUM_METRICS);
    for (size_t i = 0; i < m->n; i++) {
        const char *name = m->metric[i].name;
        CHECK(i == 0 || strcmp(m->metric[i - 1].name, name) < 0);
        if (strncmp(name, "/memory/", 8) == 0) {
            memory += m->metric[i].u64;
        }
    }
    CHECK_EQ(memory, 2 * find(m, "/memory/classes/total:bytes")->u64);
    CHECK(near(cpu(m, "gc/total"),
               cpu(m, "gc/mark/assist") + cpu(m, "gc/mark/dedicated")
                   + cpu(m, "gc/mark/idle") + cpu(m, "gc/pause")));
    // While a cycle marks its first pause is counted already, as in Go.
    const uint64_t odd = gh_gc_phase(h) == GH_PHASE_OFF ? 0 : 1;
    CHECK(odd || near(cpu(m, "total"), cpu(m, "gc/total") + cpu(m, "idle")
                                           + cpu(m, "scavenge/total")
                                           + cpu(m, "user")));
    CHECK(cpu(m, "user") >= 0 && cpu(m, "idle") >= 0);
    const uint64_t *gc = find(m, "/sched/pauses/total/gc:seconds")->counts;
    uint64_t stops = 0;
    for (unsigned i = 0; i < GH_METRIC_TIME_COUNTS; i++) {
        stops += gc[i];
        CHECK_EQ(gc[i], find(m, "/gc/pauses:seconds")->counts[i]);
    }
    CHECK_EQ(stops, 2 * find(m, "/gc/cycles/total:gc-cycles")->u64 + odd);
}

static void
work(gh_mode mode, int32_t procs, int64_t limit)
{
    gh_options opt;
    gh_options_init(&opt);
    opt.mode = mode;
    opt.procs = procs;
    opt.memory_limit = limit;
    opt.policy.eager_sweep = mode == GH_MODE_STW;
    opt.costs.scan_byte = 5;
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
    const uint64_t bits = 1;
    const gh_type_desc desc = {.name = "node", .size = 64, .align = 8,
                               .ptrdata = 8, .mask = &bits};
    const gh_type *t;
    CHECK(gh_heap_new(&opt, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    CHECK(gh_type_new(m, &desc, &t) == GH_OK);
    CHECK(gh_slots_new(h, 20000, &b) == GH_OK);
    gh_metrics *got = malloc(sizeof(*got));
    CHECK(got != NULL);
    gh_metrics_get(m, got);
    check_sums(h, got);
    for (unsigned i = 0; i < 400000; i++) {
        gh_slot *slot = gh_slots_at(b, i * 7919 % 20000);
        CHECK(gh_new(m, slot, t, 1) == GH_OK);
        if (i % 5 == 0) {
            CHECK(gh_alloc(m, gh_slots_at(b, 5), 3000) == GH_OK);
        }
        if (i % 50000 == 1) {
            gh_metrics_get(m, got);
            check_sums(h, got);
        }
        if (i == 200000) {
            CHECK(gh_set_procs(m, procs + 2) == GH_OK);
            gh_advance(m, 3000000);
        }
        if (i % 100 == 0) {
            CHECK(gh_switch_p(&m, (int32_t)(i / 100) % procs) == GH_OK);
        }
    }
    CHECK(gh_free_os_memory(m) == GH_OK);
    // In concurrent mode workers and scavenger may go on between the two readings.
    gh_memstats s, after;
    do {
        gh_read_mem_stats(m, &s);
        gh_metrics_get(m, got);
        gh_read_mem_stats(m, &after);
    } while (after.sys != s.sys || after.heap_released != s.heap_released);
    check_sums(h, got);
    // The classes are refreshed by the last cycle, which ends at its last pause.
    gh_cycle c;
    CHECK(gh_cycle_get(h, gh_cycles(h) - 1, &c) == GH_OK);
    CHECK(near(s.gc_cpu_fraction,
               (cpu(got, "gc/total") - cpu(got, "gc/mark/idle"))
                   / cpu(got, "total")));
    CHECK(cpu(got, "gc/total") > 0 && cpu(got, "user") > 0);
    if (mode != GH_MODE_CONCURRENT) {  // where it is the machine's business
        CHECK((cpu(got, "gc/mark/assist") > 0) == (mode == GH_MODE_VIRTUAL));
        CHECK((cpu(got, "scavenge/total") > 0) == (limit != GH_LIMIT_OFF));
    }
    CHECK((cpu(got, "idle") > 0) == (mode != GH_MODE_CONCURRENT));
    CHECK_EQ(find(got, "/gc/cycles/total:gc-cycles")->u64, s.num_gc);
    CHECK_EQ(find(got, "/gc/heap/allocs:bytes")->u64, s.total_alloc);
    CHECK_EQ(find(got, "/gc/heap/objects:objects")->u64, s.heap_objects);
    CHECK_EQ(find(got, "/memory/classes/total:bytes")->u64, s.sys);
    CHECK_EQ(find(got, "/memory/classes/heap/released:bytes")->u64,
             s.heap_released);
    CHECK_EQ(find(got, "/gc/heap/allocs-by-size:bytes")->counts[0],
             s.by_size[1].mallocs);
    CHECK_EQ(find(got, "/gc/heap/frees-by-size:bytes")->counts[6],
             s.by_size[7].frees);
    free(got);
    gh_leave(m);
    gh_slots_free(b);
    gh_heap_free(h);
}

static void
test_lag(void)
{
    gh_options opt;
    gh_options_init(&opt);
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
    CHECK(gh_heap_new(&opt, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    CHECK(gh_slots_new(h, 1, &b) == GH_OK);
    gh_metrics *got = malloc(sizeof(*got));
    CHECK(got != NULL);
    for (unsigned i = 0; i < 10; i++) {
        CHECK(gh_alloc(m, gh_slots_at(b, 0), 100) == GH_OK);
    }
    gh_metrics_get(m, got);
    CHECK_EQ(find(got, "/gc/heap/allocs:objects")->u64, 0);
    gh_flush_p(m, GH_ANY_P);
    gh_metrics_get(m, got);
    CHECK_EQ(find(got, "/gc/heap/allocs:objects")->u64, 10);
    CHECK_EQ(find(got, "/gc/heap/allocs:bytes")->u64, 1120);
    CHECK_EQ(find(got, "/sched/pauses/total/other:seconds")->counts[1], 0);
    gh_memstats s;
    gh_read_mem_stats(m, &s);
    CHECK(gh_set_procs(m, 3) == GH_OK);
    gh_metrics_get(m, got);
    CHECK_EQ(find(got, "/sched/pauses/total/other:seconds")->counts[1], 2);
    free(got);
    gh_leave(m);
    gh_slots_free(b);
    gh_heap_free(h);
}

int
main(void)
{
    test_lag();
    work(GH_MODE_STW, 1, GH_LIMIT_OFF);
    work(GH_MODE_STW, 3, GH_LIMIT_OFF);
    work(GH_MODE_VIRTUAL, 1, 12 << 20);
    work(GH_MODE_VIRTUAL, 4, 12 << 20);
    work(GH_MODE_CONCURRENT, 1, GH_LIMIT_OFF);
    work(GH_MODE_CONCURRENT, 3, 12 << 20);
    return 0;
}
