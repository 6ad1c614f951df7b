// mheap.c: spans from pages, and pages back from spans. See mheap.h.

#include "mheap.h"

#include <string.h>

#include "delays.h"
#include "mgcsweep.h"  // up-call: pages are reclaimed by sweeping before a span is taken

#define MIN_WINDOW ((uint64_t)1 << 30)

// The frame below the window; its last page holds the zero-size object.
#define LEAD_BYTES GH_HEAP_ARENA_BYTES

// ---- the window and its tables ------------------------------------------------

static size_t
spans_bytes(size_t window_bytes)
{
    return window_bytes / GH_PAGE_SIZE * sizeof(gh_mspan *);
}

static size_t
pageinfo_bytes(size_t window_bytes)
{
    return window_bytes / GH_PAGE_SIZE * sizeof(gh_pageinfo);
}

static bool
release_pages(void *arg, uint64_t addr, uint64_t nbytes)
{
    gh_heap *h = arg;
    if (gh_sys_unused(&h->mem, (void *)(uintptr_t)addr, nbytes) != GH_OK) {
        return false;
    }
    h->gcc.heap_released.bytes += nbytes;
    h->gcc.heap_free.bytes -= nbytes;
    h->stats.committed -= nbytes;
    h->stats.released += nbytes;
    gh_emit(h, GH_EV_SCAVENGE, -1, (uintptr_t)addr, nbytes, 0);
    return true;
}

// reserve_all takes address space for a window of n bytes and all that belongs
// to it, or nothing.
static gh_status
reserve_all(gh_heap *h, size_t n)
{
    void *window, *spans, *pageinfo;
    gh_status st = gh_sys_reserve_aligned(&h->mem, n + LEAD_BYTES,
                                          GH_HEAP_ARENA_BYTES, &window);
    if (st != GH_OK) {
        return st;
    }
    st = gh_sys_reserve_aligned(&h->mem, spans_bytes(n), GH_PHYS_PAGE_SIZE,
                                &spans);
    if (st != GH_OK) {
        goto fail_spans;
    }
    st = gh_sys_reserve_aligned(&h->mem, pageinfo_bytes(n), GH_PHYS_PAGE_SIZE,
                                &pageinfo);
    if (st != GH_OK) {
        goto fail_pageinfo;
    }
    const uintptr_t base = (uintptr_t)window + LEAD_BYTES;
    st = gh_bitmaps_reserve(&h->bm, &h->mem, base, n, h->opt.track_types,
                            &h->gc_misc_sys);
    if (st != GH_OK) {
        goto fail_bitmaps;
    }
    st = gh_pagealloc_init(&h->pages, &h->mem, &h->persistent, &h->gc_misc_sys,
                           base, base + n, false);
    if (st != GH_OK) {
        goto fail_pages;
    }
    h->pages.release = release_pages;
    h->pages.release_arg = h;
    h->window->reserved = window;
    h->window->reserved_bytes = n + LEAD_BYTES;
    h->window_bytes = n;
    h->base = base;
    h->spans = spans;
    h->pageinfo = pageinfo;
    h->cur_arena_base = h->cur_arena_end = base;
    return GH_OK;

fail_pages:
    gh_bitmaps_release(&h->bm, &h->mem, n);
fail_bitmaps:
    gh_sys_unreserve(&h->mem, pageinfo, pageinfo_bytes(n));
fail_pageinfo:
    gh_sys_unreserve(&h->mem, spans, spans_bytes(n));
fail_spans:
    gh_sys_unreserve(&h->mem, window, n + LEAD_BYTES);
    return st;
}

