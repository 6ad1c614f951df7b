// test_mgc.c: the cycle: when it starts, what it records, the line of gctrace.
// [gc:...] and [alloc:...] are vectors of Go 1.26.8's behaviour, see
// csrc/design/vectors.md.

#include <string.h>

#include "check.h"
#include "heap.h"
#include "mgc.h"

static void
print_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

typedef struct fixture {
    gh_mem_fault fault;
    gh_options o;
    gh_heap *h;
    gh_mut *m;
    gh_slots *b;
} fixture;

// options begins a fixture; open makes its heap.
static void
options(fixture *f)
{
    *f = (fixture){0};
    gh_options_init(&f->o);
    f->o.address_space = (uint64_t)4 << 30;
    f->o.mem_ops = gh_mem_fault_ops();
}

static void
open_heap(fixture *f)
{
    f->o.mem_ctx = &f->fault;
    CHECK(gh_heap_new(&f->o, &f->h) == GH_OK);
    CHECK(gh_enter(f->h, GH_ANY_P, &f->m) == GH_OK);
    CHECK(gh_slots_new(f->h, 1024, &f->b) == GH_OK);
}

static void
teardown(fixture *f)
{
    CHECK_EQ(gh_verify(f->m, print_line, NULL), 0);
    gh_slots_free(f->b);
    gh_leave(f->m);
    gh_heap_free(f->h);
    CHECK_EQ(f->fault.bytes, 0);
}

static void
alloc(fixture *f, size_t i, uint64_t size)
{
    CHECK(gh_alloc(f->m, gh_slots_at(f->b, i), size) == GH_OK);
}

static gh_cycle
last(fixture *f)
{
    gh_cycle c;
    CHECK(gh_cycles(f->h) > 0);
    CHECK(gh_cycle_get(f->h, gh_cycles(f->h) - 1, &c) == GH_OK);
    return c;
}

// [gc:69] A time on the line.
static void
test_times(void)
{
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        {0, "0"},           {999, "0"},        {1000, "0.001"},
        {1500, "0.001"},    {9999, "0.009"},   {12345, "0.012"},
        {99999, "0.099"},   {100000, "0.10"},  {123456, "0.12"},
        {999999, "0.99"},   {1234567, "1.2"},  {9999999, "9.9"},
        {10000000, "10"},   {12345678, "12"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gh_cycle c = {.n = 1, .procs = 1, .mark_start_ns = rows[i].ns,
                      .mark_end_ns = rows[i].ns, .end_ns = rows[i].ns};
        char line[256], want[64];
        (void)gh_cycle_format(&c, line, sizeof(line));
        snprintf(want, sizeof(want), "gc 1 @0.000s 0%%: %s+0+0 ms clock, ",
                 rows[i].text);
        CHECK(strncmp(line, want, strlen(want)) == 0);
    }
}

// [gc:70] Seconds since the heap's birth.
static void
test_seconds(void)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{5, "gc 1 @0.005s"}, {1234, "gc 1 @1.234s"},
                {999999, "gc 1 @999.999s"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const gh_cycle c = {.n = 1, .procs = 1, .start_ns = rows[i].ms * 1000000,
                            .mark_start_ns = rows[i].ms * 1000000,
                            .mark_end_ns = rows[i].ms * 1000000,
                            .end_ns = rows[i].ms * 1000000};
        char line[256];
        (void)gh_cycle_format(&c, line, sizeof(line));
        CHECK(strncmp(line, rows[i].text, strlen(rows[i].text)) == 0);
    }
}

