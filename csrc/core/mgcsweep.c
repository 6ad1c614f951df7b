// mgcsweep.c: sweeping. See mgcsweep.h.

#include "mgcsweep.h"

#include "delays.h"
#include "mcentral.h"
#include "mcleanup.h"
#include "mgcmark_greenteagc.h"  // up-call: a swept span's scan bits are cleared
#include "mheap.h"
#include "planted.h"
#include "special.h"

// check_zombies throws if a slot is marked that was never allocated.
static void
check_zombies(const gh_heap *h, const gh_mspan *s)
{
    const uint64_t *alloc = gh_mspan_alloc_bits(&h->bm, s);
    const uint64_t *mark = gh_mspan_mark_bits(&h->bm, s);
    for (unsigned i = s->free_index / 64; i < s->nbits_words; i++) {
        uint64_t zombies = mark[i] & ~alloc[i];
        if (i == s->free_index / 64) {
            zombies &= ~(uint64_t)0 << (s->free_index % 64);
        }
        GH_THROW_IF(zombies != 0, "found pointer to free object");
    }
}

// clobber fills the slots that this sweep frees, as Go's clobberfree does.
static void
clobber(const gh_heap *h, const gh_mspan *s)
{
    const uint64_t *mark = gh_mspan_mark_bits(&h->bm, s);
    for (unsigned i = 0; i < s->nelems; i++) {
        if (!gh_mspan_is_allocated(&h->bm, s, i)
            || (mark[i / 64] >> (i % 64) & 1) != 0) {
            continue;
        }
        uint64_t *word = (uint64_t *)gh_mspan_obj_base(s, i);
        for (uint64_t w = 0; w < s->elemsize / sizeof(*word); w++) {
            word[w] = GH_CLOBBER;
        }
    }
}

bool
gh_mspan_sweep(gh_heap *h, gh_mspan *s, bool preserve)
{
    GH_THROW_IF(s->state != GH_SPAN_IN_USE, "mspan.sweep: bad span state");
    GH_THROW_IF(s->sweepgen != h->sweepgen - 1, "mspan.sweep: bad sweepgen");
    GH_ASSERT(s->set == NULL);
    h->pages_swept += s->npages;
    if (!h->opt.policy.eager_sweep && !h->clock_external && !h->concurrent) {
        h->clock_ns += h->opt.costs.sweep_page * (double)s->npages;
    }
    if (GH_UNLIKELY(s->specials != NULL)) {
        gh_specials_sweep(h, s);
    }
    check_zombies(h, s);

    if (GH_UNLIKELY(h->opt.debug.clobber_free)) {
        clobber(h, s);
    }

    const uint64_t *mark = gh_mspan_mark_bits(&h->bm, s);
    unsigned nalloc = 0;
    for (unsigned i = 0; i < s->nbits_words; i++) {
        nalloc += gh_popcount64(mark[i]);
    }
    GH_THROW_IF(nalloc > s->alloc_count,
                "sweep increased allocation count");
    const unsigned nfreed = s->alloc_count - nalloc;

    s->alloc_count = (uint16_t)nalloc;
    s->free_index = 0;
    s->free_index_for_scan = 0;
    s->page_marked = false;
    s->short_way = 0;
    if (nalloc == 0 && s->meta_mode == GH_META_EACH) {
        __atomic_store_n(&s->meta_mode, GH_META_ONE, __ATOMIC_RELAXED);
    }
    // The marks become the alloc bits; what they replace is cleared to take
    // the next cycle's marks.
    s->alloc_area ^= 1;
    if (!GH_PLANTED(NO_CLEAR)) {
        gh_bits_clear(gh_mspan_mark_bits(&h->bm, s), s->nbits_words);
    }
    if (GH_UNLIKELY(h->gt != NULL)) {
        gh_greentea_swept(h, s);
    }
    gh_mspan_refill_alloc_cache(&h->bm, s, 0);
    s->sweepgen = h->sweepgen;

    const unsigned cls = gh_spanclass_sizeclass(s->spanclass);
    const uint64_t freed_bytes = nfreed * s->elemsize;
    if (nfreed > 0) {
        h->gcc.total_free += freed_bytes;
        h->swept_bytes += freed_bytes;
        gh_emit(h, GH_EV_SWEEP, -1, s->base, nfreed, s->spanclass);
    }
    gh_mcentral *c = &h->central[s->spanclass];
    if (cls != 0) {
        if (nfreed > 0) {
            s->needzero = true;
            s->clean = false;
            h->stats.small_free_count[cls] += nfreed;
        }
        if (preserve) {
            if (GH_PLANTED(PUSH_KEPT)) {
                gh_spanset_push(gh_mcentral_partial_swept(h, c), s);
            }
            return false;
        }
        if (nalloc == 0) {
            gh_mheap_free_span(h, s);
            return true;
        }
        if (GH_PLANTED(WRONG_SET)) {
            gh_spanset_push(gh_mcentral_full_unswept(h, c), s);
            return false;
        }
        gh_spanset_push(nalloc == s->nelems ? gh_mcentral_full_swept(h, c)
                                            : gh_mcentral_partial_swept(h, c),
                        s);
        return false;
    }
    GH_ASSERT(!preserve);
    if (nfreed != 0) {
        h->stats.large_free += s->elemsize;
        h->stats.large_free_count++;
        gh_mheap_free_span(h, s);
        return true;
    }
    gh_spanset_push(gh_mcentral_full_swept(h, c), s);
    return false;
}

