// test_gctrace.c: floats as Go's print writes them, and the lines around a cycle in
// their order. The floats were printed by Go 1.26.8.

#include "check.h"
#include "goheap.h"

#include <math.h>
#include <string.h>

#include "gctrace.h"

static void
test_floats(void)
{
    static const struct {
        double x;
        const char *want;
    } cases[] = {
        {0, "0"}, {1, "1"}, {0.25, "0.25"}, {-2.5, "-2.5"},
        {5.288770493405809, "5.288770493405809"},
        {0.00022912898583304637, "0.00022912898583304637"},
        {0.0001, "0.0001"}, {0.00001, "1e-05"}, {0.000012345, "1.2345e-05"},
        {123456, "123456"}, {999999, "999999"}, {1000000, "1e+06"},
        {1234567, "1.234567e+06"}, {123456.75, "123456.75"},
        {100, "100"}, {1e21, "1e+21"}, {1.5e300, "1.5e+300"},
        {0.1 + 0.2, "0.30000000000000004"}, {44.462921142578125,
        "44.462921142578125"},
        {INFINITY, "+Inf"}, {-INFINITY, "-Inf"}, {NAN, "NaN"},
    };
    char buf[40];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const int n = gh_format_float(buf, sizeof(buf), cases[i].x);
        if (strcmp(buf, cases[i].want) != 0) {
            fprintf(stderr, "%s, want %s\n", buf, cases[i].want);
            exit(1);
        }
        CHECK_EQ(n, strlen(buf));
    }
}

// The figures of a real log, and what Go printed from them.
static void
test_lines(void)
{
    gh_cycle c = {
        .n = 2,
        .start_ns = 11000000, .mark_start_ns = 11051000,
        .mark_end_ns = 20351000, .end_ns = 21651000,
        .heap_start = 25 << 20, .heap_end = 45264336, .heap_marked = 24 << 20,
        .heap_goal = 31094634, .trigger = 26463696,
        .scan_work = 6870824, .stack_scan = 2008, .globals_scan = 153546,
        .gc_cpu_fraction = 0.125, .assist_ns = 870000, .background_ns = 2700000,
        .procs = 2,
        .pacer = {
            .heap_scan = 2 << 20, .goal = 29 << 20,
            .assist_ratio = 0.22883009878344301, .fractional = 0.25,
            .measured = true, .utilization = 0.2951,
            .old_cons_mark = 5.288770493405809, .expected = 1059698,
        },
        .sweep = {
            .done = true, .heap_live = 39 << 20, .allocated = 15 << 20,
            .pages = 5566, .pages_per_byte = 0.00032645728043137874,
            .scav = {.heap_released = 1984 << 10, .heap_in_use = 880,
                     .heap_free = 120},
        },
    };
    const char *const begin =
        "pacer: assist ratio=0.22883009878344301 (scan 2 MB in 25->29 MB) "
        "workers=0+0.25\n"
        "pacer: 29% CPU (25 exp.) for 6870824+2008+153546 B work (1059698 B exp.) "
        "in 26463696 B -> 45264336 B (\xe2\x88\x86goal 14169702, cons/mark "
        "5.288770493405809)\n";
    const char *const gc =
        "gc 2 @0.011s 12%: 0.051+9.3+1.3 ms clock, 0.10+0.87/2.7/0+2.6 ms cpu, "
        "25->43->24 MB, 29 MB goal, 0 MB stacks, 0 MB globals, 2 P\n";
    const char *const sweep =
        "pacer: sweep done at heap size 39MB; allocated 15MB during sweep; swept "
        "5566 pages at 0.00032645728043137874 pages/byte\n";
    const char *const scav = "scav 0 KiB work (bg), 0 KiB work (eager), "
                             "1984 KiB now, 88% util\n";
    const unsigned all = GH_TRACE_GC | GH_TRACE_PACER | GH_TRACE_SCAV;
    char buf[2048], want[2048];
    const int n = gh_cycle_trace(&c, all, buf, sizeof(buf));
    snprintf(want, sizeof(want), "%s%s%s%s", begin, gc, sweep, scav);
    CHECK(strcmp(buf, want) == 0);
    CHECK_EQ(n, strlen(buf));
    // One kind at a time, and room for less.
    CHECK_EQ(gh_cycle_trace(&c, GH_TRACE_GC, buf, sizeof(buf)), strlen(gc));
    CHECK(strcmp(buf, gc) == 0);
    CHECK_EQ(gh_cycle_trace(&c, GH_TRACE_SCAV, buf, sizeof(buf)), strlen(scav));
    CHECK(strcmp(buf, scav) == 0);
    CHECK_EQ(gh_cycle_trace(&c, all, buf, 10), n);
    CHECK(strlen(buf) < 10 && strncmp(buf, begin, strlen(buf)) == 0);
    CHECK_EQ(gh_cycle_trace(&c, all, NULL, 0), n);
    // With the world stopped the sweep comes first; nothing was measured.
    c.sweep.stopped = true;
    c.pacer.measured = false;
    c.periodic = true;
    c.sweep.forced = (gh_scav_trace){.released_eager = 17448 << 10, .forced = true,
                                     .heap_in_use = 1};
    (void)gh_cycle_trace(&c, all, buf, sizeof(buf));
    snprintf(want, sizeof(want),
             "GC forced\n%.*s%s%s%s"
             "scav 0 KiB work (bg), 17448 KiB work (eager), 0 KiB now, 100%% util "
             "(forced)\n",
             (int)(strchr(begin, '\n') + 1 - begin), begin, sweep, scav, gc);
    CHECK(strcmp(buf, want) == 0);
    // A sweep that goes on says nothing.
    c.sweep = (gh_sweep_trace){0};
    CHECK_EQ(gh_cycle_trace(&c, GH_TRACE_SCAV, buf, sizeof(buf)), 0);
    CHECK_EQ(buf[0], 0);
}

static void
test_of_a_heap(void)
{
    gh_options opt;
    gh_options_init(&opt);
    opt.policy.eager_sweep = false;
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
    CHECK(gh_heap_new(&opt, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, &m) == GH_OK);
    CHECK(gh_slots_new(h, 1000, &b) == GH_OK);
    for (unsigned i = 0; i < 6000; i++) {
        CHECK(gh_alloc(m, gh_slots_at(b, i % 1000), 1000) == GH_OK);
    }
    CHECK(gh_cycles(h) > 0);
    gh_cycle c;
    CHECK(gh_cycle_get(h, 0, &c) == GH_OK);
    CHECK(gh_free_os_memory(m) == GH_OK);
    CHECK(gh_cycle_get(h, 0, &c) == GH_OK);
    CHECK(c.sweep.done && !c.sweep.stopped && c.sweep.pages > 100);
    CHECK(!c.sweep.forced.forced);
    CHECK(gh_cycle_get(h, gh_cycles(h) - 1, &c) == GH_OK);
    CHECK(c.sweep.forced.forced && c.sweep.forced.released_eager > 1 << 20);
    CHECK(c.sweep.forced.heap_free < 1 << 20);  // what P caches hold
    CHECK(gh_gc_start(m) == GH_OK);
    CHECK(gh_gc_finish(m) == GH_OK);
    CHECK(gh_cycle_get(h, gh_cycles(h) - 2, &c) == GH_OK);
    CHECK(c.sweep.done && c.sweep.forced.forced);
    gh_leave(m);
    gh_slots_free(b);
    gh_heap_free(h);
}

int
main(void)
{
    test_floats();
    test_lines();
    test_of_a_heap();
    return 0;
}
