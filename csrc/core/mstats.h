// mstats.h: MemStats and the other figures.
//
// Layer 7. Includes heap.h. Go: mstats.go.
//
// Small allocations reach the consistent counters when their span leaves an
// mcache. gh_stats adds what the mcaches still hold, so that it gives what
// ReadMemStats would after its flush, without one [inv:stats.pure].

#ifndef MSTATS_H
#define MSTATS_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

// gh_stats_of fills out from the heap as it stands.
void gh_stats_of(const gh_heap *h, gh_memstats *out);

#endif  // MSTATS_H
