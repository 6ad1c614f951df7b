// mgcmark.c: marking with the world stopped. See mgcmark.h.

#include "mgcmark.h"

#include <stdlib.h>

#include "mbarrier.h"
#include "mgcwork.h"

// Depth of the ring between queue and scan: enough to cover a cache miss.
#define RING 16u

// Words that a step of scanning may push without asking for room again.
#define ROOM 64u

typedef struct marker {
    gh_heap *h;
    uintptr_t base;          // of the window
    uintptr_t mapped;
    const gh_pageinfo *pageinfo;
    uint64_t *marks;         // the area of all mark bits
    uintptr_t *sp, *end;     // top buffer: next free entry, end
    uint64_t bytes_marked;
    uint64_t scan_work;
} marker;

// make_room makes sure of ROOM free entries on top.
static inline bool
make_room(marker *k)
{
    if (GH_LIKELY(k->end - k->sp >= (ptrdiff_t)ROOM)) {
        return true;
    }
    gh_workbuf *top = k->h->work.top;
    top->n = (size_t)(k->sp - top->obj);
    if (!gh_gcwork_push_buf(k->h)) {
        return false;
    }
    top = k->h->work.top;
    k->sp = top->obj;
    k->end = top->obj + GH_WORKBUF_ENTRIES;
    return true;
}

// mark_large: the address lies in a page of a large object.
static void
mark_large(marker *k, uintptr_t v, const gh_pageinfo *pi, bool room)
{
    uint64_t *word = &k->marks[pi->bits];
    if ((*word & 1) != 0) {
        return;
    }
    const gh_mspan *s = gh_span_of_unchecked(k->h, v);
    if (v >= s->limit) {
        return;
    }
    *word |= 1;
    k->bytes_marked += s->elemsize;
    if (gh_spanclass_noscan(pi->spanclass)) {
        return;
    }
    if (room) {
        *k->sp++ = s->base;
    } else {
        k->h->work.overflowed = true;
    }
}

// scan_words marks what the words of mask at p point at, if anything, and queues
// what is new and holds pointers. The caller has made room, or says that there
// is none.
//
// What the loop uses is in locals: a store to the queue may alias the marker, so
// the compiler would go through memory for each word.
static inline __attribute__((always_inline)) void
scan_words(marker *k, const uintptr_t *p, uint64_t mask, bool room)
{
    const uintptr_t base = k->base, mapped = k->mapped;
    const gh_pageinfo *const pageinfo = k->pageinfo;
    uint64_t *const marks = k->marks;
    uintptr_t *sp = k->sp;
    uint64_t bytes_marked = 0;
    for (; mask != 0; mask &= mask - 1) {
        const uintptr_t v = p[gh_ctz64(mask)];
        const uintptr_t off = v - base;
        if (off >= mapped) {
            continue;  // nil, the zero-size object, or an address not ours
        }
        const gh_pageinfo *pi = &pageinfo[off >> GH_PAGE_SHIFT];
        const uint64_t in_span = (off & (GH_PAGE_SIZE - 1))
                                 + ((uint64_t)pi->page << GH_PAGE_SHIFT);
        const uint32_t i = (uint32_t)((in_span * pi->div_mul) >> 32);
        if (GH_UNLIKELY(i >= pi->nelems)) {
            continue;  // a free page, or the tail of a span
        }
        const uint64_t elemsize = pi->elemsize;
        if (GH_UNLIKELY(elemsize == 0)) {
            k->sp = sp;
            mark_large(k, v, pi, room);
            sp = k->sp;
            continue;
        }
        uint64_t *word = &marks[pi->bits + i / 64];
        const uint64_t old = *word;
        const unsigned is_new = (unsigned)(~old >> (i % 64)) & 1;
        *word = old | (uint64_t)1 << (i % 64);
        bytes_marked += is_new * elemsize;
        const unsigned push = is_new & ~(unsigned)pi->spanclass;  // scan: even
        if (GH_LIKELY(room)) {
            // Branch-free: the entry counts only if the pointer moves past it.
            *sp = v - in_span + (uint64_t)i * elemsize;
            sp += push;
        } else if (push) {
            k->h->work.overflowed = true;
        }
    }
    k->sp = sp;
    k->bytes_marked += bytes_marked;
}

