// mgcpacer.h: when to collect, and how much work then falls to whom. The
// controller's arithmetic, and nothing else.
//
// Layer 2. Includes ghconst.h, mem.h. Go: mgcpacer.go, type gcControllerState;
// the assist's sums are from mgcmark.go.
//
// The pacer calls nobody; it is told what happened and asked what to do. In the
// order of a heap's life:
//   1. gh_gcc_init and gh_gcc_commit set goal and trigger
//   2. while the program runs, gh_gcc_update counts; the heap asks
//      gh_gcc_trigger
//   3. gh_gcc_start_cycle chooses the workers, gh_gcc_revise the price of an
//      allocated byte in scan work; both prices move with every update
//   4. a P asks gh_gcc_pick_worker or gh_gcc_add_idle_mark_worker whether it
//      should mark, a mutator gh_gcc_assist_work what it owes
//   5. gh_gcc_end_cycle measures cons/mark, gh_gcc_reset_live takes over what
//      was marked, gh_gcc_commit sets the next goal, and it is 2 again
//
// cons/mark is bytes allocated over bytes scanned, each by the CPU time spent
// on it; times the work to come it says how far before its goal a cycle must
// start (the runway). With the world stopped nothing is allocated between
// trigger and mark termination, so cons/mark and runway stay zero
// [diff:pacer.stw].
//
// Order of operations and truncation are part of the contract with Go: compile
// with -ffp-contract=off. Floats that no integer can hold (infinite or NaN
// cons/mark, a goal that overflows) become what they become on amd64, on every
// CPU [diff:pacer.convert].
//
// Units: bytes and ns, unless the name says otherwise. GH_INFINITE stands for
// Go's ^0.
//
// Locking: the heap's holder [lock:world]. Only the count of idle workers may
// be changed and asked by any thread at any time.

#ifndef MGCPACER_H
#define MGCPACER_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "ghconst.h"
#include "mem.h"

#define GH_INFINITE UINT64_MAX

// The share of all Ps' time that background marking gets.
#define GH_GC_UTILIZATION 0.25
// How many bytes of scan work a marker may keep to itself.
#define GH_GC_CREDIT_SLACK 2000
// How many ns of assists a P may keep to itself.
#define GH_GC_ASSIST_TIME_SLACK 5000
// The least scan work of one assist.
#define GH_GC_OVER_ASSIST_WORK ((int64_t)64 << 10)
// How many bytes of stack, made or gone, a P may keep to itself.
#define GH_MAX_STACK_SCAN_SLACK ((int64_t)8 << 10)

// gh_worker says in what way a P marks. Go: gcMarkWorkerMode.
typedef enum gh_worker {
    GH_WORKER_NONE,
    GH_WORKER_DEDICATED,   // until the cycle ends
    GH_WORKER_FRACTIONAL,  // a share of the P's time
    GH_WORKER_IDLE,        // while the P has nothing else to do
} gh_worker;

// gh_marking says who marks in a cycle.
typedef enum gh_marking {
    GH_MARKING_BACKGROUND,  // a quarter of the Ps, and any idle P
    GH_MARKING_PERIODIC,    // the program sleeps: a quarter, else one idle P
    GH_MARKING_STOPPED,     // every P, the world stopped
} gh_marking;

