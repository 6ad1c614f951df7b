// mgcmark_greenteagc.c: Green Tea. See mgcmark_greenteagc.h.

#include "mgcmark_greenteagc.h"

#include <stdlib.h>
#include <string.h>

// One marker is at work.
#define SHARED false

// A span's turn is that far off when its object is prefetched.
#define AHEAD 8u

static void
hear(gh_mark *k, bool scanned, uintptr_t v)
{
    if (GH_UNLIKELY(k->fn != NULL)) {
        k->fn(k->arg, scanned, gh_addr_show(k->h, v));
    }
}

// grey queues a new object with pointers: by its span, or in the other queue.
static inline void
grey(gh_mark *k, gh_pageinfo *pi, uintptr_t v, uint32_t index, bool room)
{
    hear(k, false, v);
    if (!gh_greentea_takes(pi->elemsize)) {
        __builtin_prefetch((const void *)v);
        if (GH_LIKELY(room)) {
            *k->sp++ = v;
        } else {
            gh_mark_overflow(k, false);
        }
        return;
    }
    if (!gh_span_acquire(&pi->owned, SHARED)) {
        return;
    }
    // Of a span that is newer than the cycle only free slots are unmarked.
    GH_THROW_IF(pi->bits + index / 64 >= k->h->gt->words,
                "found pointer to free object");
    const uintptr_t entry = (v & ~(uintptr_t)(GH_PAGE_SIZE - 1)) | index;
    if (GH_UNLIKELY(gh_spanq_put(&k->h->gt->queue, entry)
                    == GH_SPANQ_NOMEM)) {
        gh_mark_overflow(k, false);
    }
}

// mark_edge marks what v points at. room: the other queue has some.
static inline void
mark_edge(gh_mark *k, uintptr_t v, bool room)
{
    const uintptr_t off = v - k->base;
    if (off >= k->mapped) {
        return;  // nil, the zero-size object, or an address not ours
    }
    gh_edge_end e;
    if (!gh_look_up(gh_mark_tables_of(k), off, &e)) {
        return;
    }
    if (GH_UNLIKELY(e.elemsize == 0)) {
        const uintptr_t *sp = k->sp;
        gh_mark_large(k, v, e.pi, room);
        if (k->sp != sp) {
            hear(k, false, *sp);
        }
        return;
    }
    if (!gh_span_mark(&k->marks[e.pi->bits + e.slot / 64], (uint64_t)1 << (e.slot % 64),
                      SHARED)) {
        return;
    }
    k->bytes_marked += e.elemsize;
    if (e.pi->scan != 0) {
        grey(k, &k->pageinfo[off >> GH_PAGE_SHIFT], e.obj, (uint32_t)e.slot, room);
    }
}

static void
mark_words(gh_mark *k, const uintptr_t *p, uint64_t mask)
{
    if (GH_UNLIKELY(k->h->opt.leaves)) {
        return;
    }
    const bool room = gh_mark_room(k);
    for (; mask != 0; mask &= mask - 1) {
        mark_edge(k, p[gh_ctz64(mask)], room);
    }
}

void
gh_greentea_mark(gh_mark *k, uintptr_t v)
{
    mark_edge(k, v, gh_mark_room(k));
}

// pointer_bits is the mask of an object of a span.
static inline uint64_t
pointer_bits(const gh_mark *k, uintptr_t v, uint64_t elemsize)
{
    return gh_obj_ptr_bits(&k->h->bm, v, elemsize);
}

static inline uint64_t
work_of(uint64_t mask)
{
    return (64 - gh_clz64(mask)) * GH_PTR_SIZE;
}

static void
scan_one(gh_mark *k, uintptr_t v, uint64_t elemsize)
{
    const uint64_t mask = pointer_bits(k, v, elemsize);
    k->scan_work += work_of(mask);
    hear(k, true, v);
    mark_words(k, (const uintptr_t *)v, mask);
}

// scan_sparse scans the objects in the mask one by one.
static void
scan_sparse(gh_mark *k, uintptr_t page, uint64_t elemsize,
            const gh_page_mask *objects, unsigned words)
{
    for (unsigned w = 0; w < words; w++) {
        for (uint64_t m = objects->w[w]; m != 0; m &= m - 1) {
            __builtin_prefetch(
                (const void *)(page + (w * 64 + gh_ctz64(m)) * elemsize));
        }
    }
    for (unsigned w = 0; w < words; w++) {
        for (uint64_t m = objects->w[w]; m != 0; m &= m - 1) {
            scan_one(k, page + (w * 64 + gh_ctz64(m)) * elemsize, elemsize);
        }
    }
}