gh_status
gh_mheap_init(gh_heap *h)
{
    uint64_t n = gh_align_up(h->opt.address_space, GH_HEAP_ARENA_BYTES);
    const uint64_t most = gh_mem_address_limit() / 4;
    while (n > most && n > MIN_WINDOW) {
        n = gh_align_up(n / 2, GH_HEAP_ARENA_BYTES);
    }
    gh_status st;
    while ((st = reserve_all(h, n)) == GH_ERR_NOMEM && n > MIN_WINDOW) {
        n = gh_align_up(n / 2, GH_HEAP_ARENA_BYTES);
    }
    if (st != GH_OK) {
        return st;
    }
    void *page = (void *)(h->base - GH_PHYS_PAGE_SIZE);
    st = gh_sys_map_ready(&h->mem, page, GH_PHYS_PAGE_SIZE, &h->other_sys);
    if (st == GH_OK) {
        void *arenas;
        st = gh_persistentalloc(&h->persistent,
                                n / GH_HEAP_ARENA_BYTES * sizeof(h->arenas[0]),
                                8, &h->gc_misc_sys, &arenas);
        h->arenas = arenas;
    }
    if (st != GH_OK) {
        gh_mheap_fini(h);
        h->window->reserved_bytes = 0;
        gh_sys_unreserve(&h->mem, h->window->reserved, n + LEAD_BYTES);
        return st;
    }
    gh_fixalloc_init(&h->spanalloc, sizeof(gh_mspan), NULL, NULL,
                     &h->persistent, &h->mspan_sys);
    h->spanalloc.zero = false;  // init_span writes all of a record
    for (unsigned i = 0; i < GH_NUM_SPAN_CLASSES; i++) {
        h->central[i].spanclass = (uint8_t)i;
    }
    h->empty_mspan = (gh_mspan){.cached_by = -1};
    h->sweep_drained = true;
    return GH_OK;
}

// gh_mheap_fini leaves the window itself to whoever drops its last reference.
void
gh_mheap_fini(gh_heap *h)
{
    const size_t n = h->window_bytes;
    gh_pagealloc_fini(&h->pages);
    gh_bitmaps_release(&h->bm, &h->mem, n);
    gh_sys_unreserve(&h->mem, h->pageinfo, pageinfo_bytes(n));
    gh_sys_unreserve(&h->mem, h->spans, spans_bytes(n));
}

void
gh_mheap_abandon(gh_heap *h)
{
    const gh_mem *m = &h->mem;
    const size_t n = h->window_bytes;
    m->ops->free(m->ctx, h->bm.area[0], n / 64);
    m->ops->free(m->ctx, h->bm.area[1], n / 64);
    m->ops->free(m->ctx, h->bm.ptr_bits, n / 64);
    if (h->bm.meta != NULL) {
        m->ops->free(m->ctx, h->bm.meta, n);
    }
    m->ops->free(m->ctx, h->pageinfo, pageinfo_bytes(n));
    m->ops->free(m->ctx, h->spans, spans_bytes(n));
    if (h->window->pins == NULL) {
        m->ops->free(m->ctx, h->window->reserved, h->window->reserved_bytes);
    }
}

// ---- growing --------------------------------------------------------------------

// map_table makes n bytes at offset off of a reserved table usable.
static gh_status
map_table(gh_heap *h, void *table, size_t off, size_t n)
{
    return gh_sys_map_ready(&h->mem, (char *)table + off, n, &h->gc_misc_sys);
}

// add_arena makes the next 64 MiB frame part of the heap's address space. The
// pages themselves stay Reserved. What a failure leaves mapped is mapped again
// by the next try, and counted once more: benign, and only after the OS has
// refused memory.
static gh_status
add_arena(gh_heap *h)
{
    const size_t i = h->narenas;
    const size_t sb = spans_bytes(GH_HEAP_ARENA_BYTES);
    const size_t pb = pageinfo_bytes(GH_HEAP_ARENA_BYTES);
    void *arena;
    gh_status st = map_table(h, h->spans, i * sb, sb);
    if (st == GH_OK) {
        st = map_table(h, h->pageinfo, i * pb, pb);
    }
    if (st == GH_OK) {
        st = gh_bitmaps_map_arena(&h->bm, &h->mem, i);
    }
    if (st == GH_OK) {
        st = gh_persistentalloc(&h->persistent, sizeof(gh_heap_arena), 8,
                                &h->gc_misc_sys, &arena);
    }
    if (st != GH_OK) {
        return st;
    }
    h->arenas[i] = arena;
    h->narenas = i + 1;
    __atomic_store_n(&h->mapped_bytes, h->narenas * GH_HEAP_ARENA_BYTES,
                     __ATOMIC_RELEASE);
    return GH_OK;
}

