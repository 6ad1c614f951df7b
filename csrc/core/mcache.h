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

// Where threads wait for heap_lock, a P of which two refills under it in a row are of the
// same class takes some more spans of that under the same hold, up to 64 KiB, and refills
// from these without the lock: of objects of 512 B a span has 15, and the lock would be
// what two threads spend their time on [diff:mcache.ahead]. Spans ahead and full ones that
// are not given back yet are cached_by p as the one in use is, but in no mcache.alloc.
// heap_live counts a span for when it is brought into use, but only at the next refill
// under the lock. Such a P also keeps up to 512 KiB of spans of that class that turn out to
// be empty when it sweeps them for a debt, and takes these when it would otherwise ask the
// page heap: there the other core would get what this one has in its cache. All are given
// back whenever the world stops, so who looks at the whole heap finds what Go's would have
// [inv:mcache.ahead].

void gh_mcache_init(gh_p *p);
// gh_mcache_refill replaces the full span of class spc. On an error the old
// span stays. Go: mcache.refill.
GH_NODISCARD gh_status gh_mcache_refill(gh_p *p, uint8_t spc);
// gh_mcache_take_ahead takes spans of class spc in advance, after a refill and under the
// same hold of heap_lock, if that pays and nothing of note is going on. waited: somebody
// else had the lock.
void gh_mcache_take_ahead(gh_p *p, uint8_t spc, bool waited);
// gh_mcache_refill_ahead is gh_mcache_refill from those, without heap_lock; false: there
// is none.
bool gh_mcache_refill_ahead(gh_p *p, uint8_t spc);
// gh_mcache_next_ahead is the next of them if it is of class spc, else NULL.
static inline gh_mspan *
gh_mcache_next_ahead(const gh_p *p, uint8_t spc)
{
    const gh_ahead *a = &p->conc->ahead;
    return a->next < a->nready && a->ready[a->next]->spanclass == spc ? a->ready[a->next]
                                                                      : NULL;
}
// gh_mcache_end_ahead gives all of them back, under heap_lock, by p's holder or in a stop.
void gh_mcache_end_ahead(gh_p *p);
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
