// verify.c: every invariant of the heap in one walk.
//
// Layer 8. In all builds; reports instead of aborting. Each check names its
// tag; csrc/design/invariants.md lists them.

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delays.h"
#include "goheap.h"
#include "heap.h"
#include "mcentral.h"
#include "mcheckmark.h"
#include "mcleanup.h"
#include "mfinal.h"
#include "mgcmark.h"
#include "mgcmark_greenteagc.h"
#include "mgcwork.h"
#include "mstats.h"
#include "proc.h"
#include "special.h"

typedef struct checker {
    gh_heap *h;
    void (*report)(void *arg, const char *line);
    void *arg;
    size_t found;
    uint64_t pages, inuse;
    uint64_t in_sets;
    uint64_t spans_in_sets;  // spans that say they are in a set
    uint64_t live_bytes, live_objects;
    uint64_t specials[GH_SPECIAL_KINDS];
    uint64_t owned, queued;  // Green Tea: spans, entries
} checker;

// More lines than this help nobody; the count goes on.
#define MAX_REPORTS 100u

__attribute__((format(printf, 2, 3))) static void
complain(checker *k, const char *format, ...)
{
    if (k->found++ >= MAX_REPORTS || k->report == NULL) {
        return;
    }
    char line[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    k->report(k->arg, line);
}

static void
check_bits(checker *k, const gh_mspan *s)
{
    const gh_heap *h = k->h;
    const uint64_t at = gh_addr_show(h, s->base);
    const uint64_t *alloc = gh_mspan_alloc_bits(&h->bm, s);
    const uint64_t *mark = gh_mspan_mark_bits(&h->bm, s);
    const bool swept = s->sweepgen == h->sweepgen
                       || s->sweepgen == h->sweepgen + 3;
    unsigned n = 0;
    for (unsigned i = 0; i < s->nelems; i++) {
        n += gh_mspan_is_allocated(&h->bm, s, i);
    }
    if (n != s->alloc_count) {
        complain(k, "[inv:span.allocated] span 0x%" PRIx64
                    ": alloc_count %u, %u slots are allocated",
                 at, s->alloc_count, n);
    }
    k->live_objects += n;
    k->live_bytes += n * s->elemsize;
    for (unsigned i = s->nelems; i < s->nbits_words * 64u; i++) {
        if (((alloc[i / 64] | mark[i / 64]) >> (i % 64) & 1) != 0) {
            complain(k, "[inv:bitmap.tail] span 0x%" PRIx64
                        ": bit %u of %u slots is set", at, i, s->nelems);
            break;
        }
    }
    if (swept && h->phase == GH_PHASE_OFF) {
        for (unsigned i = 0; i < s->nbits_words; i++) {
            if (mark[i] != 0) {
                complain(k, "[inv:bitmap.clean] span 0x%" PRIx64
                            " is swept and has mark bits", at);
                break;
            }
        }
        if (s->alloc_area != (h->bm.mark_area ^ 1)) {
            complain(k, "[inv:bitmap.area] span 0x%" PRIx64
                        ": alloc bits in the marking area", at);
        }
    }
    if (s->free_index < s->nelems && s->div_mul != 0 && s->cached_by >= 0) {
        const unsigned i = s->free_index;
        const uint64_t want = ~alloc[i / 64] >> (i % 64);
        const unsigned left = 64 - i % 64;
        const uint64_t keep =
            left == 64 ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1;
        if ((s->alloc_cache & keep) != (want & keep)) {
            complain(k, "[inv:span.alloc_cache] span 0x%" PRIx64
                        ": alloc_cache disagrees with alloc bits", at);
        }
    }
}

// check_clean: what is free of a clean span is zero, so that nobody clears it again
// [inv:span.clean].
static void
check_clean(checker *k, const gh_mspan *s)
{
    if (s->div_mul == 0 || !s->clean || k->h->opt.leaves) {
        return;
    }
    for (unsigned i = s->free_index; i < s->nelems; i++) {
        if (gh_mspan_is_allocated(&k->h->bm, s, i)) {
            continue;
        }
        const uint64_t *word = (const uint64_t *)gh_mspan_obj_base(s, i);
        for (uint64_t w = 0; w < s->elemsize / sizeof(*word); w++) {
            if (word[w] != 0) {
                complain(k, "[inv:span.clean] free slot %u of span 0x%" PRIx64
                            " is not clear", i, gh_addr_show(k->h, s->base));
                break;
            }
        }
    }
}

// check_short_way: what an allocation takes from a span without a further look is what a
// look would find [inv:span.short_way].
static void
check_short_way(checker *k, const gh_mspan *s)
{
    const uint32_t way = s->short_way;
    if (way == 0) {
        return;
    }
    const gh_types *types = &k->h->types;
    const bool bytes = (way & GH_SHORT_BYTES) != 0;
    const gh_type *t = bytes || way >= types->len ? NULL : types->table[way];
    bool ok = s->clean && s->meta_mode != GH_META_EACH && s->div_mul != 0
              && (bytes ? gh_spanclass_noscan(s->spanclass)
                        : t != NULL && t->mask0 == s->mask
                              && gh_type_noscan(t) == gh_spanclass_noscan(s->spanclass));
    if (s->meta_mode == GH_META_ONE) {
        ok = ok && s->one.type == (bytes ? GH_TYPE_BYTES : way)
             && s->one.count == (bytes ? way & ~GH_SHORT_BYTES : 1);
    }
    if (!ok) {
        complain(k, "[inv:span.short_way] span 0x%" PRIx64 " is not as 0x%" PRIx32
                    " says", gh_addr_show(k->h, s->base), way);
    }
}

// check_page_mask: where a page has a mask, it is that of each of its objects, and
// the span says the same
// [inv:bitmap.page_mask].
static void
check_page_mask(checker *k, const gh_mspan *s)
{
    const gh_bitmaps *bm = &k->h->bm;
    if (s->div_mul == 0 || gh_spanclass_noscan(s->spanclass)
        || !gh_heap_bits_in_span(s->elemsize)) {
        return;
    }
    for (unsigned i = 0; i < s->nelems; i++) {
        const uintptr_t p = gh_mspan_obj_base(s, i);
        const uint64_t mask = *gh_page_mask_at(bm, p);
        if (mask != s->mask
            || (mask != 0 && gh_mspan_is_allocated(bm, s, i)
                && gh_ptr_bits_get(bm, p, (unsigned)(s->elemsize / GH_PTR_SIZE))
                       != mask)) {
            complain(k, "[inv:bitmap.page_mask] slot %u of span 0x%" PRIx64
                        " has other pointers than its page says", i,
                     gh_addr_show(k->h, s->base));
            return;
        }
    }
}

static void
check_pages(checker *k, const gh_mspan *s)
{
    const gh_heap *h = k->h;
    const uint64_t at = gh_addr_show(h, s->base);
    const uintptr_t first = (s->base - h->base) >> GH_PAGE_SHIFT;
    for (uint64_t i = 0; i < s->npages; i++) {
        const gh_pageinfo *pi = &h->pageinfo[first + i];
        if (h->spans[first + i] != s) {
            complain(k, "[inv:heap.spans] page %" PRIu64 " of span 0x%" PRIx64
                        " belongs to another in the page table", i, at);
            return;
        }
        if (pi->bits != s->bits || pi->nelems != s->nelems
            || pi->div_mul != s->div_mul || pi->scan != !gh_spanclass_noscan(s->spanclass)
            || pi->elemsize != (s->div_mul == 0 ? 0 : s->elemsize)
            || pi->page != (s->div_mul == 0 ? 0 : i)) {
            complain(k, "[inv:pageinfo.span] page %" PRIu64 " of span 0x%" PRIx64
                        " is described otherwise", i, at);
            return;
        }
    }
}

static void
check_place(checker *k, const gh_mspan *s)
{
    gh_heap *h = k->h;
    const uint64_t at = gh_addr_show(h, s->base);
    const uint32_t g = s->sweepgen - h->sweepgen;
    k->spans_in_sets += s->set != NULL;
    if (s->cached_by >= 0) {
        const bool has = s->cached_by < h->procs
                         && h->allp[s->cached_by]->mcache.alloc[s->spanclass]
                                == s;
        if (!has || s->set != NULL || (g != 3 && g != 1)) {
            complain(k, "[inv:span.sweepgen] span 0x%" PRIx64
                        ": cached by P %d, sweepgen %+d", at, s->cached_by,
                     (int)g);
        }
        return;
    }
    gh_mcentral *c = &h->central[s->spanclass];
    const bool full = s->alloc_count == s->nelems;
    const gh_spanset *want =
        g == 0 ? (full ? gh_mcentral_full_swept(h, c)
                       : gh_mcentral_partial_swept(h, c))
        : g == (uint32_t)-2
            ? (full ? gh_mcentral_full_unswept(h, c)
                    : gh_mcentral_partial_unswept(h, c))
            : NULL;
    if (want == NULL || s->set != want) {
        complain(k, "[inv:spanset.one] span 0x%" PRIx64
                    ": sweepgen %+d, %u of %u slots, not in its set", at,
                 (int)g, s->alloc_count, s->nelems);
    }
}

// check_pointers: what a live object points at is live [inv:heap.nodangling].
static void
check_pointers(checker *k, const gh_mspan *s)
{
    const gh_heap *h = k->h;
    if (gh_spanclass_noscan(s->spanclass)) {
        return;
    }
    const bool swept = s->sweepgen == h->sweepgen
                       || s->sweepgen == h->sweepgen + 3;
    for (unsigned i = 0; i < s->nelems; i++) {
        if (swept ? !gh_mspan_is_allocated(&h->bm, s, i)
                  : !gh_mspan_is_marked(&h->bm, s, i)) {
            continue;
        }
        const uintptr_t base = gh_mspan_obj_base(s, i);
        for (uint64_t w = 0; w < s->elemsize / GH_PTR_SIZE; w += 64) {
            uint64_t mask = gh_slot_ptr_mask(h, s, i, w);
            for (; mask != 0; mask &= mask - 1) {
                const uint64_t word = w + gh_ctz64(mask);
                const uintptr_t v = ((const uintptr_t *)base)[word];
                if (v == 0 || v == gh_zerobase(h)) {
                    continue;
                }
                unsigned index;
                const gh_mspan *t = gh_find_object(h, v, &index);
                const bool t_swept =
                    t != NULL
                    && (t->sweepgen == h->sweepgen
                        || t->sweepgen == h->sweepgen + 3);
                if (t == NULL
                    || !(t_swept ? gh_mspan_is_allocated(&h->bm, t, index)
                                 : gh_mspan_is_marked(&h->bm, t, index))) {
                    complain(k, "[inv:heap.nodangling] word %" PRIu64
                                " of the object at 0x%" PRIx64
                                " points at no object",
                             word, gh_addr_show(h, base));
                }
            }
        }
    }
}

static void
check_root(checker *k, const char *what, uintptr_t v)
{
    gh_object o;
    if (v != 0
        && gh_object_at_addr(k->h, gh_addr_of_word(k->h, v), &o)
               == GH_ERR_BADPTR) {
        complain(k, "[inv:roots.live] a %s holds 0x%" PRIx64
                    ", where no object is", what, gh_addr_of_word(k->h, v));
    }
}

static void
check_roots(checker *k)
{
    gh_heap *h = k->h;
    gh_lock(&h->roots_lock);
    for (const gh_slots *b = h->blocks; b != NULL; b = b->next) {
        for (size_t i = 0; i < b->n; i++) {
            check_root(k, "root slot", b->slot[i].word);
        }
    }
    gh_unlock(&h->roots_lock);
    for (uint32_t id = 1; id <= h->handles.made; id++) {
        check_root(k, "handle", gh_handles_slot(&h->handles, id)->word);
    }
    uint32_t nfree = 0;
    for (uint32_t id = h->handles.free; id != 0 && nfree <= h->handles.made;
         id = *gh_handles_link(&h->handles, id)) {
        nfree++;
    }
    if (nfree + h->handles.live != h->handles.made) {
        complain(k, "[inv:handles.count] %u handles made, %u live, %u free",
                 h->handles.made, h->handles.live, nfree);
    }
}

// check_specials: a special belongs to an allocated slot of its span, and the
// table of labels has each of them once [inv:special.live].
static void
check_specials(checker *k, gh_mspan *s)
{
    gh_heap *h = k->h;
    const uint64_t at = gh_addr_show(h, s->base);
    const bool swept = s->sweepgen == h->sweepgen
                       || s->sweepgen == h->sweepgen + 3;
    const uintptr_t page = (s->base - h->base) >> GH_PAGE_SHIFT;
    const uint64_t bits = gh_arena_of(h, s->base)
                              ->page_specials[page % GH_PAGES_PER_ARENA / 64];
    if ((bits >> (page % 64) & 1) != (s->specials != NULL)) {
        complain(k, "[inv:special.live] span 0x%" PRIx64
                    ": its page's bit is wrong", at);
    }
    for (const gh_special *x = s->specials; x != NULL; x = x->next) {
        k->specials[x->kind]++;
        const unsigned i =
            gh_mspan_obj_index(s, s->base + (uintptr_t)x->offset);
        const gh_special *next = x->next;
        if (i >= s->nelems || (swept && !gh_mspan_is_allocated(&h->bm, s, i))
            || (next != NULL
                && (next->offset < x->offset
                    || (next->offset == x->offset && next->kind < x->kind)))) {
            complain(k, "[inv:special.live] span 0x%" PRIx64
                        " has a special of byte %" PRIu64, at, x->offset);
        }
        if (x->kind == GH_SPECIAL_WEAK
            && !gh_weak_box_check(h, (const gh_weak *)x, at + x->offset)) {
            complain(k, "[inv:final.box] 0x%" PRIx64 " has a weak box that "
                        "says otherwise", at + x->offset);
        }
    }
}

// check_finals: no finalizer or cleanup is lost, none is doubled
// [inv:final.conserved].
static void
check_finals(checker *k)
{
    gh_heap *h = k->h;
    gh_final_stats f;
    gh_final_stats_get(h, &f);
    const uint64_t finalizers = k->specials[GH_SPECIAL_FINALIZER];
    if (f.finalizers_set
        != f.finalizers_cleared + finalizers + f.finalizers_queued) {
        complain(k, "[inv:final.conserved] %" PRIu64 " finalizers set, %" PRIu64
                    " cleared, %" PRIu64 " attached, %" PRIu64 " queued",
                 f.finalizers_set, f.finalizers_cleared, finalizers,
                 f.finalizers_queued);
    }
    const uint64_t cleanups = k->specials[GH_SPECIAL_CLEANUP];
    uint64_t queued[GH_CALL_KINDS], taken[GH_CALL_KINDS];
    gh_calls_counts(&h->calls, queued, taken);
    const uint64_t pushed = queued[GH_CALL_CLEANUP];
    if (f.cleanups_added != f.cleanups_stopped + cleanups + f.cleanups_queued
        || f.cleanups_queued != pushed + gh_cleanups_blocked(h)) {
        complain(k, "[inv:final.conserved] %" PRIu64 " cleanups added, %" PRIu64
                    " stopped, %" PRIu64 " attached, %" PRIu64 " queued, %" PRIu64
                    " given on",
                 f.cleanups_added, f.cleanups_stopped, cleanups,
                 f.cleanups_queued, pushed);
    }
    for (unsigned i = 0; i < GH_SPECIAL_KINDS; i++) {
        if (k->specials[i] != h->nspecials[i]) {
            complain(k, "[inv:special.live] %" PRIu64 " specials of kind %u, %"
                        PRIu64 " counted", k->specials[i], i, h->nspecials[i]);
        }
    }
    if (k->specials[GH_SPECIAL_LABEL] != h->labels.n) {
        complain(k, "[inv:special.live] %" PRIu64 " labels, %u in their table",
                 k->specials[GH_SPECIAL_LABEL], h->labels.n);
    }
}

// ---- the colours ---------------------------------------------------------------------

// trace_buffers follows what a concurrent cycle has in hand beside its queues.
static void
trace_buffers(gh_tracer *t)
{
    const gh_heap *h = t->h;
    for (int32_t p = 0; p < h->procs; p++) {
        const gh_pconc *c = h->conc.of[p];
        for (uint32_t i = 0; i < c->nwb; i++) {
            gh_tracer_grey(t, c->wb[i]);
        }
    }
    if (atomic_load(&h->conc.has_roots)) {
        gh_tracer_roots(t);  // some of them are still to be looked at
    }
}

// trace_one follows one grey object, or the one of a grey piece.
static void
trace_one(void *arg, uintptr_t v)
{
    gh_tracer_object(arg, v);
}

// check_colours: were the mutators to stop now, marking from the grey objects
// alone would reach all that the roots reach [inv:gc.tricolour].
static void
check_colours(checker *k)
{
    gh_heap *h = k->h;
    if (h->phase != GH_PHASE_MARK || h->work.overflowed
        || atomic_load(&h->conc.overflowed)) {
        return;
    }
    gh_tracer will, must;
    if (gh_tracer_init(&will, h, false)) {
        memcpy(will.seen, h->bm.area[h->bm.mark_area],
               h->bm.mapped * sizeof(uint64_t));
        // What the queue alone would still mark.
        gh_gc_walk_grey(h, trace_one, &will);
        if (h->concurrent) {
            trace_buffers(&will);
        }
    }
    if (gh_tracer_init(&must, h, true)) {
        gh_tracer_roots(&must);
    }
    for (size_t n = 0; n < must.n && !will.lost && !must.lost; n++) {
        const uintptr_t base = must.item[n].base;
        unsigned i = 0;
        const gh_mspan *s = gh_find_object(h, base, &i);
        if ((will.seen[s->bits + i / 64] >> (i % 64) & 1) == 0) {
            const char *label;
            const uint64_t addr = gh_shown_object(h, base, &label);
            complain(k, "[inv:gc.tricolour] the object at 0x%" PRIx64 "%s%s is "
                        "reachable and white, and nothing grey leads there",
                     addr, label == NULL ? "" : ", ",
                     label == NULL ? "" : label);
        }
    }
    gh_tracer_fini(&will);
    gh_tracer_fini(&must);
}

// ---- Green Tea -------------------------------------------------------------------------

// check_queued: an entry's span says that it is queued; the count of such spans is
// taken by check_spans_queued.
static void
check_queued(void *arg, uintptr_t entry)
{
    checker *k = arg;
    const gh_heap *h = k->h;
    const uintptr_t page = (entry - h->base) >> GH_PAGE_SHIFT;
    k->queued++;
    if (entry - h->base >= h->mapped_bytes
        || h->pageinfo[page].owned == GH_OWNED_NONE) {
        complain(k, "[inv:greentea.owned] 0x%" PRIx64 " is in the queue, and "
                    "its span does not say so", gh_addr_show(h, entry));
    }
}

// check_greentea: what is grey is in a span that is queued, once
// [inv:greentea.owned]; outside a cycle there is neither [inv:greentea.clean].
static void
check_greentea(checker *k, const gh_mspan *s)
{
    const gh_heap *h = k->h;
    const uint64_t at = gh_addr_show(h, s->base);
    const gh_pageinfo *pi = &h->pageinfo[(s->base - h->base) >> GH_PAGE_SHIFT];
    const bool swept = s->sweepgen == h->sweepgen
                       || s->sweepgen == h->sweepgen + 3;
    bool grey = false;
    for (unsigned w = 0; w < s->nbits_words; w++) {
        grey |= gh_greentea_greys(h, s, w) != 0;
        const uint64_t scans = s->bits + w < h->gt->words
                                   ? h->gt->scans[s->bits + w] : 0;
        if ((scans & ~gh_mspan_mark_bits(&h->bm, s)[w]) != 0
            || (scans != 0 && swept && h->phase == GH_PHASE_OFF)) {
            complain(k, "[inv:greentea.clean] span 0x%" PRIx64 " has scan bits "
                        "of what is not marked", at);
            break;
        }
    }
    k->owned += pi->owned != GH_OWNED_NONE;
    if (h->phase == GH_PHASE_MARK && grey && pi->owned == GH_OWNED_NONE
        && !h->work.overflowed) {
        complain(k, "[inv:greentea.owned] span 0x%" PRIx64 " has grey objects "
                    "and is not queued", at);
    }
}

static void
check_sums(checker *k)
{
    const gh_heap *h = k->h;
    const gh_gc_controller *c = &h->gcc;
    uint64_t in_sets = 0;
    for (unsigned i = 0; i < GH_NUM_SPAN_CLASSES; i++) {
        const gh_mcentral *mc = &h->central[i];
        in_sets += mc->partial[0].len + mc->partial[1].len + mc->full[0].len
                   + mc->full[1].len;
    }
    if (in_sets != k->spans_in_sets) {
        complain(k, "[inv:spanset.one] sets hold %" PRIu64 " spans, %" PRIu64
                    " say they are in one", in_sets, k->spans_in_sets);
    }
    if (k->pages != h->pages_in_use) {
        complain(k, "[inv:heap.pages_in_use] %" PRIu64 " counted, %" PRIu64
                    " noted", k->pages, h->pages_in_use);
    }
    if (k->inuse + h->opt.base_live != c->heap_in_use.bytes
        || c->heap_in_use.bytes != h->stats.in_heap) {
        complain(k, "[inv:stats.inuse] spans hold %" PRIu64
                    " bytes, heapInUse is %" PRIu64, k->inuse,
                 c->heap_in_use.bytes);
    }
    if (c->heap_released.bytes != h->stats.released) {
        complain(k, "[inv:stats.released] heapReleased %" PRIu64
                    ", released %" PRIu64, c->heap_released.bytes,
                 h->stats.released);
    }
    if (c->heap_in_use.bytes + c->heap_free.bytes + h->stats.in_stacks
            + h->stats.in_workbufs != h->stats.committed) {
        complain(k, "[inv:stats.committed] heapInUse + heapFree is not "
                    "committed");
    }
    gh_memstats m;
    gh_stats_of(h, &m);
    if (m.heap_objects != k->live_objects + (h->opt.base_live > 0)
        || m.heap_alloc != k->live_bytes + h->opt.base_live) {
        complain(k, "[inv:stats.objects] %" PRIu64 " objects of %" PRIu64
                    " bytes counted, MemStats says %" PRIu64 " of %" PRIu64,
                 k->live_objects, k->live_bytes, m.heap_objects, m.heap_alloc);
    }
    if (h->mem.mapped_ready != m.sys - m.heap_released) {
        complain(k, "[inv:stats.mapped_ready] mappedReady %" PRIu64
                    ", Sys - HeapReleased %" PRIu64,
                 h->mem.mapped_ready, m.sys - m.heap_released);
    }
    for (int32_t i = 0; i < h->procs && h->concurrent; i++) {
        const gh_ahead *a = &h->allp[i]->conc->ahead;
        if (a->next < a->nready || a->nfull > 0 || a->nspare > 0 || a->live != 0
            || a->taken != 0) {
            complain(k, "[inv:mcache.ahead] P %d has %d spans ahead, %u full ones, %u spare ones "
                        "and %" PRId64 " bytes that are not in heap_live", (int)i,
                     a->nready - a->next, a->nfull, a->nspare, a->live);
        }
    }
    if (h->concurrent && h->conc.ahead_live != 0) {
        complain(k, "[inv:mcache.ahead] %" PRId64 " bytes are ahead in a stop",
                 h->conc.ahead_live);
    }
    // Pages taken in the bitmaps: spans, the collector's own, P caches.
    uint64_t cached = 0;
    for (int32_t i = 0; i < h->procs; i++) {
        cached += gh_popcount64(h->allp[i]->pcache.cache);
    }
    uint64_t taken = 0;
    for (uintptr_t p = h->base; p < h->cur_arena_base;
         p += GH_PALLOC_CHUNK_BYTES) {
        const gh_palloc_data *d = gh_pagealloc_chunk_of(&h->pages, p);
        taken += d == NULL ? 0
                           : gh_palloc_bits_popcnt_range(
                               &d->alloc, 0, GH_PALLOC_CHUNK_PAGES);
    }
    if (taken != k->pages + cached + h->stats.in_workbufs / GH_PAGE_SIZE) {
        complain(k, "[inv:heap.pages] %" PRIu64 " pages are taken, %" PRIu64
                    " are in spans, %" PRIu64 " in caches", taken, k->pages,
                 cached);
    }
}

static void
relay(void *arg, const char *line)
{
    complain(arg, "%s", line);
}

size_t
gh_verify(gh_mut *m, void (*report)(void *arg, const char *line), void *arg)
{
    gh_heap *h = m->heap;
    gh_stop_world(m);
    gh_drain_handles(m);
    checker k = {.h = h, .report = report, .arg = arg};
    for (size_t w = 0; w < h->narenas * (GH_PAGES_PER_ARENA / 64); w++) {
        uint64_t bits = h->arenas[w / (GH_PAGES_PER_ARENA / 64)]
                            ->page_in_use[w % (GH_PAGES_PER_ARENA / 64)];
        for (; bits != 0; bits &= bits - 1) {
            const uintptr_t page = w * 64 + gh_ctz64(bits);
            gh_mspan *s = h->spans[page];
            if (s == NULL || s->state != GH_SPAN_IN_USE
                || s->base != h->base + (page << GH_PAGE_SHIFT)) {
                complain(&k, "[inv:heap.spans] page %zu is in use without a "
                             "span", (size_t)page);
                continue;
            }
            k.pages += s->npages;
            k.inuse += s->npages * GH_PAGE_SIZE;
            check_bits(&k, s);
            check_pages(&k, s);
            check_clean(&k, s);
            check_short_way(&k, s);
            check_page_mask(&k, s);
            check_place(&k, s);
            check_pointers(&k, s);
            check_specials(&k, s);
            if (h->gt != NULL) {
                check_greentea(&k, s);
            }
        }
    }
    if (h->gt != NULL) {
        gh_spanq_each(&h->gt->queue, check_queued, &k);
        if (k.owned != k.queued && !h->work.overflowed) {
            complain(&k, "[inv:greentea.owned] %" PRIu64 " spans say that they "
                         "are queued, %" PRIu64 " are", k.owned, k.queued);
        }
    }
    uint64_t left = 0, queued[GH_CALL_KINDS], taken[GH_CALL_KINDS];
    gh_calls_counts(&h->calls, queued, taken);
    for (int i = 0; i < GH_CALL_KINDS; i++) {
        left += queued[i] - taken[i];
    }
    const size_t calls = gh_calls_count(&h->calls);
    if (calls != gh_calls_waiting(&h->calls) || calls != left) {
        complain(&k, "[inv:calls.count] %zu calls in the lists, %zu counted, "
                     "%" PRIu64 " queued and not taken",
                 calls, gh_calls_waiting(&h->calls), left);
    }
    check_finals(&k);
    check_roots(&k);
    check_colours(&k);
    gh_lost_report(h, relay, &k);
    check_sums(&k);
    (void)gh_pagealloc_check(&h->pages, relay, &k);
    if (k.found > 0) {
        gh_delays_report(h);
    }
    gh_start_world(m);
    return k.found;
}
