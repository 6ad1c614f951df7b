// mgcmark.c: roots, the marker of objects, marking by hand. See mgcmark.h.

#include "mgcmark.h"

#include <stdlib.h>
#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#endif

#include "mbarrier.h"
#include "mgcmark_greenteagc.h"
#include "mgcpar.h"
#include "mgcmark_scan.h"
#include "mgcwork.h"
#include "special.h"

// scan_words marks what the words of mask at p point at, if anything, puts what
// is new and holds pointers at sp, and returns where the next one goes. room:
// there is some; if not, the queue has overflowed. *bytes grows by what was marked.
static inline __attribute__((always_inline)) uintptr_t *
scan_words(gh_mark *k, const gh_mark_tables t, const uintptr_t *p, uint64_t mask,
           uintptr_t *sp, uint64_t *bytes, const bool room)
{
    for (; mask != 0; mask &= mask - 1) {
        const uintptr_t v = p[gh_ctz64(mask)];
        const uintptr_t off = v - t.base;
        if (off >= t.mapped) {
            continue;  // nil, the zero-size object, or an address not ours
        }
        gh_edge_end e;
        if (!gh_look_up(t, off, &e)) {
            continue;
        }
        if (GH_UNLIKELY(e.elemsize == 0)) {
            k->sp = sp;
            gh_mark_large(k, v, e.pi, room);
            sp = k->sp;
            continue;
        }
        const uint64_t is_new = gh_set_bit(&t.marks[e.pi->bits + e.slot / 64], e.slot);
        *bytes += is_new & e.elemsize;
        const uint64_t push = is_new & e.pi->scan;
        if (GH_LIKELY(room)) {
            // Branch-free: the entry counts only if the pointer moves past it.
            *sp = e.obj;
            sp += push;
        } else if (push) {
            gh_mark_overflow(k, false);
        }
    }
    return sp;
}

static inline void
mark_words(gh_mark *k, const uintptr_t *p, uint64_t mask)
{
    uint64_t bytes = 0;
    if (GH_LIKELY(gh_mark_room(k))) {
        k->sp = scan_words(k, gh_mark_tables_of(k), p, mask, k->sp, &bytes, true);
    } else {
        k->sp = scan_words(k, gh_mark_tables_of(k), p, mask, k->sp, &bytes, false);
    }
    k->bytes_marked += bytes;
}

// no_words is mark_words where objects are leaves.
static inline void
no_words(gh_mark *k, const uintptr_t *p, uint64_t mask)
{
    (void)k;
    (void)p;
    (void)mask;
}

static __attribute__((noinline)) void
scan_object(gh_mark *k, uintptr_t v)
{
    if (GH_UNLIKELY(k->h->opt.leaves)) {
        gh_scan_object(k, v, no_words);
    } else {
        gh_scan_object(k, v, mark_words);
    }
}