// sys_alloc extends the current arena by ask bytes rounded up to whole frames,
// or, at the end of the window, by what is needed. Go: mheap.sysAlloc.
static gh_status
sys_alloc(gh_heap *h, uint64_t ask)
{
    const uintptr_t window_end = h->base + h->window_bytes;
    uint64_t n = gh_align_up(ask, GH_HEAP_ARENA_BYTES);
    if (n > window_end - h->cur_arena_end) {
        const uint64_t have = h->cur_arena_end - h->cur_arena_base;
        n = gh_align_up(ask - have, GH_HEAP_ARENA_BYTES);
        if (n > window_end - h->cur_arena_end) {
            return GH_ERR_NOMEM;
        }
    }
    for (uint64_t done = 0; done < n; done += GH_HEAP_ARENA_BYTES) {
        gh_status st = add_arena(h);
        if (st != GH_OK) {
            return st;
        }
        h->cur_arena_end += GH_HEAP_ARENA_BYTES;
    }
    return GH_OK;
}

gh_status
gh_mheap_grow(gh_heap *h, uint64_t npages)
{
    if (npages > h->window_bytes / GH_PAGE_SIZE) {
        return GH_ERR_NOMEM;
    }
    const uint64_t ask =
        gh_align_up(npages, GH_PALLOC_CHUNK_PAGES) * GH_PAGE_SIZE;
    if (ask > h->cur_arena_end - h->cur_arena_base) {
        gh_status st = sys_alloc(h, ask);
        if (st != GH_OK) {
            return st;
        }
    }
    const uintptr_t v = h->cur_arena_base;
    gh_status st = gh_sys_map(&h->mem, (void *)v, ask, &h->gcc.heap_released);
    if (st != GH_OK) {
        return st;
    }
    st = gh_pagealloc_grow(&h->pages, v, ask);
    if (st != GH_OK) {
        // Back to Reserved; the next growth maps the same place again.
        (void)h->mem.ops->fault(h->mem.ctx, (void *)v, ask);
        h->gcc.heap_released.bytes -= ask;
        return st;
    }
    // Before anything there is touched; so the first touch takes a whole page.
    if (GH_UNLIKELY(h->opt.huge_pages)
        && !gh_sys_huge(&h->mem, (void *)v, ask)) {
        __atomic_store_n(&h->huge_refused, true, __ATOMIC_RELAXED);
    }
    h->stats.released += ask;
    h->grown += ask;
    h->cur_arena_base = v + ask;
    gh_emit(h, GH_EV_GROW, -1, v, ask, 0);
    return GH_OK;
}

// ---- taking a span ---------------------------------------------------------------

// alloc_needs_zero reports whether a range was handed out before, and notes
// that it is now. Correct because allocation is first fit by address.
// Go: mheap.allocNeedsZero.
static bool
alloc_needs_zero(gh_heap *h, uintptr_t base, uint64_t npages)
{
    bool needs_zero = false;
    uint64_t left = npages * GH_PAGE_SIZE;
    while (left > 0) {
        gh_heap_arena *ha = gh_arena_of(h, base);
        const uint64_t start = (base - h->base) % GH_HEAP_ARENA_BYTES;
        uint64_t n = GH_HEAP_ARENA_BYTES - start;
        if (n > left) {
            n = left;
        }
        if (start < ha->zeroed_base) {
            needs_zero = true;
        }
        if (start + n > ha->zeroed_base) {
            ha->zeroed_base = start + n;
        }
        base += n;
        left -= n;
    }
    return needs_zero;
}