static void
test_line(void)
{
    const int64_t t = 1234999999;
    const gh_cycle c = {
        .n = 17, .procs = 4, .forced = true,
        .start_ns = t, .mark_start_ns = t + 25000,
        .mark_end_ns = t + 25000 + 1500000, .end_ns = t + 1525000 + 12345,
        .assist_ns = 300000, .background_ns = 6000000, .idle_ns = 20000,
        .gc_cpu_fraction = 0.0299,
        .heap_start = (11 << 20) - 1, .heap_end = 11 << 20,
        .heap_marked = (6 << 20) + 5, .heap_goal = (13 << 20) - 1,
        .stack_scan = 1 << 20, .globals_scan = (3 << 20) - 1,
    };
    static const char want[] =
        "gc 17 @1.234s 2%: 0.025+1.5+0.012 ms clock, "
        "0.10+0.30/6.0/0.020+0.049 ms cpu, 10->11->6 MB, 12 MB goal, "
        "1 MB stacks, 2 MB globals, 4 P (forced)";
    char line[256];
    CHECK_EQ(gh_cycle_format(&c, line, sizeof(line)), strlen(want));
    CHECK(strcmp(line, want) == 0);
    // As snprintf: it says how much room it needs and cuts.
    char little[8];
    CHECK_EQ(gh_cycle_format(&c, little, sizeof(little)), strlen(want));
    CHECK(strcmp(little, "gc 17 @") == 0);
    CHECK_EQ(gh_cycle_format(&c, NULL, 0), strlen(want));
}

// A forced cycle and its record.
static void
test_forced(void)
{
    fixture f;
    options(&f);
    f.o.gogc = -1;
    f.o.globals_scan = 1000;
    f.o.stack_scan = 500;
    f.o.procs = 2;
    open_heap(&f);
    const uint64_t mask[1] = {1};
    const gh_type_desc d = {.size = 64, .align = 8, .ptrdata = 8,
                            .mask = mask};
    const gh_type *t;
    CHECK(gh_type_new(f.m, &d, &t) == GH_OK);
    for (unsigned i = 0; i < 100; i++) {
        CHECK(gh_new(f.m, gh_slots_at(f.b, i), t, 1) == GH_OK);
        alloc(&f, 100, 100000);
    }
    gh_clear(f.m, gh_slots_at(f.b, 99));
    const uint64_t live = gh_heap_live(f.h);
    CHECK(gh_gc(f.m) == GH_OK);
    gh_cycle c = last(&f);
    CHECK_EQ(c.n, 1);
    CHECK(c.forced);
    CHECK_EQ(c.heap_start, live);
    CHECK_EQ(c.heap_end, live);
    CHECK_EQ(c.heap_marked, 99 * 64 + 106496);
    CHECK_EQ(c.swept_bytes, 64 + 99 * 106496);
    CHECK_EQ(c.scan_work, 99 * 8);
    CHECK_EQ(c.globals_scan, 1000);
    CHECK_EQ(c.stack_scan, 500);
    CHECK_EQ(c.allocs, 200);
    CHECK_EQ(c.procs, 2);
    CHECK_EQ((uint64_t)c.gogc, (uint64_t)-1);
    CHECK_EQ(gh_heap_live(f.h), c.heap_marked);
    CHECK_EQ(f.h->gcc.heap_marked, c.heap_marked);
    CHECK_EQ(f.h->gcc.heap_scan, 99 * 8);
    CHECK_EQ(c.heap_inuse, gh_heap_inuse(f.h));
    CHECK_EQ(c.heap_inuse, 8192 + 106496);
    CHECK_EQ(f.h->last_heap_in_use, c.heap_inuse);  // swept at once: after it
    // The clock: the stops and the price of the work, halved by two Ps.
    const gh_costs *cost = &f.o.costs;
    CHECK_EQ(c.pause_ns[0], (uint64_t)cost->stop);
    CHECK_EQ(c.mark_start_ns - c.start_ns, c.pause_ns[0]);
    CHECK_EQ(f.h->gcc.mark_start_time, c.start_ns);  // before the stop
    CHECK_EQ(c.mark_end_ns - c.mark_start_ns,
             (uint64_t)((99 * 8 + 1500) * cost->scan_byte / 2));
    CHECK_EQ(c.background_ns, (c.mark_end_ns - c.mark_start_ns) * 2);
    CHECK_EQ(c.end_ns - c.mark_end_ns, c.pause_ns[1]);
    CHECK_EQ(gh_now(f.h), c.end_ns);
    CHECK(gh_cycle_get(f.h, 1, &c) == GH_ERR_INVAL);
    CHECK(gh_cycle_get(f.h, UINT64_MAX, &c) == GH_ERR_INVAL);
    teardown(&f);
}

