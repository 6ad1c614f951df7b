// mcache.h: the spans that a P allocates from.
//
// Layer 5. Includes heap.h. Go: mcache.go.
//
// What an mcache hands out is not counted until its span is given back or
// replaced: alloc_count - alloc_count_before_cache is what the consistent
// counters still miss [inv:mcache.uncounted]. heap_live, on the other hand, is
// raised for the whole span when it is cached.

#ifndef MCACHE_H
#define MCACHE_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

void gh_mcache_init(gh_p *p);
// gh_mcache_refill replaces the full span of class spc. On an error the old
// span stays. Go: mcache.refill.
GH_NODISCARD gh_status gh_mcache_refill(gh_p *p, uint8_t spc);
// gh_mcache_alloc_large makes a span of its own for size bytes.
// Go: mcache.allocLarge.
GH_NODISCARD gh_status gh_mcache_alloc_large(gh_p *p, uint64_t size,
                                             bool noscan, gh_mspan **out);
// gh_mcache_release_all gives every span back. Go: mcache.releaseAll.
void gh_mcache_release_all(gh_p *p);
// gh_mcache_prepare_for_sweep flushes once after each mark termination, before
// the P allocates again. Go: mcache.prepareForSweep.
void gh_mcache_prepare_for_sweep(gh_p *p);

#endif  // MCACHE_H