// take_pages finds npages in a row. *scav is how many of its bytes were
// released. Go: the first half of mheap.allocSpan.
static gh_status
take_pages(gh_p *p, uint64_t npages, uintptr_t *base, uint64_t *scav)
{
    gh_heap *h = p->heap;
    uint64_t addr = 0;
    if (npages < GH_PAGE_CACHE_PAGES / 4 && h->opt.policy.page_cache) {
        if (gh_page_cache_empty(&p->pcache)) {
            gh_yield_point(h, GH_AT_PAGE_CACHE);
            p->pcache = gh_pagealloc_alloc_to_cache(&h->pages);
        }
        addr = gh_page_cache_alloc(&p->pcache, npages, scav);
    }
    if (addr == 0) {
        addr = gh_pagealloc_alloc(&h->pages, npages, scav);
    }
    if (addr == 0) {
        gh_status st = gh_mheap_grow(h, npages);
        if (st != GH_OK) {
            return st;
        }
        addr = gh_pagealloc_alloc(&h->pages, npages, scav);
        GH_THROW_IF(addr == 0, "grew heap, but no adequate free space found");
    }
    *base = (uintptr_t)addr;
    return GH_OK;
}

static void
set_page_use(gh_heap *h, const gh_mspan *s, bool in_use)
{
    const uintptr_t first = (s->base - h->base) >> GH_PAGE_SHIFT;
    uint64_t *word = &gh_arena_of(h, s->base)
                          ->page_in_use[first % GH_PAGES_PER_ARENA / 64];
    const uint64_t bit = (uint64_t)1 << (first % 64);
    if (in_use) {
        *word |= bit;
    } else {
        *word &= ~bit;
    }
}

static void
set_spans(gh_heap *h, gh_mspan *s)
{
    const uintptr_t first = (s->base - h->base) >> GH_PAGE_SHIFT;
    for (uint64_t i = 0; i < s->npages; i++) {
        h->spans[first + i] = s;
    }
}

static void
set_pageinfo(gh_heap *h, const gh_mspan *s)
{
    const uintptr_t first = (s->base - h->base) >> GH_PAGE_SHIFT;
    gh_pageinfo info = {
        .bits = s->bits,
        .div_mul = s->div_mul,
        .nelems = s->nelems,
        .elemsize = (uint16_t)(s->div_mul == 0 ? 0 : s->elemsize),
        .scan = !gh_spanclass_noscan(s->spanclass),
    };
    for (uint64_t i = 0; i < s->npages; i++) {
        info.page = (uint16_t)(s->div_mul == 0 ? 0 : i);
        h->pageinfo[first + i] = info;
    }
}

// clear_record clears a record in parts that the compiler makes stores of: of the whole
// it makes a string instruction, which takes longer to begin than the stores take.
static inline void
clear_record(gh_mspan *s)
{
    enum { PART = 32 };
    _Static_assert(sizeof(*s) % PART == 0, "whole parts");
    for (size_t i = 0; i < sizeof(*s); i += PART) {
        memset((char *)s + i, 0, PART);
        __asm__("" ::: "memory");
    }
}

// init_span fills a span record for heap use. Go: mheap.initSpan.
static void
init_span(gh_heap *h, gh_mspan *s, uintptr_t base, uint64_t npages,
          uint8_t spc, uint32_t bits, bool needzero)
{
    const unsigned cls = gh_spanclass_sizeclass(spc);
    const uint64_t nbytes = npages * GH_PAGE_SIZE;
    clear_record(s);
    s->base = base;
    s->alloc_cache = ~(uint64_t)0;
    s->elemsize = cls == 0 ? nbytes : h->sizes.size[cls];
    s->nelems = cls == 0 ? 1 : h->sizes.nelems[spc];
    s->spanclass = spc;
    s->state = GH_SPAN_IN_USE;
    s->needzero = needzero;
    s->clean = !needzero;
    s->alloc_area = h->bm.mark_area ^ 1;
    s->sweepgen = h->sweepgen;
    s->div_mul = cls == 0 ? 0 : h->sizes.divmagic[cls];
    s->bits = bits;
    s->cached_by = -1;
    s->npages = npages;
    s->nbits_words = (uint16_t)((s->nelems + 63) / 64);
    s->limit = base + s->elemsize * s->nelems;
    if (h->bm.meta != NULL && cls != 0) {
        s->meta = h->bm.meta + (size_t)bits * 64;
        s->meta_mode = GH_META_ONE;
    }
    gh_bits_clear(gh_page_mask_at(&h->bm, base), npages);
}