// [alloc:79] The trigger is tested after a refill and after a large object, and never
// after an allocation that found a slot in its span.
static void
test_where_tested(void)
{
    fixture f;
    options(&f);
    f.o.gogc = -1;
    open_heap(&f);
    alloc(&f, 0, 5 << 20);
    alloc(&f, 1, 3200);
    alloc(&f, 1, 5);
    (void)gh_set_gogc(f.m, 100);
    CHECK(gh_heap_live(f.h) >= gh_trigger(f.h));
    CHECK_EQ(gh_cycles(f.h), 0);
    for (unsigned i = 0; i < 4; i++) {
        alloc(&f, 1, 3200);
        alloc(&f, 2, 3);
    }
    alloc(&f, 2, 0);
    CHECK_EQ(gh_cycles(f.h), 0);
    alloc(&f, 1, 3200);
    CHECK_EQ(gh_cycles(f.h), 1);
    CHECK(!last(&f).forced);
    CHECK_EQ(last(&f).trigger, last(&f).heap_start);
    CHECK(last(&f).heap_marked >= 5 << 20);
    CHECK_EQ(gh_heap_goal(f.h), 2 * f.h->gcc.heap_marked);
    // A large object that reaches it.
    alloc(&f, 3, 2 << 20);
    CHECK_EQ(gh_cycles(f.h), 1);
    alloc(&f, 3, 4 << 20);
    CHECK_EQ(gh_cycles(f.h), 2);
    // What the slot held before was still live then.
    CHECK(last(&f).heap_marked >= 11 << 20);
    teardown(&f);
}

// [gc:90] GOGC=0, 1000 objects of 4 KiB, each dropped by the next. Lazily swept
// the least distance is 1 MiB, else every test collects.
static void
test_gogc_0(void)
{
    for (unsigned eager = 0; eager < 2; eager++) {
        fixture f;
        options(&f);
        f.o.gogc = 0;
        f.o.policy.eager_sweep = eager;
        open_heap(&f);
        for (unsigned i = 0; i < 1000; i++) {
            alloc(&f, 0, 4096);
        }
        CHECK_EQ(gh_cycles(f.h), eager ? 1000 : 4);
        teardown(&f);
    }
}

// Off means off; GOGC changes take effect at once, in both directions.
static void
test_settings(void)
{
    fixture f;
    options(&f);
    f.o.gogc = -1;
    open_heap(&f);
    for (unsigned i = 0; i < 100; i++) {
        alloc(&f, i, 1 << 20);
    }
    CHECK_EQ(gh_cycles(f.h), 0);
    CHECK(gh_gc(f.m) == GH_OK);
    CHECK_EQ((uint64_t)gh_set_gogc(f.m, 100), (uint64_t)-1);
    CHECK_EQ(gh_heap_goal(f.h), 200 << 20);   // [gc:11]
    CHECK_EQ(gh_trigger(f.h), 205520896);
    CHECK_EQ(gh_set_gogc(f.m, 50), 100);
    CHECK_EQ(gh_heap_goal(f.h), 150 << 20);
    CHECK_EQ(gh_gogc(f.h), 50);
    alloc(&f, 100, 40 << 20);
    CHECK_EQ(gh_cycles(f.h), 1);
    // 140 MiB are beyond the new trigger: the next test collects.
    CHECK_EQ(gh_set_gogc(f.m, 20), 50);
    CHECK_EQ(gh_cycles(f.h), 1);
    alloc(&f, 101, 8192);
    CHECK_EQ(gh_cycles(f.h), 2);
    CHECK_EQ(last(&f).gogc, 20);
    // While marking, the goal stays 64 KiB above the trigger [gc:18].
    CHECK_EQ(last(&f).heap_goal, last(&f).heap_start + 65536);
    // [gc:94]
    CHECK_EQ(gh_set_gogc(f.m, -7), 20);
    CHECK_EQ((uint64_t)gh_gogc(f.h), (uint64_t)-1);
    CHECK_EQ(gh_set_memory_limit(f.m, -1), INT64_MAX);
    CHECK_EQ(gh_memory_limit(f.h), INT64_MAX);
    // The limit alone makes a goal.
    CHECK_EQ(gh_set_memory_limit(f.m, 256 << 20), INT64_MAX);
    CHECK_EQ(gh_memory_limit(f.h), 256 << 20);
    const uint64_t goal = gh_heap_goal(f.h);
    CHECK(goal > 200 << 20 && goal < 256 << 20);
    const uint64_t before = gh_cycles(f.h);
    for (unsigned i = 0; i < 300; i++) {
        alloc(&f, 102, 1 << 20);
    }
    const uint64_t n = gh_cycles(f.h) - before;
    CHECK(n >= 2 && n <= 5);
    CHECK_EQ(last(&f).memory_limit, 256 << 20);
    teardown(&f);
}

