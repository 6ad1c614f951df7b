// mgcvirtual.h: cycles beside the program, on the virtual clock.
//
// Layer 6. Includes heap.h. Go: mgc.go, mgcmark.go (gcAssistAlloc,
// gcFlushBgCredit), mgcpacer.go, mgcsweep.go (bgsweep), in the form that
// GH_MODE_VIRTUAL gives them.
//
// One thread does everything, so every run repeats. Time passes when the program
// pays for what it does, or when a replay says so; gh_virtual_tick then gives
// the collector its share of that time, in slices of at most 10 us:
//
//   workers    as many Ps as the pacer wants mark for the whole slice, or each
//              P for its fraction of it. A P whose last event is more than 1 ms
//              ago is idle, and marks as an idle worker
//   assists    an allocation that is in debt marks on the program's time; what
//              it still owes then, it waits for
//   sweeping   between cycles idle Ps sweep; without one, a tenth of a P
//
// Marking costs Costs.scan_byte for each byte of scan work, is done on the real
// heap, and stops in the middle of the queue when the slice is used up. Roots
// are greyed when the cycle begins; the bytes of globals and stacks are work that
// comes first.
//
// Called only between two steps of a mutator: a cycle may end in here, and every
// mcache is flushed then [inv:virtual.between].

#ifndef MGCVIRTUAL_H
#define MGCVIRTUAL_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

// gh_virtual_tick gives the collector its share of the time since the last call.
// p is the P that works; NULL: every P is idle.
void gh_virtual_tick(gh_heap *h, const gh_p *p);

// A heap that has been collected is collected again after so long. Go:
// forcegcperiod.
#define GH_FORCE_GC_PERIOD_NS 120e9

// gh_virtual_begin begins a cycle; marking goes on in later ticks.
GH_NODISCARD gh_status gh_virtual_begin(gh_p *p, bool forced, gh_marking by);

// gh_virtual_wait lets time pass until no cycle runs.
void gh_virtual_wait(gh_p *p);

// gh_virtual_charge makes p owe for bytes that it is about to allocate while a
// cycle marks, and pay in assists if it must.
void gh_virtual_charge(gh_p *p, uint64_t bytes);

#endif  // MGCVIRTUAL_H
