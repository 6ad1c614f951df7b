// mgc.h: the cycle.
//
// Layer 6. Includes heap.h. Go: mgc.go.
//
// A cycle, from trigger to the world's restart:
//   1. sweep termination, the world stopped: finish the last cycle's sweep; count
//      the cycle begun
//   2. mark: phase on; mark from tiny blocks and root slots until nothing is
//      grey. In GH_MODE_STW without letting the world go on; else in pieces, beside
//      mutators behind the barrier (mgcvirtual.h), also by hand
//   3. mark termination, the world stopped: a second tracing if it was asked for
//      (mcheckmark.h); goals from what was marked; phase off
//   4. sweepgen + 2: every span is unswept. With eager_sweep all mcaches flush
//      and everything is swept at once, else each span when it is needed
//   5. commit: new goal and trigger; the record of the cycle; caches of idle Ps
//
// What a cycle needs is made sure of before it begins: one buffer for the grey
// queue and room for its record. If that can't be had, an automatic cycle is
// left out (and counted), an explicit one fails; once begun it ends.

#ifndef MGC_H
#define MGC_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

// gh_gc_should_start: the heap trigger. Tested after each refill and each large
// allocation. Go: gcTrigger.test.
static inline bool
gh_gc_should_start(const gh_heap *h)
{
    return h->phase == GH_PHASE_OFF
           && h->gcc.heap_live >= gh_gcc_trigger(&h->gcc, NULL);
}

// gh_gc_cycle runs one cycle on p. GH_ERR_NOMEM: it did not begin.
GH_NODISCARD gh_status gh_gc_cycle(gh_p *p, bool forced);

// The same in two halves, with marking by pieces in between. gh_gc_begin_marking
// greys the roots and lets the world go on; gh_gc_end_marking is called when
// nothing is grey.
GH_NODISCARD gh_status gh_gc_begin_marking(gh_p *p, bool forced,
                                           gh_marking by);
void gh_gc_end_marking(gh_p *p);

// gh_gc_commit recomputes goal, trigger and the price of sweeping.
// Go: gcControllerCommit.
void gh_gc_commit(gh_heap *h);

#endif  // MGC_H