// drain_loop scans until work bytes of scan work were done, unless the queue is
// empty before; whether it is. bounded false: work is not looked at. An object
// enters the ring as it leaves the queue, and is scanned when it leaves the
// ring: its memory arrives meanwhile.
//
// Small objects are scanned here, with what changes in locals; all else out of
// line. leaves: the work is counted, the objects' memory stays untouched.
static inline __attribute__((always_inline)) bool
drain_loop(gh_mark *k, const bool bounded, const uint64_t work, const bool leaves,
           const bool edges)
{
    const gh_bitmaps *bm = &k->h->bm;
    const uint64_t *const page_mask = bm->page_mask;
    const gh_mark_tables t = gh_mark_tables_of(k);
    uintptr_t ring[GH_RING];
    uint64_t ring_mask[GH_RING];  // of each one's page, or 0
    unsigned head = 0, tail = 0;
    uintptr_t *sp = k->sp, *bottom = k->w->top->obj;
    uintptr_t *last = k->end - GH_MARK_ROOM;  // where sp may be with room for an object
    uint64_t bytes = 0, words = 0;
    bool direct = true, more = true;
    uintptr_t before = 0;
    while (more) {
        if (bounded && k->scan_work + words * GH_PTR_SIZE >= work) {
            break;  // before anything leaves the queue only to go back
        }
        if (GH_UNLIKELY(tail - head <= GH_REFILL)) {
            size_t n = GH_RING - (tail - head);
            if ((size_t)(sp - bottom) < n) {
                n = (size_t)(sp - bottom);
            }
            size_t near = 0;
            for (const uintptr_t *end = sp - n; sp != end; tail++) {
                const uintptr_t in = *--sp;
                if (edges) {
                    near += gh_is_near(in, before);
                    before = in;
                }
                // In a run by the batch more is on its way than the first-level cache of some
                // CPUs waits for (performance.md).
                if (!leaves && direct) {
                    __builtin_prefetch((const void *)in);
                } else if (!leaves) {
                    __builtin_prefetch((const void *)in, 0, 2);
                }
                const uint64_t mask = page_mask[(in - t.base) >> GH_PAGE_SHIFT];
                ring[tail % GH_RING] = in;
                ring_mask[tail % GH_RING] = mask;
                if (GH_UNLIKELY(mask == 0)) {
                    // And its pointer bits, a cache miss of their own.
                    __builtin_prefetch(bm->ptr_bits + (in - t.base) / 512);
                }
            }
            direct = !edges || 2 * near >= n;
            if (GH_UNLIKELY(tail == head)) {
                k->sp = sp;
                more = gh_mark_pop_buf(k);
                sp = k->sp;
                bottom = k->w->top->obj;
                last = k->end - GH_MARK_ROOM;
                continue;
            }
        }
        // As many as leave half of the ring, or one.
        unsigned run = tail - head > GH_REFILL ? tail - head - GH_REFILL : 1;
        if (edges && !direct) {
            k->sp = sp;
            head += run;
            run = gh_scan_run(k, t, ring, ring_mask, head - run, run, &words, UINT64_MAX, false,
                              gh_mark_large, scan_object);
            GH_ASSERT(run == 0);
            sp = k->sp;
            bottom = k->w->top->obj;
            last = k->end - GH_MARK_ROOM;
        }
        for (; run > 0; run--) {
            if (bounded && k->scan_work + words * GH_PTR_SIZE >= work) {
                more = false;
                break;
            }
            const uintptr_t v = ring[head % GH_RING];
            const uint64_t mask = gh_small_mask(k, v, ring_mask[head++ % GH_RING]);
            if (GH_LIKELY(mask != 0 && sp <= last)) {
                words += 64 - gh_clz64(mask);
                const uintptr_t *p = (const uintptr_t *)v;
                // Half of the nodes of a binary tree lead nowhere: one branch says so.
                if (!leaves && (mask != 3 || (p[0] | p[1]) != 0)) {
                    sp = scan_words(k, t, p, mask, sp, &bytes, true);
                }
                GH_ASSERT(sp <= k->end);
                continue;
            }
            k->sp = sp;
            scan_object(k, v);
            sp = k->sp;
            bottom = k->w->top->obj;
            last = k->end - GH_MARK_ROOM;
        }
    }
    k->bytes_marked += bytes;
    k->scan_work += words * GH_PTR_SIZE;
    // What is in the ring goes back, the oldest on top.
    k->sp = sp;
    while (tail != head) {
        const uintptr_t v = ring[--tail % GH_RING];
        if (gh_mark_room(k)) {
            *k->sp++ = v;
        } else {
            gh_mark_overflow(k, false);  // it is marked: a rescan finds it
        }
    }
    return k->sp == k->w->top->obj && k->w->top->below == NULL;
}

static inline __attribute__((always_inline)) bool
drain_to(gh_mark *k, const bool bounded, uint64_t work)
{
    if (GH_UNLIKELY(k->h->opt.leaves)) {
        return drain_loop(k, bounded, work, true, false);
    }
    // Bounded, that is beside a mutator in virtual time, the order shows.
    if (bounded || k->h->gcc.heap_marked < k->h->edges_from) {
        return drain_loop(k, bounded, work, false, false);
    }
    return drain_loop(k, false, 0, false, true);
}

void
gh_mark_init(gh_heap *h)
{
    h->edges_from = GH_EDGES_FROM;
#if GH_HAVE_BMI2
    // Not every compiler knows lzcnt by name in __builtin_cpu_supports. A CPU without it
    // would take it for another instruction. PREFETCHW does nothing where it isn't known.
    enum { EXTENDED = (int)0x80000001, LZCNT = 1 << 5 };
    unsigned a, b, c = 0, d;
    h->mark_bmi2 = !h->opt.policy.portable_kernels && __builtin_cpu_supports("bmi")
                   && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt")
                   && __get_cpuid((unsigned)EXTENDED, &a, &b, &c, &d) != 0
                   && (c & LZCNT) != 0;
#else
    h->mark_bmi2 = false;
#endif
}

