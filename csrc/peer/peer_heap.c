// peer_heap.c: group 11 of the peer ABI, a whole heap, over goheap.h.
//
// Layer 8. Built only into libgoheap_peer.so. Addresses that the tests hold are
// the shown ones; objects they do not root are held by nothing.

#include <stdlib.h>
#include <string.h>

#include "goheap.h"
#include "heap.h"
#include "mgcmark.h"
#include "peer_abi.h"

#define EXPORT __attribute__((visibility("default")))
#define ROOTS 65536u

struct pr_heap {
    gh_heap *heap;
    gh_mut *m;
    gh_slots *roots;  // ROOTS of them, then a scratch slot
    gh_slots *stack;  // pr_heap_stack; NULL: none
};

static void
check(gh_status st)
{
    if (st != GH_OK) {
        abort();
    }
}

static gh_slot *
scratch(pr_heap *h)
{
    return gh_slots_at(h->roots, ROOTS);
}

EXPORT pr_heap *
pr_heap_new(int32_t procs, int32_t gc_percent, int64_t memory_limit)
{
    pr_heap *h = calloc(1, sizeof(*h));
    gh_options o;
    gh_options_init(&o);
    o.mode = GH_MODE_VIRTUAL;
    o.policy.eager_sweep = false;
    o.procs = procs;
    o.gogc = gc_percent;
    o.memory_limit = memory_limit;
    check(gh_heap_new(&o, &h->heap));
    check(gh_slots_new(h->heap, ROOTS + 1, &h->roots));
    check(gh_enter(h->heap, 0, &h->m));
    return h;
}

EXPORT void
pr_heap_destroy(pr_heap *h)
{
    gh_leave(h->m);
    gh_slots_free(h->roots);
    if (h->stack != NULL) {
        gh_slots_free(h->stack);
    }
    gh_heap_free(h->heap);
    free(h);
}

EXPORT uintptr_t
pr_heap_alloc(pr_heap *h, uint64_t size, const uint64_t *ptr_mask)
{
    if (ptr_mask == NULL) {
        check(gh_alloc(h->m, scratch(h), size));
        return (uintptr_t)gh_addr(h->heap, scratch(h));
    }
    size = (size + 7) / 8 * 8;
    uint64_t last = 0;
    for (uint64_t w = 0; w < size / 8; w++) {
        if ((ptr_mask[w / 64] >> (w % 64) & 1) != 0) {
            last = w + 1;
        }
    }
    uint64_t *mask = calloc(last / 64 + 1, sizeof(*mask));
    for (uint64_t w = 0; w < last; w++) {
        mask[w / 64] |= (ptr_mask[w / 64] >> (w % 64) & 1) << (w % 64);
    }
    const gh_type_desc d = {.size = size, .align = 8, .ptrdata = last * 8,
                            .mask = mask};
    const gh_type *t;
    check(gh_type_new(h->m, &d, &t));
    free(mask);
    check(gh_new(h->m, scratch(h), t, 1));
    return (uintptr_t)gh_addr(h->heap, scratch(h));
}

EXPORT void
pr_heap_root(pr_heap *h, uintptr_t obj, bool add)
{
    for (uint32_t i = 0; i < ROOTS; i++) {
        gh_slot *s = gh_slots_at(h->roots, i);
        if (add && s->word == 0) {
            check(gh_addr_to_slot(h->m, s, obj));
            return;
        }
        if (!add && gh_addr(h->heap, s) == obj) {
            gh_clear(h->m, s);
            return;
        }
    }
    abort();
}

EXPORT void
pr_heap_store(pr_heap *h, uintptr_t obj, uint64_t word, uintptr_t val)
{
    gh_slots *b;
    check(gh_slots_new(h->heap, 2, &b));
    check(gh_addr_to_slot(h->m, gh_slots_at(b, 0), obj));
    if (val != 0) {
        check(gh_addr_to_slot(h->m, gh_slots_at(b, 1), val));
    }
    check(gh_store(h->m, gh_slots_at(b, 0), word, gh_slots_at(b, 1)));
    gh_slots_free(b);
}

EXPORT void
pr_heap_gc(pr_heap *h)
{
    check(gh_gc(h->m));
}

EXPORT void *
pr_heap_data(pr_heap *h, uintptr_t obj)
{
    check(gh_addr_to_slot(h->m, scratch(h), obj));
    return gh_data(scratch(h));
}

EXPORT void
pr_heap_stack(pr_heap *h, const uintptr_t *words, uint64_t n)
{
    gh_slots *b;
    check(gh_slots_new(h->heap, n, &b));
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t off = words[i] - h->heap->base;
        if (off < h->heap->window_bytes) {
            // A word that points at nothing of the heap's is no root.
            (void)!gh_addr_to_slot(h->m, gh_slots_at(b, i), GH_ADDR_BASE + off);
        }
    }
    if (h->stack != NULL) {
        gh_slots_free(h->stack);
    }
    h->stack = b;
}

