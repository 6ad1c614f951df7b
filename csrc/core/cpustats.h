// cpustats.h: what the CPUs did, by class, for /cpu/classes of runtime/metrics and
// for GCCPUFraction.
//
// Layer 5. Includes heap.h. Go: mstats.go, type cpuStats.
//
// Every P's time is in one class: pauses (of all Ps), marking (assists, dedicated
// with fractional, idle), scavenging (in an allocation, in the background), idle,
// and user, which is what is left. As in Go all are brought up to date at mark
// termination, and the pauses and the collector's sum at the stop before marking
// too.
//
// Here the time is the heap's clock. In GH_MODE_STW one P works and the others are
// idle between cycles; in GH_MODE_VIRTUAL a P is idle that had no event for 1 ms
// and no worker. In GH_MODE_CONCURRENT idle Ps count as user: taking a P and giving
// it back would have to read the clock.
//
// Locking: the heap's holder [lock:world].

#ifndef CPUSTATS_H
#define CPUSTATS_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

// gh_cpu_idle: from what was told last until until (of the clock) so many Ps were
// idle. Time that was told already, as that of a pause, does not count again.
void gh_cpu_idle(gh_heap *h, double until, double ps);

// gh_cpu_mutator is the same up to now, for GH_MODE_STW: all but ps Ps were idle.
void gh_cpu_mutator(gh_heap *h, int32_t ps);

// gh_cpu_total counts all Ps' time up to now: before their number changes.
void gh_cpu_total(gh_heap *h);

// gh_cpu_pause: a stop for the collector lasted ns, stopping of it until all Ps
// stood.
void gh_cpu_pause(gh_heap *h, int64_t stopping, int64_t ns);

// gh_cpu_other_stop: a stop for something else is about to end. It takes no time
// but in GH_MODE_CONCURRENT.
void gh_cpu_other_stop(gh_heap *h);

// gh_cpu_end_cycle takes over what a cycle's marking took, in rec, and the
// scavenger's times, and returns the collector's share of all time so far. The last
// pause has been told.
double gh_cpu_end_cycle(gh_heap *h, const gh_cycle *rec);

#endif  // CPUSTATS_H