// scan_tiled scans [from, limit) of a row of elements of type t that begins at
// data; returns the end of the last pointer word, or 0 if there is none.
// Go: typePointers.next.
static uintptr_t
scan_tiled(marker *k, const gh_type *t, uintptr_t data, uintptr_t from,
           uintptr_t limit)
{
    if (t->size == GH_PTR_SIZE) {
        // A row of pointers is one mask of ones, 64 words at a time.
        for (uintptr_t at = from; at < limit; at += 64 * GH_PTR_SIZE) {
            const uintptr_t words = (limit - at) / GH_PTR_SIZE;
            const uint64_t mask = words < 64 ? ((uint64_t)1 << words) - 1
                                             : ~(uint64_t)0;
            if (make_room(k)) {
                scan_words(k, (const uintptr_t *)at, mask, true);
            } else {
                scan_words(k, (const uintptr_t *)at, mask, false);
            }
        }
        return limit;
    }
    uintptr_t last = 0;
    // The element that contains from, and the 64-word group of its mask.
    uintptr_t elem = data + (from - data) / t->size * t->size;
    for (; elem < limit; elem += t->size) {
        const uint64_t words = t->ptrdata / GH_PTR_SIZE;
        uint64_t g = from > elem ? (from - elem) / GH_PTR_SIZE / 64 : 0;
        for (; g * 64 < words; g++) {
            const uintptr_t at = elem + g * 64 * GH_PTR_SIZE;
            if (at >= limit) {
                break;
            }
            uint64_t mask = t->mask[g];
            if (at < from) {
                mask &= ~(uint64_t)0 << ((from - at) / GH_PTR_SIZE);
            }
            if (limit - at < 64 * GH_PTR_SIZE) {
                mask &= ((uint64_t)1 << ((limit - at) / GH_PTR_SIZE)) - 1;
            }
            if (mask == 0) {
                continue;
            }
            last = at + (64 - gh_clz64(mask)) * GH_PTR_SIZE;
            if (make_room(k)) {
                scan_words(k, (const uintptr_t *)at, mask, true);
            } else {
                scan_words(k, (const uintptr_t *)at, mask, false);
            }
        }
    }
    return last;
}

// scan_oblet scans the part of s that begins at v, up to the next oblet.
static void
scan_oblet(marker *k, const gh_mspan *s, uintptr_t v)
{
    if (s->large_type == NULL) {
        return;  // being made: all zero
    }
    const uintptr_t end = s->base + s->elemsize;
    const uintptr_t limit =
        end - v < GH_MAX_OBLET_BYTES ? end : v + GH_MAX_OBLET_BYTES;
    const uintptr_t last = scan_tiled(k, s->large_type, s->base, v, limit);
    if (last != 0) {
        k->scan_work += last - v;
    }
}

// scan_large scans a large object or, when v isn't its start, an oblet of it.
// Oblets that there is no room to queue are scanned at once: a rescan would
// want the same room again [inv:gc.ends].
static void
scan_large(marker *k, uintptr_t v)
{
    const gh_mspan *s = gh_span_of_unchecked(k->h, v);
    if (v == s->base) {
        for (uintptr_t o = GH_MAX_OBLET_BYTES; o < s->elemsize;
             o += GH_MAX_OBLET_BYTES) {
            if (make_room(k)) {
                *k->sp++ = v + o;
            } else {
                scan_oblet(k, s, v + o);
            }
        }
    }
    scan_oblet(k, s, v);
}

static void
scan_header(marker *k, uintptr_t v, uint64_t elemsize)
{
    const gh_type *t = *(const gh_type *const *)v;
    if (t == NULL) {
        return;
    }
    const uintptr_t data = v + GH_MALLOC_HEADER_SIZE;
    const uintptr_t last = scan_tiled(k, t, data, data, v + elemsize);
    if (last != 0) {
        k->scan_work += last - v;
    }
}

