// test_mgcpacer.c: the pacer. The figures were computed by Go 1.26.8's own
// controller, but for those of assists, which are from its source. A number at
// a row is that of a vector, see csrc/design/vectors.md. Floats are equal to the
// last bit.

#include <math.h>
#include <string.h>

#include "check.h"
#include "mgcpacer.h"

#define MIB ((uint64_t)1 << 20)

// new_gcc makes a controller with the default minimum and no heap around it.
static void
new_gcc(gh_gc_controller *c, gh_mem *mem, int32_t gogc, int64_t limit)
{
    *mem = (gh_mem){.mapped_ready = 0};
    gh_gcc_init(c, mem, gogc, limit, GH_HEAP_MINIMUM);
}

// ---- goal and trigger ------------------------------------------------------

// [gc:1-12,16,17]
static void
test_no_limit(void)
{
    static const struct {
        int gogc;
        uint64_t live, goal, trigger;
    } rows[] = {
        {100, 0, 4194304, 3997696},  // 1
        {50, 0, 2097152, 1998848},  // 2
        {200, 0, 8388608, 7995392},  // 3
        {0, 0, 0, 0},  // 4
        {1, 0, 41943, 39955},  // 5
        {-1, 0, 8946670875749132533u, 8946670875744938229u},  // 6
        {100, MIB, 4194304, 4046848},  // 7
        {100, 2 * MIB, 4194304, 4096000},  // 8
        {100, 4 * MIB, 8388608, 8192000},  // 9
        {100, 10 * MIB, 20971520, 20480000},  // 10
        {100, 100 * MIB, 209715200, 205520896},  // 11
        {100, 1000 * MIB, 2097152000, 2092957696},  // 12
        {50, 10 * MIB, 15728640, 15482880},  // 16
        {0, 10 * MIB, 10485760, 10485760},  // 17
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

// [gc:19-25]
static void
test_limit(void)
{
    static const struct {
        uint64_t limit;
        int gogc;
        uint64_t goal, trigger;
    } rows[] = {
        {64 * MIB, 100, 58992886, 58193623},   // 19
        {48 * MIB, 100, 42718989, 42682604},   // 20
        {44 * MIB, 100, 41943040, 41943040},   // 21
        {10 * MIB, 100, 41943040, 41943040},   // 22
        {512 * MIB, -1, 514662074, 510467770}, // 23
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
    // 24: nothing is mapped, as in Go's tests.
    gh_mem mem;
    gh_gc_controller c;
    new_gcc(&c, &mem, -1, 512 * (int64_t)MIB);
    c.heap_live = c.heap_marked = 40 * MIB;
    gh_gcc_commit(&c, true);
    uint64_t goal;
    CHECK_EQ(gh_gcc_trigger(&c, &goal), 516570481);
    CHECK_EQ(goal, 520764785);
    // 25: less than the headroom is left.
    new_gcc(&c, &mem, -1, 3 * (int64_t)MIB);
    mem.mapped_ready = 3 * MIB / 2;
    c.heap_live = c.heap_marked = c.total_alloc = MIB / 2;
    gh_gcc_commit(&c, true);
    CHECK_EQ(gh_gcc_trigger(&c, &goal), 1024000);
    CHECK_EQ(goal, 1048576);
}

// [gc:13-15,103]
static void
test_runway(void)
{
    static const struct {
        double cons_mark;
        uint64_t scan, stack, globals, runway, goal, trigger;
    } rows[] = {
        {0.1, 10 * MIB, 0, 0, 3145728, 20971520, 17858560},           // 13
        {0.3, 10 * MIB, 0, 0, 9437184, 20971520, 17858560},           // 14
        {0.05, 8 * MIB, MIB, 2 * MIB, 1730150, 24117248, 22387098},   // 15
        {INFINITY, 10 * MIB, 0, 0, (uint64_t)1 << 63, 20971520, 17858560},
        {INFINITY, 0, 0, 0, (uint64_t)1 << 63, 20971520, 17858560},   // 103
        {NAN, 10 * MIB, 0, 0, (uint64_t)1 << 63, 20971520, 17858560},
        {1e300, 10 * MIB, 0, 0, (uint64_t)1 << 63, 20971520, 17858560},
        {3e11, 10 * MIB, 0, 0, 9437184000000000000u, 20971520, 17858560},
        {-1, 10 * MIB, 0, 0, (uint64_t)-31457280, 20971520, 17858560},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gh_mem mem;
        gh_gc_controller c;
        new_gcc(&c, &mem, 100, INT64_MAX);
        c.heap_live = c.heap_marked = 10 * MIB;
        c.cons_mark = rows[i].cons_mark;
        c.last_heap_scan = rows[i].scan;
        c.last_stack_scan = rows[i].stack;
        gh_gcc_add_globals(&c, (int64_t)rows[i].globals);
        gh_gcc_commit(&c, true);
        CHECK_EQ(c.runway, rows[i].runway);
        uint64_t goal;
        CHECK_EQ(gh_gcc_trigger(&c, &goal), rows[i].trigger);
        CHECK_EQ(goal, rows[i].goal);
    }
}

static void
test_corners(void)
{
    gh_mem mem;
    gh_gc_controller c;
    new_gcc(&c, &mem, 100, INT64_MAX);
    // [gc:17] Unswept: at least 1 MiB is allocated before the next cycle.
    CHECK_EQ(gh_gcc_set_gc_percent(&c, 0), 100);
    c.heap_live = c.heap_marked = 10 * MIB;
    gh_gcc_commit(&c, false);
    CHECK_EQ(gh_gcc_heap_goal(&c), 11534336);
    CHECK_EQ(gh_gcc_trigger(&c, NULL), 11534336);
    // [gc:18] While marking, the goal stays 64 KiB above the trigger.
    (void)gh_gcc_set_gc_percent(&c, 100);
    c.heap_live = c.heap_marked = 4 * MIB;
    gh_gcc_commit(&c, true);
    c.triggered = 8384512;
    CHECK_EQ(gh_gcc_heap_goal(&c), 8450048);
    // [gc:94]
    CHECK_EQ(gh_gcc_set_gc_percent(&c, -7), 100);
    CHECK_EQ(gh_gcc_set_gc_percent(&c, 100), -1);
    CHECK_EQ(gh_gcc_set_memory_limit(&c, -1), INT64_MAX);
    CHECK_EQ(gh_gcc_set_memory_limit(&c, 1), INT64_MAX);
    CHECK_EQ(gh_gcc_set_memory_limit(&c, INT64_MAX), 1);
    // Stacks and globals enter the goal.
    (void)gh_gcc_set_gc_percent(&c, 100);
    c.triggered = GH_INFINITE;
    c.heap_live = c.heap_marked = 10 * MIB;
    c.last_stack_scan = MIB;
    c.globals_scan = 2 * MIB;
    gh_gcc_commit(&c, true);
    CHECK_EQ(gh_gcc_heap_goal(&c), 24117248);
    // [gc:92]
    c.heap_marked = 12070456;
    c.last_stack_scan = 9528;
    c.globals_scan = 158026;
    gh_gcc_commit(&c, true);
    CHECK_EQ(gh_gcc_heap_goal(&c), 24308466);
    (void)gh_gcc_set_gc_percent(&c, 50);
    gh_gcc_commit(&c, true);
    CHECK_EQ(gh_gcc_heap_goal(&c), 18189461);
}

// ---- the price of a byte ---------------------------------------------------

static void
test_revise(void)
{
    static const struct {
        uint64_t live, heap, stack, globals;
        double work_per_byte, bytes_per_work;
    } rows[] = {
        // [gc:26-32]
        {18 * MIB, 0, 0, 0, 4.7372262773722627, 0.2110939907550077},
        {18 * MIB, 5 * MIB, 16384, 131072, 2.335766423357664, 0.428125},
        {18 * MIB, 11 * MIB, 16384, 131072, 1.8354718900840783,
         0.54481902196507759},
        {21 * MIB, 5 * MIB, 16384, 131072, 11.299058373259486,
         0.088502950154378743},
        {21 * MIB, 11 * MIB, 16384, 131072, 8.3964183446206988,
         0.11909840112250554},
        {30 * MIB, 11 * MIB, 16384, 131072, 7389184, 1.3533294068736142e-07},
        {18 * MIB, 10 * MIB + 16384 + 131072 - 500, 0, 0,
         0.00044551208941605839, 2244.608},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gh_mem mem;
        gh_gc_controller c;
        new_gcc(&c, &mem, 100, INT64_MAX);
        c.heap_live = c.heap_marked = 10 * MIB;
        c.last_heap_scan = 10 * MIB;
        c.last_stack_scan = 16384;
        c.globals_scan = 131072;
        gh_gcc_commit(&c, true);
        c.heap_live = rows[i].live;
        c.heap_scan = 18 * MIB;
        gh_gcc_add_scannable_stack(&c, NULL, 65536);
        c.triggered = 18 * MIB;
        c.heap_scan_work = rows[i].heap;
        c.stack_scan_work = rows[i].stack;
        c.globals_scan_work = rows[i].globals;
        gh_gcc_revise(&c);
        CHECK(c.assist_work_per_byte == rows[i].work_per_byte);
        CHECK(c.assist_bytes_per_work == rows[i].bytes_per_work);
    }
}

static void
test_update(void)
{
    gh_mem mem;
    gh_gc_controller c;
    new_gcc(&c, &mem, 100, INT64_MAX);
    gh_gcc_update(&c, 10 * (int64_t)MIB, MIB, false);
    gh_gcc_update(&c, -(int64_t)MIB, 0, false);
    CHECK_EQ(c.heap_live, 9 * MIB);
    CHECK_EQ(c.heap_scan, MIB);
    CHECK(c.assist_work_per_byte == 0);
    // While marking, what can be scanned stands still and the price moves.
    gh_gcc_start_cycle(&c, 0, 4, GH_MARKING_BACKGROUND);
    const double before = c.assist_work_per_byte;
    gh_gcc_update(&c, 1024, 1024, true);
    CHECK_EQ(c.heap_live, 9 * MIB + 1024);
    CHECK_EQ(c.heap_scan, MIB);
    CHECK(c.assist_work_per_byte > before);
    // A P keeps less than 8 KiB of stack to itself.
    int64_t p = 0;
    gh_gcc_add_scannable_stack(&c, &p, 8191);
    CHECK_EQ(c.max_stack_scan, 0);
    gh_gcc_add_scannable_stack(&c, &p, 1);
    CHECK_EQ(c.max_stack_scan, 8192);
    CHECK_EQ(p, 0);
    gh_gcc_add_scannable_stack(&c, &p, -8192);
    CHECK_EQ(c.max_stack_scan, 0);
}

// ---- cons/mark -------------------------------------------------------------

// [gc:33-36]
static void
test_end_cycle(void)
{
    static const struct {
        int64_t assist, idle;
        double history[4], cons_mark, utilization;
    } rows[] = {
        {0, 0, {0}, 0.033333333333333333, 0.25},        // 33
        {4000000, 0, {0}, 0.053846153846153842, 0.35},  // 34
        {0, 20000000, {0}, 0.1, 0.25},                  // 35
        {0, 0, {0.5, 0.2, 0.1, 0.01}, 0.5, 0.25},       // 36
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gh_mem mem;
        gh_gc_controller c;
        new_gcc(&c, &mem, 100, INT64_MAX);
        c.heap_live = 18 * MIB;
        gh_gcc_start_cycle(&c, 1000, 4, GH_MARKING_BACKGROUND);
        c.heap_live = 19 * MIB;
        c.heap_scan_work = 10 * MIB;
        c.assist_time = rows[i].assist;
        c.idle_mark_time = rows[i].idle;
        c.cons_mark = 7;
        memcpy(c.last_cons_mark, rows[i].history, sizeof(c.last_cons_mark));
        const gh_gcc_measured m = gh_gcc_end_cycle(&c, 10001000, 4);
        CHECK(m.valid);
        CHECK(m.utilization == rows[i].utilization);
        CHECK(m.old_cons_mark == 7);
        CHECK(c.cons_mark == rows[i].cons_mark);
        CHECK(c.last_cons_mark[0] == rows[i].history[1]);
        CHECK(c.last_cons_mark[2] == rows[i].history[3]);
        CHECK(c.last_cons_mark[3]
              == (i == 3 ? 0.033333333333333333 : rows[i].cons_mark));
        CHECK_EQ(c.last_heap_goal, 18 * MIB + 65536);
    }
}

static void
test_end_cycle_corners(void)
{
    gh_mem mem;
    gh_gc_controller c;
    new_gcc(&c, &mem, 100, INT64_MAX);
    // [gc:37,100] Nothing was allocated.
    c.heap_live = 18 * MIB;
    c.cons_mark = 0.25;
    gh_gcc_start_cycle(&c, 0, 4, GH_MARKING_STOPPED);
    c.heap_scan_work = MIB;
    CHECK(!gh_gcc_end_cycle(&c, 1000, 4).valid);
    CHECK(c.cons_mark == 0.25);
    CHECK(c.last_cons_mark[3] == 0);
    gh_gcc_reset_live(&c, 18 * MIB);
    // No time has passed: the background had its quarter all the same.
    gh_gcc_start_cycle(&c, 5, 4, GH_MARKING_BACKGROUND);
    c.heap_live = 19 * MIB;
    c.heap_scan_work = 10 * MIB;
    c.assist_time = c.idle_mark_time = 1000;
    CHECK(gh_gcc_end_cycle(&c, 5, 4).utilization == 0.25);
    CHECK(c.cons_mark == 0.033333333333333333);
    gh_gcc_reset_live(&c, 18 * MIB);
    // [gc:103] Growth and no scan work. The next cycle starts as early as may be;
    // the four after it do too.
    c.last_heap_scan = 0;
    gh_gcc_start_cycle(&c, 0, 4, GH_MARKING_BACKGROUND);
    c.heap_live = 19 * MIB;
    (void)gh_gcc_end_cycle(&c, 1000000, 4);
    CHECK(isinf(c.cons_mark));
    for (int i = 0; i < 6; i++) {
        gh_gcc_reset_live(&c, 10 * MIB);
        gh_gcc_commit(&c, true);
        CHECK_EQ(c.runway, i < 5 ? (uint64_t)1 << 63 : 1048576);
        CHECK_EQ(gh_gcc_trigger(&c, NULL), i < 5 ? 17858560 : 19922944);
        gh_gcc_start_cycle(&c, 0, 4, GH_MARKING_BACKGROUND);
        c.heap_live += MIB;
        c.heap_scan_work = 10 * MIB;
        (void)gh_gcc_end_cycle(&c, 1000000, 4);
        CHECK((isinf(c.cons_mark) != 0) == (i < 4));
    }
}

// [gc:38-41] Four cycles of a program, every figure from Go.
static void
test_four_cycles(void)
{
    static const struct {
        uint64_t trigger;
        double wpb[3];
        double cons_mark;
        uint64_t runway, goal, next_trigger;
    } rows[] = {
        {3997696, {0.16666666666666666, 0.68181818181818177, 0.2},
         0.013710368466152529, 131072, 8429568, 8231040},
        {8231040, {16.051579626047712, 15.769008662175169,
                   0.014824478178368121},
         0.017627616599338966, 168521, 8429568, 8231040},
        {8231040, {0}, 0.022147518291477156, 211731, 8429568, 8217837},
        {8217837, {15.050644449797149, 0, 0}, 0.027420736932305061, 262144,
         8429568, 8167424},
    };
    gh_mem mem;
    gh_gc_controller c;
    new_gcc(&c, &mem, 100, INT64_MAX);
    for (size_t i = 0; i < 4; i++) {
        c.max_stack_scan = 8192;
        c.globals_scan = 32768;
        c.heap_live = gh_gcc_trigger(&c, NULL);
        CHECK_EQ(c.heap_live, rows[i].trigger);
        c.heap_scan += c.heap_live - c.heap_marked;
        gh_gcc_start_cycle(&c, 0, 4, GH_MARKING_BACKGROUND);
        double wpb[3];
        wpb[0] = c.assist_work_per_byte;
        c.heap_scan_work += MIB;
        c.stack_scan_work += 8192;
        c.globals_scan_work += 32768;
        gh_gcc_update(&c, 65536, 0, true);
        wpb[1] = c.assist_work_per_byte;
        c.heap_scan_work += 2 * MIB;
        gh_gcc_update(&c, 65536, 0, true);
        wpb[2] = c.assist_work_per_byte;
        for (int j = 0; j < 3; j++) {
            CHECK(rows[i].wpb[j] == 0 || rows[i].wpb[j] == wpb[j]);
        }
        c.assist_time = (int64_t)i * 1000000;
        (void)gh_gcc_end_cycle(&c, 5000000, 4);
        gh_gcc_reset_live(&c, 4 * MIB);
        gh_gcc_commit(&c, false);
        CHECK_EQ(c.last_heap_scan, 3145728);
        CHECK(c.cons_mark == rows[i].cons_mark);
        CHECK_EQ(c.runway, rows[i].runway);
        uint64_t goal;
        CHECK_EQ(gh_gcc_trigger(&c, &goal), rows[i].next_trigger);
        CHECK_EQ(goal, rows[i].goal);
    }
}

// [gc:42] A program that allocates 33 KiB and a marker that scans 1024 KiB in each
// ms of CPU, on 8 Ps. The heap doubles at first and by the twelfth cycle grows
// no more. Each half ms of marking the pacer is asked for the price, from which
// follows how the two share the CPUs.
static void
test_steady(void)
{
    enum { PROCS = 8, CYCLES = 50, STEP_NS = 500000 };
    static const struct {
        int cycle;
        uint64_t live, trigger, peak, goal;
    } rows[] = {
        {1, 0, 3997696, 4026999, 4194304},
        {2, 291447, 4011349, 4063884, 4194304},
        {3, 554977, 4023681, 4116696, 4194304},
        {4, 1014158, 4045187, 4204994, 4194304},
        {50, 20886438, 39968953, 41813835, 41813836},
    };
    const double alloc_kib = 33 * 512.0, scan_kib = 1024 * 512.0;
    gh_mem mem;
    gh_gc_controller c;
    new_gcc(&c, &mem, 100, INT64_MAX);
    c.max_stack_scan = 8192;
    c.globals_scan = 32768;
    size_t row = 0;
    int64_t black_last = 0;
    double growth = 0;
    for (int i = 1; i <= CYCLES; i++) {
        growth = 2 + -1.0 * (double)(i - 1 < 12 ? i - 1 : 12) / 12;
        const uint64_t at = gh_gcc_trigger(&c, NULL);
        c.heap_live = at > c.heap_marked ? at : c.heap_marked;
        c.heap_scan += c.heap_live - c.heap_marked;
        gh_gcc_start_cycle(&c, 0, PROCS, GH_MARKING_BACKGROUND);
        const int64_t marked =
            i == 1 ? 262144
                   : (int64_t)((double)((int64_t)c.heap_marked - black_last)
                               * growth);
        int64_t left[3] = {32768, 8192, marked};
        int64_t duration = 0, assist = 0, black = 0;
        double utilization = 0;
        while (left[0] + left[1] + left[2] > 0) {
            const double owed = c.assist_work_per_byte * 33;
            double u = owed / (owed + 1024);
            u = u < GH_GC_UTILIZATION ? GH_GC_UTILIZATION : u;
            const int64_t can = (int64_t)(scan_kib * PROCS * u);
            int64_t allocated = (int64_t)(alloc_kib * PROCS * (1 - u));
            int64_t elapsed = STEP_NS, rest = can, did[3];
            for (int j = 0; j < 3; j++) {
                did[j] = left[j] < rest ? left[j] : rest;
                left[j] -= did[j];
                rest -= did[j];
            }
            if (rest > 0) {  // the cycle ends within this step
                elapsed = (int64_t)((double)(can - rest) * STEP_NS
                                    / (scan_kib * PROCS * u));
                allocated = (int64_t)(alloc_kib * (double)elapsed / STEP_NS
                                      * PROCS * (1 - u));
            }
            c.heap_scan += (uint64_t)allocated;
            c.globals_scan_work += (uint64_t)did[0];
            c.stack_scan_work += (uint64_t)did[1];
            c.heap_scan_work += (uint64_t)did[2];
            gh_gcc_update(&c, allocated, 0, true);
            assist += (int64_t)((double)elapsed * PROCS
                                * (u - GH_GC_UTILIZATION));
            duration += elapsed;
            black += allocated;
        }
        if (rows[row].cycle == i) {
            CHECK_EQ(c.heap_marked, rows[row].live);
            CHECK_EQ(c.triggered, rows[row].trigger);
            CHECK_EQ(c.heap_live, rows[row].peak);
            CHECK_EQ(gh_gcc_heap_goal(&c), rows[row].goal);
            row++;
        }
        c.assist_time = assist;
        utilization = gh_gcc_end_cycle(&c, duration, PROCS).utilization;
        if (i == CYCLES) {
            CHECK(utilization >= 0.2495 && utilization < 0.2505);
        }
        gh_gcc_reset_live(&c, (uint64_t)(marked + black));
        gh_gcc_commit(&c, false);
        black_last = black;
    }
    CHECK_EQ(row, sizeof(rows) / sizeof(rows[0]));
}

// ---- workers ---------------------------------------------------------------

static void
test_start_cycle(void)
{
    static const struct {
        int32_t procs, dedicated;
        double fractional;
        int32_t idle, idle_periodic;
    } rows[] = {
        // [gc:43-57]
        {1, 0, 0.25, 1, 1},
        {2, 0, 0.25, 2, 1},
        {3, 0, 0.25, 3, 1},
        {4, 1, 0, 3, 0},
        {5, 1, 0, 4, 0},
        {6, 1, 0.083333333333333329, 5, 0},
        {7, 2, 0, 5, 0},
        {8, 2, 0, 6, 0},
        {9, 2, 0, 7, 0},
        {10, 3, 0, 7, 0},
        {12, 3, 0, 9, 0},
        {16, 4, 0, 12, 0},
        {32, 8, 0, 24, 0},
        {64, 16, 0, 48, 0},
        {128, 32, 0, 96, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gh_mem mem;
        gh_gc_controller c;
        new_gcc(&c, &mem, 100, INT64_MAX);
        gh_gcc_start_cycle(&c, 7, rows[i].procs, GH_MARKING_BACKGROUND);
        CHECK_EQ(c.dedicated_mark_workers_needed, rows[i].dedicated);
        CHECK(c.fractional_utilization_goal == rows[i].fractional);
        CHECK_EQ(c.idle_mark_workers, (uint64_t)rows[i].idle << 32);
        gh_gcc_start_cycle(&c, 7, rows[i].procs, GH_MARKING_PERIODIC);
        CHECK_EQ(c.dedicated_mark_workers_needed, rows[i].dedicated);
        CHECK(c.fractional_utilization_goal == rows[i].fractional);
        CHECK_EQ(c.idle_mark_workers, (uint64_t)rows[i].idle_periodic << 32);
        gh_gcc_start_cycle(&c, 7, rows[i].procs, GH_MARKING_STOPPED);
        CHECK_EQ(c.dedicated_mark_workers_needed, rows[i].procs);
        CHECK(c.fractional_utilization_goal == 0);
        CHECK_EQ(c.idle_mark_workers, 0);
    }
}

static void
test_start_cycle_clears(void)
{
    gh_mem mem;
    gh_gc_controller c;
    new_gcc(&c, &mem, 100, INT64_MAX);
    c.heap_live = 5 * MIB;
    c.heap_scan_work = c.stack_scan_work = c.globals_scan_work = 9;
    c.bg_scan_credit = c.assist_time = c.idle_mark_time = 9;
    c.dedicated_mark_time = c.fractional_mark_time = 9;
    gh_gcc_start_cycle(&c, 123, 4, GH_MARKING_BACKGROUND);
    CHECK_EQ(c.heap_scan_work + c.stack_scan_work + c.globals_scan_work, 0);
    CHECK_EQ(c.bg_scan_credit + c.assist_time + c.idle_mark_time, 0);
    CHECK_EQ(c.dedicated_mark_time + c.fractional_mark_time, 0);
    CHECK_EQ(c.mark_start_time, 123);
    CHECK_EQ(c.triggered, 5 * MIB);
    // Nothing was scanned before: the least work, over what is left to go.
    CHECK(c.assist_work_per_byte == 1000 / 65536.0);
    CHECK(c.assist_bytes_per_work == 65.536);
}

static void
test_pick_worker(void)
{
    gh_mem mem;
    gh_gc_controller c;
    new_gcc(&c, &mem, 100, INT64_MAX);
    // Six Ps: one is dedicated, each of the others gives a twelfth.
    gh_gcc_start_cycle(&c, 1000, 6, GH_MARKING_BACKGROUND);
    CHECK(gh_gcc_needs_worker(&c));
    CHECK_EQ(gh_gcc_pick_worker(&c, 1000, 0), GH_WORKER_DEDICATED);
    CHECK(gh_gcc_needs_worker(&c));
    CHECK_EQ(gh_gcc_pick_worker(&c, 1000, 0), GH_WORKER_FRACTIONAL);
    CHECK_EQ(gh_gcc_pick_worker(&c, 13000, 1000), GH_WORKER_FRACTIONAL);
    CHECK_EQ(gh_gcc_pick_worker(&c, 13000, 1001), GH_WORKER_NONE);
    CHECK_EQ(gh_gcc_pick_worker(&c, 13012, 1001), GH_WORKER_FRACTIONAL);
    CHECK_EQ(gh_gcc_pick_worker(&c, 1000, 1001), GH_WORKER_FRACTIONAL);
    // It stops a fifth above its share.
    CHECK(gh_gcc_fractional_is_over(&c, 1000, 0));
    CHECK(!gh_gcc_fractional_is_over(&c, 13000, 1199));
    CHECK(gh_gcc_fractional_is_over(&c, 13000, 1201));
    gh_gcc_worker_stop(&c, GH_WORKER_FRACTIONAL, 1201);
    gh_gcc_worker_stop(&c, GH_WORKER_FRACTIONAL, 9);
    CHECK_EQ(c.fractional_mark_time, 1210);
    // The dedicated place is free again.
    gh_gcc_worker_stop(&c, GH_WORKER_DEDICATED, 55);
    CHECK_EQ(c.dedicated_mark_time, 55);
    CHECK_EQ(gh_gcc_pick_worker(&c, 13000, 1210), GH_WORKER_DEDICATED);
    // An idle worker counts in its own account.
    CHECK(gh_gcc_add_idle_mark_worker(&c));
    gh_gcc_worker_stop(&c, GH_WORKER_IDLE, 77);
    CHECK_EQ(c.idle_mark_time, 77);
    CHECK_EQ(c.idle_mark_workers, (uint64_t)5 << 32);
    // Four Ps: no fractions.
    gh_gcc_start_cycle(&c, 1000, 4, GH_MARKING_BACKGROUND);
    CHECK_EQ(gh_gcc_pick_worker(&c, 1000, 0), GH_WORKER_DEDICATED);
    CHECK(!gh_gcc_needs_worker(&c));
    CHECK_EQ(gh_gcc_pick_worker(&c, 1000, 0), GH_WORKER_NONE);
}

static void
test_idle_workers(void)
{
    gh_mem mem;
    gh_gc_controller c;
    new_gcc(&c, &mem, 100, INT64_MAX);
    gh_gcc_set_max_idle_mark_workers(&c, 2);
    CHECK(gh_gcc_needs_idle_mark_worker(&c));
    CHECK(gh_gcc_add_idle_mark_worker(&c));
    CHECK(gh_gcc_add_idle_mark_worker(&c));
    CHECK(!gh_gcc_needs_idle_mark_worker(&c));
    CHECK(!gh_gcc_add_idle_mark_worker(&c));
    // There may be more than the new most for a while.
    gh_gcc_set_max_idle_mark_workers(&c, 1);
    CHECK_EQ(c.idle_mark_workers, (uint64_t)1 << 32 | 2);
    gh_gcc_remove_idle_mark_worker(&c);
    CHECK(!gh_gcc_add_idle_mark_worker(&c));
    gh_gcc_remove_idle_mark_worker(&c);
    CHECK(gh_gcc_add_idle_mark_worker(&c));
}

// ---- assists ---------------------------------------------------------------

static void
test_assist(void)
{
    gh_mem mem;
    gh_gc_controller c;
    new_gcc(&c, &mem, 100, INT64_MAX);
    c.assist_work_per_byte = 2;
    c.assist_bytes_per_work = 0.5;
    // [gc:87] A debt of 1000 is paid for by the least assist, and the background
    // has done that much.
    int64_t credit = -1000, work;
    c.bg_scan_credit = 100000;
    int64_t paid = gh_gcc_assist_work(&c, -credit, &work);
    CHECK_EQ(paid, 32768);
    CHECK_EQ(work, 65536);
    credit += gh_gcc_steal_credit(&c, paid, &work);
    CHECK_EQ(credit, 31768);
    CHECK_EQ(work, 0);
    CHECK_EQ(c.bg_scan_credit, 34464);
    // [gc:88] It has done less.
    credit = -1000;
    c.bg_scan_credit = 1000;
    paid = gh_gcc_assist_work(&c, -credit, &work);
    credit += gh_gcc_steal_credit(&c, paid, &work);
    CHECK_EQ(credit, -499);
    CHECK_EQ(work, 64536);
    CHECK_EQ(c.bg_scan_credit, 0);
    credit += gh_gcc_assist_pay(&c, work);
    CHECK_EQ(credit, 31770);
    // Nothing was done in advance, or less than nothing.
    CHECK_EQ(gh_gcc_steal_credit(&c, paid, &work), 0);
    c.bg_scan_credit = -5;
    CHECK_EQ(gh_gcc_steal_credit(&c, paid, &work), 0);
    CHECK_EQ(work, 64536);
    // A large debt is paid as it is.
    CHECK_EQ(gh_gcc_assist_work(&c, 32768, &work), 32768);
    CHECK_EQ(work, 65536);
    CHECK_EQ(gh_gcc_assist_work(&c, 100001, &work), 100001);
    CHECK_EQ(work, 200002);

    int64_t p = 0;
    CHECK(!gh_gcc_add_assist_time(&c, &p, 5000));
    CHECK_EQ(c.assist_time, 0);
    CHECK(gh_gcc_add_assist_time(&c, &p, 1));
    CHECK_EQ(c.assist_time, 5001);
    CHECK_EQ(p, 0);
}

static void
test_pay_waiters(void)
{
    gh_mem mem;
    gh_gc_controller c;
    new_gcc(&c, &mem, 100, INT64_MAX);
    c.assist_work_per_byte = 2;
    c.assist_bytes_per_work = 0.5;
    int64_t bytes = gh_gcc_work_bytes(&c, 2001);
    CHECK_EQ(bytes, 1000);
    int64_t a = -400, b = -600, d = -100;
    CHECK(gh_gcc_pay_waiter(&bytes, &a));
    CHECK_EQ(a, 0);
    CHECK(gh_gcc_pay_waiter(&bytes, &b));  // to the last byte
    CHECK_EQ(b, 0);
    CHECK_EQ(bytes, 0);
    bytes = 30;
    CHECK(!gh_gcc_pay_waiter(&bytes, &d));
    CHECK_EQ(d, -70);
    CHECK_EQ(bytes, 0);
    gh_gcc_give_bytes(&c, 101);
    CHECK_EQ(c.bg_scan_credit, 202);
}

// ---- a long random walk ----------------------------------------------------

static uint64_t
next(uint64_t *x)
{
    *x = *x * 6364136223846793005u + 1442695040888963407u;
    return *x >> 33;
}

// some_bytes is mostly the size of a heap, seldom of nothing or of everything.
static uint64_t
some_bytes(uint64_t *x)
{
    const uint64_t hi = next(x), lo = next(x);
    return (hi << 31 | lo) >> (12 + next(x) % 51);
}

static void
mix(uint64_t *hash, uint64_t v)
{
    *hash = (*hash ^ v) * 1099511628211u;
}

static void
mix_double(uint64_t *hash, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    mix(hash, v != v ? 0 : bits);
}

static void
walk_step(gh_gc_controller *c, gh_mem *mem, uint64_t *x, bool *marking,
          int32_t *procs)
{
    switch (next(x) % 8) {
    case 0: {
        const uint64_t alloc = some_bytes(x) / 4;
        c->heap_free.bytes = some_bytes(x) / 4;
        c->total_alloc = alloc;
        mem->mapped_ready = alloc + c->heap_free.bytes + some_bytes(x) / 4;
        return;
    }
    case 1:
        gh_gcc_commit(c, next(x) % 2 == 0);
        if (*marking) {
            gh_gcc_revise(c);
        }
        return;
    case 2:
        (void)gh_gcc_set_gc_percent(c, (int32_t)(next(x) % 400) - 20);
        return;
    case 3: {
        const int64_t limit = (int64_t)some_bytes(x);
        (void)gh_gcc_set_memory_limit(c, next(x) % 3 == 0 ? INT64_MAX : limit);
        return;
    }
    case 4:
        c->heap_scan = some_bytes(x);
        c->max_stack_scan = some_bytes(x) / 64;
        c->globals_scan = some_bytes(x) / 64;
        return;
    default:
        break;
    }
    if (!*marking) {
        const uint64_t trigger = gh_gcc_trigger(c, NULL);
        c->heap_live = next(x) % 2 == 0 ? trigger : some_bytes(x);
        *procs = 1 + (int32_t)(next(x) % 70);
        gh_gcc_start_cycle(c, 1000, *procs, (gh_marking)(next(x) % 3));
        *marking = true;
    } else if (next(x) % 3 != 0) {
        c->heap_live += some_bytes(x) / 16;
        c->heap_scan_work = some_bytes(x);
        c->stack_scan_work = some_bytes(x) / 64;
        c->globals_scan_work = some_bytes(x) / 64;
        gh_gcc_revise(c);
    } else {
        const int64_t time = (int64_t)(next(x) % 10 == 0 ? 0 : next(x));
        c->assist_time = (int64_t)(next(x) % 4) * time * *procs / 3;
        c->idle_mark_time = (int64_t)(next(x) % 2) * time;
        if (next(x) % 10 == 0) {
            c->heap_scan_work = 0;
            c->stack_scan_work = 0;
            c->globals_scan_work = 0;
        }
        (void)gh_gcc_end_cycle(c, 1000 + time, *procs);
        gh_gcc_reset_live(c, some_bytes(x));
        *marking = false;
    }
}

// Go's controller, led through the same 80,000 steps, has the same figures.
static void
test_walk(void)
{
    uint64_t x = 1, hash = 14695981039346656037u;
    for (int n = 0; n < 2000; n++) {
        static const int32_t gogc[] = {100, 50, 200, 0, -1, 1, 1000, 1 << 30};
        gh_mem mem;
        gh_gc_controller c;
        new_gcc(&c, &mem, gogc[n % 8], INT64_MAX);
        bool marking = false;
        int32_t procs = 1;
        for (int k = 0; k < 40; k++) {
            walk_step(&c, &mem, &x, &marking, &procs);
            uint64_t goal;
            mix(&hash, gh_gcc_trigger(&c, &goal));
            mix(&hash, goal);
            mix(&hash, c.runway);
            mix(&hash, c.triggered);
            mix(&hash, (uint64_t)c.dedicated_mark_workers_needed);
            mix(&hash, c.idle_mark_workers);
            mix_double(&hash, c.fractional_utilization_goal);
            mix_double(&hash, c.cons_mark);
            mix_double(&hash, c.last_cons_mark[3]);
            mix_double(&hash, c.assist_work_per_byte);
            mix_double(&hash, c.assist_bytes_per_work);
        }
    }
    CHECK_EQ(hash, 7646811356321806991u);
}

int
main(void)
{
    test_no_limit();
    test_limit();
    test_runway();
    test_corners();
    test_revise();
    test_update();
    test_end_cycle();
    test_end_cycle_corners();
    test_four_cycles();
    test_steady();
    test_start_cycle();
    test_start_cycle_clears();
    test_pick_worker();
    test_idle_workers();
    test_assist();
    test_pay_waiters();
    test_walk();
    return 0;
}