// sweep_base sweeps a piece of the dead weight if it is its turn: one or two large
// objects with pointers and one without, each the first of its class, and small ones,
// of which a few are of higher classes than any other.
static bool
sweep_base(gh_heap *h)
{
    uint64_t large, small;
    gh_base_pages(h, &large, &small);
    const unsigned spc = h->central_index / 2;
    const uint64_t left = h->base_large;
    uint64_t n = 0;
    if (left > 0 && spc > 0) {
        n = left;
    } else if (left == large && left > GH_BASE_FIRST_PAGES) {
        n = GH_BASE_FIRST_PAGES;
    } else if (left < large && left >= GH_BASE_NOSCAN_PAGES + 4) {
        n = left - GH_BASE_NOSCAN_PAGES;
    }
    h->base_large -= n;
    if (n == 0 && spc >= GH_NUM_SPAN_CLASSES) {
        n = h->base_small;
        h->base_small = 0;
    } else if (n == 0 && h->base_small > GH_BASE_LAST_PAGES && spc > 1) {
        n = 1;
        h->base_small--;
    }
    h->pages_swept += n;
    return n > 0;
}

// next_span_for_sweep takes the next span in Go's order: span classes in turn,
// of each first the full set, then the partial one; of each the first one, or, not as
// Go, the last one if back. NULL: there is none, or a piece of the dead weight was swept
// instead.
static gh_mspan *
next_span_for_sweep(gh_heap *h, bool back)
{
    for (; h->central_index < 2 * GH_NUM_SPAN_CLASSES; h->central_index++) {
        if (GH_UNLIKELY(h->base_large + h->base_small > 0) && sweep_base(h)) {
            return NULL;
        }
        gh_mcentral *c = &h->central[h->central_index / 2];
        gh_spanset *set = h->central_index % 2 == 0
                              ? gh_mcentral_full_unswept(h, c)
                              : gh_mcentral_partial_unswept(h, c);
        gh_mspan *s = back ? gh_spanset_pop_back(set) : gh_spanset_pop(set);
        if (s != NULL) {
            return s;
        }
    }
    (void)sweep_base(h);
    return NULL;
}

// note_end keeps what Go prints when a sweep is complete.
static void
note_end(gh_heap *h)
{
    const uint64_t live = h->gcc.heap_live;
    h->sweep = (gh_sweep_trace){
        .done = true,
        .stopped = h->sweep.stopped,
        .heap_live = live,
        .allocated = live - h->sweep_heap_live_basis,
        .pages = h->pages_swept,
        .pages_per_byte = h->sweep_pages_per_byte,
        .scav = gh_scav_state_of(h),
    };
    gh_scav_take_trace(&h->scavenger, &h->sweep.scav);
}

// sweep_for_debt is gh_mspan_sweep of a small span, for a P that contends. An empty one
// stays with it if keep is set and gh_mcentral_keeps_spare.
static bool
sweep_for_debt(gh_p *p, gh_mspan *s, bool keep)
{
    gh_ahead *a = &p->conc->ahead;
    (void)gh_mspan_sweep(p->heap, s, true);
    if (s->alloc_count > 0) {
        gh_mcentral_put(p, s);
        return false;
    }
    if (keep && gh_mcentral_keeps_spare(p, s)) {
        GH_ASSERT(a->nspare < GH_SPARE_PAGES);
        a->spare[a->nspare++] = s;
        return false;
    }
    gh_mheap_free_span(p->heap, s);
    return true;
}