#if GH_HAVE_BMI2
static __attribute__((noinline)) GH_BMI2 void
drain_bmi2(gh_mark *k)
{
    (void)drain_to(k, false, 0);
}
#endif

static __attribute__((noinline)) void
drain(gh_mark *k)
{
#if GH_HAVE_BMI2
    if (k->h->mark_bmi2) {
        drain_bmi2(k);
        return;
    }
#endif
    (void)drain_to(k, false, 0);
}

static void
mark_root(gh_mark *k, uintptr_t v)
{
    if (v == 0) {
        return;
    }
    if (GH_UNLIKELY(k->h->gt != NULL)) {
        gh_greentea_mark(k, v);
    } else {
        mark_words(k, &v, 1);
    }
}

// Roots between two drains: bounds the queue, whatever their number.
#define ROOT_BATCH 4096u

// mark_slots drains the queue now and then if scan is true.
static void
mark_slots(gh_mark *k, const gh_slot *slot, size_t n, bool scan)
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

// mark_finalized scans an object that has a finalizer, and does not mark it. Its
// bytes count, as those of any object that Go scans, but in a rescan, which finds
// them counted. Go: gcScanFinalizer.
static void
mark_finalized(gh_mark *k, const gh_mspan *s, unsigned index, bool rescan)
{
    if (!gh_spanclass_noscan(s->spanclass)) {
        const uintptr_t v = gh_mspan_obj_base(s, index);
        k->bytes_marked += rescan ? 0 : s->elemsize;
        if (k->h->gt != NULL && !rescan) {
            gh_greentea_scan(k, v);
        } else {
            scan_object(k, v);
        }
    }
}

// Specials are roots: the weak handles' boxes, and what objects with finalizers
// point at. Go: markrootSpans.
static void
mark_specials(gh_mark *k, const gh_mspan *s, bool rescan)
{
    for (const gh_special *x = s->specials; x != NULL; x = x->next) {
        if (x->kind == GH_SPECIAL_FINALIZER) {
            mark_finalized(k, s,
                           gh_mspan_obj_index(s, s->base + (uintptr_t)x->offset),
                           rescan);
        } else if (x->kind == GH_SPECIAL_WEAK) {
            mark_root(k, ((const gh_weak *)x)->box);
        }
    }
}

// mark_all_specials drains the queue after each span if scan is true.
static void
mark_all_specials(gh_mark *k, bool scan, bool rescan)
{
    gh_heap *h = k->h;
    for (size_t w = 0; w < h->narenas * (GH_PAGES_PER_ARENA / 64); w++) {
        const gh_heap_arena *ha = h->arenas[w / (GH_PAGES_PER_ARENA / 64)];
        uint64_t bits = ha->page_specials[w % (GH_PAGES_PER_ARENA / 64)];
        for (; bits != 0; bits &= bits - 1) {
            mark_specials(k, h->spans[w * 64 + gh_ctz64(bits)], rescan);
            if (scan) {
                drain(k);
            }
        }
    }
}

void
gh_gc_mark_finalized(gh_heap *h, const gh_mspan *s, unsigned index)
{
    if (h->concurrent) {
        gh_par_mark_finalized(atomic_load(&h->conc.stopper), s, index);
        return;
    }
    gh_mark k = gh_mark_open(h);
    mark_finalized(&k, s, index, false);
    gh_mark_close(&k);
}

static void
mark_roots(gh_mark *k, bool scan)
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
    mark_all_specials(k, scan, false);
    if (scan) {
        drain(k);
    }
}

