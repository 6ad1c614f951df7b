// mgcmark_scan.h: what both markers do with one object: its pointer words, in
// pieces of at most 64.
//
// Layer 6. Includes delays.h, heap.h, mgcwork.h. Go: mgcmark.go, mbitmap.go.
//
// The functions that scan take one more, fn, which is told the words. It is a
// constant where they are called, so each marker gets them compiled around its
// own, without a call.

#ifndef MGCMARK_SCAN_H
#define MGCMARK_SCAN_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "delays.h"
#include "heap.h"
#include "mgcwork.h"

#define GH_INLINE static inline __attribute__((always_inline))
#define GH_RARE   static __attribute__((noinline, unused))

// An edge shifts by counts from memory, which the first x86-64 does in three steps
// and BMI2 in one; LZCNT counts in one step where AMD's BSR takes eight, POPCNT where the
// compiler else calls a function; PREFETCHW has a line that another core wrote arrive as
// this core's own. Both markers' loops are compiled for both.
#if defined(__x86_64__) && defined(__GNUC__)
#define GH_HAVE_BMI2 1
#define GH_BMI2 __attribute__((target("bmi,bmi2,lzcnt,popcnt,prfchw")))
#else
#define GH_HAVE_BMI2 0
#endif

// The ring between queue and scan. It is filled up when half of it is left, so that
// prefetches are issued in a row: one that misses the TLB holds up all that follows until
// the page table was walked, unless that is another prefetch. 16 to 32 are on their way:
// fewer leave the CPU waiting, 64 are more than it keeps account of.
#define GH_RING   32u
#define GH_REFILL 16u

// Words that a step of scanning may push without asking for room again.
#define GH_MARK_ROOM 64u

// gh_mark is the state of marking while it runs: the queue's top and sums, kept
// out of the heap. gh_mark_open takes them up, gh_mark_close gives them back.
typedef struct gh_mark {
    gh_heap *h;
    gh_gcwork *w;            // the queue
    uintptr_t base;          // of the window
    uintptr_t mapped;
    gh_pageinfo *pageinfo;
    uint64_t *marks;         // the area of all mark bits
    uintptr_t *sp, *end;     // top buffer: next free entry, end
    uint64_t bytes_marked;
    uint64_t scan_work;
    gh_step_fn fn;           // of Green Tea, driven by hand: hears of each object
    void *arg;
} gh_mark;

// gh_mark_tables is what an edge is looked up in. It is in locals of whoever scans: a
// store to the queue may alias the marker, so the compiler would go through memory for
// each word.
typedef struct gh_mark_tables {
    uintptr_t base, mapped;
    const gh_pageinfo *pageinfo;
    uint64_t *marks;
} gh_mark_tables;

static inline gh_mark_tables
gh_mark_tables_of(const gh_mark *k)
{
    return (gh_mark_tables){k->base, k->mapped, k->pageinfo, k->marks};
}

// gh_words_fn marks what the words of mask at p point at, if anything. mask may
// be 0.
typedef void (*gh_words_fn)(gh_mark *k, const uintptr_t *p, uint64_t mask);

static inline gh_mark
gh_mark_open(gh_heap *h)
{
    gh_workbuf *top = h->work.top;
    GH_ASSERT(top != NULL);
    return (gh_mark){
        .h = h,
        .w = &h->work,
        .base = h->base,
        .mapped = h->mapped_bytes,
        .pageinfo = h->pageinfo,
        .marks = h->bm.area[h->bm.mark_area],
        .sp = top->obj + top->n,
        .end = top->obj + GH_WORKBUF_ENTRIES,
    };
}

static inline void
gh_mark_close(gh_mark *k)
{
    gh_heap *h = k->h;
    k->w->top->n = (size_t)(k->sp - k->w->top->obj);
    h->bytes_marked += k->bytes_marked;
    h->gcc.heap_scan_work += k->scan_work;
}

// gh_mark_room_for makes sure of n free entries on top.
static inline bool
gh_mark_room_for(gh_mark *k, unsigned n)
{
    if (GH_LIKELY(k->end - k->sp >= (ptrdiff_t)n)) {
        return true;
    }
    gh_workbuf *top = k->w->top;
    top->n = (size_t)(k->sp - top->obj);
    if (!gh_gcwork_push_buf(k->h, k->w)) {
        return false;
    }
    top = k->w->top;
    k->sp = top->obj;
    k->end = top->obj + GH_WORKBUF_ENTRIES;
    return true;
}

static inline bool
gh_mark_room(gh_mark *k)
{
    return gh_mark_room_for(k, GH_MARK_ROOM);
}

// gh_mark_overflow notes that something marked was not queued: a rescan finds it.
static inline void
gh_mark_overflow(gh_mark *k, bool shared)
{
    if (shared) {
        atomic_store(&k->h->conc.overflowed, true);
    } else {
        k->w->overflowed = true;
    }
}