typedef struct gh_gc_controller {
    // What a P writes that takes a span: one cache line. heap_scan stands still while a
    // cycle runs.
    uint64_t heap_live, heap_scan;
    uint64_t total_alloc, total_free;
    // What is mapped, for the memory limit.
    gh_sysstat heap_in_use, heap_released, heap_free;

    int32_t gc_percent;     // -1: off
    int64_t memory_limit;   // INT64_MAX: off
    uint64_t min_heap;      // heap minimum at GOGC=100
    uint64_t heap_minimum;

    // From one cycle to the next.
    uint64_t runway;
    double cons_mark;            // the estimate
    double last_cons_mark[4];    // measured; the newest last
    uint64_t gc_percent_heap_goal;
    uint64_t sweep_dist_min_trigger;
    uint64_t triggered;     // heap_live at the trigger; GH_INFINITE: no mark
    uint64_t last_heap_goal;
    uint64_t heap_marked;
    uint64_t last_heap_scan, last_stack_scan, max_stack_scan, globals_scan;

    // What a client decided for the next cycle, in place of what follows from
    // the above; 0: nothing [diff:pacer.client].
    uint64_t client_goal, client_trigger;

    // In one cycle.
    uint64_t heap_scan_work, stack_scan_work, globals_scan_work;
    int64_t bg_scan_credit;      // scan work done and not yet claimed
    int64_t assist_time;
    int64_t dedicated_mark_time, fractional_mark_time, idle_mark_time;
    int64_t mark_start_time;
    int64_t dedicated_mark_workers_needed;  // still
    double fractional_utilization_goal;     // 0: no fractional workers
    double assist_work_per_byte, assist_bytes_per_work;
    _Atomic uint64_t idle_mark_workers;     // low half: now, high half: most

    const gh_mem *mem;      // for mapped_ready
    uint64_t non_heap;      // if not 0: what is mapped beside heap_in_use and
                            // heap_free, whatever mem says
} gh_gc_controller;

// gh_gcc_mapped_ready is what the memory limit limits.
static inline uint64_t
gh_gcc_mapped_ready(const gh_gc_controller *c)
{
    return c->non_heap != 0
               ? c->non_heap + c->heap_in_use.bytes + c->heap_free.bytes
               : c->mem->mapped_ready;
}

// gh_gcc_init: Go's gcControllerState.init.
void gh_gcc_init(gh_gc_controller *c, const gh_mem *mem, int32_t gc_percent,
                 int64_t memory_limit, uint64_t min_heap);

// ---- settings. The caller commits

// gh_gcc_set_gc_percent stores percent (any negative: off) and returns the old
// one.
int32_t gh_gcc_set_gc_percent(gh_gc_controller *c, int32_t percent);
// gh_gcc_set_memory_limit stores limit, if it isn't negative, and returns the
// old one.
int64_t gh_gcc_set_memory_limit(gh_gc_controller *c, int64_t limit);

// gh_gcc_set_next_cycle sets goal and trigger (0: as computed) until the next
// mark termination.
void gh_gcc_set_next_cycle(gh_gc_controller *c, uint64_t goal,
                           uint64_t trigger);

// gh_gcc_commit recomputes what goal and trigger depend on: at each mark
// termination and each change of a setting. While a cycle marks, gh_gcc_revise
// must follow.
void gh_gcc_commit(gh_gc_controller *c, bool is_sweep_done);

// ---- goal and trigger

uint64_t gh_gcc_heap_goal(const gh_gc_controller *c);
// gh_gcc_trigger also stores the goal it belongs to, if goal isn't NULL.
uint64_t gh_gcc_trigger(const gh_gc_controller *c, uint64_t *goal);

// ---- what happened

// gh_gcc_update counts bytes that became live and scannable. marking: assists
// are on.
void gh_gcc_update(gh_gc_controller *c, int64_t live, int64_t scan,
                   bool marking);
// gh_gcc_add_scannable_stack counts stack bytes made or gone, through the P's
// own sum (p_delta), or at once if that is NULL.
void gh_gcc_add_scannable_stack(gh_gc_controller *c, int64_t *p_delta,
                                int64_t amount);
void gh_gcc_add_globals(gh_gc_controller *c, int64_t amount);

// ---- the cycle

// gh_gcc_start_cycle: marking starts now. The caller clears what each P holds
// of assist time and fractional mark time.
void gh_gcc_start_cycle(gh_gc_controller *c, int64_t now, int32_t procs,
                        gh_marking marking);
// gh_gcc_revise recomputes both prices: at each change of heap_live, or of a
// setting, while a cycle marks.
void gh_gcc_revise(gh_gc_controller *c);

// gh_gcc_measured is what a cycle showed.
typedef struct gh_gcc_measured {
    bool valid;            // something was allocated meanwhile
    double utilization;    // background and assists; idle marking apart
    double old_cons_mark;  // the estimate with which the cycle began
} gh_gcc_measured;

