// delays.h: the places where a thread of a concurrent heap may be held up, so that
// rare orders of events become common ones.
//
// Layer 5. Includes heap.h. No Go ancestor; PCT (Burckhardt and others, 2010) in
// spirit.
//
// With a seed in gh_debug each thread has a speed, which is drawn anew after every
// few hundred points: a fast one goes on, a slow one yields or sleeps for up to a
// third of a millisecond. Without one a point is a branch that is never taken, and
// the repeatable modes' fast paths have none.
//
// Nobody is at a point with the heap's `lock` or a lock of lists held; heap_lock
// may be, in sweeping and in the page cache.

#ifndef DELAYS_H
#define DELAYS_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

typedef enum gh_point {
    GH_AT_ENTER,        // a P has been taken
    GH_AT_LEAVE,        // and is about to be given back
    GH_AT_STORE,        // a pointer is about to be overwritten, nothing is shaded
    GH_AT_SHADED,       // what the barrier asks for is shaded, nothing is written
    GH_AT_ROOT,         // a marker is about to read a root slot
    GH_AT_SCAN,         // or to scan an object
    GH_AT_HAND_ON,      // grey objects are about to go to the heap's list
    GH_AT_STEAL,        // or have come from there
    GH_AT_TERMINATION,  // marking seems to be over
    GH_AT_STOP,         // the world is about to be stopped
    GH_AT_SWEEP,        // a span is about to be swept
    GH_AT_PAGE_CACHE,   // a P's page cache is about to be filled
} gh_point;

// gh_delay may hold the caller up. Out of line.
void gh_delay(gh_heap *h, gh_point at);

static inline void
gh_yield_point(gh_heap *h, gh_point at)
{
    if (GH_UNLIKELY(h->opt.debug.delays != 0)) {
        gh_delay(h, at);
    }
}

// gh_delays_report says on stderr which seed a heap that fails was run with.
void gh_delays_report(const gh_heap *h);

#endif  // DELAYS_H
