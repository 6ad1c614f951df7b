// test_mgcscavenge.c: goals, amounts, controller, and the background in virtual
// time. Where a comment says so, the figures were computed by Go 1.26.8.

#include "check.h"
#include "mgcscavenge.h"

#include <math.h>
#include <string.h>

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define MS  ((int64_t)1000000)

// ---- goals -----------------------------------------------------------------

// [gc:77,78] Go's figures.
static void
test_goals(void)
{
    static const struct {
        int64_t limit;
        uint64_t goal;
    } limits[] = {
        {(int64_t)64 << 20, 63753420},
        {(int64_t)1 << 30, 1020054732},
        {INT64_MAX, 8762203435012036608u},
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        gh_scav_figures f = {
            .memory_limit = limits[i].limit,
            .mapped_ready = limits[i].goal + 1,
        };
        CHECK_EQ(gh_scav_pace(&f).memory_limit, limits[i].goal);
        f.mapped_ready--;
        CHECK_EQ(gh_scav_pace(&f).memory_limit, GH_SCAV_NO_GOAL);
    }
    static const struct {
        uint64_t in_use, goal, last, want;
    } rows[] = {
        {12 * MIB, 8 * MIB, 8 * MIB, 13844480},
        {12 * MIB, 20 * MIB, 10 * MIB, 27684864},
        {10 * MIB, 15 * MIB, 20 * MIB, 8650752},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gh_scav_figures f = {
            .memory_limit = INT64_MAX,
            .heap_goal = rows[i].goal,
            .last_heap_goal = rows[i].last,
            .last_heap_in_use = rows[i].in_use,
            .heap_retained = rows[i].want + 4096,
        };
        CHECK_EQ(gh_scav_pace(&f).gc_percent, rows[i].want);
        CHECK_EQ(gh_scav_pace(&f).memory_limit, GH_SCAV_NO_GOAL);
        // Less than a page too much is nothing to do.
        f.heap_retained--;
        CHECK_EQ(gh_scav_pace(&f).gc_percent, GH_SCAV_NO_GOAL);
        // No goal before the first cycle.
        f.heap_retained = MIB << 20;
        f.last_heap_goal = 0;
        CHECK_EQ(gh_scav_pace(&f).gc_percent, GH_SCAV_NO_GOAL);
    }
    // GOGC has been turned off: the goal leaves the range, and nothing is done.
    const gh_scav_figures off = {
        .memory_limit = INT64_MAX,
        .heap_goal = UINT64_MAX,
        .last_heap_goal = 4 * MIB,
        .last_heap_in_use = 64 * MIB,
        .heap_retained = MIB << 20,
    };
    CHECK_EQ(gh_scav_pace(&off).gc_percent, GH_SCAV_NO_GOAL);

    const gh_scav_goals both = {10 * MIB, 20 * MIB};
    CHECK(gh_scav_goals_met(&both, 10 * MIB, 20 * MIB));
    CHECK(!gh_scav_goals_met(&both, 10 * MIB + 1, 20 * MIB));
    CHECK(!gh_scav_goals_met(&both, 10 * MIB, 20 * MIB + 1));
}

static void
test_amounts(void)
{
    const gh_scav_goals none = {GH_SCAV_NO_GOAL, GH_SCAV_NO_GOAL};
    const gh_scav_goals goals = {10 * MIB, GH_SCAV_NO_GOAL};
    gh_scav_alloc a = {
        .scav = 64 * KIB,
        .mapped_ready = 32 * MIB,
        .memory_limit = INT64_MAX,
        .heap_retained = 9 * MIB,
    };
    bool forced;
    CHECK_EQ(gh_scav_alloc_amount(&goals, &a, &forced), 0);
    CHECK(!forced);
    // The heap grew, and its goal leaves room for a part of it.
    a.growth = 4 * MIB;
    CHECK_EQ(gh_scav_alloc_amount(&goals, &a, &forced), 3 * MIB);
    CHECK(!forced);
    CHECK_EQ(gh_scav_alloc_amount(&none, &a, &forced), 0);
    a.heap_retained = 30 * MIB;
    CHECK_EQ(gh_scav_alloc_amount(&goals, &a, &forced), 4 * MIB);
    // At the limit.
    a.memory_limit = (int64_t)(32 * MIB + 64 * KIB);
    CHECK_EQ(gh_scav_alloc_amount(&none, &a, &forced), 0);
    CHECK(!forced);
    a.memory_limit -= 100;
    CHECK_EQ(gh_scav_alloc_amount(&none, &a, &forced), 100);
    CHECK(forced);
    CHECK_EQ(gh_scav_alloc_amount(&goals, &a, &forced), 4 * MIB);
    CHECK(forced);
    // The CPU limiter stops the limit's part only.
    a.limiting = true;
    CHECK_EQ(gh_scav_alloc_amount(&goals, &a, &forced), 4 * MIB);
    CHECK(!forced);
    CHECK_EQ(gh_scav_alloc_amount(&none, &a, &forced), 0);
}