// [alloc:73] [gc:1-3] Heap minimum and its share; unswept the least trigger is a
// MiB above what is live.
static void
test_minimum(void)
{
    static const struct {
        int gogc;
        uint64_t min, goal, trigger;
    } rows[] = {
        {100, 4 << 20, 4194304, 3997696},
        {50, 4 << 20, 2097152, 1998848},
        {200, 4 << 20, 8388608, 7995392},
    };
    for (size_t i = 0; i < 3; i++) {
        fixture f;
        options(&f);
        f.o.gogc = rows[i].gogc;
        f.o.policy.min_heap = rows[i].min;
        open_heap(&f);
        CHECK_EQ(gh_heap_goal(f.h), rows[i].goal);
        CHECK_EQ(gh_trigger(f.h), rows[i].trigger);
        while (gh_cycles(f.h) == 0) {
            alloc(&f, 0, 8192);
        }
        CHECK_EQ(last(&f).heap_start,
                 gh_align_up(rows[i].trigger, GH_PAGE_SIZE));
        CHECK_EQ(last(&f).heap_goal, rows[i].goal);
        teardown(&f);
    }
    for (unsigned eager = 0; eager < 2; eager++) {
        fixture f;
        options(&f);
        f.o.policy.min_heap = 1 << 20;
        f.o.policy.eager_sweep = eager;
        open_heap(&f);
        CHECK_EQ(gh_heap_goal(f.h), 1 << 20);
        alloc(&f, 0, 65536);
        CHECK(gh_gc_cycle(f.m, true) == GH_OK);
        CHECK_EQ(gh_heap_goal(f.h), eager ? 1 << 20 : 65536 + (1 << 20));
        teardown(&f);
    }
}

// [gc:10,16,17] Goal and trigger after a cycle that found 10 MiB.
static void
test_next_goal(void)
{
    static const struct {
        int gogc;
        uint64_t goal, trigger;
    } rows[] = {{100, 20971520, 20480000}, {50, 15728640, 15482880},
                {0, 10485760, 10485760}};
    for (size_t i = 0; i < 3; i++) {
        fixture f;
        options(&f);
        f.o.gogc = rows[i].gogc;
        open_heap(&f);
        alloc(&f, 0, 10 << 20);
        CHECK(gh_gc(f.m) == GH_OK);
        CHECK_EQ(last(&f).heap_marked, 10 << 20);
        CHECK_EQ(last(&f).next_goal, rows[i].goal);
        CHECK_EQ(last(&f).next_trigger, rows[i].trigger);
        CHECK_EQ(gh_heap_goal(f.h), rows[i].goal);
        CHECK_EQ(gh_trigger(f.h), rows[i].trigger);
        teardown(&f);
    }
}

