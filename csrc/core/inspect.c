// inspect.c: everything inside a heap, walked in order.
//
// Layer 8. What the walks of goheap.h's last section show is read from where the
// heap itself keeps it; nothing is counted, flushed, swept or shaded on the way,
// so that no figure depends on having been asked for.

#include "goheap.h"
#include "heap.h"
#include "malloc.h"
#include "mcheckmark.h"
#include "mgcmark.h"
#include "mstats.h"
#include "special.h"

// ---- pages ----------------------------------------------------------------------

typedef struct pages_walk {
    gh_heap *h;
    bool (*fn)(void *arg, const gh_page_run *r);
    void *arg;
    gh_page_run run;  // not yet shown; npages 0: none
} pages_walk;

static bool
show_run(pages_walk *k)
{
    const bool go_on = k->run.npages == 0 || k->fn(k->arg, &k->run);
    k->run.npages = 0;
    return go_on;
}

// add_pages makes the present run longer, or ends it and begins another. Spans
// are never put together.
static bool
add_pages(pages_walk *k, uintptr_t p, uint64_t npages, gh_page_state state,
          int32_t by, uint8_t spanclass)
{
    if (npages == 0) {
        return true;
    }
    gh_page_run *r = &k->run;
    if (r->npages > 0 && r->state == state && r->p == by
        && state != GH_PAGES_IN_USE && state != GH_PAGES_WORKBUF) {
        r->npages += npages;
        return true;
    }
    const bool go_on = show_run(k);
    *r = (gh_page_run){
        .addr = gh_addr_show(k->h, p),
        .npages = npages,
        .state = state,
        .p = by,
        .spanclass = spanclass,
    };
    return go_on;
}

// caching_p is the P whose page cache holds the page at p, or -1.
static int32_t
caching_p(const gh_heap *h, uintptr_t p)
{
    for (int32_t i = 0; i < h->procs; i++) {
        const gh_page_cache *c = &h->allp[i]->pcache;
        const uintptr_t page = (p - c->base) >> GH_PAGE_SHIFT;
        if (c->cache != 0 && page < 64 && (c->cache >> page & 1) != 0) {
            return i;
        }
    }
    return -1;
}

// walk_grown shows the pages of [p, limit), which the page allocator has.
static bool
walk_grown(pages_walk *k, uintptr_t p, uintptr_t limit)
{
    const gh_heap *h = k->h;
    while (p < limit) {
        const gh_palloc_data *d = gh_pagealloc_chunk_of(&h->pages, p);
        const unsigned i = gh_chunk_page_index(p);
        uint64_t n = 1;
        bool go_on;
        if ((d->alloc.w[i / 64] >> (i % 64) & 1) == 0) {
            const bool scav = (d->scavenged.w[i / 64] >> (i % 64) & 1) != 0;
            go_on = add_pages(k, p, n,
                              scav ? GH_PAGES_SCAVENGED : GH_PAGES_FREE, -1, 0);
        } else {
            const gh_mspan *s = gh_span_of_unchecked(h, p);
            const int32_t by = caching_p(h, p);
            if (by >= 0) {
                go_on = add_pages(k, p, n, GH_PAGES_CACHED, by, 0);
            } else {
                GH_ASSERT(s != NULL && s->base == p);
                n = s->npages;
                go_on = add_pages(k, p, n,
                                  s->state == GH_SPAN_IN_USE ? GH_PAGES_IN_USE
                                                             : GH_PAGES_WORKBUF,
                                  -1, s->spanclass);
            }
        }
        if (!go_on) {
            return false;
        }
        p += n * GH_PAGE_SIZE;
    }
    return true;
}

void
gh_walk_pages(gh_heap *h, bool (*fn)(void *arg, const gh_page_run *r),
              void *arg)
{
    pages_walk k = {.h = h, .fn = fn, .arg = arg};
    uintptr_t at = h->base;
    for (size_t i = 0; i < h->pages.in_use.len; i++) {
        const gh_addr_range r = h->pages.in_use.ranges[i];
        if (!add_pages(&k, at, (r.base - at) / GH_PAGE_SIZE, GH_PAGES_RESERVED,
                       -1, 0)
            || !walk_grown(&k, r.base, r.limit)) {
            return;
        }
        at = r.limit;
    }
    if (add_pages(&k, at, (h->base + h->window_bytes - at) / GH_PAGE_SIZE,
                  GH_PAGES_RESERVED, -1, 0)) {
        (void)show_run(&k);
    }
}

// ---- objects and what they point at -----------------------------------------------

typedef struct graph_walk {
    gh_heap *h;
    const gh_graph_fns *fns;
    void *arg;
} graph_walk;

// is_live: unswept spans still have their dead objects; the marks tell.
static bool
is_live(const gh_heap *h, const gh_mspan *s, unsigned i)
{
    const bool swept = s->sweepgen == h->sweepgen
                       || s->sweepgen == h->sweepgen + 3;
    return swept ? gh_mspan_is_allocated(&h->bm, s, i)
                 : gh_mspan_is_marked(&h->bm, s, i);
}

