// mgcscavenge.h: how much memory goes back to the OS, and when.
//
// Layer 2. Includes ghassert.h, ghconst.h, goheap.h. Go: mgcscavenge.go
// (gcPaceScavenger, scavengerState, piController), mheap.go (allocSpan).
//
// To scavenge is to give free pages back; which pages is the business of
// mpagealloc.h. Here is the arithmetic around it, in three parts:
//
//   goals      after each cycle and each change of a setting: how much memory
//              may stay. Two goals, by GOGC and by the memory limit
//   amount     what an allocation has to scavenge before it goes on
//   scavenger  scavenges in the background until the goals are met, with 1 % of
//              the CPU
//
// The scavenger is a state machine that reads no clock and is moved by its
// owner [diff:scavenger.steps]. gh_scav_step does what is due at the given time
// and returns when it wants the next step:
//
//              wake                  unit done, something released
//   PARKED ----------> RUNNING --------------------------------> SLEEPING
//      ^                  |  ^                                      |
//      +------------------+  +--------------------------------------+
//       unit done, nothing           slept enough, or wake
//
// A unit of work is at most 1 ms, in pieces of 64 KiB, each one step. How long
// it then sleeps is worked / sleep_ratio. A PI controller sets the ratio from
// the share of CPU that unit and sleep came to. If it fails, the ratio is 0.001
// for 5 s.
//
// Times are ns, amounts bytes. Order of operations and truncation are part of
// the contract with Go: compile with -ffp-contract=off.
//
// Locking: the heap's holder [lock:world].

#ifndef MGCSCAVENGE_H
#define MGCSCAVENGE_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "ghassert.h"
#include "ghconst.h"
#include "goheap.h"

#define GH_SCAV_NO_GOAL UINT64_MAX  // the goal is met: nothing to do for it
#define GH_SCAV_NEVER   INT64_MAX   // no step is wanted before a wake

#define GH_SCAV_PERCENT        1    // of the CPU, for the background
#define GH_SCAV_QUANTUM        ((uint64_t)64 << 10)
#define GH_SCAV_MIN_WORK_NS    1e6  // a unit; what sleeping counts at least
#define GH_SCAV_START_RATIO    0.001
#define GH_SCAV_COOLDOWN_NS    ((int64_t)5000000000)
#define GH_SCAV_APPROX_PAGE_NS 10e3  // where the clock saw no time pass

// ---- goals -----------------------------------------------------------------

typedef struct gh_scav_goals {
    uint64_t gc_percent;    // for heap_retained, or GH_SCAV_NO_GOAL
    uint64_t memory_limit;  // for mapped_ready, or GH_SCAV_NO_GOAL
} gh_scav_goals;

// gh_scav_figures is what the goals follow from.
typedef struct gh_scav_figures {
    int64_t memory_limit;
    uint64_t heap_goal;
    uint64_t last_heap_goal;    // 0: no cycle yet
    uint64_t last_heap_in_use;  // at the last mark termination
    uint64_t heap_retained;     // heap_in_use + heap_free
    uint64_t mapped_ready;
} gh_scav_figures;

// gh_scav_pace computes both goals. Go: gcPaceScavenger.
gh_scav_goals gh_scav_pace(const gh_scav_figures *f);

// gh_scav_goals_met says whether the background may stop.
bool gh_scav_goals_met(const gh_scav_goals *g, uint64_t heap_retained,
                       uint64_t mapped_ready);

// ---- amount ----------------------------------------------------------------

// gh_scav_alloc describes an allocation of pages that has its pages and is not
// in the figures yet.
typedef struct gh_scav_alloc {
    uint64_t scav;           // scavenged bytes among the pages
    uint64_t growth;         // bytes that the heap has just grown by for it
    uint64_t heap_retained;
    uint64_t mapped_ready;
    int64_t memory_limit;
    bool limiting;           // the CPU limiter's word
} gh_scav_alloc;

// gh_scav_alloc_amount returns how many bytes to scavenge now, and whether
// dense chunks too: *forced is set for the memory limit's sake alone.
uint64_t gh_scav_alloc_amount(const gh_scav_goals *g, const gh_scav_alloc *a,
                              bool *forced);