// ---- controller ------------------------------------------------------------

static const gh_scav_ops no_ops;

// [gc:79] Go's figures.
static void
test_controller(void)
{
    static const double want[] = {
        0.0033750000000000004, 0.10850625,          0.20309062500000002,
        0.28712812500000001,   0.36061875000000004, 0.42356250000000006,
    };
    gh_scavenger s;
    gh_scav_init(&s, &no_ops);
    for (int i = 0; i < 6; i++) {
        bool ok;
        const double out = gh_pi_next(&s.controller, i / 1000.0, 0.01, 1e8,
                                      &ok);
        CHECK(ok);
        CHECK(out == want[i]);
    }
    bool ok;
    CHECK(gh_pi_next(&s.controller, INFINITY, 0, 1, &ok) == 0.001);
    CHECK(!ok && s.controller.input_overflow && !s.controller.err_overflow);
    CHECK(s.controller.err_integral == 0);
    CHECK(gh_pi_next(&s.controller, -1e308, 0, 1e300, &ok) == 0.001);
    CHECK(!ok && s.controller.err_overflow);
    CHECK(s.controller.err_integral == 0);
}

static uint64_t
random_next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

// 100000 random samples; the digest is that of Go's outputs.
static void
test_controller_random(void)
{
    gh_scavenger s;
    gh_scav_init(&s, &no_ops);
    uint64_t x = 88172645463325252u, digest = 14695981039346656037u;
    for (int i = 0; i < 100000; i++) {
        const double input = (double)(random_next(&x) % 1000000) / 1e6;
        const double period = (double)(random_next(&x) % 3000000000u) + 1e6;
        bool ok;
        const double out = gh_pi_next(&s.controller, input, 0.01, period, &ok);
        digest = (digest ^ (uint64_t)(out * 1e6)) * 1099511628211u;
        if (ok) {
            digest = (digest ^ 1) * 1099511628211u;
        }
    }
    CHECK_EQ(digest, 0x802c12ab2375b631u);
}

// [gc:80] Go's figures.
static void
test_pace(void)
{
    static const struct {
        int64_t sleep;
        double ratio;
    } rows[] = {
        {1000000000, 0.001},
        {329181567, 0.0030378371628371633},
        {1049729, 0.95262627262548427},
        {969215, 1.0317621458953437},
        {1084924, 0.92172304130630112},
        {1207958, 0.82784288481739243},
    };
    gh_scavenger s;
    gh_scav_init(&s, &no_ops);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK(s.sleep_ratio == rows[i].ratio);
        // Less than 1 ms counts as 1 ms.
        const int64_t ns = gh_scav_sleep_time(&s, 1e3);
        CHECK_EQ(ns, rows[i].sleep);
        gh_scav_slept(&s, 1e3, ns, 1);
    }
}