// sweepone is gh_sweepone under heap_lock, for a debt of p, or for none if NULL. keep: p is
// about to take a small span.
static uint64_t
sweepone(gh_heap *h, gh_p *p, bool keep)
{
    if (h->sweep_drained) {
        return GH_SWEEP_NOTHING;
    }
    const uint64_t swept = h->pages_swept;
    gh_mspan *s = next_span_for_sweep(h, p != NULL && gh_mcentral_takes_back(p));
    if (h->pages_swept != swept) {
        return 0;
    }
    if (s == NULL) {
        gh_set_drained(h, true);
        note_end(h);
        gh_cleanups_flush(h);
        gh_scav_ready(&h->scavenger);
        return GH_SWEEP_NOTHING;
    }
    GH_THROW_IF(s->sweepgen != h->sweepgen - 2,
                "non in-use span in unswept list");
    gh_yield_point(h, GH_AT_SWEEP);
    const uint64_t npages = s->npages;
    s->sweepgen = h->sweepgen - 1;
    const bool freed = p != NULL && gh_contends(p) && gh_spanclass_sizeclass(s->spanclass) != 0
                           ? sweep_for_debt(p, s, keep)
                           : gh_mspan_sweep(h, s, false);
    if (!freed) {
        return 0;
    }
    h->reclaim_credit += npages;
    return npages;
}

uint64_t
gh_sweepone(gh_heap *h)
{
    gh_lock_heap(h);
    const uint64_t npages = sweepone(h, NULL, false);
    gh_unlock_heap(h);
    return npages;
}

void
gh_deduct_sweep_credit(gh_p *p, uint64_t span_bytes, uint64_t caller_pages)
{
    gh_heap *h = p->heap;
    if (h->sweep_pages_per_byte == 0) {
        return;
    }
    for (;;) {
        const uint64_t basis = h->pages_swept_basis;
        const uint64_t live = h->gcc.heap_live;
        uint64_t new_live = span_bytes;
        if (p->conc != NULL) {
            new_live += (uint64_t)p->conc->ahead.taken;
        }
        if (live > h->sweep_heap_live_basis) {
            new_live += live - h->sweep_heap_live_basis;
        }
        const int64_t target =
            (int64_t)(h->sweep_pages_per_byte * (double)new_live)
            - (int64_t)caller_pages;
        while (target > (int64_t)(h->pages_swept - basis)) {
            if (sweepone(h, p, caller_pages == 0) == GH_SWEEP_NOTHING) {
                h->sweep_pages_per_byte = 0;
                return;
            }
            if (h->pages_swept_basis != basis) {
                break;
            }
        }
        if (h->pages_swept_basis == basis) {
            return;
        }
    }
}

void
gh_gc_pace_sweeper(gh_heap *h, uint64_t trigger)
{
    if (h->sweep_drained) {
        h->sweep_pages_per_byte = 0;
        return;
    }
    const uint64_t live = h->gcc.heap_live;
    int64_t distance =
        (int64_t)trigger - (int64_t)live - (int64_t)GH_SWEEP_MIN_DISTANCE;
    if (distance < (int64_t)GH_PAGE_SIZE) {
        distance = (int64_t)GH_PAGE_SIZE;
    }
    uint64_t large, small;
    gh_base_pages(h, &large, &small);
    const int64_t pages = (int64_t)(h->pages_in_use + large + small)
                          - (int64_t)h->pages_swept;
    if (pages <= 0) {
        h->sweep_pages_per_byte = 0;
        return;
    }
    h->sweep_pages_per_byte = (double)pages / (double)distance;
    h->sweep_heap_live_basis = live;
    h->pages_swept_basis = h->pages_swept;
}

void
gh_ensure_swept(gh_heap *h, gh_mspan *s)
{
    if (s->sweepgen != h->sweepgen - 2) {
        return;
    }
    if (!GH_PLANTED(KEEP_SET)) {
        gh_spanset_remove(s);
    }
    s->sweepgen = h->sweepgen - 1;
    (void)gh_mspan_sweep(h, s, false);
}