// gh_mark_pop_buf goes on with the buffer below the empty top one; false at the
// bottom.
static inline bool
gh_mark_pop_buf(gh_mark *k)
{
    if (!gh_gcwork_pop_buf(k->w)) {
        return false;
    }
    gh_workbuf *top = k->w->top;
    k->sp = top->obj + top->n;
    k->end = top->obj + GH_WORKBUF_ENTRIES;
    return true;
}

// gh_set_first sets a mark bit beside others that do; whether it was clear. Most edges lead
// to marked objects: those cost a load.
static inline bool
gh_set_first(uint64_t *word, uint64_t bit)
{
    return (__atomic_load_n(word, __ATOMIC_RELAXED) & bit) == 0
           && (__atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit) == 0;
}

// ---- one edge ------------------------------------------------------------------------

// gh_edge_end is where an edge leads.
typedef struct gh_edge_end {
    const gh_pageinfo *pi;
    uint64_t elemsize;  // 0: to a large object, of which the rest says nothing
    uint64_t slot;      // number in its span
    uintptr_t obj;      // its address
} gh_edge_end;

// gh_look_up finds it, at off bytes from the window's base, less than are mapped. false:
// a free page, or the tail of a span. Go: findObject.
GH_INLINE bool
gh_look_up(const gh_mark_tables t, uintptr_t off, gh_edge_end *end)
{
    const gh_pageinfo *pi = &t.pageinfo[off >> GH_PAGE_SHIFT];
    const uint64_t in_span = (off & (GH_PAGE_SIZE - 1))
                             + ((uint64_t)pi->page << GH_PAGE_SHIFT);
    const uint64_t i = (in_span * pi->div_mul) >> 32;
    if (GH_UNLIKELY(i >= pi->nelems)) {
        return false;
    }
    const uint64_t elemsize = pi->elemsize;
    *end = (gh_edge_end){pi, elemsize, i, t.base + off - in_span + i * elemsize};
    return true;
}

// gh_mark_large: the address lies in a page of a large object.
GH_RARE void
gh_mark_large(gh_mark *k, uintptr_t v, const gh_pageinfo *pi, bool room)
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
    if (pi->scan == 0) {
        return;
    }
    if (room) {
        *k->sp++ = s->base;
    } else {
        gh_mark_overflow(k, false);
    }
}

// ---- edges by the batch ----------------------------------------------------------------
//
// The mark word of an edge that leads anywhere is in no near cache where the heap is large,
// nor is what the edge is looked up in, and where another worker marks too, that one has
// mostly written to the word last. To wait for each costs more than marking. So the edges of
// a run of objects go through three short loops: their pointers are collected, and the
// records of the pages fetched; the edges are looked up, and the mark words fetched to be
// written; what they lead to is marked. Each loop has what it needs in registers, and many
// lines are under way.
//
// Where half of what leaves the queue lies near to what left it before, as in a tree that
// was made in order, so do the mark words, and in a small heap all are in the cache: there
// edges are marked one by one.

#define GH_EDGES            (2 * GH_MARK_ROOM)     // of a batch at most
#define GH_EDGES_FROM       ((uint64_t)32 << 20)   // bytes of a heap that isn't small
#define GH_NEAR             ((uintptr_t)32768)     // bytes

// gh_mark_edge is one that was looked up, in two words.
typedef struct gh_mark_edge {
    uint64_t what;  // number in the area of mark bits, elemsize, whether it holds pointers
    uintptr_t obj;
} gh_mark_edge;

#define GH_EDGE_BIT   16                // the number of the bit begins here
#define GH_EDGE_SIZE  ((uint64_t)0xfff8)
#define GH_EDGE_SCAN  ((uint64_t)1)
_Static_assert((GH_MAX_SMALL_SIZE & ~GH_EDGE_SIZE) == 0, "sizes fit, multiples of 8");

typedef void (*gh_large_fn)(gh_mark *k, uintptr_t v, const gh_pageinfo *pi, bool room);

static inline bool
gh_is_near(uintptr_t a, uintptr_t b)
{
    return a - b + GH_NEAR < 2 * GH_NEAR;
}

// gh_collect_edges puts what the words of mask at p point at at out, as bytes from
// the window's base; returns where the next one goes. Their pages' records are fetched.
// shared: others store into these words.
GH_INLINE uintptr_t *
gh_collect_edges(const gh_mark_tables t, const uintptr_t *p, uint64_t mask, uintptr_t *out,
                 const bool shared)
{
    // A branch: without one, where the next goes would hang on a word that is on its way.
    for (; mask != 0; mask &= mask - 1) {
        const uintptr_t *at = &p[gh_ctz64(mask)];
        const uintptr_t off = (shared ? gh_word_load(at) : *at) - t.base;
        if (off < t.mapped) {
            __builtin_prefetch(&t.pageinfo[off >> GH_PAGE_SHIFT]);
            *out++ = off;
        }
    }
    return out;
}