// Sleeps that are far too long make the integral swing until it overflows.
static void
test_cooldown(void)
{
    gh_scavenger s;
    gh_scav_init(&s, &no_ops);
    int n = 0;
    while (!s.controller_reset) {
        gh_scav_slept(&s, 1e6, 100000 * MS, 1);
        n++;
        CHECK(n < 1000);
    }
    CHECK_EQ(n, 164);  // as Go's does
    CHECK(s.controller.err_overflow);
    CHECK(s.sleep_ratio == 0.001);
    CHECK_EQ(s.cooldown, 5000 * MS);
    gh_scav_slept(&s, 1e6, 999 * MS, 1);
    CHECK_EQ(s.cooldown, 4000 * MS);
    CHECK(s.sleep_ratio == 0.001);
    gh_scav_slept(&s, 1e6, 4000 * MS, 1);
    CHECK_EQ(s.cooldown, 0);
    CHECK(s.sleep_ratio == 0.001);
    gh_scav_slept(&s, 1e6, 1000 * MS, 1);
    CHECK(s.sleep_ratio != 0.001);
    gh_scav_trace t;
    gh_scav_take_trace(&s, &t);
    CHECK(t.controller_reset && !s.controller_reset);
}

// ---- the background --------------------------------------------------------

// owner is a heap with so many bytes to give back, each page at a price.
typedef struct {
    uint64_t left, stop_at;
    int64_t ns_per_page;
    int64_t worked;
    int calls;
} owner;

static uint64_t
scavenge(void *arg, uint64_t n, int64_t *ns)
{
    owner *o = arg;
    CHECK_EQ(n, 64 * KIB);
    if (n > o->left) {
        n = o->left;
    }
    o->left -= n;
    o->calls++;
    *ns = (int64_t)(n / 4096) * o->ns_per_page;
    o->worked += *ns;
    return n;
}

static bool
should_stop(void *arg)
{
    const owner *o = arg;
    return o->left <= o->stop_at;
}

static void
make(gh_scavenger *s, owner *o)
{
    const gh_scav_ops ops = {scavenge, should_stop, o};
    gh_scav_init(s, &ops);
}

static void
test_unit(void)
{
    owner o = {.left = 64 * MIB, .ns_per_page = 10000};
    gh_scavenger s;
    make(&s, &o);
    double worked;
    // 160 us for each piece: the seventh goes beyond 1 ms.
    CHECK_EQ(gh_scav_run(&s, &worked), 7 * 64 * KIB);
    CHECK(worked == 7 * 160000);
    CHECK_EQ(s.background_ns, 7 * 160000);
    // A clock that saw nothing: 10 us for each page are assumed.
    o.ns_per_page = 0;
    CHECK_EQ(gh_scav_run(&s, &worked), 7 * 64 * KIB);
    CHECK(worked == 7 * 160000);
    CHECK_EQ(s.background_ns, 7 * 160000);
    o.left = 100 * KIB;
    CHECK_EQ(gh_scav_run(&s, &worked), 100 * KIB);
    o.left = o.stop_at = MIB;
    o.calls = 0;
    CHECK_EQ(gh_scav_run(&s, &worked), 0);
    CHECK_EQ(o.calls, 0);
}

// Steps at exactly the times that are asked for, until it parks; returns when.
static int64_t
run_to_end(gh_scavenger *s, int64_t now, int32_t procs)
{
    int64_t next;
    while ((next = gh_scav_step(s, now, procs)) != GH_SCAV_NEVER) {
        CHECK(next >= now);
        now = next;
    }
    CHECK(s->state == GH_SCAV_PARKED);
    return now;
}

// The background gets 1 % of the CPU, whatever its work costs.
static void
test_share(void)
{
    for (int32_t procs = 1; procs <= 4; procs *= 2) {
        for (int64_t price = 5000; price <= 80000; price *= 2) {
            owner o = {.left = 512 * MIB - 3 * 4096, .ns_per_page = price};
            gh_scavenger s;
            make(&s, &o);
            CHECK(gh_scav_step(&s, 5, procs) == GH_SCAV_NEVER);
            gh_scav_wake(&s, 5);
            const int64_t end = run_to_end(&s, 5, procs);
            CHECK_EQ(o.left, 0);
            CHECK_EQ(s.released_bg, 512 * MIB - 3 * 4096);
            CHECK_EQ(s.background_ns, o.worked);
            const double share =
                (double)o.worked / (double)(end - 5) / (double)procs;
            CHECK(share > 0.009 && share < 0.011);
        }
    }
}