// as_tiny_block turns the description of a tiny block's first part into that of
// the whole block.
static void
as_tiny_block(gh_object *o, uint32_t parts)
{
    o->type_id = GH_TYPE_TINY;
    o->count = 0;
    o->size = 0;
    for (uint32_t begin = parts & 0xffff, end = parts >> 16;
         begin != 0 && end != 0; begin &= begin - 1, end &= end - 1) {
        o->count++;
        o->size += gh_ctz64(end) - gh_ctz64(begin) + 1u;
    }
}

static bool
walk_words(const graph_walk *k, const gh_mspan *s, unsigned index,
           const gh_object *o)
{
    const gh_heap *h = k->h;
    const uintptr_t slot_base = gh_mspan_obj_base(s, index);
    for (uint64_t w = 0; w < s->elemsize / GH_PTR_SIZE; w += 64) {
        uint64_t mask = gh_slot_ptr_mask(h, s, index, w);
        for (; mask != 0; mask &= mask - 1) {
            const uint64_t word = w + gh_ctz64(mask);
            const uintptr_t v = ((const uintptr_t *)slot_base)[word];
            if (v == 0) {
                continue;
            }
            const gh_edge e = {
                .source = o->addr,
                .offset = gh_addr_show(h, slot_base) + word * GH_PTR_SIZE
                          - o->addr,
                .target = gh_addr_show(h, v),
                .lost = gh_lost_find(h, v) != NULL,
            };
            if (!k->fns->edge(k->arg, &e)) {
                return false;
            }
        }
    }
    return true;
}

static bool
walk_span(const graph_walk *k, const gh_mspan *s)
{
    gh_heap *h = k->h;
    const bool scan = !gh_spanclass_noscan(s->spanclass);
    const uint64_t head = scan && s->div_mul != 0
                                  && !gh_heap_bits_in_span(s->elemsize)
                              ? GH_MALLOC_HEADER_SIZE : 0;
    const gh_special *special = s->specials;
    for (unsigned i = 0; i < s->nelems; i++) {
        if (!is_live(h, s, i)
            || gh_lost_find(h, gh_mspan_obj_base(s, i)) != NULL) {
            continue;
        }
        const char *label = NULL;
        const uint64_t end = (i + 1) * s->elemsize;
        for (; special != NULL && special->offset < end;
             special = special->next) {
            if (special->offset >= i * s->elemsize
                && special->kind == GH_SPECIAL_LABEL) {
                label = ((const gh_label *)special)->name;
            }
        }
        gh_object o;
        const uintptr_t data = gh_mspan_obj_base(s, i) + head;
        const gh_status st = gh_object_at_addr(h, gh_addr_show(h, data), &o);
        GH_ASSERT(st == GH_OK);
        (void)st;
        const gh_objmeta meta = gh_objmeta_of(s, i);
        if (meta.type == GH_TYPE_TINY_BLOCK) {
            as_tiny_block(&o, meta.count);
        }
        if (!k->fns->object(k->arg, &o, label)
            || (scan && k->fns->edge != NULL && !walk_words(k, s, i, &o))) {
            return false;
        }
    }
    return true;
}

void
gh_walk_graph(gh_heap *h, const gh_graph_fns *fns, void *arg)
{
    const graph_walk k = {.h = h, .fns = fns, .arg = arg};
    for (size_t w = 0; w < h->narenas * (GH_PAGES_PER_ARENA / 64); w++) {
        uint64_t bits = h->arenas[w / (GH_PAGES_PER_ARENA / 64)]
                            ->page_in_use[w % (GH_PAGES_PER_ARENA / 64)];
        for (; bits != 0; bits &= bits - 1) {
            if (!walk_span(&k, h->spans[w * 64 + gh_ctz64(bits)])) {
                return;
            }
        }
    }
}

// ---- roots --------------------------------------------------------------------------

typedef struct roots_walk {
    const gh_heap *h;
    bool (*fn)(void *arg, const gh_root *r);
    void *arg;
} roots_walk;

static bool
show_root(const roots_walk *k, gh_root_kind kind, uintptr_t word)
{
    if (word == 0) {
        return true;
    }
    const gh_root r = {.target = gh_addr_show(k->h, word), .kind = kind};
    return k->fn(k->arg, &r);
}

static bool
walk_blocks(const roots_walk *k)
{
    for (const gh_slots *b = k->h->blocks; b != NULL; b = b->next) {
        for (size_t i = 0; i < b->n; i++) {
            if (!show_root(k, GH_ROOT_SLOT, b->slot[i].word)) {
                return false;
            }
        }
    }
    return true;
}