// took_scavenged books pages that were scavenged as Ready.
static void
took_scavenged(gh_heap *h, uintptr_t base, uint64_t nbytes, uint64_t scav)
{
    gh_sys_used(&h->mem, (void *)base, nbytes, scav);
    h->gcc.heap_released.bytes -= scav;
    h->stats.committed += scav;
    h->stats.released -= scav;
}

// take_pages_within is take_pages under hard_limit: scavenged pages become Ready
// only if there is room. Free pages elsewhere go back to the OS to make it.
static gh_status
take_pages_within(gh_p *p, uint64_t npages, uintptr_t *base, uint64_t *scav)
{
    gh_heap *h = p->heap;
    const uint64_t nbytes = npages * GH_PAGE_SIZE;
    for (bool again = false;; again = true) {
        gh_status st = take_pages(p, npages, base, scav);
        if (st != GH_OK || *scav <= gh_sys_room(&h->mem)) {
            return st;
        }
        // The pages become free, Ready ones for a moment, until enough of the
        // free ones are scavenged for all of the request to fit.
        took_scavenged(h, *base, nbytes, *scav);
        h->gcc.heap_free.bytes += *scav;
        gh_pagealloc_free(&h->pages, *base, npages);
        gh_page_cache_flush(&p->pcache, &h->pages);
        const uint64_t want = h->mem.hard_limit > nbytes
                                  ? h->mem.hard_limit - nbytes : 0;
        const uint64_t most = again ? h->mem.hard_limit : want;
        if (h->mem.mapped_ready > most) {
            (void)gh_mheap_scavenge(h, h->mem.mapped_ready - most);
        }
        if (again) {
            return GH_ERR_NOMEM;
        }
    }
}

// scavenge_for gives memory back because pages, scav bytes of them released, are
// about to be used, and the heap grew for them. Go: the middle of
// mheap.allocSpan.
static void
scavenge_for(gh_heap *h, uint64_t scav, uint64_t growth)
{
    if (!h->opt.policy.scavenger || (scav == 0 && growth == 0)) {
        return;
    }
    const gh_scav_alloc a = {
        .scav = scav,
        .growth = growth,
        .heap_retained = h->gcc.heap_in_use.bytes + h->gcc.heap_free.bytes,
        .mapped_ready = gh_gcc_mapped_ready(&h->gcc),
        .memory_limit = h->gcc.memory_limit,
        .limiting = gh_limiter_limiting(&h->limiter),
    };
    bool forced = false;
    const uint64_t n = gh_scav_alloc_amount(&h->scav_goals, &a, &forced);
    if (n > 0) {
        const uint64_t done = gh_pagealloc_scavenge(&h->pages, n, forced);
        const double ns =
            h->opt.costs.page_fault * (double)(done / GH_PAGE_SIZE);
        h->scavenger.released_eager += done;
        h->scavenger.assist_ns += (int64_t)ns;
        // It is the allocation's time, and the limiter's business.
        h->clock_ns += h->clock_external ? 0 : ns;
        gh_limiter_add_assist_time(&h->limiter, (int64_t)ns);
    }
}

