// mgcpacer.c: the pacer. See mgcpacer.h.

#include "mgcpacer.h"

#include <stdatomic.h>

#include "ghassert.h"

// ---- arithmetic ------------------------------------------------------------

// to_int64 and to_uint64 convert as amd64 does, where C leaves it open
// [diff:pacer.convert].
static int64_t
to_int64(double x)
{
    return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN;
}

static uint64_t
to_uint64(double x)
{
    return x >= 0x1p63 && x < 0x1p64 ? (uint64_t)x : (uint64_t)to_int64(x);
}

// add and sub wrap around: a goal that overflowed is INT64_MIN, and goes on
// from there.
static int64_t
add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t
sub(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

// scan_expected is what is to be scanned if nothing has changed since the last
// cycle.
static uint64_t
scan_expected(const gh_gc_controller *c)
{
    return c->last_heap_scan + c->last_stack_scan + c->globals_scan;
}

static int64_t
scan_work(const gh_gc_controller *c)
{
    return (int64_t)(c->heap_scan_work + c->stack_scan_work
                     + c->globals_scan_work);
}

// ---- settings --------------------------------------------------------------

void
gh_gcc_init(gh_gc_controller *c, const gh_mem *mem, int32_t gc_percent,
            int64_t memory_limit, uint64_t min_heap)
{
    *c = (gh_gc_controller){
        .memory_limit = memory_limit,
        .min_heap = min_heap,
        .triggered = GH_INFINITE,
        .mem = mem,
    };
    (void)gh_gcc_set_gc_percent(c, gc_percent);
    gh_gcc_commit(c, true);
}

int32_t
gh_gcc_set_gc_percent(gh_gc_controller *c, int32_t percent)
{
    const int32_t old = c->gc_percent;
    c->gc_percent = percent < 0 ? -1 : percent;
    // Unsigned, so garbage when off; nothing reads it then. Go does the same,
    // and publishes it.
    c->heap_minimum = c->min_heap * (uint64_t)(int64_t)c->gc_percent / 100;
    return old;
}

int64_t
gh_gcc_set_memory_limit(gh_gc_controller *c, int64_t limit)
{
    const int64_t old = c->memory_limit;
    if (limit >= 0) {
        c->memory_limit = limit;
    }
    return old;
}

void
gh_gcc_set_next_cycle(gh_gc_controller *c, uint64_t goal, uint64_t trigger)
{
    c->client_goal = goal;
    c->client_trigger = trigger;
}

void
gh_gcc_commit(gh_gc_controller *c, bool is_sweep_done)
{
    c->sweep_dist_min_trigger =
        is_sweep_done ? 0 : c->heap_live + GH_SWEEP_MIN_DISTANCE;

    uint64_t goal = GH_INFINITE;
    if (c->gc_percent >= 0) {
        goal = c->heap_marked
               + (c->heap_marked + c->last_stack_scan + c->globals_scan)
                     * (uint64_t)c->gc_percent / 100;
    }
    if (goal < c->heap_minimum) {
        goal = c->heap_minimum;
    }
    c->gc_percent_heap_goal = goal;
    // cons/mark holds for a second of CPU on each side; the CPUs are shared
    // 3:1, so the heap grows by three times as much.
    c->runway = to_uint64(c->cons_mark * (1 - GH_GC_UTILIZATION)
                          / GH_GC_UTILIZATION * (double)scan_expected(c));
}

// ---- goal and trigger ------------------------------------------------------

// memory_limit_heap_goal is what the limit leaves for the heap, after all that
// is mapped and no heap object. Go: gcControllerState.memoryLimitHeapGoal.
static uint64_t
memory_limit_heap_goal(const gh_gc_controller *c)
{
    const uint64_t heap_free = c->heap_free.bytes;
    const uint64_t heap_alloc = c->total_alloc - c->total_free;
    const uint64_t mapped_ready = gh_gcc_mapped_ready(c);
    GH_ASSERT(heap_free + heap_alloc <= mapped_ready);
    const uint64_t limit = (uint64_t)c->memory_limit;
    const uint64_t non_heap = mapped_ready - heap_free - heap_alloc;
    const uint64_t overage = mapped_ready > limit ? mapped_ready - limit : 0;
    if (non_heap + overage >= limit) {
        return c->heap_marked;
    }
    uint64_t goal = limit - (non_heap + overage);
    uint64_t headroom = goal / 100 * GH_MEMORY_LIMIT_HEADROOM_PERCENT;
    if (headroom < GH_MEMORY_LIMIT_HEADROOM) {
        headroom = GH_MEMORY_LIMIT_HEADROOM;
    }
    if (goal < headroom || goal - headroom < headroom) {
        goal = headroom;
    } else {
        goal -= headroom;
    }
    return goal < c->heap_marked ? c->heap_marked : goal;
}

static uint64_t
heap_goal_internal(const gh_gc_controller *c, uint64_t *min_trigger)
{
    uint64_t goal = c->gc_percent_heap_goal;
    *min_trigger = 0;
    if (c->client_goal != 0) {
        return c->client_goal;
    }
    // Without a limit what it leaves is beyond any goal but that of GOGC=off.
    if (c->memory_limit != INT64_MAX || goal >= (uint64_t)1 << 62) {
        const uint64_t limit_goal = memory_limit_heap_goal(c);
        if (limit_goal < goal) {
            return limit_goal;
        }
    }
    const uint64_t sweep_dist = c->sweep_dist_min_trigger;
    if (sweep_dist > goal) {
        goal = sweep_dist;
    }
    *min_trigger = sweep_dist;
    if (c->triggered != GH_INFINITE && goal < c->triggered + GH_MIN_RUNWAY) {
        goal = c->triggered + GH_MIN_RUNWAY;
    }
    return goal;
}

uint64_t
gh_gcc_heap_goal(const gh_gc_controller *c)
{
    uint64_t min_trigger;
    return heap_goal_internal(c, &min_trigger);
}

uint64_t
gh_gcc_trigger(const gh_gc_controller *c, uint64_t *goal_out)
{
    uint64_t min_trigger;
    const uint64_t goal = heap_goal_internal(c, &min_trigger);
    if (goal_out != NULL) {
        *goal_out = goal;
    }
    if (c->client_trigger != 0) {
        return c->client_trigger < goal ? c->client_trigger : goal;
    }
    const uint64_t marked = c->heap_marked;
    if (marked >= goal) {
        return goal;
    }
    if (min_trigger < marked) {
        min_trigger = marked;
    }
    const uint64_t lower = (goal - marked) / 64 * 45 + marked;
    if (min_trigger < lower) {
        min_trigger = lower;
    }
    uint64_t max_trigger = (goal - marked) / 64 * 61 + marked;
    if (goal > GH_HEAP_MINIMUM && goal - GH_HEAP_MINIMUM > max_trigger) {
        max_trigger = goal - GH_HEAP_MINIMUM;
    }
    if (max_trigger < min_trigger) {
        max_trigger = min_trigger;
    }
    uint64_t trigger = c->runway > goal ? min_trigger : goal - c->runway;
    if (trigger < min_trigger) {
        trigger = min_trigger;
    }
    if (trigger > max_trigger) {
        trigger = max_trigger;
    }
    // [inv:pacer.trigger]
    GH_THROW_IF(trigger > goal, "trigger greater than the heap goal");
    return trigger;
}

// ---- what happened ---------------------------------------------------------

void
gh_gcc_update(gh_gc_controller *c, int64_t live, int64_t scan, bool marking)
{
    c->heap_live += (uint64_t)live;
    if (marking) {
        gh_gcc_revise(c);
    } else {
        c->heap_scan += (uint64_t)scan;
    }
}

void
gh_gcc_add_scannable_stack(gh_gc_controller *c, int64_t *p_delta,
                           int64_t amount)
{
    if (p_delta == NULL) {
        c->max_stack_scan += (uint64_t)amount;
        return;
    }
    *p_delta += amount;
    if (*p_delta >= GH_MAX_STACK_SCAN_SLACK
        || *p_delta <= -GH_MAX_STACK_SCAN_SLACK) {
        c->max_stack_scan += (uint64_t)*p_delta;
        *p_delta = 0;
    }
}

void
gh_gcc_add_globals(gh_gc_controller *c, int64_t amount)
{
    c->globals_scan += (uint64_t)amount;
}

// ---- the cycle -------------------------------------------------------------

// plan_workers gives a quarter of the Ps to marking: whole Ps, unless that is
// more than 30 % off (1, 2, 3 and 6 Ps); then part of each P's time makes up
// the difference. Returns the number of dedicated workers.
static int64_t
plan_workers(gh_gc_controller *c, int32_t procs)
{
    const double goal = (double)procs * GH_GC_UTILIZATION;
    int64_t dedicated = (int64_t)(goal + 0.5);
    const double error = (double)dedicated / goal - 1;
    c->fractional_utilization_goal = 0;
    if (error < -0.3 || error > 0.3) {
        if ((double)dedicated > goal) {
            dedicated--;
        }
        c->fractional_utilization_goal =
            (goal - (double)dedicated) / (double)procs;
    }
    return dedicated;
}

void
gh_gcc_start_cycle(gh_gc_controller *c, int64_t now, int32_t procs,
                   gh_marking marking)
{
    c->heap_scan_work = 0;
    c->stack_scan_work = 0;
    c->globals_scan_work = 0;
    c->bg_scan_credit = 0;
    c->assist_time = 0;
    c->dedicated_mark_time = 0;
    c->fractional_mark_time = 0;
    c->idle_mark_time = 0;
    c->mark_start_time = now;
    c->triggered = c->heap_live;

    int64_t dedicated = plan_workers(c, procs);
    if (marking == GH_MARKING_STOPPED) {
        dedicated = procs;
        c->fractional_utilization_goal = 0;
    }
    int32_t idle = procs - (int32_t)dedicated;
    if (marking == GH_MARKING_PERIODIC) {
        // Nobody waits for this cycle, so idle Ps may sleep; but fractional
        // workers alone may never get to run.
        idle = dedicated > 0 ? 0 : 1;
    }
    gh_gcc_set_max_idle_mark_workers(c, idle);
    c->dedicated_mark_workers_needed = dedicated;
    gh_gcc_revise(c);
}

void
gh_gcc_revise(gh_gc_controller *c)
{
    // A forced cycle with GOGC off is in no hurry.
    const int32_t percent = c->gc_percent < 0 ? 100000 : c->gc_percent;
    const int64_t live = (int64_t)c->heap_live;
    const int64_t work = scan_work(c);
    const int64_t triggered = (int64_t)c->triggered;
    int64_t goal = (int64_t)gh_gcc_heap_goal(c);
    int64_t expected = (int64_t)scan_expected(c);
    // At worst all that could be scanned is live.
    const int64_t worst =
        (int64_t)(c->heap_scan + c->max_stack_scan + c->globals_scan);

    if (work > expected) {
        // The heap has grown. Keep the ratio of runway to work, which moves the
        // goal away, but no further than the next cycle's goal will be.
        const int64_t moved =
            add(to_int64((double)sub(goal, triggered) / (double)expected
                         * (double)worst),
                triggered);
        const int64_t hard =
            to_int64((1.0 + (double)percent / 100.0) * (double)goal);
        goal = moved < hard ? moved : hard;
        expected = worst;
    }
    if (live > goal) {
        goal = to_int64((double)goal * 1.1);
        expected = worst;
    }
    int64_t work_left = sub(expected, work);
    if (work_left < 1000) {
        work_left = 1000;  // marking twice may leave less than nothing
    }
    int64_t heap_left = sub(goal, live);
    if (heap_left <= 0) {
        heap_left = 1;
    }
    c->assist_work_per_byte = (double)work_left / (double)heap_left;
    c->assist_bytes_per_work = (double)heap_left / (double)work_left;
}

gh_gcc_measured
gh_gcc_end_cycle(gh_gc_controller *c, int64_t now, int32_t procs)
{
    // The scavenger wants the goal as it was in this cycle.
    c->last_heap_goal = gh_gcc_heap_goal(c);

    // The background is taken to have had its quarter, whatever its workers
    // say.
    const double cpu = (double)((now - c->mark_start_time) * procs);
    double utilization = GH_GC_UTILIZATION, idle = 0;
    if (now > c->mark_start_time) {
        utilization += (double)c->assist_time / cpu;
        idle = (double)c->idle_mark_time / cpu;
    }
    gh_gcc_measured out = {
        .valid = c->heap_live > c->triggered,
        .utilization = utilization,
        .old_cons_mark = c->cons_mark,
    };
    if (!out.valid) {
        return out;
    }

    // Both rates are by CPU time, and the duration cancels out. Idle marking
    // could be had by the program at any time: it is not taken off its share.
    const double measured =
        (double)(c->heap_live - c->triggered) * (utilization + idle)
        / ((double)scan_work(c) * (1 - utilization));
    c->cons_mark = measured;
    for (int i = 0; i < 4; i++) {
        if (c->last_cons_mark[i] > c->cons_mark) {
            c->cons_mark = c->last_cons_mark[i];
        }
    }
    for (int i = 0; i < 3; i++) {
        c->last_cons_mark[i] = c->last_cons_mark[i + 1];
    }
    c->last_cons_mark[3] = measured;
    return out;
}

void
gh_gcc_reset_live(gh_gc_controller *c, uint64_t bytes_marked)
{
    c->heap_marked = bytes_marked;
    c->heap_live = bytes_marked;
    c->heap_scan = c->heap_scan_work;
    c->last_heap_scan = c->heap_scan_work;
    c->last_stack_scan = c->stack_scan_work;
    c->triggered = GH_INFINITE;
    gh_gcc_set_next_cycle(c, 0, 0);
}

// ---- workers ---------------------------------------------------------------

bool
gh_gcc_needs_worker(const gh_gc_controller *c)
{
    return c->dedicated_mark_workers_needed > 0
           || c->fractional_utilization_goal != 0;
}

gh_worker
gh_gcc_pick_worker(gh_gc_controller *c, int64_t now, int64_t fractional_time)
{
    if (c->dedicated_mark_workers_needed > 0) {
        c->dedicated_mark_workers_needed--;
        return GH_WORKER_DEDICATED;
    }
    if (c->fractional_utilization_goal == 0) {
        return GH_WORKER_NONE;
    }
    const int64_t passed = now - c->mark_start_time;
    if (passed > 0
        && (double)fractional_time / (double)passed
               > c->fractional_utilization_goal) {
        return GH_WORKER_NONE;
    }
    return GH_WORKER_FRACTIONAL;
}

bool
gh_gcc_fractional_is_over(const gh_gc_controller *c, int64_t now,
                          int64_t fractional_time)
{
    const int64_t passed = now - c->mark_start_time;
    // The slack: the P would else be behind again at once.
    return passed <= 0
           || (double)fractional_time / (double)passed
                  > 1.2 * c->fractional_utilization_goal;
}

void
gh_gcc_worker_stop(gh_gc_controller *c, gh_worker w, int64_t time)
{
    switch (w) {
    case GH_WORKER_DEDICATED:
        c->dedicated_mark_time += time;
        c->dedicated_mark_workers_needed++;
        return;
    case GH_WORKER_FRACTIONAL:
        c->fractional_mark_time += time;
        return;
    case GH_WORKER_IDLE:
        c->idle_mark_time += time;
        gh_gcc_remove_idle_mark_worker(c);
        return;
    case GH_WORKER_NONE:
        break;
    }
    gh_throw(__FILE__, __LINE__, "unknown mark worker");
}

static int32_t
idle_now(uint64_t workers)
{
    return (int32_t)(uint32_t)workers;
}

static int32_t
idle_max(uint64_t workers)
{
    return (int32_t)(uint32_t)(workers >> 32);
}

static uint64_t
idle_pack(int32_t now, int32_t max)
{
    return (uint64_t)(uint32_t)max << 32 | (uint32_t)now;
}

bool
gh_gcc_add_idle_mark_worker(gh_gc_controller *c)
{
    uint64_t old = atomic_load(&c->idle_mark_workers);
    do {
        if (idle_now(old) >= idle_max(old)) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(
        &c->idle_mark_workers, &old,
        idle_pack(idle_now(old) + 1, idle_max(old))));
    return true;
}

bool
gh_gcc_needs_idle_mark_worker(const gh_gc_controller *c)
{
    const uint64_t w = atomic_load(&c->idle_mark_workers);
    return idle_now(w) < idle_max(w);
}

void
gh_gcc_remove_idle_mark_worker(gh_gc_controller *c)
{
    uint64_t old = atomic_load(&c->idle_mark_workers);
    do {
        GH_THROW_IF(idle_now(old) <= 0, "negative idle mark workers");
    } while (!atomic_compare_exchange_weak(
        &c->idle_mark_workers, &old,
        idle_pack(idle_now(old) - 1, idle_max(old))));
}

void
gh_gcc_set_max_idle_mark_workers(gh_gc_controller *c, int32_t max)
{
    uint64_t old = atomic_load(&c->idle_mark_workers);
    while (!atomic_compare_exchange_weak(&c->idle_mark_workers, &old,
                                         idle_pack(idle_now(old), max))) {
    }
}

// ---- assists ---------------------------------------------------------------

int64_t
gh_gcc_assist_work(const gh_gc_controller *c, int64_t debt, int64_t *work)
{
    *work = to_int64(c->assist_work_per_byte * (double)debt);
    if (*work >= GH_GC_OVER_ASSIST_WORK) {
        return debt;
    }
    *work = GH_GC_OVER_ASSIST_WORK;
    return gh_gcc_work_bytes(c, *work);
}

int64_t
gh_gcc_steal_credit(gh_gc_controller *c, int64_t paid, int64_t *work)
{
    const int64_t there = c->bg_scan_credit;
    if (there <= 0) {
        return 0;
    }
    const int64_t stolen = there < *work ? there : *work;
    const int64_t bytes =
        there < *work ? gh_gcc_assist_pay(c, stolen) : paid;
    c->bg_scan_credit -= stolen;
    *work -= stolen;
    return bytes;
}

int64_t
gh_gcc_assist_pay(const gh_gc_controller *c, int64_t work)
{
    // Rounded up: a debt must not stay for a fraction of a byte.
    return add(1, gh_gcc_work_bytes(c, work));
}

bool
gh_gcc_add_assist_time(gh_gc_controller *c, int64_t *p_time, int64_t time)
{
    *p_time += time;
    if (*p_time <= GH_GC_ASSIST_TIME_SLACK) {
        return false;
    }
    c->assist_time += *p_time;
    *p_time = 0;
    return true;
}

int64_t
gh_gcc_work_bytes(const gh_gc_controller *c, int64_t work)
{
    return to_int64(c->assist_bytes_per_work * (double)work);
}

bool
gh_gcc_pay_waiter(int64_t *bytes, int64_t *credit)
{
    const int64_t sum = *bytes + *credit;
    *bytes = sum >= 0 ? sum : 0;
    *credit = sum >= 0 ? 0 : sum;
    return sum >= 0;
}

void
gh_gcc_give_bytes(gh_gc_controller *c, int64_t bytes)
{
    c->bg_scan_credit += to_int64(c->assist_work_per_byte * (double)bytes);
}