// scan_dense scans the n objects in the mask with a kernel.
static void
scan_dense(gh_mark *k, uintptr_t page, uint64_t elemsize,
           const gh_page_mask *objects, unsigned words, unsigned n)
{
    gh_greentea *g = k->h->gt;
    if (g->dense_work) {
        k->scan_work += n * elemsize;
    }
    if (!g->dense_work || k->fn != NULL) {
        for (unsigned w = 0; w < words; w++) {
            for (uint64_t m = objects->w[w]; m != 0; m &= m - 1) {
                const uintptr_t v =
                    page + (w * 64 + gh_ctz64(m)) * elemsize;
                k->scan_work +=
                    g->dense_work ? 0 : work_of(pointer_bits(k, v, elemsize));
                hear(k, true, v);
            }
        }
    }
    const gh_page_mask *pointers =
        (const gh_page_mask *)(k->h->bm.ptr_bits + (page - k->base) / 512);
    const unsigned found =
        g->kernels->scan_span((const void *)page,
                              (unsigned)(elemsize / GH_PTR_SIZE), objects,
                              pointers, g->found);
    for (unsigned i = 0; i < found; i++) {
        mark_edge(k, g->found[i], gh_mark_room(k));
    }
}

// scan_span scans what is grey of an entry's span. Go: scanSpan.
static void
scan_span(gh_mark *k, uintptr_t entry)
{
    const uintptr_t page = entry & ~(uintptr_t)(GH_PAGE_SIZE - 1);
    const unsigned index = (unsigned)(entry & (GH_PAGE_SIZE - 1));
    gh_pageinfo *pi = &k->pageinfo[(page - k->base) >> GH_PAGE_SHIFT];
    const uint64_t *marks = &k->marks[pi->bits];
    uint64_t *scans = &k->h->gt->scans[pi->bits];
    const uint64_t elemsize = pi->elemsize;
    if (gh_span_release(&pi->owned, SHARED) == GH_OWNED_ONE) {
        const uint64_t bit = (uint64_t)1 << (index % 64);
        if (gh_span_take(&marks[index / 64], &scans[index / 64], bit, SHARED)
            != 0) {
            scan_one(k, page + index * elemsize, elemsize);
        }
        return;
    }
    // For the page reclaimer. Go: spanSetScans sets pageMarks.
    __atomic_store_n(
        &k->h->spans[(page - k->base) >> GH_PAGE_SHIFT]->page_marked, true,
        __ATOMIC_RELAXED);
    gh_page_mask grey_ones = {{0}};
    const unsigned words = (pi->nelems + 63u) / 64;
    unsigned n = 0;
    for (unsigned w = 0; w < words; w++) {
        grey_ones.w[w] =
            gh_span_take(&marks[w], &scans[w], ~(uint64_t)0, SHARED);
        n += gh_popcount64(grey_ones.w[w]);
    }
    if (n >= pi->nelems / GH_GREENTEA_DENSE && n > 0) {
        scan_dense(k, page, elemsize, &grey_ones, words, n);
    } else {
        scan_sparse(k, page, elemsize, &grey_ones, words);
    }
}

// prefetch_entry is told an entry some time before its turn, or 0. With one grey
// object, which is the common case in a heap without order, this is all of it.
static inline void
prefetch_entry(const gh_mark *k, uintptr_t entry)
{
    if (entry == 0) {
        return;
    }
    const uintptr_t page = entry & ~(uintptr_t)(GH_PAGE_SIZE - 1);
    const gh_pageinfo *pi = &k->pageinfo[(page - k->base) >> GH_PAGE_SHIFT];
    const uintptr_t v = page + (entry & (GH_PAGE_SIZE - 1)) * pi->elemsize;
    __builtin_prefetch((const void *)v);
    __builtin_prefetch(k->h->bm.ptr_bits + (v - k->base) / 512);
}

void
gh_greentea_scan(gh_mark *k, uintptr_t v)
{
    gh_scan_object(k, v, mark_words);
}