// ---- controller ------------------------------------------------------------

// gh_pi_controller moves an output so that an input comes to a set point:
// proportional to the error and to its integral, within [min, max]. What the
// limits cut off flows back into the integral over tt.
typedef struct gh_pi_controller {
    double kp;           // weight of the error
    double ti;           // time of the integral, in the unit of the periods
    double tt;           // time of the reset; ti or tt 0: no integral
    double min, max;
    double err_integral;
    // Why it failed, ever.
    bool err_overflow, input_overflow;
} gh_pi_controller;

// gh_pi_next takes a sample that came period after the last one. Stores false
// in *ok if the arithmetic overflowed: then the integral is 0 and the result
// min.
double gh_pi_next(gh_pi_controller *c, double input, double setpoint,
                  double period, bool *ok);

// ---- scavenger -------------------------------------------------------------

typedef enum gh_scav_state {
    GH_SCAV_PARKED,
    GH_SCAV_RUNNING,
    GH_SCAV_SLEEPING,
} gh_scav_state;

// gh_scav_ops is what the scavenger asks of its owner.
typedef struct gh_scav_ops {
    // scavenge gives about n bytes back and returns how many it gave: fewer
    // only if there are no more. Stores how long it took.
    uint64_t (*scavenge)(void *arg, uint64_t n, int64_t *ns);
    // should_stop says whether the goals are met.
    bool (*should_stop)(void *arg);
    void *arg;
} gh_scav_ops;

typedef struct gh_scavenger {
    gh_scav_ops ops;
    gh_scav_state state;
    bool wake_asked;            // by gh_scav_ready
    bool controller_reset;      // not yet told
    // The unit of work at hand, or the one that the sleep pays for.
    uint64_t unit_released;
    double unit_worked;
    int64_t since;              // when the sleep began
    int64_t until;              // when the next step is due
    // Pacing.
    double sleep_ratio;         // time worked to time slept
    gh_pi_controller controller;
    int64_t cooldown;           // left, during which the ratio stands still
    // Counters, which their readers zero.
    uint64_t released_bg;       // by steps
    uint64_t released_eager;    // by allocations; the owner's
    uint64_t told_bg, told_eager; // of both what lines have told already
    int64_t background_ns;      // that scavenge took
    int64_t assist_ns;          // by allocations; the owner's
} gh_scavenger;

// gh_scav_init makes a parked scavenger.
void gh_scav_init(gh_scavenger *s, const gh_scav_ops *ops);

// gh_scav_step does what is due at now, at most one piece of work, and returns
// when the next step is due: now or later.
int64_t gh_scav_step(gh_scavenger *s, int64_t now, int32_t procs);

// gh_scav_wake ends a park or a sleep. A scavenger at work isn't told.
void gh_scav_wake(gh_scavenger *s, int64_t now);

// gh_scav_ready asks for a wake by the next gh_scav_serve, which is called
// every now and then; the request stands until a wake finds the scavenger at
// rest.
// Go: ready, and sysmon.
void gh_scav_ready(gh_scavenger *s);
void gh_scav_serve(gh_scavenger *s, int64_t now);

// The parts of a step, for who has another way to wait. gh_scav_run does one
// unit of work; gh_scav_sleep_time is how long to sleep after it; gh_scav_slept
// is told how long it was and sets the ratio.
uint64_t gh_scav_run(gh_scavenger *s, double *worked);
int64_t gh_scav_sleep_time(const gh_scavenger *s, double worked);
void gh_scav_slept(gh_scavenger *s, double worked, int64_t slept,
                   int32_t procs);

// ---- scavtrace -------------------------------------------------------------

// gh_scav_take_trace fills in what the scavenger counted, and starts anew: once
// for each sweep that is complete.
void gh_scav_take_trace(gh_scavenger *s, gh_scav_trace *t);

// gh_scav_trace_format writes the line, without a newline, as snprintf does.
int gh_scav_trace_format(const gh_scav_trace *t, char *buf, size_t cap);

#endif  // MGCSCAVENGE_H