// alloc_span: Go's mheap.allocSpan. The record and its bits are made before
// pages are chosen, so that a failure leaves the pages alone.
static gh_status
alloc_span(gh_p *p, uint64_t npages, bool manual, uint8_t spc, gh_mspan **out)
{
    gh_heap *h = p->heap;
    void *mem;
    gh_status st = gh_fixalloc_alloc(&h->spanalloc, &mem);
    if (st != GH_OK) {
        return st;
    }
    gh_mspan *s = mem;
    uint32_t bits = 0;
    const unsigned cls = gh_spanclass_sizeclass(spc);
    if (!manual) {
        st = gh_bitmaps_alloc(&h->bm, &h->mem,
                              cls == 0 ? 1 : h->sizes.nelems[spc], &bits);
        if (st != GH_OK) {
            gh_fixalloc_free(&h->spanalloc, s);
            return st;
        }
    }
    uintptr_t base;
    uint64_t scav = 0;
    const uint64_t grown = h->grown;
    st = GH_LIKELY(h->mem.hard_limit == UINT64_MAX)
             ? take_pages(p, npages, &base, &scav)
             : take_pages_within(p, npages, &base, &scav);
    if (st != GH_OK) {
        if (!manual) {
            gh_bitmaps_free(&h->bm, bits,
                            ((cls == 0 ? 1 : h->sizes.nelems[spc]) + 63) / 64);
        }
        gh_fixalloc_free(&h->spanalloc, s);
        return st;
    }

    const uint64_t nbytes = npages * GH_PAGE_SIZE;
    scavenge_for(h, scav, h->grown - grown);
    // Pages that were all returned to the OS come back as zeros.
    const bool needzero = alloc_needs_zero(h, base, npages) && scav != nbytes;
    if (manual) {
        *s = (gh_mspan){
            .base = base,
            .limit = base + nbytes,
            .npages = npages,
            .state = GH_SPAN_MANUAL,
            .needzero = needzero,
            .cached_by = -1,
        };
        set_spans(h, s);
    } else {
        init_span(h, s, base, npages, spc, bits, needzero);
        set_spans(h, s);
        set_pageinfo(h, s);
        set_page_use(h, s, true);
        h->pages_in_use += npages;
    }

    if (scav != 0) {
        took_scavenged(h, base, nbytes, scav);
        h->clock_ns += h->clock_external ? 0
                       : h->opt.costs.page_fault * (double)(scav / GH_PAGE_SIZE);
    }
    h->gcc.heap_free.bytes -= nbytes - scav;
    if (manual) {
        h->stats.in_workbufs += nbytes;
    } else {
        h->gcc.heap_in_use.bytes += nbytes;
        h->stats.in_heap += nbytes;
        gh_emit(h, GH_EV_SPAN_ALLOC, p->id, base, npages, spc);
    }
    *out = s;
    return GH_OK;
}

gh_status
gh_mheap_alloc(gh_p *p, uint64_t npages, uint8_t spc, gh_mspan **out)
{
    if (!p->heap->sweep_drained) {
        gh_mheap_reclaim(p->heap, npages);
    }
    return alloc_span(p, npages, false, spc, out);
}

gh_status
gh_mheap_alloc_manual(gh_p *p, uint64_t npages, gh_mspan **out)
{
    return alloc_span(p, npages, true, 0, out);
}

// ---- giving a span back -----------------------------------------------------------

void
gh_mheap_free_span(gh_heap *h, gh_mspan *s)
{
    GH_THROW_IF(s->state != GH_SPAN_IN_USE, "freeSpan: span is not in use");
    GH_THROW_IF(s->alloc_count != 0, "freeSpan: span has live objects");
    GH_THROW_IF(s->sweepgen != h->sweepgen, "freeSpan: span is not swept");
    GH_ASSERT(s->set == NULL);
    const uint64_t nbytes = s->npages * GH_PAGE_SIZE;
    const uintptr_t first = (s->base - h->base) >> GH_PAGE_SHIFT;
    memset(&h->pageinfo[first], 0, s->npages * sizeof(gh_pageinfo));
    set_page_use(h, s, false);
    h->pages_in_use -= s->npages;
    gh_bitmaps_free(&h->bm, s->bits, s->nbits_words);
    h->gcc.heap_in_use.bytes -= nbytes;
    h->gcc.heap_free.bytes += nbytes;
    h->stats.in_heap -= nbytes;
    gh_emit(h, GH_EV_SPAN_FREE, -1, s->base, s->npages, s->spanclass);
    gh_pagealloc_free(&h->pages, s->base, s->npages);
    // The page table keeps pointing here: whoever reads it checks state.
    s->state = GH_SPAN_DEAD;
    s->meta = NULL;
    gh_fixalloc_free(&h->spanalloc, s);
}

void
gh_mheap_free_manual(gh_heap *h, gh_mspan *s)
{
    GH_THROW_IF(s->state != GH_SPAN_MANUAL, "freeManual: span is not manual");
    const uint64_t nbytes = s->npages * GH_PAGE_SIZE;
    h->gcc.heap_free.bytes += nbytes;
    h->stats.in_workbufs -= nbytes;
    gh_pagealloc_free(&h->pages, s->base, s->npages);
    s->state = GH_SPAN_DEAD;
    gh_fixalloc_free(&h->spanalloc, s);
}

// ---- reclaim and scavenge -----------------------------------------------------------

