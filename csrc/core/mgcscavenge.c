// mgcscavenge.c: goals, amounts and the pace of the background. See
// mgcscavenge.h.

#include "mgcscavenge.h"

#include <math.h>
#include <stdio.h>

#define TWO_63 9223372036854775808.0

// ---- goals -----------------------------------------------------------------

// to_u64 truncates v >= 0. Beyond the range, where C says nothing, the result
// is that of Go on amd64 [diff:pacer.convert].
static uint64_t
to_u64(double v)
{
    return v < 2 * TWO_63 ? (uint64_t)v : (uint64_t)1 << 63;
}

gh_scav_goals
gh_scav_pace(const gh_scav_figures *f)
{
    gh_scav_goals g = {GH_SCAV_NO_GOAL, GH_SCAV_NO_GOAL};
    // 5 % below the limit, so that it works hard before the limit is met.
    const uint64_t limit_goal = to_u64((double)f->memory_limit * 0.95);
    if (f->mapped_ready > limit_goal) {
        g.memory_limit = limit_goal;
    }
    if (f->last_heap_goal == 0) {
        return g;
    }
    // Pages in use will grow as the goal does; 10 % more stay for free pages.
    const double ratio = (double)f->heap_goal / (double)f->last_heap_goal;
    uint64_t goal = to_u64((double)f->last_heap_in_use * ratio);
    goal += goal / 10;
    goal = (goal + GH_PHYS_PAGE_SIZE - 1) & ~(uint64_t)(GH_PHYS_PAGE_SIZE - 1);
    if (f->heap_retained > goal
        && f->heap_retained - goal >= GH_PHYS_PAGE_SIZE) {
        g.gc_percent = goal;
    }
    return g;
}

bool
gh_scav_goals_met(const gh_scav_goals *g, uint64_t heap_retained,
                  uint64_t mapped_ready)
{
    return heap_retained <= g->gc_percent && mapped_ready <= g->memory_limit;
}

// ---- amount ----------------------------------------------------------------

uint64_t
gh_scav_alloc_amount(const gh_scav_goals *g, const gh_scav_alloc *a,
                     bool *forced)
{
    uint64_t amount = 0;
    *forced = false;
    const uint64_t limit = (uint64_t)a->memory_limit;
    if (!a->limiting && a->scav + a->mapped_ready > limit) {
        amount = a->scav + a->mapped_ready - limit;
        *forced = true;
    }
    // The heap grew because its free pages lie in pieces too small. As much of
    // them goes back as the growth will soon bring in.
    const uint64_t soon = a->heap_retained + a->growth;
    if (g->gc_percent != GH_SCAV_NO_GOAL && a->growth > 0
        && soon > g->gc_percent) {
        const uint64_t over = soon - g->gc_percent;
        const uint64_t grown = over < a->growth ? over : a->growth;
        if (grown > amount) {
            amount = grown;
        }
    }
    return amount;
}

// ---- controller ------------------------------------------------------------

double
gh_pi_next(gh_pi_controller *c, double input, double setpoint, double period,
           bool *ok)
{
    const double raw = c->kp * (setpoint - input) + c->err_integral;
    *ok = false;
    if (!isfinite(raw)) {
        c->err_integral = 0;
        c->input_overflow = true;
        return c->min;
    }
    double out = raw;
    if (out < c->min) {
        out = c->min;
    } else if (out > c->max) {
        out = c->max;
    }
    if (c->ti != 0 && c->tt != 0) {
        c->err_integral += (c->kp * period / c->ti) * (setpoint - input)
                           + (period / c->tt) * (out - raw);
        if (!isfinite(c->err_integral)) {
            c->err_integral = 0;
            c->err_overflow = true;
            return c->min;
        }
    }
    *ok = true;
    return out;
}

// ---- scavenger -------------------------------------------------------------

void
gh_scav_init(gh_scavenger *s, const gh_scav_ops *ops)
{
    *s = (gh_scavenger){
        .ops = *ops,
        .state = GH_SCAV_PARKED,
        .sleep_ratio = GH_SCAV_START_RATIO,
        .controller = {
            .kp = 0.3375,
            .ti = 3.2e6,
            .tt = 1e9,
            .min = 0.001,
            .max = 1000,
        },
    };
}

static void
begin_unit(gh_scavenger *s)
{
    s->unit_released = 0;
    s->unit_worked = 0;
}

// piece does the next 64 KiB of the unit and stores how long that took. Returns
// false if the unit is done.
static bool
piece(gh_scavenger *s, int64_t *ns)
{
    *ns = 0;
    if (s->ops.should_stop(s->ops.arg)) {
        return false;
    }
    const uint64_t n = s->ops.scavenge(s->ops.arg, GH_SCAV_QUANTUM, ns);
    GH_ASSERT(*ns >= 0);
    if (*ns == 0) {
        s->unit_worked +=
            GH_SCAV_APPROX_PAGE_NS * (double)(n / GH_PHYS_PAGE_SIZE);
    } else {
        s->unit_worked += (double)*ns;
        s->background_ns += *ns;
    }
    s->unit_released += n;
    // Part of a physical page cannot go back: the rest of it would go along.
    GH_THROW_IF(s->unit_released > 0 && s->unit_released < GH_PHYS_PAGE_SIZE,
                "scavenger: released less than a page");
    return n >= GH_SCAV_QUANTUM && s->unit_worked < GH_SCAV_MIN_WORK_NS;
}