// [alloc:66] [gc:99] Scannable bytes by path; [alloc:67] is in test_mbitmap.c. They reach
// heap_scan at a refill or a flush.
static void
test_scan_alloc(void)
{
    static const struct {
        uint64_t size, ptrdata, mask, n, added;
    } rows[] = {
        {24, 24, 5, 1, 24},      {24, 8, 1, 1, 8},
        {24, 24, 5, 3, 72},      {24, 8, 1, 3, 56},
        {8, 8, 1, 3, 8},         {8, 8, 1, 65, 576},
        {8, 8, 1, 5000, 40960},  {8, 8, 1, 1, 8},
        {8, 8, 1, 8, 8},         {64, 64, 255, 1, 64},
        {16, 8, 1, 4, 56},       {8, 8, 1, 80, 704},
        {8, 0, 0, 50, 0},        {8, 0, 0, 1, 0},
    };
    fixture f;
    options(&f);
    f.o.gogc = -1;
    open_heap(&f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const gh_type_desc d = {.size = rows[i].size, .align = 8,
                                .ptrdata = rows[i].ptrdata,
                                .mask = &rows[i].mask};
        const gh_type *t;
        CHECK(gh_type_new(f.m, &d, &t) == GH_OK);
        gh_flush_p(f.m, GH_ANY_P);
        CHECK_EQ(f.m->mcache.scan_alloc, 0);
        const uint64_t scan = f.h->gcc.heap_scan;
        CHECK(gh_new(f.m, gh_slots_at(f.b, 0), t, rows[i].n) == GH_OK);
        CHECK_EQ(f.m->mcache.scan_alloc, rows[i].added);
        CHECK_EQ(f.h->gcc.heap_scan, scan);
        if (i % 2 == 0) {
            gh_flush_p(f.m, GH_ANY_P);
        } else {
            alloc(&f, 1, 20000);  // a refill of another class
        }
        CHECK_EQ(f.h->gcc.heap_scan - scan, rows[i].added);
        CHECK_EQ(f.m->mcache.scan_alloc, 0);
    }
    // A cycle forgets what was allocated and knows what it scanned.
    CHECK(gh_gc(f.m) == GH_OK);
    CHECK_EQ(f.h->gcc.heap_scan, last(&f).scan_work);
    teardown(&f);
}

// [gc:93] Pauses go round in 256 places.
static void
test_pauses(void)
{
    fixture f;
    options(&f);
    f.o.gogc = -1;
    open_heap(&f);
    gh_memstats s;
    uint64_t total = 0;
    for (unsigned i = 0; i < 300; i++) {
        CHECK(gh_gc(f.m) == GH_OK);
        gh_stats(f.m, &s);
        const gh_cycle c = last(&f);
        const uint64_t pause = (uint64_t)(c.pause_ns[0] + c.pause_ns[1]);
        total += pause;
        CHECK_EQ(c.n, i + 1);
        CHECK_EQ(s.num_gc, i + 1);
        CHECK_EQ(s.num_forced_gc, i + 1);
        CHECK_EQ(s.pause_ns[(s.num_gc + 255) % 256], pause);
        CHECK_EQ(s.pause_end[(s.num_gc + 255) % 256], c.end_ns);
        CHECK_EQ(s.last_gc, c.end_ns);
        CHECK_EQ(s.pause_total_ns, total);
        if (i == 1) {
            CHECK(s.pause_ns[1] != 0);
            CHECK_EQ(s.pause_ns[2], 0);
        }
    }
    CHECK(s.gc_cpu_fraction > 0 && s.gc_cpu_fraction <= 1);
    teardown(&f);
}

// Without a price nothing takes time, and the line says so.
static void
test_free_clock(void)
{
    fixture f;
    options(&f);
    f.o.costs = (gh_costs){.struct_size = sizeof(gh_costs)};
    open_heap(&f);
    for (unsigned i = 0; i < 600; i++) {
        alloc(&f, 0, 8192);
    }
    CHECK_EQ(gh_cycles(f.h), 1);
    CHECK_EQ(gh_now(f.h), 0);
    const gh_cycle c = last(&f);
    char line[256];
    (void)gh_cycle_format(&c, line, sizeof(line));
    CHECK(strcmp(line, "gc 1 @0.000s 0%: 0+0+0 ms clock, 0+0/0/0+0 ms cpu, "
                       "3->3->0 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 1 P")
          == 0);
    gh_clock_set(f.m, 5000000);
    gh_clock_set(f.m, 4000000);  // never back
    CHECK_EQ(gh_now(f.h), 5000000);
    teardown(&f);
}