// rescan scans every marked object that holds pointers, once, and every one with
// a finalizer.
static void
rescan(gh_mark *k)
{
    gh_heap *h = k->h;
    mark_all_specials(k, true, true);
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

void
gh_gc_mark_roots(gh_heap *h)
{
    h->work.top->n = 0;
    h->work.overflowed = false;
    gh_mark k = gh_mark_open(h);
    mark_roots(&k, false);
    gh_mark_close(&k);
}

void
gh_shade(gh_p *p, uintptr_t v)
{
    if (p->heap->concurrent) {
        gh_par_shade(p, v);
        return;
    }
    if (v == 0) {
        return;
    }
    gh_mark k = gh_mark_open(p->heap);
    mark_root(&k, v);
    gh_mark_close(&k);
}

// drain_all ends the marking: the queue, and what did not find room in it.
static void
drain_all(gh_mark *k)
{
    gh_heap *h = k->h;
    if (h->gt == NULL) {
        drain(k);
    } else {
        (void)gh_greentea_drain(k, false, 0);
    }
    if (h->work.overflowed) {
        if (h->gt != NULL) {
            gh_greentea_abandon(h);
        }
        // Some marked objects were never scanned. Go over all marked ones until
        // a pass finds nothing new; that pass counts the work anew, each object
        // once.
        uint64_t before;
        h->gcc.heap_scan_work = h->base_scanned;
        do {
            h->work.overflowed = false;
            before = k->bytes_marked;
            k->scan_work = 0;
            rescan(k);
        } while (k->bytes_marked != before || h->work.overflowed);
    }
    GH_ASSERT(h->work.top->below == NULL);
}

// ---- figures -------------------------------------------------------------------

void
gh_figures_begin(gh_heap *h)
{
    h->figures_left = (gh_figures){h->globals_scan, h->stack_scan,
                                   h->opt.base_scan};
    h->base_scanned = 0;
}

static uint64_t
take_part(uint64_t *left, uint64_t *n)
{
    const uint64_t part = *left < *n ? *left : *n;
    *left -= part;
    *n -= part;
    return part;
}

gh_figures
gh_figures_take(gh_heap *h, uint64_t n)
{
    gh_figures *left = &h->figures_left;
    gh_figures part;
    part.globals = take_part(&left->globals, &n);
    part.stacks = take_part(&left->stacks, &n);
    part.base = take_part(&left->base, &n);
    return part;
}

uint64_t
gh_figures_count(gh_heap *h, gh_figures part)
{
    h->gcc.globals_scan_work += part.globals;
    h->gcc.stack_scan_work += part.stacks;
    h->gcc.heap_scan_work += part.base;
    h->base_scanned += part.base;
    return part.globals + part.stacks + part.base;
}

// ---- in pieces -----------------------------------------------------------------

void
gh_gc_drain(gh_heap *h)
{
    gh_mark k = gh_mark_open(h);
    drain_all(&k);
    gh_mark_close(&k);
}

bool
gh_gc_drain_n(gh_heap *h, uint64_t work)
{
    gh_mark k = gh_mark_open(h);
    const bool empty = h->gt == NULL ? drain_to(&k, true, work)
                                     : gh_greentea_drain(&k, true, work);
    gh_mark_close(&k);
    return empty;
}

void
gh_gc_mark(gh_heap *h)
{
    h->work.top->n = 0;
    h->work.overflowed = false;
    gh_mark k = gh_mark_open(h);
    // Green Tea's spans fill while roots are marked; its queue is short.
    mark_roots(&k, h->gt == NULL);
    drain_all(&k);
    gh_mark_close(&k);
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
take_greyed(gh_mark *k, gh_step_fn fn, void *arg)
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
    while (gh_gcwork_pop_buf(&h->work)) {
    }
    k->sp = h->work.top->obj;
    k->end = h->work.top->obj + GH_WORKBUF_ENTRIES;
}

// greentea_scan_grey is gh_gc_scan_grey of the other marker. What is grey stays
// in its queues.
static uint64_t
greentea_scan_grey(gh_heap *h, uint64_t n, gh_step_fn fn, void *arg)
{
    gh_mark k = gh_mark_open(h);
    k.fn = fn;
    k.arg = arg;
    while (n > 0 && gh_greentea_step(&k)) {
        n--;
    }
    gh_mark_close(&k);
    uint64_t left = gh_spanq_len(&h->gt->queue);
    for (const gh_workbuf *b = h->work.top; b != NULL; b = b->below) {
        left += b->n;
    }
    return left;
}

uint64_t
gh_gc_scan_grey(gh_heap *h, uint64_t n, gh_step_fn fn, void *arg)
{
    if (h->gt != NULL) {
        return greentea_scan_grey(h, n, fn, arg);
    }
    gh_mark k = gh_mark_open(h);
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
    gh_mark_close(&k);
    return q->n + h->work.top->n;
}

void
gh_gc_queue_grey(gh_heap *h)
{
    gh_grey_list *q = &h->grey;
    gh_mark k = gh_mark_open(h);
    for (; q->n > 0; q->n--) {
        if (gh_mark_room(&k)) {
            *k.sp++ = q->at[q->head];
        } else {
            h->work.overflowed = true;  // it is marked: a rescan finds it
        }
        q->head = (q->head + 1) % q->cap;
    }
    gh_mark_close(&k);
    free(q->at);
    *q = (gh_grey_list){0};
}

static void
walk_bufs(const gh_workbuf *b, void (*fn)(void *arg, uintptr_t v), void *arg)
{
    for (; b != NULL; b = b->below) {
        for (size_t i = 0; i < b->n; i++) {
            fn(arg, b->obj[i]);
        }
    }
}

typedef struct span_walk {
    const gh_heap *h;
    void (*fn)(void *arg, uintptr_t v);
    void *arg;
} span_walk;

static void
walk_span(void *arg, uintptr_t entry)
{
    const span_walk *k = arg;
    unsigned index;
    const gh_mspan *s = gh_find_object(k->h, entry, &index);
    for (unsigned w = 0; s != NULL && w < s->nbits_words; w++) {
        uint64_t greys = gh_greentea_greys(k->h, s, w);
        for (; greys != 0; greys &= greys - 1) {
            k->fn(k->arg, gh_mspan_obj_base(s, w * 64 + gh_ctz64(greys)));
        }
    }
}

void
gh_gc_walk_grey(const gh_heap *h, void (*fn)(void *arg, uintptr_t v), void *arg)
{
    if (h->gt != NULL) {
        span_walk k = {h, fn, arg};
        gh_spanq_each(&h->gt->queue, walk_span, &k);
    }
    const gh_grey_list *q = &h->grey;
    for (size_t i = 0; i < q->n; i++) {
        fn(arg, q->at[(q->head + i) % q->cap]);
    }
    walk_bufs(h->work.top, fn, arg);
    if (h->concurrent) {
        walk_bufs(h->conc.full, fn, arg);
        for (int32_t i = 0; i < h->procs; i++) {
            walk_bufs(h->conc.of[i]->work.top, fn, arg);
        }
    }
}

typedef struct grey_search {
    uintptr_t from, limit;
    bool found;
} grey_search;

static void
look_for(void *arg, uintptr_t v)
{
    grey_search *k = arg;
    k->found = k->found || (v >= k->from && v < k->limit);
}

bool
gh_gc_is_grey(const gh_heap *h, uintptr_t from, uintptr_t limit)
{
    unsigned index;
    const gh_mspan *s =
        h->gt == NULL ? NULL : gh_find_object(h, from, &index);
    if (s != NULL && gh_greentea_takes(s->elemsize)) {
        return (gh_greentea_greys(h, s, index / 64) >> (index % 64) & 1) != 0;
    }
    grey_search k = {.from = from, .limit = limit};
    gh_gc_walk_grey(h, look_for, &k);
    return k.found;
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
        t = *gh_header_of((gh_heap *)h, base);
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

bool
gh_slot_word_is_pointer(const gh_heap *h, const gh_mspan *s, unsigned index,
                        uint64_t word)
{
    const uint64_t words = s->elemsize / GH_PTR_SIZE;
    if (word >= words || gh_spanclass_noscan(s->spanclass)) {
        return false;
    }
    const uintptr_t base = gh_mspan_obj_base(s, index);
    if (s->elemsize <= GH_MIN_SIZE_FOR_MALLOC_HEADER) {
        return gh_ptr_bits_get(&h->bm, base + word * GH_PTR_SIZE, 1) != 0;
    }
    if (s->div_mul == 0) {
        return s->large_type != NULL
               && gh_type_word_is_pointer(s->large_type, word);
    }
    const uint64_t skip = GH_MALLOC_HEADER_SIZE / GH_PTR_SIZE;
    const gh_type *t = *gh_header_of((gh_heap *)h, base);
    return t != NULL && word >= skip && gh_type_word_is_pointer(t, word - skip);
}