// is_page_marked answers as Go's bitmap of pages that have marks, which the marker
// keeps: of small spans those are in it that were scanned as a whole or got a new
// object meanwhile, so none without pointers. The marker that scans object by object
// does not know; several marks are taken for a scan.
static bool
is_page_marked(const gh_heap *h, const gh_mspan *s)
{
    const bool small = s->elemsize > 8 && s->elemsize <= 512;
    if (small && (h->gt != NULL || gh_spanclass_noscan(s->spanclass))) {
        return s->page_marked;
    }
    const uint64_t *marks = gh_mspan_mark_bits(&h->bm, s);
    unsigned n = 0;
    for (unsigned i = 0; i < s->nbits_words; i++) {
        n += gh_popcount64(marks[i]);
    }
    return n > (small ? 1 : 0) || s->page_marked;
}

// reclaim_chunk sweeps the unmarked spans that begin in the chunk of pages that
// starts at page; returns the pages freed [diff:reclaim.derived].
static uint64_t
reclaim_chunk(gh_heap *h, uint64_t page)
{
    uint64_t freed = 0;
    for (uint64_t w = page; w < page + GH_PAGES_PER_RECLAIMER_CHUNK; w += 64) {
        gh_heap_arena *ha = h->arenas[w / GH_PAGES_PER_ARENA];
        uint64_t bits = ha->page_in_use[w % GH_PAGES_PER_ARENA / 64];
        for (; bits != 0; bits &= bits - 1) {
            gh_mspan *s = h->spans[w + gh_ctz64(bits)];
            if (s->sweepgen != h->sweepgen - 2 || is_page_marked(h, s)) {
                continue;
            }
            const uint64_t npages = s->npages;
            gh_spanset_remove(s);
            s->sweepgen = h->sweepgen - 1;
            if (gh_mspan_sweep(h, s, false)) {
                freed += npages;
            }
        }
    }
    return freed;
}

void
gh_mheap_reclaim(gh_heap *h, uint64_t npages)
{
    while (npages > 0 && h->reclaim_index < (uint64_t)1 << 63) {
        uint64_t credit = h->reclaim_credit;
        if (credit > 0) {
            credit = credit < npages ? credit : npages;
            h->reclaim_credit -= credit;
            npages -= credit;
            continue;
        }
        const uint64_t page = h->reclaim_index;
        if (page == 0) {
            // The small part of the dead weight lies before all else.
            const uint64_t n = h->base_small > GH_BASE_LAST_PAGES
                                   ? h->base_small - GH_BASE_LAST_PAGES
                                   : 0;
            h->pages_swept += n;
            h->base_small -= n;
        }
        h->reclaim_index += GH_PAGES_PER_RECLAIMER_CHUNK;
        if (page / GH_PAGES_PER_ARENA >= h->sweep_arenas) {
            h->reclaim_index = (uint64_t)1 << 63;
            return;
        }
        const uint64_t freed = reclaim_chunk(h, page);
        if (freed <= npages) {
            npages -= freed;
        } else {
            h->reclaim_credit += freed - npages;
            npages = 0;
        }
    }
}

uint64_t
gh_mheap_scavenge(gh_heap *h, uint64_t nbytes)
{
    return gh_pagealloc_scavenge(&h->pages, nbytes, true);
}

void
gh_mheap_trim(gh_heap *h)
{
    gh_bitmaps_trim(&h->bm, &h->mem);
    for (size_t i = 0; i < h->pages.in_use.len; i++) {
        const gh_addr_range r = h->pages.in_use.ranges[i];
        uintptr_t from = r.base;  // the free run begins here
        for (uintptr_t p = r.base; p < r.limit; p += 64 * GH_PAGE_SIZE) {
            const gh_palloc_data *d = gh_pagealloc_chunk_of(&h->pages, p);
            if (d->alloc.w[gh_chunk_page_index(p) / 64] != 0) {
                gh_ptr_bits_trim(&h->bm, &h->mem, from, p);
                from = p + 64 * GH_PAGE_SIZE;
            }
        }
        gh_ptr_bits_trim(&h->bm, &h->mem, from, r.limit);
    }
}
