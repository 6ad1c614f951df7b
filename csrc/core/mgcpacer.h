// mgcpacer.h: when to collect. The controller's arithmetic, and nothing else.
//
// Layer 2. Includes ghconst.h, mem.h. Go: mgcpacer.go, type gcControllerState.
//
// The pacer calls nobody; it is told what happened and asked for goal and
// trigger. Order of operations and truncation are part of the contract with Go:
// compile with -ffp-contract=off.
//
// In this version cycles mark with the world stopped, as with
// GODEBUG=gcstoptheworld: no allocation happens between trigger and mark
// termination, so cons/mark and runway stay zero [diff:pacer.stw].
//
// Units: bytes, unless the name says otherwise. GH_INFINITE stands for Go's ^0.
//
// Locking: the heap's holder [lock:world].

#ifndef MGCPACER_H
#define MGCPACER_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "ghconst.h"
#include "mem.h"

#define GH_INFINITE UINT64_MAX

typedef struct gh_gc_controller {
    int32_t gc_percent;     // -1: off
    int64_t memory_limit;   // INT64_MAX: off
    uint64_t min_heap;      // heap minimum at GOGC=100
    uint64_t heap_minimum;
    uint64_t runway;
    double cons_mark;
    uint64_t gc_percent_heap_goal;
    uint64_t sweep_dist_min_trigger;
    uint64_t triggered;     // heap_live at the trigger; GH_INFINITE: no mark
    uint64_t last_heap_goal;
    uint64_t heap_live, heap_scan, heap_marked;
    uint64_t last_heap_scan, last_stack_scan, max_stack_scan, globals_scan;
    uint64_t heap_scan_work, stack_scan_work, globals_scan_work;
    gh_sysstat heap_in_use, heap_released, heap_free;
    uint64_t total_alloc, total_free;
    const gh_mem *mem;      // for mapped_ready
} gh_gc_controller;

// gh_gcc_init: Go's gcControllerState.init.
void gh_gcc_init(gh_gc_controller *c, const gh_mem *mem, int32_t gc_percent,
                 int64_t memory_limit, uint64_t min_heap);

// gh_gcc_set_gc_percent stores percent (any negative: off) and returns the old
// one. The caller commits.
int32_t gh_gcc_set_gc_percent(gh_gc_controller *c, int32_t percent);

// gh_gcc_commit recomputes what goal and trigger depend on: at each mark
// termination and each change of a setting.
void gh_gcc_commit(gh_gc_controller *c, bool is_sweep_done);

uint64_t gh_gcc_heap_goal(const gh_gc_controller *c);
// gh_gcc_trigger also stores the goal it belongs to, if goal isn't NULL.
uint64_t gh_gcc_trigger(const gh_gc_controller *c, uint64_t *goal);

void gh_gcc_start_cycle(gh_gc_controller *c);
void gh_gcc_end_cycle(gh_gc_controller *c);
// gh_gcc_reset_live: mark termination found bytes_marked live bytes.
void gh_gcc_reset_live(gh_gc_controller *c, uint64_t bytes_marked);

#endif  // MGCPACER_H