// scan_object scans the object or oblet at v, which is marked.
static inline void
scan_object(marker *k, uintptr_t v)
{
    const gh_pageinfo *pi = &k->pageinfo[(v - k->base) >> GH_PAGE_SHIFT];
    const uint64_t elemsize = pi->elemsize;
    if (GH_LIKELY(elemsize - 1 < GH_MIN_SIZE_FOR_MALLOC_HEADER)) {
        const uint64_t mask =
            gh_ptr_bits_get(&k->h->bm, v, (unsigned)(elemsize / GH_PTR_SIZE));
        k->scan_work += (64 - gh_clz64(mask)) * GH_PTR_SIZE;
        if (GH_LIKELY(make_room(k))) {
            scan_words(k, (const uintptr_t *)v, mask, true);
        } else {
            scan_words(k, (const uintptr_t *)v, mask, false);
        }
        return;
    }
    if (elemsize == 0) {
        scan_large(k, v);
    } else {
        scan_header(k, v, elemsize);
    }
}

// drain_to scans until work bytes of scan work were done, unless the queue is
// empty before; whether it is. bounded false: work is not looked at. An object
// enters the ring as it leaves the queue, and is scanned when it leaves the
// ring: its memory arrives meanwhile.
static inline __attribute__((always_inline)) bool
drain_to(marker *k, const bool bounded, uint64_t work)
{
    uintptr_t ring[RING] = {0};
    unsigned head = 0, inflight = 0;
    while (!bounded || k->scan_work < work) {
        uintptr_t in = 0;
        if (GH_LIKELY(k->sp > k->h->work.top->obj)) {
            in = *--k->sp;
            __builtin_prefetch((const void *)in);
            // And its pointer bits, a cache miss of their own.
            __builtin_prefetch(k->h->bm.ptr_bits + (in - k->base) / 512);
            inflight++;
        } else if (gh_gcwork_pop_buf(k->h)) {
            gh_workbuf *top = k->h->work.top;
            k->sp = top->obj + top->n;
            k->end = top->obj + GH_WORKBUF_ENTRIES;
            continue;
        }
        const uintptr_t v = ring[head];
        ring[head] = in;
        head = (head + 1) % RING;
        if (v == 0) {
            if (inflight == 0) {
                return true;
            }
            continue;
        }
        inflight--;
        scan_object(k, v);
    }
    // What is in the ring goes back, the oldest on top.
    for (unsigned i = 0; i < RING; i++) {
        const uintptr_t v = ring[(head + RING - 1 - i) % RING];
        if (v == 0) {
            continue;
        }
        if (make_room(k)) {
            *k->sp++ = v;
        } else {
            k->h->work.overflowed = true;  // it is marked: a rescan finds it
        }
    }
    return k->sp == k->h->work.top->obj && k->h->work.top->below == NULL;
}

static void
drain(marker *k)
{
    (void)drain_to(k, false, 0);
}

static void
mark_root(marker *k, uintptr_t v)
{
    if (v == 0) {
        return;
    }
    if (make_room(k)) {
        scan_words(k, &v, 1, true);
    } else {
        scan_words(k, &v, 1, false);
    }
}

// Roots between two drains: bounds the queue, whatever their number.
#define ROOT_BATCH 4096u

// mark_slots drains the queue now and then if scan is true.
static void
mark_slots(marker *k, const gh_slot *slot, size_t n, bool scan)
{
    for (size_t i = 0; i < n; i++) {
        mark_root(k, slot[i].word);
        if (scan && (i + 1) % ROOT_BATCH == 0) {
            drain(k);
        }
    }
    if (scan) {
        drain(k);
    }
}

static void
mark_roots(marker *k, bool scan)
{
    gh_heap *h = k->h;
    for (int32_t i = 0; i < h->procs; i++) {
        gh_p *p = h->allp[i];
        mark_root(k, p->mcache.tiny);  // Go: gcMarkTinyAllocs
        mark_root(k, p->pending.word);
    }
    gh_lock(&h->roots_lock);
    for (const gh_slots *b = h->blocks; b != NULL; b = b->next) {
        mark_slots(k, b->slot, b->n, scan);
    }
    gh_unlock(&h->roots_lock);
    for (uint32_t id = 1; id <= h->handles.made; id += GH_HANDLE_CHUNK) {
        const uint32_t left = h->handles.made - id + 1;
        mark_slots(k, gh_handles_slot(&h->handles, id),
                   left < GH_HANDLE_CHUNK ? left : GH_HANDLE_CHUNK, scan);
    }
    gh_lock(&h->window->lock);
    for (const gh_pin *pin = h->window->pins; pin != NULL; pin = pin->next) {
        mark_root(k, pin->slot.word);
    }
    gh_unlock(&h->window->lock);
    if (scan) {
        drain(k);
    }
}