bool
gh_greentea_step(gh_mark *k)
{
    while (k->sp == k->w->top->obj) {
        if (gh_mark_pop_buf(k)) {
            continue;
        }
        gh_spanq *q = &k->h->gt->queue;
        const uintptr_t entry = gh_spanq_get(q);
        if (entry == 0) {
            return false;
        }
        prefetch_entry(k, gh_spanq_peek(q, AHEAD));
        scan_span(k, entry);
        return true;
    }
    const uintptr_t v = *--k->sp;
    hear(k, true, v);
    gh_scan_object(k, v, mark_words);
    return true;
}

bool
gh_greentea_drain(gh_mark *k, bool bounded, uint64_t work)
{
    while (!bounded || k->scan_work < work) {
        if (!gh_greentea_step(k)) {
            return true;
        }
    }
    return false;
}

// ---- what it keeps -----------------------------------------------------------------

gh_status
gh_greentea_new(gh_heap *h)
{
    gh_greentea *g = calloc(1, sizeof(*g));
    if (g == NULL) {
        return GH_ERR_NOMEM;
    }
    g->dense_work = h->opt.policy.scan_work == GH_SCAN_WORK_DENSE;
    g->kernels = h->opt.policy.portable_kernels ? gh_scan_kernels_portable()
                                         : gh_scan_kernels_best();
    gh_spanq_init(&g->queue, &h->mem, &h->gc_misc_sys);
    h->gt = g;
    return GH_OK;
}

static void
free_scans(gh_heap *h)
{
    gh_greentea *g = h->gt;
    if (g->words > 0) {
        const size_t n = g->words * sizeof(uint64_t);
        gh_sys_free(&h->mem, g->scans, n, n, &h->gc_misc_sys);
    }
}

void
gh_greentea_free(gh_heap *h)
{
    if (h->gt == NULL) {
        return;
    }
    gh_spanq_free(&h->gt->queue);
    free_scans(h);
    free(h->gt);
    h->gt = NULL;
}

gh_status
gh_greentea_prepare(gh_heap *h)
{
    gh_greentea *g = h->gt;
    if (g->words >= h->bm.next) {
        return GH_OK;
    }
    // Nothing is copied: outside a cycle all scan bits are zero.
    const uint32_t words = h->bm.mapped;
    void *mem;
    gh_status st = gh_sys_alloc(&h->mem, words * sizeof(uint64_t),
                                &h->gc_misc_sys, &mem);
    if (st == GH_OK) {
        free_scans(h);
        g->scans = mem;
        g->words = words;
    }
    return st;
}

void
gh_greentea_trim(gh_heap *h)
{
    GH_ASSERT(gh_spanq_len(&h->gt->queue) == 0);
    gh_spanq_free(&h->gt->queue);
}

void
gh_greentea_abandon(gh_heap *h)
{
    while (gh_spanq_get(&h->gt->queue) != 0) {
    }
    const uintptr_t pages = h->mapped_bytes >> GH_PAGE_SHIFT;
    for (uintptr_t i = 0; i < pages; i++) {
        if (h->pageinfo[i].owned != GH_OWNED_NONE) {
            h->pageinfo[i].owned = GH_OWNED_NONE;
        }
    }
}

static bool
has_scans(const gh_heap *h, const gh_mspan *s)
{
    return gh_greentea_takes(s->elemsize) && !gh_spanclass_noscan(s->spanclass)
           && s->bits + s->nbits_words <= h->gt->words;
}

void
gh_greentea_mark_new(gh_heap *h, const gh_mspan *s, unsigned index)
{
    if (has_scans(h, s)) {
        h->gt->scans[s->bits + index / 64] |= (uint64_t)1 << (index % 64);
    }
}

void
gh_greentea_swept(gh_heap *h, const gh_mspan *s)
{
    if (has_scans(h, s)) {
        memset(&h->gt->scans[s->bits], 0, s->nbits_words * sizeof(uint64_t));
    }
}

uint64_t
gh_greentea_greys(const gh_heap *h, const gh_mspan *s, unsigned word)
{
    return has_scans(h, s) ? gh_mspan_mark_bits(&h->bm, s)[word]
                                 & ~h->gt->scans[s->bits + word]
                           : 0;
}
