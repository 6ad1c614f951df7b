// test_mgcpacer.c: goal and trigger. The rows were computed by Go 1.26.8's own
// controller.

#include "check.h"
#include "mgcpacer.h"

#define MIB ((uint64_t)1 << 20)

static void
test_no_limit(void)
{
    static const struct {
        int gogc;
        uint64_t live, goal, trigger;
    } rows[] = {
        {100, 0, 4194304, 3997696},
        {50, 0, 2097152, 1998848},
        {200, 0, 8388608, 7995392},
        {0, 0, 0, 0},
        {1, 0, 41943, 39955},
        {-1, 0, 8946670875749132533u, 8946670875744938229u},
        {100, MIB, 4194304, 4046848},
        {100, 2 * MIB, 4194304, 4096000},
        {100, 4 * MIB, 8388608, 8192000},
        {100, 10 * MIB, 20971520, 20480000},
        {100, 100 * MIB, 209715200, 205520896},
        {100, 1000 * MIB, 2097152000, 2092957696},
        {50, 10 * MIB, 15728640, 15482880},
        {0, 10 * MIB, 10485760, 10485760},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gh_mem mem = {.mapped_ready = 0};
        gh_gc_controller c;
        gh_gcc_init(&c, &mem, rows[i].gogc, INT64_MAX, 4 * MIB);
        c.heap_live = c.heap_marked = rows[i].live;
        gh_gcc_commit(&c, true);
        uint64_t goal;
        CHECK_EQ(gh_gcc_trigger(&c, &goal), rows[i].trigger);
        CHECK_EQ(goal, rows[i].goal);
    }
}

static void
test_limit(void)
{
    static const struct {
        uint64_t limit;
        int gogc;
        uint64_t goal, trigger;
    } rows[] = {
        {64 * MIB, 100, 58992886, 58193623},
        {48 * MIB, 100, 42718989, 42682604},
        {44 * MIB, 100, 41943040, 41943040},
        {10 * MIB, 100, 41943040, 41943040},
        {512 * MIB, -1, 514662074, 510467770},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gh_mem mem = {.mapped_ready = 48 * MIB};
        gh_gc_controller c;
        gh_gcc_init(&c, &mem, rows[i].gogc, (int64_t)rows[i].limit, 4 * MIB);
        c.heap_live = c.heap_marked = c.total_alloc = 40 * MIB;
        c.heap_free.bytes = 2 * MIB;
        gh_gcc_commit(&c, true);
        uint64_t goal;
        CHECK_EQ(gh_gcc_trigger(&c, &goal), rows[i].trigger);
        CHECK_EQ(goal, rows[i].goal);
    }
}

static void
test_corners(void)
{
    gh_mem mem = {.mapped_ready = 0};
    gh_gc_controller c;
    gh_gcc_init(&c, &mem, 100, INT64_MAX, 4 * MIB);
    // Unswept: at least 1 MiB is allocated before the next cycle.
    CHECK_EQ(gh_gcc_set_gc_percent(&c, 0), 100);
    c.heap_live = c.heap_marked = 10 * MIB;
    gh_gcc_commit(&c, false);
    CHECK_EQ(gh_gcc_heap_goal(&c), 11534336);
    CHECK_EQ(gh_gcc_trigger(&c, NULL), 11534336);
    // While marking, the goal stays 64 KiB above the trigger.
    (void)gh_gcc_set_gc_percent(&c, 100);
    c.heap_live = c.heap_marked = 4 * MIB;
    gh_gcc_commit(&c, true);
    c.triggered = 8384512;
    CHECK_EQ(gh_gcc_heap_goal(&c), 8450048);
    CHECK_EQ(gh_gcc_set_gc_percent(&c, -7), 100);
    CHECK_EQ((uint64_t)c.gc_percent, (uint64_t)-1);
    // Stacks and globals enter the goal.
    (void)gh_gcc_set_gc_percent(&c, 100);
    c.triggered = GH_INFINITE;
    c.heap_live = c.heap_marked = 10 * MIB;
    c.last_stack_scan = MIB;
    c.globals_scan = 2 * MIB;
    gh_gcc_commit(&c, true);
    CHECK_EQ(gh_gcc_heap_goal(&c), 24117248);
}

int
main(void)
{
    test_no_limit();
    test_limit();
    test_corners();
    return 0;
}
