// mcentral.h: the spans of one class that no P has.
//
// Layer 5. Includes heap.h. Go: mcentral.go.
//
// Two pairs of sets, partial (a free slot) and full, each swept and unswept.
// Which of a pair is the swept one goes by the heap's sweepgen, so the step of
// 2 at mark termination turns swept into unswept without moving a span.
//
// Where threads wait for heap_lock, Ps of even number put spans at a set's back and take
// them from there, the others use its front: so each mostly gets those back whose memory
// its own core has [diff:mcentral.ends]. Else a set is first in, first out, as Go's.

#ifndef MCENTRAL_H
#define MCENTRAL_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

static inline gh_spanset *
gh_mcentral_partial_swept(const gh_heap *h, gh_mcentral *c)
{
    return &c->partial[h->sweepgen / 2 % 2];
}

static inline gh_spanset *
gh_mcentral_partial_unswept(const gh_heap *h, gh_mcentral *c)
{
    return &c->partial[1 - h->sweepgen / 2 % 2];
}

static inline gh_spanset *
gh_mcentral_full_swept(const gh_heap *h, gh_mcentral *c)
{
    return &c->full[h->sweepgen / 2 % 2];
}

static inline gh_spanset *
gh_mcentral_full_unswept(const gh_heap *h, gh_mcentral *c)
{
    return &c->full[1 - h->sweepgen / 2 % 2];
}

// gh_contends: p's holder has lately waited for heap_lock.
static inline bool
gh_contends(const gh_p *p)
{
    return p->conc != NULL && p->conc->ahead.contended > 0;
}

// gh_mcentral_takes_back: p takes spans from a set's back.
static inline bool
gh_mcentral_takes_back(const gh_p *p)
{
    return gh_contends(p) && p->id % 2 == 0;
}

// gh_may_take_ahead: a P may have spans that nobody has asked for. Who marks, listens, counts
// every page or stops the world is to see each span taken for itself. Under a memory limit
// the goal falls with each span that is taken.
static inline bool
gh_may_take_ahead(const gh_heap *h)
{
    return h->phase == GH_PHASE_OFF && h->listen_mask == 0
           && h->mem.hard_limit == UINT64_MAX && h->gcc.memory_limit == INT64_MAX
           && !atomic_load_explicit(&h->conc.stopping, memory_order_relaxed);
}

// gh_mcentral_keeps_spare: p keeps s, which it swept for a debt and found empty: its last
// refill was of that class, so the next likely is.
static inline bool
gh_mcentral_keeps_spare(const gh_p *p, const gh_mspan *s)
{
    const gh_ahead *a = &p->conc->ahead;
    return s->spanclass == a->spc
           && (a->nspare == 0 || a->spare[0]->spanclass == s->spanclass)
           && (a->nspare + 1) * s->npages <= GH_SPARE_PAGES
           && gh_may_take_ahead(p->heap);
}

// gh_mcentral_put gives s, which is swept, not empty and in no set, to its set.
void gh_mcentral_put(const gh_p *p, gh_mspan *s);
// gh_mcentral_cache_span returns a span of class spc with a free slot, for p.
// Go: mcentral.cacheSpan.
GH_NODISCARD gh_status gh_mcentral_cache_span(gh_p *p, uint8_t spc,
                                              gh_mspan **out);
// gh_mcentral_uncache_span takes back what a P had. Go: mcentral.uncacheSpan.
void gh_mcentral_uncache_span(gh_p *p, gh_mspan *s);

#endif  // MCENTRAL_H