static bool
walk_pins(const roots_walk *k)
{
    for (const gh_pin *pin = k->h->window->pins; pin != NULL; pin = pin->next) {
        if (!show_root(k, GH_ROOT_PIN, pin->slot.word)) {
            return false;
        }
    }
    return true;
}

static bool
show_edge(void *arg, const gh_edge *e)
{
    const roots_walk *k = arg;
    const gh_root r = {.target = e->target, .kind = GH_ROOT_FINALIZER};
    return k->fn(k->arg, &r);
}

// walk_specials shows what the specials of s keep alive.
static bool
walk_specials(roots_walk *k, const gh_mspan *s)
{
    gh_heap *h = (gh_heap *)k->h;
    for (const gh_special *x = s->specials; x != NULL; x = x->next) {
        const uintptr_t p = s->base + (uintptr_t)x->offset;
        const unsigned i = gh_mspan_obj_index(s, p);
        bool go_on = true;
        if (!is_live(h, s, i)) {
            continue;  // the sweep will tell
        }
        if (x->kind == GH_SPECIAL_WEAK) {
            go_on = show_root(k, GH_ROOT_WEAK_BOX, ((const gh_weak *)x)->box);
        } else if (x->kind == GH_SPECIAL_FINALIZER) {
            const gh_graph_fns fns = {.edge = show_edge};
            const graph_walk g = {.h = h, .fns = &fns, .arg = k};
            const gh_object o = {.addr = gh_addr_show(h, p)};
            go_on = walk_words(&g, s, i, &o);
        }
        if (!go_on) {
            return false;
        }
    }
    return true;
}

static bool
walk_all_specials(roots_walk *k)
{
    const gh_heap *h = k->h;
    for (size_t w = 0; w < h->narenas * (GH_PAGES_PER_ARENA / 64); w++) {
        uint64_t bits = h->arenas[w / (GH_PAGES_PER_ARENA / 64)]
                            ->page_specials[w % (GH_PAGES_PER_ARENA / 64)];
        for (; bits != 0; bits &= bits - 1) {
            if (!walk_specials(k, h->spans[w * 64 + gh_ctz64(bits)])) {
                return false;
            }
        }
    }
    return true;
}

void
gh_walk_roots(gh_heap *h, bool (*fn)(void *arg, const gh_root *r), void *arg)
{
    roots_walk k = {.h = h, .fn = fn, .arg = arg};
    for (uint32_t id = 1; id <= h->handles.made; id++) {
        if (!show_root(&k, gh_handle_kind(&h->handles, id),
                       gh_handles_slot(&h->handles, id)->word)) {
            return;
        }
    }
    gh_lock(&h->roots_lock);
    bool go_on = walk_blocks(&k);
    gh_unlock(&h->roots_lock);
    if (!go_on) {
        return;
    }
    gh_lock(&h->window->lock);
    go_on = walk_pins(&k);
    gh_unlock(&h->window->lock);
    go_on = go_on && walk_all_specials(&k);
    for (int32_t i = 0; go_on && i < h->procs; i++) {
        go_on = show_root(&k, GH_ROOT_TINY, h->allp[i]->mcache.tiny);
    }
}

// ---- mcaches --------------------------------------------------------------------------

void
gh_walk_caches(gh_heap *h, bool (*fn)(void *arg, const gh_cache_info *c),
               void *arg)
{
    for (int32_t i = 0; i < h->procs; i++) {
        const gh_mcache *c = &h->allp[i]->mcache;
        for (unsigned spc = 0; spc < GH_NUM_SPAN_CLASSES; spc++) {
            const gh_mspan *s = c->alloc[spc];
            if (s == &h->empty_mspan) {
                continue;
            }
            gh_cache_info info = {
                .span = gh_addr_show(h, s->base),
                .p = i,
                .spanclass = (uint8_t)spc,
                .free = (uint32_t)(s->nelems - s->alloc_count),
            };
            if (spc == h->sizes.tiny_spc && c->tiny != 0) {
                info.tiny = gh_addr_show(h, c->tiny);
                info.tiny_offset = c->tiny_offset;
            }
            if (!fn(arg, &info)) {
                return;
            }
        }
    }
}

// ---- figures, for a listener ------------------------------------------------------------

void
gh_stats_peek(const gh_heap *h, gh_memstats *out)
{
    gh_stats_of(h, out);
}

// ---- what waits to be scanned ------------------------------------------------------------

typedef struct grey_walk {
    const gh_heap *h;
    void (*fn)(void *arg, uint64_t addr);
    void *arg;
} grey_walk;

static void
show_grey(void *arg, uintptr_t v)
{
    const grey_walk *k = arg;
    k->fn(k->arg, gh_addr_show(k->h, v));
}

void
gh_walk_grey(gh_heap *h, void (*fn)(void *arg, uint64_t addr), void *arg)
{
    grey_walk k = {h, fn, arg};
    gh_gc_walk_grey(h, show_grey, &k);
}