EXPORT int32_t
pr_heap_set_gc_percent(pr_heap *h, int32_t percent)
{
    return gh_set_gogc(h->m, percent);
}

EXPORT int64_t
pr_heap_now(pr_heap *h)
{
    return gh_now(h->heap);
}

EXPORT void
pr_heap_sleep(pr_heap *h, int64_t ns)
{
    gh_advance(h->m, ns);
}

EXPORT void
pr_heap_force_gc_period(pr_heap *h, int64_t ns)
{
    h->heap->virt.force_period_ns = (double)ns;
}

EXPORT void
pr_heap_set_procs(pr_heap *h, int32_t procs)
{
    check(gh_switch_p(&h->m, 0));
    check(gh_set_procs(h->m, procs));
}

static void
convert(const gh_memstats *s, pr_memstats *out)
{
    memset(out, 0, sizeof(*out));
    memcpy(out, s, offsetof(gh_memstats, pause_ns));
    memcpy(out->pause_ns, s->pause_ns, sizeof(out->pause_ns));
    memcpy(out->pause_end, s->pause_end, sizeof(out->pause_end));
    out->num_gc = s->num_gc;
    out->num_forced_gc = s->num_forced_gc;
    out->gc_cpu_fraction = s->gc_cpu_fraction;
    for (unsigned i = 0; i < 61; i++) {
        out->by_size[i].size = s->by_size[i].size;
        out->by_size[i].mallocs = s->by_size[i].mallocs;
        out->by_size[i].frees = s->by_size[i].frees;
    }
}

EXPORT void
pr_heap_memstats(pr_heap *h, bool slow, pr_memstats *out)
{
    gh_memstats s;
    if (slow) {
        gh_stats_slow(h->m, &s);
    } else {
        gh_read_mem_stats(h->m, &s);
    }
    convert(&s, out);
}

EXPORT void
pr_heap_memstats_both(pr_heap *h, pr_memstats *base, pr_memstats *slow)
{
    pr_heap_memstats(h, false, base);
    pr_heap_memstats(h, true, slow);
}

static bool
add_pages(void *arg, const gh_span_info *s)
{
    *(uint64_t *)arg += s->npages;
    return true;
}

EXPORT void
pr_heap_count_pages(pr_heap *h, uint64_t *in_use, uint64_t *counted)
{
    *in_use = h->heap->pages_in_use;
    *counted = 0;
    gh_walk_spans(h->heap, add_pages, counted);
}

EXPORT uint64_t
pr_heap_scav_mismatches(pr_heap *h)
{
    uint64_t n = 0;
    for (uintptr_t p = h->heap->base; p < h->heap->cur_arena_base;
         p += GH_PALLOC_CHUNK_BYTES) {
        const uint64_t *d =
            (const uint64_t *)gh_pagealloc_chunk_of(&h->heap->pages, p);
        for (unsigned i = 0; d != NULL && i < 8; i++) {
            n += (d[i] & d[8 + i]) != 0;
        }
    }
    return n;
}

EXPORT uint64_t
pr_heap_page_cache_leaked(pr_heap *h)
{
    // Ps beyond procs no longer exist: what their caches held and did not give
    // back is what the bitmaps call taken and nobody has.
    gh_heap *g = h->heap;
    uint64_t taken = 0, held = g->pages_in_use
                               + g->stats.in_workbufs / GH_PAGE_SIZE;
    for (uintptr_t p = g->base; p < g->cur_arena_base;
         p += GH_PALLOC_CHUNK_BYTES) {
        const uint64_t *d =
            (const uint64_t *)gh_pagealloc_chunk_of(&g->pages, p);
        for (unsigned i = 0; d != NULL && i < 8; i++) {
            taken += gh_popcount64(d[i]);
        }
    }
    for (int32_t i = 0; i < g->procs; i++) {
        held += gh_popcount64(g->allp[i]->pcache.cache);
    }
    return taken - held;
}

EXPORT uint64_t
pr_heap_pointer_mask(pr_heap *h, uintptr_t obj, uint8_t *out, uint64_t cap)
{
    gh_object o;
    check(gh_object_at_addr(h->heap, obj, &o));
    unsigned index = 0;
    const uintptr_t p = h->heap->base + (uintptr_t)(obj - GH_ADDR_BASE);
    const gh_mspan *s = gh_find_object(h->heap, p, &index);
    const uint64_t skip = o.header ? 1 : 0;
    uint64_t n = o.size / 8, used = 0;  // a type repeats to the slot's end
    n = n < cap ? n : cap;
    for (uint64_t w = 0; w < n; w++) {
        out[w] = (uint8_t)(gh_slot_ptr_mask(h->heap, s, index, w + skip) & 1);
        used = out[w] ? w + 1 : used;
    }
    return used;
}
