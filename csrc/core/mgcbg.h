// mgcbg.h: cycles beside the program, by real threads.
//
// Layer 6. Includes heap.h. Go: mgc.go (gcStart, gcBgMarkWorker, gcMarkDone, GC),
// mgcmark.go (gcAssistAlloc, gcParkAssist), mgcsweep.go (bgsweep),
// mgcscavenge.go (bgscavenge), proc.go (forcegchelper).
//
// The threads are made by the first cycle and end with the heap:
//
//   workers    one for each P. In a cycle they take Ps: a quarter of the Ps for the
//              whole cycle, or each P for a quarter of its time, and Ps that nobody
//              has used for a while until somebody wants one. While a worker has a
//              P, no mutator has it
//   background sweeps between cycles, scavenges, and begins a cycle if there was
//              none for two minutes. It has no P [diff:bg.sweep]
//
// A cycle begins and ends in a stop of the world. It is over when nobody marks,
// nothing waits, and no P has anything grey: whoever suspects so asks every P to
// hand on what it has (gh_flush_all), stops the world if none had anything, and
// looks again; if something is there after all, marking goes on [inv:bg.over].
// If no thread can be made, cycles run in a stop from begin to end.
//
// Mutators: an allocation while a cycle marks is paid for in credit of its P; in
// debt it takes what the workers did in advance, then marks, and then waits for
// the workers.

#ifndef MGCBG_H
#define MGCBG_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include <stdio.h>

#include "heap.h"

// gh_bg_after_refill is the trigger's test of a P that fetched a span; pending
// may be in use. A safepoint.
void gh_bg_after_refill(gh_p *p);
// gh_bg_charge makes p owe for bytes that it is about to allocate. A safepoint
// that may give p away.
void gh_bg_charge(gh_p *p, uint64_t bytes);
// gh_bg_collect is runtime.GC() without the sweep after it. GH_ERR_STATE: p's holder
// has stopped the world.
GH_NODISCARD gh_status gh_bg_collect(gh_p *p);
// gh_bg_wait waits until no cycle runs, giving p away meanwhile.
void gh_bg_wait(gh_p *p);
// gh_bg_dump writes what the threads do, for the watchdog.
void gh_bg_dump(const gh_heap *h, FILE *f);
// gh_bg_end ends all threads; nobody is inside.
void gh_bg_end(gh_heap *h);

#endif  // MGCBG_H