// rescan scans every marked object that holds pointers, once.
static void
rescan(marker *k)
{
    gh_heap *h = k->h;
    for (size_t w = 0; w < h->narenas * (GH_PAGES_PER_ARENA / 64); w++) {
        const gh_heap_arena *ha = h->arenas[w / (GH_PAGES_PER_ARENA / 64)];
        uint64_t bits = ha->page_in_use[w % (GH_PAGES_PER_ARENA / 64)];
        for (; bits != 0; bits &= bits - 1) {
            const gh_mspan *s = h->spans[w * 64 + gh_ctz64(bits)];
            if (gh_spanclass_noscan(s->spanclass)) {
                continue;
            }
            for (unsigned i = 0; i < s->nelems; i++) {
                if (gh_mspan_is_marked(&h->bm, s, i)) {
                    scan_object(k, gh_mspan_obj_base(s, i));
                    drain(k);
                }
            }
        }
    }
}

// open_marker takes up the queue where close_marker left it.
static marker
open_marker(gh_heap *h)
{
    gh_workbuf *top = h->work.top;
    GH_ASSERT(top != NULL);
    return (marker){
        .h = h,
        .base = h->base,
        .mapped = h->mapped_bytes,
        .pageinfo = h->pageinfo,
        .marks = h->bm.area[h->bm.mark_area],
        .sp = top->obj + top->n,
        .end = top->obj + GH_WORKBUF_ENTRIES,
    };
}

static void
close_marker(marker *k)
{
    gh_heap *h = k->h;
    h->work.top->n = (size_t)(k->sp - h->work.top->obj);
    h->bytes_marked += k->bytes_marked;
    h->gcc.heap_scan_work += k->scan_work;
}

void
gh_gc_mark_roots(gh_heap *h)
{
    h->work.top->n = 0;
    h->work.overflowed = false;
    marker k = open_marker(h);
    mark_roots(&k, false);
    close_marker(&k);
}

void
gh_shade(gh_heap *h, uintptr_t v)
{
    if (v == 0) {
        return;
    }
    marker k = open_marker(h);
    mark_root(&k, v);
    close_marker(&k);
}

// drain_all ends the marking: the queue, and what did not find room in it.
static void
drain_all(marker *k)
{
    gh_heap *h = k->h;
    drain(k);
    if (h->work.overflowed) {
        // Some marked objects were never scanned. Go over all marked ones until
        // a pass finds nothing new; that pass counts the work anew, each object
        // once.
        uint64_t before;
        h->gcc.heap_scan_work = 0;
        do {
            h->work.overflowed = false;
            before = k->bytes_marked;
            k->scan_work = 0;
            rescan(k);
        } while (k->bytes_marked != before || h->work.overflowed);
    }
    GH_ASSERT(h->work.top->below == NULL);
}

void
gh_gc_drain(gh_heap *h)
{
    marker k = open_marker(h);
    drain_all(&k);
    close_marker(&k);
}

bool
gh_gc_drain_n(gh_heap *h, uint64_t work)
{
    marker k = open_marker(h);
    const bool empty = drain_to(&k, true, work);
    close_marker(&k);
    return empty;
}

void
gh_gc_mark(gh_heap *h)
{
    h->work.top->n = 0;
    h->work.overflowed = false;
    marker k = open_marker(h);
    mark_roots(&k, true);
    drain_all(&k);
    close_marker(&k);
}

// ---- by hand ------------------------------------------------------------------------

// grey_put appends v; false if there is no memory for it.
static bool
grey_put(gh_grey_list *q, uintptr_t v)
{
    if (q->n == q->cap) {
        const size_t cap = q->cap == 0 ? 64 : 2 * q->cap;
        uintptr_t *at = malloc(cap * sizeof(*at));
        if (at == NULL) {
            return false;
        }
        for (size_t i = 0; i < q->n; i++) {
            at[i] = q->at[(q->head + i) % q->cap];
        }
        free(q->at);
        q->at = at;
        q->head = 0;
        q->cap = cap;
    }
    q->at[(q->head + q->n++) % q->cap] = v;
    return true;
}