// A cycle that can't have its buffer does not begin: the allocation that would
// have started it goes on, the request for one fails.
static void
test_no_buffer(void)
{
    fixture f;
    options(&f);
    f.o.gogc = -1;
    open_heap(&f);
    alloc(&f, 0, 5 << 20);
    alloc(&f, 1, 1000);
    alloc(&f, 2, 8192);  // its successor has a page in the P's cache
    (void)gh_set_gogc(f.m, 100);
    f.fault.fail_from = f.fault.calls;
    f.fault.fail_count = UINT64_MAX;
    CHECK(gh_gc(f.m) == GH_ERR_NOMEM);
    CHECK_EQ(f.h->gc_skips, 1);
    alloc(&f, 3, 8192);
    CHECK_EQ(f.h->gc_skips, 2);
    CHECK_EQ(gh_cycles(f.h), 0);
    CHECK(gh_gc_phase(f.h) == GH_PHASE_OFF);
    CHECK_EQ(gh_verify(f.m, print_line, NULL), 0);
    f.fault.fail_count = 0;
    alloc(&f, 3, 8192);
    CHECK_EQ(gh_cycles(f.h), 1);
    // Once it has one it keeps it: now a cycle needs nothing of the OS.
    f.fault.fail_from = f.fault.calls;
    f.fault.fail_count = UINT64_MAX;
    CHECK(gh_gc(f.m) == GH_OK);
    f.fault.fail_count = 0;
    teardown(&f);
}

// Work buffers as Go has them: 32 KiB of the page heap, only during a cycle.
static void
test_workbufs(void)
{
    fixture f;
    options(&f);
    f.o.gogc = -1;
    f.o.model_workbufs = true;
    open_heap(&f);
    for (unsigned i = 0; i < 50; i++) {
        alloc(&f, i, 8192);
    }
    for (unsigned lazy = 0; lazy < 2; lazy++) {
        f.h->opt.policy.eager_sweep = lazy == 0;
        CHECK(gh_gc(f.m) == GH_OK);
        CHECK_EQ(f.h->stats.in_workbufs, 0);
        CHECK(f.h->workbuf_span == NULL);
        CHECK_EQ(gh_verify(f.m, print_line, NULL), 0);
    }
    // Both cycles took four pages of the P's cache and gave them back to the
    // shared pages: the cache goes on behind them.
    alloc(&f, 50, 8192);
    CHECK_EQ(gh_addr(f.h, gh_slots_at(f.b, 50)), GH_ADDR_BASE + 58 * 8192);
    teardown(&f);
}

typedef struct seen {
    unsigned starts, ends;
    uint64_t live, marked;
    gh_heap *h;
} seen;

static void
on_event(void *arg, const gh_event *e)
{
    seen *s = arg;
    if (e->kind == GH_EV_GC_START) {
        CHECK_EQ(s->starts, s->ends);
        CHECK_EQ(e->size, gh_heap_live(s->h));
        s->starts++;
        s->live = e->size;
    } else {
        CHECK(e->kind == GH_EV_GC_END);
        CHECK(gh_gc_phase(s->h) == GH_PHASE_OFF);
        s->ends++;
        s->marked = e->size;
    }
}

static void
test_events(void)
{
    fixture f;
    options(&f);
    open_heap(&f);
    seen s = {.h = f.h};
    gh_listen(f.m, 1u << GH_EV_GC_START | 1u << GH_EV_GC_END, on_event, &s);
    for (unsigned i = 0; i < 2000; i++) {
        alloc(&f, i % 100, 8192);
    }
    CHECK_EQ(s.starts, gh_cycles(f.h));
    CHECK_EQ(s.ends, gh_cycles(f.h));
    CHECK(s.ends >= 3);
    CHECK_EQ(s.live, last(&f).heap_start);
    CHECK_EQ(s.marked, last(&f).heap_marked);
    gh_listen(f.m, 0, NULL, NULL);
    CHECK(gh_gc(f.m) == GH_OK);
    CHECK_EQ(s.ends, gh_cycles(f.h) - 1);
    teardown(&f);
}

int
main(void)
{
    test_times();
    test_seconds();
    test_line();
    test_forced();
    test_where_tested();
    test_gogc_0();
    test_settings();
    test_minimum();
    test_next_goal();
    test_scan_alloc();
    test_pauses();
    test_free_clock();
    test_no_buffer();
    test_workbufs();
    test_events();
    return 0;
}