uint64_t
gh_scav_run(gh_scavenger *s, double *worked)
{
    int64_t ns;
    begin_unit(s);
    while (piece(s, &ns)) {
    }
    *worked = s->unit_worked;
    return s->unit_released;
}

// at_least is what sleeping takes a unit for: so short a one that its sleep
// would be too short to be kept says nothing.
static double
at_least(double worked)
{
    return worked < GH_SCAV_MIN_WORK_NS ? GH_SCAV_MIN_WORK_NS : worked;
}

int64_t
gh_scav_sleep_time(const gh_scavenger *s, double worked)
{
    const double ns = at_least(worked) / s->sleep_ratio;
    return ns < TWO_63 ? (int64_t)ns : INT64_MAX;
}

void
gh_scav_slept(gh_scavenger *s, double worked, int64_t slept, int32_t procs)
{
    worked = at_least(worked);
    if (s->cooldown > 0) {
        const int64_t t = slept + (int64_t)worked;
        s->cooldown = t > s->cooldown ? 0 : s->cooldown - t;
        return;
    }
    const double period = (double)slept + worked;
    const double share = worked / (period * (double)procs);
    bool ok;
    s->sleep_ratio = gh_pi_next(&s->controller, share, GH_SCAV_PERCENT / 100.0,
                                period, &ok);
    if (!ok) {
        s->sleep_ratio = GH_SCAV_START_RATIO;
        s->cooldown = GH_SCAV_COOLDOWN_NS;
        s->controller_reset = true;
    }
}

int64_t
gh_scav_step(gh_scavenger *s, int64_t now, int32_t procs)
{
    if (s->state == GH_SCAV_PARKED) {
        return GH_SCAV_NEVER;
    }
    if (now < s->until) {
        return s->until;
    }
    if (s->state == GH_SCAV_SLEEPING) {
        gh_scav_slept(s, s->unit_worked, now - s->since, procs);
        begin_unit(s);
        s->state = GH_SCAV_RUNNING;
    }
    int64_t ns;
    const bool more = piece(s, &ns);
    s->until = now + ns;
    if (more) {
        return s->until;
    }
    if (s->unit_released == 0) {
        s->state = GH_SCAV_PARKED;
        return GH_SCAV_NEVER;
    }
    s->released_bg += s->unit_released;
    s->state = GH_SCAV_SLEEPING;
    s->since = s->until;
    const int64_t most = INT64_MAX - s->since;
    const int64_t sleep = gh_scav_sleep_time(s, s->unit_worked);
    s->until += sleep < most ? sleep : most;
    return s->until;
}

void
gh_scav_wake(gh_scavenger *s, int64_t now)
{
    if (s->state == GH_SCAV_PARKED) {
        begin_unit(s);
        s->state = GH_SCAV_RUNNING;
        s->until = now;
    } else if (s->state == GH_SCAV_SLEEPING && now >= s->since) {
        s->until = s->since;
    } else {
        return;
    }
    s->wake_asked = false;
}

void
gh_scav_ready(gh_scavenger *s)
{
    s->wake_asked = true;
}

void
gh_scav_serve(gh_scavenger *s, int64_t now)
{
    if (s->wake_asked) {
        gh_scav_wake(s, now);
    }
}

// ---- scavtrace -------------------------------------------------------------

void
gh_scav_take_trace(gh_scavenger *s, gh_scav_trace *t)
{
    t->released_bg = s->released_bg;
    t->released_eager = s->released_eager;
    t->controller_reset = s->controller_reset;
    t->forced = false;
    s->told_bg += s->released_bg;
    s->told_eager += s->released_eager;
    s->released_bg = 0;
    s->released_eager = 0;
    s->controller_reset = false;
}

int
gh_scav_trace_format(const gh_scav_trace *t, char *buf, size_t cap)
{
    const uint64_t retained = t->heap_in_use + t->heap_free;
    const uint64_t util = retained == 0 ? 0 : t->heap_in_use * 100 / retained;
    const char *note = "";
    if (t->forced) {
        note = " (forced)";
    } else if (t->controller_reset) {
        note = " [controller reset]";
    }
    return snprintf(buf, cap,
                    "scav %llu KiB work (bg), %llu KiB work (eager), "
                    "%llu KiB now, %llu%% util%s",
                    (unsigned long long)(t->released_bg >> 10),
                    (unsigned long long)(t->released_eager >> 10),
                    (unsigned long long)(t->heap_released >> 10),
                    (unsigned long long)util, note);
}