// take_greyed moves what the queue has got since the last step to the list of
// grey objects, in the order in which it came. What finds no room stays.
static void
take_greyed(marker *k, gh_step_fn fn, void *arg)
{
    gh_heap *h = k->h;
    // Full buffers below the top one came first; there are none but after a
    // great many roots or shadings.
    size_t depth = 0;
    for (const gh_workbuf *b = h->work.top->below; b != NULL; b = b->below) {
        depth++;
    }
    h->work.top->n = (size_t)(k->sp - h->work.top->obj);
    for (; depth + 1 > 0; depth--) {
        gh_workbuf *b = h->work.top;
        for (size_t i = 0; i < depth; i++) {
            b = b->below;
        }
        for (size_t i = 0; i < b->n; i++) {
            if (!grey_put(&h->grey, b->obj[i])) {
                return;  // gh_gc_drain finds it where it is
            }
            if (fn != NULL) {
                fn(arg, false, gh_addr_show(h, b->obj[i]));
            }
        }
        b->n = 0;
        if (depth == 0) {
            break;
        }
    }
    while (gh_gcwork_pop_buf(h)) {
    }
    k->sp = h->work.top->obj;
    k->end = h->work.top->obj + GH_WORKBUF_ENTRIES;
}

uint64_t
gh_gc_scan_grey(gh_heap *h, uint64_t n, gh_step_fn fn, void *arg)
{
    marker k = open_marker(h);
    take_greyed(&k, NULL, NULL);
    gh_grey_list *q = &h->grey;
    for (; n > 0 && q->n > 0; n--) {
        const uintptr_t v = q->at[q->head];
        q->head = (q->head + 1) % q->cap;
        q->n--;
        if (fn != NULL) {
            fn(arg, true, gh_addr_show(h, v));
        }
        scan_object(&k, v);
        take_greyed(&k, fn, arg);
    }
    close_marker(&k);
    return q->n + h->work.top->n;
}

void
gh_gc_queue_grey(gh_heap *h)
{
    gh_grey_list *q = &h->grey;
    marker k = open_marker(h);
    for (; q->n > 0; q->n--) {
        if (make_room(&k)) {
            *k.sp++ = q->at[q->head];
        } else {
            h->work.overflowed = true;  // it is marked: a rescan finds it
        }
        q->head = (q->head + 1) % q->cap;
    }
    close_marker(&k);
    free(q->at);
    *q = (gh_grey_list){0};
}

bool
gh_gc_is_grey(const gh_heap *h, uintptr_t from, uintptr_t limit)
{
    const gh_grey_list *q = &h->grey;
    for (size_t i = 0; i < q->n; i++) {
        const uintptr_t v = q->at[(q->head + i) % q->cap];
        if (v >= from && v < limit) {
            return true;
        }
    }
    for (const gh_workbuf *b = h->work.top; b != NULL; b = b->below) {
        for (size_t i = 0; i < b->n; i++) {
            if (b->obj[i] >= from && b->obj[i] < limit) {
                return true;
            }
        }
    }
    return false;
}

uint64_t
gh_slot_ptr_mask(const gh_heap *h, const gh_mspan *s, unsigned index,
                 uint64_t word)
{
    const uint64_t words = s->elemsize / GH_PTR_SIZE;
    if (word >= words || gh_spanclass_noscan(s->spanclass)) {
        return 0;
    }
    const unsigned n = (unsigned)(words - word < 64 ? words - word : 64);
    const uintptr_t base = gh_mspan_obj_base(s, index);
    if (s->elemsize <= GH_MIN_SIZE_FOR_MALLOC_HEADER) {
        return gh_ptr_bits_get(&h->bm, base + word * GH_PTR_SIZE, n);
    }
    const gh_type *t = s->large_type;
    uint64_t skip = 0;
    if (s->div_mul != 0) {
        t = *(const gh_type *const *)base;
        skip = GH_MALLOC_HEADER_SIZE / GH_PTR_SIZE;
    }
    uint64_t mask = 0;
    for (unsigned i = 0; t != NULL && i < n; i++) {
        if (word + i >= skip && gh_type_word_is_pointer(t, word + i - skip)) {
            mask |= (uint64_t)1 << i;
        }
    }
    return mask;
}
