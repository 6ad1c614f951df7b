// mgclimit.h: the CPU limiter, which keeps the collector from eating the
// program.
//
// Layer 2. Includes ghassert.h, ghconst.h. Go: mgclimit.go, type
// gcCPULimiterState.
//
// A bucket of CPU time, one second for each P. Time that the collector takes
// from the program flows in, time that the program has flows out; so the level
// rises while the collector has more than half. When the bucket is full the
// limiter limits: assists stop and memory is no longer scavenged at once, until
// the first update that takes something out. Time is counted as
//
//   out of the window (now - last update) * Ps:
//     idle     Ps without work, and idle mark workers: counted as neither
//     GC       assists of both kinds, and a quarter of the window while marking
//     mutator  the rest
//   a stop of the world between start_gc and finish_gc: GC on every P
//
// An update takes in what was added since the last one and the part so far of
// each P's event, so that what it counts happened within its window.
//
// The limiter reads no clock; every call is told the time. Times are ns and
// grow; a call with an older time than the last update's counts nothing.
//
// Order of operations and truncation are part of the contract with Go: compile
// with -ffp-contract=off.
//
// Locking: an update that finds another one at work gives up, and its time is
// counted by the next one; adding time, limiting and events of one's own P are
// safe at any time. Transitions, reset_capacity and the list of events: the
// world is stopped.

#ifndef MGCLIMIT_H
#define MGCLIMIT_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include <stdatomic.h>

#include "ghassert.h"
#include "ghconst.h"

#define GH_LIMITER_CAPACITY_PER_PROC ((uint64_t)1000000000)  // CPU ns
#define GH_LIMITER_UPDATE_PERIOD_NS  ((int64_t)10000000)
// The share of the window that background workers are taken to have.
#define GH_LIMITER_BACKGROUND        0.25

// ---- what a P is doing -----------------------------------------------------

typedef enum gh_limiter_event_type {
    GH_LIMITER_NONE,
    GH_LIMITER_IDLE_MARK,
    GH_LIMITER_MARK_ASSIST,
    GH_LIMITER_SCAVENGE_ASSIST,
    GH_LIMITER_IDLE,
} gh_limiter_event_type;

// gh_limiter_event is the one thing that a P does for the limiter to count. Its
// stamp packs the type above the low 61 bits of the time when it began, or when
// an update last took its time away. All zero: nothing.
typedef struct gh_limiter_event {
    _Atomic uint64_t stamp;
    struct gh_limiter_event *next;  // in the limiter's list
} gh_limiter_event;

uint64_t gh_limiter_stamp(gh_limiter_event_type type, int64_t now);
gh_limiter_event_type gh_limiter_stamp_type(uint64_t stamp);
// gh_limiter_stamp_duration is 0 if now is before the stamp, or if a multiple
// of 2^61 ns lies between.
int64_t gh_limiter_stamp_duration(uint64_t stamp, int64_t now);

// ---- the limiter -----------------------------------------------------------

typedef struct gh_limiter {
    _Atomic uint32_t lock;
    _Atomic bool enabled;           // limiting
    bool gc_enabled;                // marking
    bool transitioning;             // between start_gc and finish_gc
    uint64_t fill, capacity;        // [inv:limiter.fill]
    uint64_t overflow;              // GC time that found no room, ever
    _Atomic int64_t assist_pool;    // since the last update
    _Atomic int64_t idle_pool;
    _Atomic int64_t idle_ns;        // of Ps without work; whoever reads it at
                                    // mark termination zeroes it
    _Atomic int64_t last_update;
    _Atomic uint32_t last_enabled_cycle;  // number of the cycle; 0: never
    int32_t procs;
    const uint32_t *num_gc;         // cycles done
    gh_limiter_event *events;       // of all Ps
} gh_limiter;

// gh_limiter_init makes an empty bucket. num_gc stays the caller's.
void gh_limiter_init(gh_limiter *l, int64_t now, int32_t procs,
                     const uint32_t *num_gc);

static inline bool
gh_limiter_limiting(gh_limiter *l)
{
    return atomic_load_explicit(&l->enabled, memory_order_relaxed);
}

// gh_limiter_need_update says whether the last update is more than the period
// ago.
bool gh_limiter_need_update(gh_limiter *l, int64_t now);
void gh_limiter_update(gh_limiter *l, int64_t now);

// What is added here is counted by the next update.
void gh_limiter_add_assist_time(gh_limiter *l, int64_t ns);
void gh_limiter_add_idle_time(gh_limiter *l, int64_t ns);

// gh_limiter_start_gc: the world has stopped to turn marking on or off. The
// limiter takes no update until gh_limiter_finish_gc, which is given the time
// when the world goes on.
void gh_limiter_start_gc(gh_limiter *l, bool marking, int64_t now);
void gh_limiter_finish_gc(gh_limiter *l, int64_t now);

// gh_limiter_reset_capacity: there are procs Ps now. Not while marking.
void gh_limiter_reset_capacity(gh_limiter *l, int64_t now, int32_t procs);

// ---- events of the Ps ------------------------------------------------------

// An event takes part in updates from add to remove. A removed one is idle:
// what it was doing was stopped before.
void gh_limiter_add_event(gh_limiter *l, gh_limiter_event *e);
void gh_limiter_remove_event(gh_limiter *l, gh_limiter_event *e);

// gh_limiter_event_start returns false if the P has an event already, which
// then goes on; the caller doesn't stop what it did not start.
bool gh_limiter_event_start(gh_limiter_event *e, gh_limiter_event_type type,
                            int64_t now);
// gh_limiter_event_consume moves the stamp to now. Returns the type and stores
// the time that passed; GH_LIMITER_NONE if none did.
gh_limiter_event_type gh_limiter_event_consume(gh_limiter_event *e, int64_t now,
                                               int64_t *ns);
// gh_limiter_event_stop ends the event, which is of this type, and adds what no
// update has seen of it.
void gh_limiter_event_stop(gh_limiter *l, gh_limiter_event *e,
                           gh_limiter_event_type type, int64_t now);

#endif  // MGCLIMIT_H
