// peer_pacer.c: the pacer behind the C ABI of Go's own unit tests. See peer.c.

#define PEER_API __attribute__((visibility("default")))
#include "peer_abi.h"

#include <stdlib.h>

#include "ghassert.h"
#include "mgcpacer.h"

struct pr_gcc {
    gh_gc_controller c;
    gh_mem mem;  // nothing is mapped
};

pr_gcc *
pr_gcc_new(int32_t gc_percent, int64_t memory_limit)
{
    pr_gcc *p = calloc(1, sizeof(*p));
    GH_THROW_IF(p == NULL, "peer: out of memory");
    gh_gcc_init(&p->c, &p->mem, gc_percent, memory_limit, GH_HEAP_MINIMUM);
    return p;
}

void
pr_gcc_destroy(pr_gcc *p)
{
    free(p);
}

uint64_t
pr_gcc_get(pr_gcc *p, int field)
{
    switch (field) {
    case PR_GCC_HEAP_LIVE:
        return p->c.heap_live;
    case PR_GCC_HEAP_MARKED:
        return p->c.heap_marked;
    case PR_GCC_HEAP_SCAN:
        return p->c.heap_scan;
    case PR_GCC_HEAP_SCAN_WORK:
        return p->c.heap_scan_work;
    case PR_GCC_STACK_SCAN_WORK:
        return p->c.stack_scan_work;
    case PR_GCC_GLOBALS_SCAN_WORK:
        return p->c.globals_scan_work;
    case PR_GCC_MAX_STACK_SCAN:
        return p->c.max_stack_scan;
    case PR_GCC_GLOBALS_SCAN:
        return p->c.globals_scan;
    case PR_GCC_TRIGGERED:
        return p->c.triggered;
    case PR_GCC_ASSIST_TIME:
        return (uint64_t)p->c.assist_time;
    }
    gh_throw(__FILE__, __LINE__, "peer: no such field of the pacer");
}

void
pr_gcc_set(pr_gcc *p, int field, uint64_t v)
{
    switch (field) {
    case PR_GCC_HEAP_LIVE:
        p->c.heap_live = v;
        return;
    case PR_GCC_HEAP_MARKED:
        p->c.heap_marked = v;
        return;
    case PR_GCC_HEAP_SCAN:
        p->c.heap_scan = v;
        return;
    case PR_GCC_HEAP_SCAN_WORK:
        p->c.heap_scan_work = v;
        return;
    case PR_GCC_STACK_SCAN_WORK:
        p->c.stack_scan_work = v;
        return;
    case PR_GCC_GLOBALS_SCAN_WORK:
        p->c.globals_scan_work = v;
        return;
    case PR_GCC_MAX_STACK_SCAN:
        p->c.max_stack_scan = v;
        return;
    case PR_GCC_GLOBALS_SCAN:
        p->c.globals_scan = v;
        return;
    case PR_GCC_TRIGGERED:
        p->c.triggered = v;
        return;
    case PR_GCC_ASSIST_TIME:
        p->c.assist_time = (int64_t)v;
        return;
    }
    gh_throw(__FILE__, __LINE__, "peer: no such field of the pacer");
}

void
pr_gcc_add(pr_gcc *p, int field, int64_t d)
{
    pr_gcc_set(p, field, pr_gcc_get(p, field) + (uint64_t)d);
}

uint64_t
pr_gcc_trigger(pr_gcc *p, uint64_t *goal)
{
    return gh_gcc_trigger(&p->c, goal);
}

uint64_t
pr_gcc_heap_goal(pr_gcc *p)
{
    return gh_gcc_heap_goal(&p->c);
}

void
pr_gcc_start_cycle(pr_gcc *p, int64_t now, int32_t procs)
{
    gh_gcc_start_cycle(&p->c, now, procs, GH_MARKING_BACKGROUND);
}

void
pr_gcc_revise(pr_gcc *p)
{
    gh_gcc_revise(&p->c);
}

// user_forced decides nothing in Go either.
void
pr_gcc_end_cycle(pr_gcc *p, int64_t now, int32_t procs, bool user_forced)
{
    (void)user_forced;
    (void)gh_gcc_end_cycle(&p->c, now, procs);
}

void
pr_gcc_reset_live(pr_gcc *p, uint64_t bytes_marked)
{
    gh_gcc_reset_live(&p->c, bytes_marked);
}

void
pr_gcc_commit(pr_gcc *p, bool is_sweep_done)
{
    gh_gcc_commit(&p->c, is_sweep_done);
}

double
pr_gcc_assist_work_per_byte(pr_gcc *p)
{
    return p->c.assist_work_per_byte;
}

void
pr_gcc_set_max_idle_mark_workers(pr_gcc *p, int32_t max)
{
    gh_gcc_set_max_idle_mark_workers(&p->c, max);
}

bool
pr_gcc_add_idle_mark_worker(pr_gcc *p)
{
    return gh_gcc_add_idle_mark_worker(&p->c);
}

bool
pr_gcc_need_idle_mark_worker(pr_gcc *p)
{
    return gh_gcc_needs_idle_mark_worker(&p->c);
}

void
pr_gcc_remove_idle_mark_worker(pr_gcc *p)
{
    gh_gcc_remove_idle_mark_worker(&p->c);
}