// gh_look_up_edges looks up n of them, and puts them at out; returns the end. Large objects
// are marked at once. room: there is some for n.
GH_INLINE gh_mark_edge *
gh_look_up_edges(gh_mark *k, const gh_mark_tables t, const uintptr_t *off, size_t n,
                 gh_mark_edge *out, bool room, gh_large_fn large)
{
    for (const uintptr_t *limit = off + n; off != limit; off++) {
        gh_edge_end e;
        if (!gh_look_up(t, *off, &e)) {
            continue;
        }
        if (GH_UNLIKELY(e.elemsize == 0)) {
            large(k, t.base + *off, e.pi, room);
            continue;
        }
        const uint64_t bit = (uint64_t)e.pi->bits * 64 + e.slot;
        __builtin_prefetch(&t.marks[bit / 64], 1);
        *out++ = (gh_mark_edge){(bit << GH_EDGE_BIT) + e.elemsize + e.pi->scan, e.obj};
    }
    return out;
}

// gh_take_edges marks what [e, limit) lead to, and puts at sp what is new and holds pointers;
// returns where the next entry goes; there is room for as many as edges. shared: others
// mark, too.
GH_INLINE uintptr_t *
gh_take_edges(const gh_mark_tables t, const gh_mark_edge *e, const gh_mark_edge *limit,
              uintptr_t *sp, uint64_t *bytes, const bool shared)
{
    uint64_t sum = 0;
    for (; e != limit; e++) {
        const uint64_t what = e->what, bit = what >> GH_EDGE_BIT;
        uint64_t *word = &t.marks[bit / 64];
        const uint64_t size = what & GH_EDGE_SIZE;
        if (!shared) {
            // Branch-free: the entry counts only if the pointer moves past it.
            const uint64_t is_new = gh_set_bit(word, bit);
            sum += is_new & size;
            *sp = e->obj;
            sp += is_new & what & GH_EDGE_SCAN;
        } else if (gh_set_first(word, (uint64_t)1 << (bit % 64))) {
            sum += size;
            *sp = e->obj;
            sp += what & GH_EDGE_SCAN;
        }
    }
    *bytes += sum;
    return sp;
}

// gh_mark_batch marks what n <= GH_EDGES edges lead to.
GH_INLINE void
gh_mark_batch(gh_mark *k, const gh_mark_tables t, const uintptr_t *off, size_t n,
              const bool shared, gh_large_fn large)
{
    gh_mark_edge edge[GH_EDGES];
    if (GH_LIKELY(gh_mark_room_for(k, GH_EDGES))) {
        const gh_mark_edge *end = gh_look_up_edges(k, t, off, n, edge, true, large);
        k->sp = gh_take_edges(t, edge, end, k->sp, &k->bytes_marked, shared);
        GH_ASSERT(k->sp <= k->end);
        return;
    }
    const gh_mark_edge *end = gh_look_up_edges(k, t, off, n, edge, false, large);
    uintptr_t won[GH_EDGES];
    const uintptr_t *last = gh_take_edges(t, edge, end, won, &k->bytes_marked, shared);
    if (last != won) {
        gh_mark_overflow(k, shared);
    }
}

// gh_scan_tiled scans [from, limit) of a row of elements of type t that begins
// at data; returns the end of the last pointer word, or 0 if there is none.
// Go: typePointers.next.
GH_INLINE uintptr_t
gh_scan_tiled(gh_mark *k, const gh_type *t, uintptr_t data, uintptr_t from,
              uintptr_t limit, gh_words_fn fn)
{
    if (t->size == GH_PTR_SIZE) {
        // A row of pointers is one mask of ones, 64 words at a time.
        for (uintptr_t at = from; at < limit; at += 64 * GH_PTR_SIZE) {
            const uintptr_t words = (limit - at) / GH_PTR_SIZE;
            fn(k, (const uintptr_t *)at,
               words < 64 ? ((uint64_t)1 << words) - 1 : ~(uint64_t)0);
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
            fn(k, (const uintptr_t *)at, mask);
        }
    }
    return last;
}

// gh_scan_oblet scans the part of s that begins at v, up to the next oblet.
static inline void
gh_scan_oblet(gh_mark *k, const gh_mspan *s, uintptr_t v, gh_words_fn fn)
{
    const gh_type *t = __atomic_load_n(&s->large_type, __ATOMIC_ACQUIRE);
    if (t == NULL) {
        return;  // being made: all zero
    }
    const uintptr_t end = s->base + s->elemsize;
    const uintptr_t limit =
        end - v < GH_MAX_OBLET_BYTES ? end : v + GH_MAX_OBLET_BYTES;
    const uintptr_t last =
        gh_scan_tiled(k, t, s->base, v, limit, fn);
    if (last != 0) {
        k->scan_work += last - v;
    }
}

