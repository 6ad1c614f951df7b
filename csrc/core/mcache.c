// mcache.c: refill, large objects, flush. See mcache.h.

#include "mcache.h"

#include "mcentral.h"
#include "mgcsweep.h"
#include "mheap.h"
#include "planted.h"

void
gh_mcache_init(gh_p *p)
{
    p->mcache = (gh_mcache){.flush_gen = p->heap->sweepgen};
    for (unsigned i = 0; i < GH_NUM_SPAN_CLASSES; i++) {
        p->mcache.alloc[i] = &p->heap->empty_mspan;
    }
}

// update: live and scan bytes reach the controller. While marking,
// heap_scan is frozen. Go: gcControllerState.update.
static void
update(gh_heap *h, int64_t live, uint64_t scan)
{
    gh_gcc_update(&h->gcc, live, (int64_t)scan, h->phase != GH_PHASE_OFF);
}

// pay_clock charges the virtual clock for n objects of elemsize bytes.
static void
pay_clock(gh_heap *h, uint64_t n, uint64_t bytes)
{
    if (!h->clock_external && !h->concurrent) {
        h->clock_ns += h->opt.costs.alloc * (double)n
                       + h->opt.costs.alloc_byte * (double)bytes;
    }
}

static void
count_tiny(gh_heap *h, gh_mcache *c)
{
    pay_clock(h, c->tiny_allocs, 0);
    h->stats.tiny_alloc_count += c->tiny_allocs;
    c->tiny_allocs = 0;
}

// count_span counts what was allocated from s since it was cached.
static void
count_span(gh_heap *h, gh_mspan *s)
{
    const uint64_t n = s->alloc_count - s->alloc_count_before_cache;
    h->stats.small_alloc_count[gh_spanclass_sizeclass(s->spanclass)] += n;
    h->gcc.total_alloc += n * s->elemsize;
    pay_clock(h, n, n * s->elemsize);
    s->alloc_count_before_cache = 0;
}

// cached gives s to p.
static void
cached(gh_p *p, gh_mspan *s)
{
    s->sweepgen = p->heap->sweepgen + 3;
    s->alloc_count_before_cache = s->alloc_count;
    s->cached_by = (int16_t)p->id;
}

// live_of is what heap_live is raised by when s is brought into use.
static int64_t
live_of(const gh_mspan *s)
{
    return (int64_t)(s->npages * GH_PAGE_SIZE) - (int64_t)(s->alloc_count * s->elemsize);
}

// ---- spans in advance -----------------------------------------------------------------

// settle gives full spans back, and lets the controller know of those in use.
static void
settle(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_ahead *a = &p->conc->ahead;
    for (unsigned i = 0; i < a->nfull && !GH_PLANTED(NO_SETTLE); i++) {
        gh_mspan *s = a->full[i];
        GH_ASSERT(s->sweepgen == h->sweepgen + 3 && s->alloc_count == s->nelems);
        gh_mcentral_uncache_span(p, s);
        count_span(h, s);
    }
    a->nfull = 0;
    if (a->live != 0) {
        update(h, a->live, p->mcache.scan_alloc);
        p->mcache.scan_alloc = 0;
        a->taken -= a->live;
        h->conc.ahead_live -= a->live;
        a->live = 0;
    }
}

static void
end_spare(gh_p *p)
{
    gh_ahead *a = &p->conc->ahead;
    while (a->nspare > 0 && !GH_PLANTED(NO_END_SPARE)) {
        gh_mheap_free_span(p->heap, a->spare[--a->nspare]);
    }
}

// end_ready gives back what was taken in advance, and what of it is full.
static void
end_ready(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_ahead *a = &p->conc->ahead;
    settle(p);
    while (a->next < a->nready) {
        gh_mspan *s = a->ready[a->next++];
        a->taken -= live_of(s);
        h->conc.ahead_live -= live_of(s);
        if (s->alloc_count > 0) {
            gh_mcentral_uncache_span(p, s);
            continue;
        }
        s->cached_by = -1;
        s->sweepgen = h->sweepgen;
        gh_mheap_free_span(h, s);
    }
    GH_ASSERT(a->taken == 0);
}