// gh_gcc_end_cycle: marking ended now. The new estimate is the greatest of what
// was measured in this cycle and the four before, to err toward an early start.
gh_gcc_measured gh_gcc_end_cycle(gh_gc_controller *c, int64_t now,
                                 int32_t procs);
// gh_gcc_reset_live: mark termination found bytes_marked live bytes.
void gh_gcc_reset_live(gh_gc_controller *c, uint64_t bytes_marked);

// ---- workers

// gh_gcc_needs_worker: is it worth to fetch a worker for gh_gcc_pick_worker?
bool gh_gcc_needs_worker(const gh_gc_controller *c);
// gh_gcc_pick_worker decides for a P that could mark and has so far spent
// fractional_time in this cycle as a fractional worker. A dedicated place is
// taken by the answer. Go: assignWaitingGCWorker.
gh_worker gh_gcc_pick_worker(gh_gc_controller *c, int64_t now,
                             int64_t fractional_time);
// gh_gcc_fractional_is_over: has the P had its share, with some slack? Then its
// worker stops. fractional_time includes the worker's present run.
// Go: pollFractionalWorkerExit.
bool gh_gcc_fractional_is_over(const gh_gc_controller *c, int64_t now,
                               int64_t fractional_time);
// gh_gcc_worker_stop: a worker stopped after that time; its place is free
// again. Go: markWorkerStop.
void gh_gcc_worker_stop(gh_gc_controller *c, gh_worker w, int64_t time);

// gh_gcc_add_idle_mark_worker takes a place, if there is one.
bool gh_gcc_add_idle_mark_worker(gh_gc_controller *c);
bool gh_gcc_needs_idle_mark_worker(const gh_gc_controller *c);
void gh_gcc_remove_idle_mark_worker(gh_gc_controller *c);
// gh_gcc_set_max_idle_mark_workers sends nobody home: there may be more than
// max for a while.
void gh_gcc_set_max_idle_mark_workers(gh_gc_controller *c, int32_t max);

// ---- assists. A mutator's credit is in bytes it may allocate; below zero it
// is a debt. Go: gcAssistAlloc, gcFlushBgCredit.

// gh_gcc_assist_work says how much scan work a debt > 0 asks for, never little.
// It returns the bytes that this work pays, which may be more than the debt.
int64_t gh_gcc_assist_work(const gh_gc_controller *c, int64_t debt,
                           int64_t *work);
// gh_gcc_steal_credit takes from *work what the background has done in advance.
// paid is what gh_gcc_assist_work returned. It returns the bytes that the
// mutator is credited with. *work = 0: nothing is left to do.
int64_t gh_gcc_steal_credit(gh_gc_controller *c, int64_t paid, int64_t *work);
// gh_gcc_assist_pay returns the credit for work just done in an assist.
int64_t gh_gcc_assist_pay(const gh_gc_controller *c, int64_t work);
// gh_gcc_add_assist_time counts time through the P's own sum. True: the sum was
// handed over, and the limiter wants to hear of it.
bool gh_gcc_add_assist_time(gh_gc_controller *c, int64_t *p_time, int64_t time);

// The background pays those who wait with a debt, in their order: work becomes
// bytes (gh_gcc_work_bytes), each waiter takes of them (gh_gcc_pay_waiter), and
// what is left becomes credit (gh_gcc_give_bytes). If none waits,
// bg_scan_credit takes the work as it is.
int64_t gh_gcc_work_bytes(const gh_gc_controller *c, int64_t work);
// gh_gcc_pay_waiter moves bytes to a waiter's credit. True: it owes nothing
// more and wakes. False: nothing is left, and it goes to the end of the queue.
bool gh_gcc_pay_waiter(int64_t *bytes, int64_t *credit);
// gh_gcc_give_bytes turns bytes into background credit; also for a mutator that
// leaves with credit.
void gh_gcc_give_bytes(gh_gc_controller *c, int64_t bytes);

#endif  // MGCPACER_H