// gh_scan_large scans a large object or, when v isn't its start, an oblet of it.
// Oblets that there is no room to queue are scanned at once: a rescan would
// want the same room again [inv:gc.ends].
GH_RARE void
gh_scan_large(gh_mark *k, uintptr_t v, gh_words_fn fn)
{
    const gh_mspan *s = gh_span_of_unchecked(k->h, v);
    if (v == s->base) {
        for (uintptr_t o = GH_MAX_OBLET_BYTES; o < s->elemsize;
             o += GH_MAX_OBLET_BYTES) {
            if (gh_mark_room(k)) {
                *k->sp++ = v + o;
                if (GH_UNLIKELY(k->fn != NULL)) {
                    k->fn(k->arg, false, gh_addr_show(k->h, v + o));
                }
            } else {
                gh_scan_oblet(k, s, v + o, fn);
            }
        }
    }
    gh_scan_oblet(k, s, v, fn);
}

GH_RARE void
gh_scan_header(gh_mark *k, uintptr_t v, uint64_t elemsize, gh_words_fn fn)
{
    const gh_type *t = *gh_header_of(k->h, v);
    if (t == NULL) {
        return;
    }
    const uintptr_t data = v + GH_MALLOC_HEADER_SIZE;
    const uintptr_t last = gh_scan_tiled(k, t, data, data, v + elemsize, fn);
    if (last != 0) {
        k->scan_work += last - v;
    }
}

// gh_scan_object scans the object or oblet at v, which is marked.
GH_INLINE void
gh_scan_object(gh_mark *k, uintptr_t v, gh_words_fn fn)
{
    const gh_pageinfo *pi = &k->pageinfo[(v - k->base) >> GH_PAGE_SHIFT];
    const uint64_t elemsize = pi->elemsize;
    if (GH_LIKELY(elemsize - 1 < GH_MIN_SIZE_FOR_MALLOC_HEADER)) {
        const uint64_t mask = gh_obj_ptr_bits(&k->h->bm, v, elemsize);
        k->scan_work += (64 - gh_clz64(mask)) * GH_PTR_SIZE;
        fn(k, (const uintptr_t *)v, mask);
    } else if (elemsize == 0) {
        gh_scan_large(k, v, fn);
    } else {
        gh_scan_header(k, v, elemsize, fn);
    }
}

typedef void (*gh_scan_fn)(gh_mark *k, uintptr_t v);

// gh_small_mask is the mask of the small object at v, whose page has mask or has none; of
// any other object 0.
static inline uint64_t
gh_small_mask(const gh_mark *k, uintptr_t v, uint64_t mask)
{
    if (mask == 0) {
        const uint64_t elemsize = k->pageinfo[(v - k->base) >> GH_PAGE_SHIFT].elemsize;
        if (elemsize - 1 < GH_MIN_SIZE_FOR_MALLOC_HEADER) {
            mask = gh_ptr_bits_get(&k->h->bm, v, (unsigned)(elemsize / GH_PTR_SIZE));
        }
    }
    return mask;
}

// gh_scan_run scans n objects of the ring from head on by the batch; masks are those of their
// pages. *words grows by the scan work. shared: it stops where that and what k has come to
// work bytes. Returns how many are left. What isn't small goes to scan.
GH_INLINE unsigned
gh_scan_run(gh_mark *k, const gh_mark_tables t, const uintptr_t *ring, const uint64_t *masks,
            unsigned head, unsigned n, uint64_t *words, const uint64_t work,
            const bool shared, gh_large_fn large, gh_scan_fn scan)
{
    uintptr_t off[GH_EDGES];
    size_t found = 0;
    uint64_t sum = *words;
    for (; n > 0; n--, head++) {
        if (shared) {
            if (k->scan_work + sum * GH_PTR_SIZE >= work) {
                break;
            }
            gh_yield_point(k->h, GH_AT_SCAN);
        }
        const uintptr_t v = ring[head % GH_RING];
        const uint64_t mask = gh_small_mask(k, v, masks[head % GH_RING]);
        if (GH_UNLIKELY(mask == 0)) {
            scan(k, v);
            continue;
        }
        sum += 64 - gh_clz64(mask);
        found = (size_t)(gh_collect_edges(t, (const uintptr_t *)v, mask, off + found, shared)
                         - off);
        if (found >= GH_EDGES - GH_MARK_ROOM) {
            gh_mark_batch(k, t, off, found, shared, large);
            found = 0;
        }
    }
    if (found > 0) {
        gh_mark_batch(k, t, off, found, shared, large);
    }
    *words = sum;
    return n;
}

#endif  // MGCMARK_SCAN_H
