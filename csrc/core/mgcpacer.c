// mgcpacer.c: goal and trigger. See mgcpacer.h.

#include "mgcpacer.h"

#include "ghassert.h"

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
    // Stop-the-world cycles leave cons/mark at zero [diff:pacer.stw].
    c->runway = 0;
}

// memory_limit_heap_goal is what the limit leaves for the heap, after all that
// is mapped and no heap object. Go: gcControllerState.memoryLimitHeapGoal.
static uint64_t
memory_limit_heap_goal(const gh_gc_controller *c)
{
    const uint64_t heap_free = c->heap_free.bytes;
    const uint64_t heap_alloc = c->total_alloc - c->total_free;
    const uint64_t mapped_ready = c->mem->mapped_ready;
    GH_ASSERT(heap_free + heap_alloc <= mapped_ready);
    const uint64_t limit = (uint64_t)c->memory_limit;
    const uint64_t non_heap = mapped_ready - heap_free - heap_alloc;
    const uint64_t overage = mapped_ready > limit ? mapped_ready - limit : 0;
    if (non_heap + overage >= limit) {
        return c->heap_marked;
    }
    uint64_t goal = limit - (non_heap + overage);
    uint64_t headroom = goal / 100 * 3;
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
    const uint64_t limit_goal = memory_limit_heap_goal(c);
    if (limit_goal < goal) {
        return limit_goal;
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
    return trigger;
}

void
gh_gcc_start_cycle(gh_gc_controller *c)
{
    c->heap_scan_work = 0;
    c->stack_scan_work = 0;
    c->globals_scan_work = 0;
    c->triggered = c->heap_live;
}

void
gh_gcc_end_cycle(gh_gc_controller *c)
{
    c->last_heap_goal = gh_gcc_heap_goal(c);
    GH_ASSERT(c->heap_live <= c->triggered);
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
}