void
gh_mcache_take_ahead(gh_p *p, uint8_t spc, bool waited)
{
    gh_heap *h = p->heap;
    gh_ahead *a = &p->conc->ahead;
    if (waited) {
        a->contended = GH_AHEAD_REFILLS;
    } else if (a->contended > 0) {
        a->contended--;
    }
    const bool again = a->spc == spc;
    a->spc = spc;
    if (a->contended == 0 || !again || !gh_may_take_ahead(h)) {
        return;
    }
    // What is left of another class is given back once that class seems to be over: where
    // two are asked for in turn, to take and give back costs more than it saves.
    if (a->next < a->nready && ++a->refused < a->nready - a->next) {
        return;
    }
    end_ready(p);
    if (a->nspare > 0 && a->spare[0]->spanclass != spc) {
        end_spare(p);
    }
    a->next = a->nready = a->refused = 0;
    const uint64_t npages = h->sizes.npages[gh_spanclass_sizeclass(spc)];
    const unsigned most = (unsigned)(GH_AHEAD_SPANS / npages);
    // With what all Ps have ahead no more than half the way to the trigger, of which each
    // will go its own part; and only while sweeping for it is quickly done: others wait
    // for the lock.
    const uint64_t trigger = gh_gcc_trigger(&h->gcc, NULL);
    const uint64_t swept = h->pages_swept;
    gh_mspan *s;
    while (a->nready < most
           && h->gcc.heap_live + 2 * (uint64_t)h->conc.ahead_live < trigger
           && h->pages_swept - swept <= 2 * GH_AHEAD_SPANS
           && gh_mcentral_cache_span(p, spc, &s) == GH_OK) {
        cached(p, s);
        a->taken += live_of(s);
        h->conc.ahead_live += live_of(s);
        a->ready[a->nready++] = s;
    }
}

bool
gh_mcache_refill_ahead(gh_p *p, uint8_t spc)
{
    gh_ahead *a = &p->conc->ahead;
    gh_mspan *s = gh_mcache_next_ahead(p, spc);
    if (s == NULL) {
        return false;
    }
    gh_mspan *old = p->mcache.alloc[spc];
    GH_THROW_IF(old->alloc_count != old->nelems,
                "refill of span with free space remaining");
    if (old != &p->heap->empty_mspan) {
        GH_ASSERT(a->nfull < GH_AHEAD_SPANS);
        a->full[a->nfull++] = old;
    }
    a->next++;
    a->refused = 0;
    a->live += live_of(s);
    p->mcache.alloc[spc] = s;
    p->conc->trigger_met = false;
    return true;
}

void
gh_mcache_end_ahead(gh_p *p)
{
    gh_heap *h = p->heap;
    if (GH_PLANTED(NO_END_AHEAD) && atomic_load(&h->conc.stopping)) {
        return;
    }
    end_ready(p);
    end_spare(p);
}

// has_ahead: p has memory that it could do without.
static bool
has_ahead(const gh_p *p)
{
    return p->conc != NULL
           && (p->conc->ahead.next < p->conc->ahead.nready || p->conc->ahead.nspare > 0);
}

// ---- refill ------------------------------------------------------------------------------