static void
test_wake(void)
{
    owner o = {.left = 64 * MIB, .ns_per_page = 10000};
    gh_scavenger s;
    make(&s, &o);
    // Nobody wakes it: it does nothing.
    CHECK(gh_scav_step(&s, 0, 1) == GH_SCAV_NEVER);
    CHECK_EQ(o.calls, 0);
    gh_scav_serve(&s, 0);
    CHECK(s.state == GH_SCAV_PARKED);
    gh_scav_ready(&s);
    CHECK(s.state == GH_SCAV_PARKED);
    gh_scav_serve(&s, 1000);
    CHECK(s.state == GH_SCAV_RUNNING && !s.wake_asked);
    // One piece a step, none before it is due.
    int64_t now = 1000;
    for (int i = 1; i < 7; i++) {
        CHECK_EQ(gh_scav_step(&s, now, 1), now + 160000);
        CHECK_EQ(o.calls, i);
        CHECK_EQ(gh_scav_step(&s, now + 1, 1), now + 160000);
        CHECK_EQ(o.calls, i);
        now += 160000;
    }
    CHECK_EQ(gh_scav_step(&s, now, 1), now + 160000 + 1120 * MS);
    CHECK(s.state == GH_SCAV_SLEEPING);
    CHECK_EQ(s.released_bg, 7 * 64 * KIB);
    // The last piece still takes its time: not at rest, so the wake is lost,
    // but not the request.
    gh_scav_wake(&s, now + 1);
    gh_scav_ready(&s);
    gh_scav_serve(&s, now + 1);
    CHECK(s.wake_asked);
    now += 160000;
    CHECK_EQ(gh_scav_step(&s, now, 1), now + 1120 * MS);
    // Asleep: it gets up early, and the short sleep counts as what it was.
    now += 500 * MS;
    gh_scav_serve(&s, now);
    CHECK(!s.wake_asked);
    gh_scavenger other = s;
    gh_scav_slept(&other, 1120000, 500 * MS, 1);
    CHECK_EQ(gh_scav_step(&s, now, 1), now + 160000);
    CHECK_EQ(o.calls, 8);
    CHECK(s.sleep_ratio == other.sleep_ratio);
    CHECK(s.sleep_ratio != GH_SCAV_START_RATIO);
    // The goals are met by another's work: it parks, and wakes in vain.
    o.stop_at = o.left;
    now = run_to_end(&s, now + 160000, 1);
    gh_scav_wake(&s, now);
    CHECK(gh_scav_step(&s, now, 1) == GH_SCAV_NEVER);
    CHECK_EQ(o.calls, 8);
}

// ---- scavtrace -------------------------------------------------------------

static void
test_trace(void)
{
    gh_scavenger s;
    gh_scav_init(&s, &no_ops);
    s.released_bg = 65 * KIB + 1023;
    s.released_eager = 3 * MIB;
    gh_scav_trace t = {
        .heap_released = 40 * MIB,
        .heap_in_use = 5 * MIB,
        .heap_free = 3 * MIB,
    };
    gh_scav_take_trace(&s, &t);
    char buf[128];
    CHECK_EQ(gh_scav_trace_format(&t, buf, sizeof(buf)), (int)strlen(buf));
    CHECK(strcmp(buf, "scav 65 KiB work (bg), 3072 KiB work (eager), "
                      "40960 KiB now, 62% util") == 0);
    CHECK_EQ(s.released_bg + s.released_eager, 0);
    CHECK_EQ(s.told_bg, 65 * KIB + 1023);
    CHECK_EQ(s.told_eager, 3 * MIB);
    t.controller_reset = true;
    (void)gh_scav_trace_format(&t, buf, sizeof(buf));
    CHECK(strstr(buf, "62% util [controller reset]") != NULL);
    t.forced = true;
    (void)gh_scav_trace_format(&t, buf, sizeof(buf));
    CHECK(strstr(buf, "62% util (forced)") != NULL);
    t = (gh_scav_trace){.forced = true};
    (void)gh_scav_trace_format(&t, buf, sizeof(buf));
    CHECK(strcmp(buf, "scav 0 KiB work (bg), 0 KiB work (eager), 0 KiB now, "
                      "0% util (forced)") == 0);
}

int
main(void)
{
    test_goals();
    test_amounts();
    test_controller();
    test_controller_random();
    test_pace();
    test_cooldown();
    test_unit();
    test_share();
    test_wake();
    test_trace();
    return 0;
}
