// mcentral.c: finding a span with a free slot. See mcentral.h.

#include "mcentral.h"

#include "mgcsweep.h"
#include "mheap.h"
#include "planted.h"

// sweep_and_keep sweeps a span that was popped from an unswept set and keeps it.
static void
sweep_and_keep(gh_heap *h, gh_mspan *s)
{
    if (GH_PLANTED(NO_SWEEP)) {
        return;
    }
    GH_THROW_IF(s->sweepgen != h->sweepgen - 2, "swept span in unswept set");
    s->sweepgen = h->sweepgen - 1;
    (void)gh_mspan_sweep(h, s, true);
}

static gh_mspan *
pop(const gh_p *p, gh_spanset *set)
{
    if (!gh_contends(p)) {
        return gh_spanset_pop(set);
    }
    const bool back = gh_mcentral_takes_back(p);
    gh_mspan *s = back ? gh_spanset_pop_back(set) : gh_spanset_pop(set);
    // The next one is likely wanted under the same hold, and the other core has written
    // to the bits of its neighbours.
    const gh_mspan *next = back ? set->tail : set->head;
    if (next != NULL) {
        __builtin_prefetch((const char *)next + 64, 1);
        __builtin_prefetch(gh_mspan_mark_bits(&p->heap->bm, next), 1);
        __builtin_prefetch(gh_mspan_alloc_bits(&p->heap->bm, next), 1);
    }
    return s;
}

void
gh_mcentral_put(const gh_p *p, gh_mspan *s)
{
    const gh_heap *h = p->heap;
    gh_mcentral *c = &p->heap->central[s->spanclass];
    gh_spanset *set = s->nelems > s->alloc_count ? gh_mcentral_partial_swept(h, c)
                                                 : gh_mcentral_full_swept(h, c);
    if (gh_contends(p) && p->id % 2 != 0) {
        gh_spanset_push_front(set, s);
    } else {
        gh_spanset_push(set, s);
    }
}

// from_spare takes an empty span that p kept when it swept it, instead of giving it to the
// page heap and asking there.
static gh_mspan *
from_spare(const gh_p *p, uint8_t spc)
{
    if (p->conc == NULL) {
        return NULL;
    }
    gh_ahead *a = &p->conc->ahead;
    if (a->nspare == 0 || a->spare[0]->spanclass != spc) {
        return NULL;
    }
    gh_mspan *s = a->spare[--a->nspare];
    GH_ASSERT(s->spanclass == spc && s->alloc_count == 0 && s->set == NULL
              && s->sweepgen == p->heap->sweepgen);
    return s;
}

// from_unswept looks for a span to sweep, within Go's budget of 101 tries over
// both sets. Partial ones have room for certain; full ones may.
static gh_mspan *
from_unswept(const gh_p *p, gh_mcentral *c)
{
    gh_heap *h = p->heap;
    int budget = GH_SPAN_BUDGET;
    for (; budget >= 0; budget--) {
        gh_mspan *s = pop(p, gh_mcentral_partial_unswept(h, c));
        if (s == NULL) {
            break;
        }
        sweep_and_keep(h, s);
        return s;
    }
    for (; budget >= 0; budget--) {
        gh_mspan *s = pop(p, gh_mcentral_full_unswept(h, c));
        if (s == NULL) {
            break;
        }
        sweep_and_keep(h, s);
        const unsigned i = gh_mspan_next_free_index(&h->bm, s);
        if (i != s->nelems) {
            s->free_index = (uint16_t)i;
            return s;
        }
        gh_spanset_push(gh_mcentral_full_swept(h, c), s);
    }
    return NULL;
}

gh_status
gh_mcentral_cache_span(gh_p *p, uint8_t spc, gh_mspan **out)
{
    gh_heap *h = p->heap;
    gh_mcentral *c = &h->central[spc];
    const uint64_t npages = h->sizes.npages[gh_spanclass_sizeclass(spc)];
    gh_deduct_sweep_credit(p, npages * GH_PAGE_SIZE, 0);

    gh_mspan *s = pop(p, gh_mcentral_partial_swept(h, c));
    if (s == NULL && !h->sweep_drained) {
        s = from_unswept(p, c);
    }
    if (s == NULL) {
        s = from_spare(p, spc);
    }
    if (s == NULL) {
        gh_status st = gh_mheap_alloc(p, npages, spc, &s);
        if (st != GH_OK) {
            return st;
        }
    }
    GH_THROW_IF(s->alloc_count == s->nelems || s->free_index == s->nelems,
                "span has no free objects");
    gh_mspan_refill_alloc_cache(&h->bm, s, s->free_index);
    *out = s;
    return GH_OK;
}

void
gh_mcentral_uncache_span(gh_p *p, gh_mspan *s)
{
    gh_heap *h = p->heap;
    GH_THROW_IF(s->alloc_count == 0,
                "uncaching span but s.allocCount == 0");
    s->cached_by = -1;
    if (s->sweepgen == h->sweepgen + 1 && !GH_PLANTED(NO_STALE)) {
        // Stale: cached since before this sweep began.
        s->sweepgen = h->sweepgen - 1;
        (void)gh_mspan_sweep(h, s, false);
        return;
    }
    s->sweepgen = h->sweepgen;
    gh_mcentral_put(p, s);
}