gh_status
gh_mcache_refill(gh_p *p, uint8_t spc)
{
    gh_heap *h = p->heap;
    gh_mcache *c = &p->mcache;
    if (p->conc != NULL) {
        settle(p);
    }
    gh_mspan *old = c->alloc[spc];
    GH_THROW_IF(old->alloc_count != old->nelems,
                "refill of span with free space remaining");

    if (old != &h->empty_mspan) {
        GH_THROW_IF(old->sweepgen != h->sweepgen + 3,
                    "bad sweepgen in refill");
        gh_mcentral_uncache_span(p, old);
        count_span(h, old);
        if (spc == h->sizes.tiny_spc) {
            count_tiny(h, c);
        }
    }
    gh_mspan *s;
    gh_status st = gh_mcentral_cache_span(p, spc, &s);
    if (st == GH_ERR_NOMEM && has_ahead(p)) {
        gh_mcache_end_ahead(p);
        st = gh_mcentral_cache_span(p, spc, &s);
    }
    if (st != GH_OK) {
        if (old != &h->empty_mspan) {
            // Take the full span back, as if nothing had been tried.
            gh_spanset_remove(old);
            cached(p, old);
        }
        return st;
    }
    cached(p, s);
    update(h, live_of(s), c->scan_alloc);
    c->scan_alloc = 0;
    c->alloc[spc] = s;
    gh_emit(h, GH_EV_REFILL, p->id, s->base, s->nelems - s->alloc_count, spc);
    return GH_OK;
}

gh_status
gh_mcache_alloc_large(gh_p *p, uint64_t size, bool noscan, gh_mspan **out)
{
    gh_heap *h = p->heap;
    if (size > h->window_bytes) {
        return GH_ERR_NOMEM;
    }
    const uint64_t npages = gh_div_round_up(size, GH_PAGE_SIZE);
    const uint8_t spc = gh_make_spanclass(0, noscan);
    if (p->conc != NULL) {
        settle(p);
    }
    gh_deduct_sweep_credit(p, npages * GH_PAGE_SIZE, npages);
    gh_mspan *s;
    gh_status st = gh_mheap_alloc(p, npages, spc, &s);
    if (st == GH_ERR_NOMEM && has_ahead(p)) {
        gh_mcache_end_ahead(p);
        st = gh_mheap_alloc(p, npages, spc, &s);
    }
    if (st != GH_OK) {
        return st;
    }
    const uint64_t nbytes = npages * GH_PAGE_SIZE;
    h->stats.large_alloc += nbytes;
    h->stats.large_alloc_count++;
    h->gcc.total_alloc += nbytes;
    pay_clock(h, 1, nbytes);
    update(h, (int64_t)nbytes, 0);
    gh_spanset_push(gh_mcentral_full_swept(h, &h->central[spc]), s);
    s->limit = s->base + size;
    gh_emit(h, GH_EV_LARGE, p->id, s->base, nbytes, spc);
    *out = s;
    return GH_OK;
}

void
gh_mcache_release_all(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_mcache *c = &p->mcache;
    int64_t live = 0;
    if (p->conc != NULL) {
        gh_mcache_end_ahead(p);
    }
    for (unsigned i = 0; i < GH_NUM_SPAN_CLASSES; i++) {
        gh_mspan *s = c->alloc[i];
        if (s == &h->empty_mspan) {
            continue;
        }
        count_span(h, s);
        if (s->sweepgen != h->sweepgen + 1) {
            // Not stale: its free slots were counted as live when it was
            // cached. The span's overhead was too, and stays counted: so does
            // Go's.
            live -= (int64_t)((s->nelems - s->alloc_count) * s->elemsize);
        }
        gh_mcentral_uncache_span(p, s);
        c->alloc[i] = &h->empty_mspan;
    }
    c->tiny = 0;
    c->tiny_offset = 0;
    c->tiny_parts = NULL;
    count_tiny(h, c);
    update(h, live, c->scan_alloc);
    c->scan_alloc = 0;
    gh_emit(h, GH_EV_FLUSH, p->id, 0, 0, 0);
}

void
gh_mcache_prepare_for_sweep(gh_p *p)
{
    const uint32_t sg = p->heap->sweepgen;
    if (p->mcache.flush_gen == sg || GH_PLANTED(NO_FLUSH)) {
        return;
    }
    GH_THROW_IF(p->mcache.flush_gen != sg - 2, "bad flushGen");
    gh_mcache_release_all(p);
    p->mcache.flush_gen = sg;
}
