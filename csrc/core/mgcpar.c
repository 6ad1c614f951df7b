// mgcpar.c: marking by several threads at once. See mgcpar.h.

#include "mgcpar.h"

#include "delays.h"
#include "mbarrier.h"
#include "mgcmark.h"
#include "mgcmark_scan.h"
#include "mgcwork.h"
#include "planted.h"
#include "special.h"

// Root slots that one takes at a time.
#define ROOT_STRETCH 2048u
// Spare buffers that are given back at a time.
#define FREE_BATCH 4
// Entries that are worth to be given away.
#define MIN_SHARE 32u

// ---- words ---------------------------------------------------------------------------

static inline void
queue(gh_mark *k, uintptr_t v, bool room)
{
    if (GH_LIKELY(room)) {
        *k->sp++ = v;
    } else {
        gh_mark_overflow(k, true);
    }
}

GH_RARE void
par_large(gh_mark *k, uintptr_t v, const gh_pageinfo *pi, bool room)
{
    const gh_mspan *s = gh_span_of_unchecked(k->h, v);
    if (v >= s->limit || !gh_set_first(&k->marks[pi->bits], 1)) {
        return;
    }
    k->bytes_marked += s->elemsize;
    if (pi->scan != 0) {
        queue(k, s->base, room);
    }
}

static inline void
par_word(gh_mark *k, uintptr_t v, bool room)
{
    const uintptr_t off = v - k->base;
    if (off >= k->mapped) {
        return;  // nil, the zero-size object, or in an arena newer than this cycle
    }
    gh_edge_end e;
    if (!gh_look_up(gh_mark_tables_of(k), off, &e)) {
        return;
    }
    if (GH_UNLIKELY(e.elemsize == 0)) {
        par_large(k, v, e.pi, room);
        return;
    }
    if (gh_set_first(&k->marks[e.pi->bits + e.slot / 64], (uint64_t)1 << (e.slot % 64))) {
        k->bytes_marked += e.elemsize;
        if (e.pi->scan != 0) {
            queue(k, e.obj, room);
        }
    }
}

// par_words is the gh_words_fn of this marker.
static inline __attribute__((always_inline)) void
par_words(gh_mark *k, const uintptr_t *p, uint64_t mask)
{
    const bool room = gh_mark_room(k);
    for (; mask != 0; mask &= mask - 1) {
        par_word(k, gh_word_load(&p[gh_ctz64(mask)]), room);
    }
}

static void
scan_object(gh_mark *k, uintptr_t v)
{
    gh_scan_object(k, v, par_words);
}

// ---- a P's queue -----------------------------------------------------------------------

static gh_mark
open_p(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_gcwork *w = &p->conc->work;
    gh_workbuf *top = w->top;
    return (gh_mark){
        .h = h,
        .w = w,
        .base = h->base,
        .mapped = __atomic_load_n(&h->mapped_bytes, __ATOMIC_ACQUIRE),
        .pageinfo = h->pageinfo,
        .marks = h->bm.area[h->bm.mark_area],
        .sp = top->obj + top->n,
        .end = top->obj + GH_WORKBUF_ENTRIES,
    };
}

static void
close_p(gh_p *p, gh_mark *k)
{
    k->w->top->n = (size_t)(k->sp - k->w->top->obj);
    p->conc->bytes_marked += k->bytes_marked;
    p->conc->scan_work += k->scan_work;
}

void
gh_par_shade_buffer(gh_p *p)
{
    gh_pconc *c = p->conc;
    if (c->nwb == 0) {
        return;
    }
    gh_mark_news(c);
    gh_mark k = open_p(p);
    for (uint32_t i = 0; i < c->nwb; i++) {
        par_word(&k, c->wb[i], gh_mark_room(&k));
    }
    c->nwb = 0;
    close_p(p, &k);
}

uint64_t
gh_par_settle(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_pconc *c = p->conc;
    const uint64_t work = c->scan_work;
    const gh_figures figures = c->figures;
    h->bytes_marked += c->bytes_marked;
    h->gcc.heap_scan_work += work;
    c->bytes_marked = 0;
    c->scan_work = 0;
    c->figures = (gh_figures){0, 0, 0};
    return work + gh_figures_count(h, figures);
}

// ---- the heap's list ----------------------------------------------------------------------

static void
push_full(gh_heap *h, gh_workbuf *b)
{
    b->below = h->conc.full;
    h->conc.full = b;
    if (!GH_PLANTED(NO_FLAG)) {
        atomic_store(&h->conc.has_full, true);
    }
}

// keep_spare gives an empty buffer back to the heap.
static void
keep_spare(gh_heap *h, gh_gcwork *w, gh_workbuf *b)
{
    b->n = 0;
    b->below = h->conc.spare;
    h->conc.spare = b;
    w->nbufs--;
}

bool
gh_par_flush(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_gcwork *w = &p->conc->work;
    if (w->top == NULL) {
        return false;  // no cycle yet
    }
    if (!GH_PLANTED(NO_WB)) {
        gh_par_shade_buffer(p);
    }
    if (w->top->n == 0 && w->top->below == NULL) {
        return false;
    }
    gh_yield_point(h, GH_AT_HAND_ON);
    gh_workbuf *empty = w->top->n == 0 ? NULL : gh_gcwork_take(h, w);
    gh_lock(&h->conc.work_lock);
    gh_workbuf *b = w->top;
    if (b->n == 0) {
        b = b->below;
        w->top->below = NULL;
    } else if (empty != NULL) {
        w->top = empty;
    } else {
        // It keeps the top one: who ends the cycle drains it there.
        b = b->below;
        w->top->below = NULL;
    }
    const bool any = b != NULL;
    while (b != NULL) {
        gh_workbuf *below = b->below;
        push_full(h, b);
        w->nbufs--;
        b = GH_PLANTED(FLUSH_TOP) ? NULL : below;
    }
    gh_unlock(&h->conc.work_lock);
    return any;
}

bool
gh_par_has_grey(const gh_p *p)
{
    const gh_heap *h = p->heap;
    const gh_pconc *c = p->conc;
    bool grey = c->work.top != NULL && c->work.top->below != NULL;
    for (uint32_t i = 0; i < c->nwb; i++) {
        unsigned index;
        const gh_mspan *s = gh_find_object(h, c->wb[i], &index);
        grey |= s != NULL && !gh_mspan_is_marked(&h->bm, s, index);
    }
    return grey;
}

void
gh_par_share(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_gcwork *w = &p->conc->work;
    // A hint: who is asked to share is asked again after its next turn.
    if (atomic_load_explicit(&h->conc.has_full, memory_order_relaxed)) {
        return;
    }
    gh_workbuf *b = w->top->below;
    if (b != NULL) {
        w->top->below = b->below;
        b->below = NULL;
    } else if (w->top->n >= MIN_SHARE) {
        // The older half, which leads to more.
        b = gh_gcwork_take(h, w);
        if (b == NULL) {
            return;
        }
        const size_t half = w->top->n / 2, rest = w->top->n - half;
        for (size_t i = 0; i < half; i++) {
            b->obj[i] = w->top->obj[i];
        }
        for (size_t i = 0; i < rest; i++) {
            w->top->obj[i] = w->top->obj[half + i];
        }
        b->n = half;
        w->top->n = GH_PLANTED(SHARE_HALF) ? half : rest;
    } else {
        return;
    }
    gh_yield_point(h, GH_AT_HAND_ON);
    gh_lock(&h->conc.work_lock);
    push_full(h, b);
    w->nbufs--;
    gh_unlock(&h->conc.work_lock);
}

// take_full makes a buffer of the heap's list the top one of p, whose queue is
// empty.
static bool
take_full(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_conc *c = &h->conc;
    gh_gcwork *w = &p->conc->work;
    if (!atomic_load(&c->has_full)) {
        return false;
    }
    if (!GH_PLANTED(NO_LOCK)) {
        gh_lock(&c->work_lock);
    }
    gh_workbuf *b = c->full;
    if (b != NULL) {
        GH_PLANTED_PAUSE(NO_LOCK);
        c->full = b->below;
        if (c->full == NULL || GH_PLANTED(FLAG_CLEARED)) {
            atomic_store(&c->has_full, false);
        }
        b->below = NULL;
        w->nbufs++;
        keep_spare(h, w, w->top);
        w->top = b;
    }
    if (!GH_PLANTED(NO_LOCK)) {
        gh_unlock(&c->work_lock);
    }
    gh_yield_point(h, GH_AT_STEAL);
    return b != NULL;
}

// ---- roots ------------------------------------------------------------------------------------

// next_slots finds the next stretch of root slots, under roots_lock; 0: there is
// none.
static size_t
next_slots(gh_heap *h, const gh_slot **slots)
{
    gh_conc *c = &h->conc;
    size_t n = 0;
    while (c->root_block != NULL && n == 0) {
        gh_slots *b = c->root_block;
        if (c->root_slot == b->n) {
            c->root_block = b->next;
            c->root_slot = 0;
            continue;
        }
        n = b->n - c->root_slot < ROOT_STRETCH ? b->n - c->root_slot
                                               : ROOT_STRETCH;
        *slots = b->slot + c->root_slot;
        c->root_slot += n;
    }
    if (n == 0 && c->root_handle < c->root_handles) {
        *slots = gh_handles_slot(&h->handles, c->root_handle + 1);
        n = c->root_handles - c->root_handle;
        if (n > GH_HANDLE_CHUNK) {
            n = GH_HANDLE_CHUNK;
        }
        c->root_handle += (uint32_t)n;
    }
    return n;
}

// next_figures takes a stretch's worth of what is only counted.
static uint64_t
next_figures(gh_p *p)
{
    gh_figures *f = &p->conc->figures;
    const gh_figures part =
        gh_figures_take(p->heap, ROOT_STRETCH * sizeof(uintptr_t));
    f->globals += part.globals;
    f->stacks += part.stacks;
    f->base += part.base;
    return part.globals + part.stacks + part.base;
}

// mark_some_roots marks what the next stretch of roots holds, or counts the next
// of the figures. It returns how many bytes of either; 0: there is none.
static uint64_t
mark_some_roots(gh_p *p)
{
    gh_heap *h = p->heap;
    const gh_slot *slots;
    if (!atomic_load(&h->conc.has_roots)) {
        return false;
    }
    GH_PLANTED_ROOT(h);
    gh_lock(&h->roots_lock);
    const uint64_t figures = next_figures(p);
    const size_t n = figures == 0 ? next_slots(h, &slots) : 0;
    if (figures == 0 && n == 0) {
        atomic_store(&h->conc.has_roots, false);
    }
    gh_unlock(&h->roots_lock);
    if (n > 0) {
        gh_mark k = open_p(p);
        for (size_t i = 0; i < n; i++) {
            gh_yield_point(h, GH_AT_ROOT);
            par_word(&k, gh_word_load(&slots[i].word), gh_mark_room(&k));
        }
        close_p(p, &k);
    }
    return figures + n * GH_PTR_SIZE;
}

bool
gh_par_has_few_roots(const gh_heap *h, uint64_t bytes)
{
    const gh_conc *c = &h->conc;
    const gh_figures *f = &h->figures_left;
    uint64_t n = f->globals + f->stacks + f->base;
    n += (uint64_t)(c->root_handles - c->root_handle) * GH_PTR_SIZE;
    for (const gh_slots *b = c->root_block; b != NULL && n <= bytes; b = b->next) {
        n += b->n * GH_PTR_SIZE;
    }
    return n <= bytes;
}

gh_status
gh_par_prepare(gh_heap *h)
{
    for (int32_t i = 0; i < h->procs; i++) {
        gh_status st = gh_gcwork_prepare(h, &h->allp[i]->conc->work);
        if (st != GH_OK) {
            return st;
        }
    }
    return GH_OK;
}

// mark_finalized: as in mgcmark.c.
static void
mark_finalized(gh_p *p, const gh_mspan *s, unsigned index, bool again)
{
    if (!gh_spanclass_noscan(s->spanclass)) {
        gh_mark k = open_p(p);
        k.bytes_marked += again ? 0 : s->elemsize;
        scan_object(&k, gh_mspan_obj_base(s, index));
        close_p(p, &k);
    }
}

void
gh_par_mark_finalized(gh_p *p, const gh_mspan *s, unsigned index)
{
    mark_finalized(p, s, index, false);
}

// mark_specials: as mark_all_specials in mgcmark.c. Go: markrootSpans.
static void
mark_specials(gh_p *p, bool again)
{
    gh_heap *h = p->heap;
    for (size_t w = 0; w < h->narenas * (GH_PAGES_PER_ARENA / 64); w++) {
        const gh_heap_arena *ha = h->arenas[w / (GH_PAGES_PER_ARENA / 64)];
        uint64_t bits = ha->page_specials[w % (GH_PAGES_PER_ARENA / 64)];
        for (; bits != 0; bits &= bits - 1) {
            const gh_mspan *s = h->spans[w * 64 + gh_ctz64(bits)];
            for (const gh_special *x = s->specials; x != NULL; x = x->next) {
                if (x->kind == GH_SPECIAL_FINALIZER) {
                    mark_finalized(
                        p, s,
                        gh_mspan_obj_index(s, s->base + (uintptr_t)x->offset),
                        again);
                } else if (x->kind == GH_SPECIAL_WEAK) {
                    gh_par_shade(p, ((const gh_weak *)x)->box);
                }
            }
        }
    }
}

void
gh_par_begin(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_conc *c = &h->conc;
    atomic_store(&c->overflowed, false);
    for (int32_t i = 0; i < h->procs; i++) {
        const gh_p *q = h->allp[i];
        gh_par_shade(p, q->mcache.tiny);  // Go: gcMarkTinyAllocs
        gh_par_shade(p, q->pending.word);
    }
    gh_lock(&h->window->lock);
    for (const gh_pin *pin = h->window->pins; pin != NULL; pin = pin->next) {
        gh_par_shade(p, pin->slot.word);
    }
    gh_unlock(&h->window->lock);
    mark_specials(p, false);
    gh_lock(&h->roots_lock);
    c->root_block = h->blocks;
    c->root_slot = 0;
    c->root_handle = 0;
    c->root_handles = h->handles.made;
    atomic_store(&c->has_roots, true);
    gh_unlock(&h->roots_lock);
    (void)gh_par_flush(p);
}

// ---- draining ------------------------------------------------------------------------------------

// A run is what is found to be new of one mark word, before it is set there. Neighbours
// in a structure that was made in order are in one word, so one locked instruction does for
// several.
typedef struct mark_run {
    uint64_t *word;
    uint64_t seen;      // of the word, when the run began
    uint64_t bits;
    uintptr_t first;    // where the object of bit 0 would be
    uint64_t elemsize;
    bool scan;
} mark_run;

// end_run sets the bits of r, and queues at sp what was clear and holds pointers; there is
// room for 64 entries. It returns where the next one goes; *bytes grows by what was marked.
static inline __attribute__((always_inline)) uintptr_t *
end_run(mark_run *r, uintptr_t *sp, uint64_t *bytes)
{
    if (r->bits == 0) {
        return sp;
    }
    uint64_t old = r->seen;
    while (!__atomic_compare_exchange_n(r->word, &old, old | r->bits, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    uint64_t won = r->bits & ~old;  // others may have been first
    r->bits = 0;
    *bytes += gh_popcount64(won) * r->elemsize;
    if (r->scan) {
        for (; won != 0; won &= won - 1) {
            *sp++ = r->first + gh_ctz64(won) * r->elemsize;
        }
    }
    return sp;
}

// scan_words is par_words for who has everything in locals, and room for 128 entries at
// sp: a store to the queue may alias the marker. It goes on with run r, and returns where
// the next entry goes; *bytes grows by what was marked.
static inline __attribute__((always_inline)) uintptr_t *
scan_words(gh_mark *k, const gh_mark_tables t, const uintptr_t *p, uint64_t mask,
           uintptr_t *sp, uint64_t *bytes, mark_run *r)
{
    for (; mask != 0; mask &= mask - 1) {
        const uintptr_t v = gh_word_load(&p[gh_ctz64(mask)]);
        const uintptr_t off = v - t.base;
        if (off >= t.mapped) {
            continue;
        }
        gh_edge_end e;
        if (!gh_look_up(t, off, &e)) {
            continue;
        }
        if (GH_UNLIKELY(e.elemsize == 0)) {
            k->sp = sp;
            par_large(k, v, e.pi, true);
            sp = k->sp;
            continue;
        }
        uint64_t *word = &t.marks[e.pi->bits + e.slot / 64];
        if (word != r->word) {
            sp = end_run(r, sp, bytes);
            r->word = word;
            r->seen = __atomic_load_n(word, __ATOMIC_RELAXED);
            r->first = e.obj - e.slot % 64 * e.elemsize;
            r->elemsize = e.elemsize;
            r->scan = e.pi->scan != 0;
        }
        r->bits |= (uint64_t)1 << (e.slot % 64) & ~r->seen;
    }
    return sp;
}

// end_run_now does the same, and asks for room; returns the bytes marked.
static inline uint64_t
end_run_now(gh_mark *k, mark_run *r)
{
    if (r->bits == 0) {
        return 0;
    }
    const bool room = gh_mark_room(k);
    uintptr_t won[64];
    uint64_t bytes = 0;
    const uintptr_t *end = end_run(r, won, &bytes);
    for (const uintptr_t *v = won; v != end; v++) {
        queue(k, *v, room);
    }
    return bytes;
}

// drain_loop scans p's own queue until it is empty or k has done work. An
// object is scanned some objects after it left the queue: its memory arrives
// meanwhile. The mask of its page is read as it leaves: what
// it says of an object that is queued stays true, and 0 always is. As in mgcmark.c.
static inline __attribute__((always_inline)) void
drain_loop(gh_mark *k, const uint64_t work, const bool edges)
{
    const gh_bitmaps *bm = &k->h->bm;
    const uint64_t *const page_mask = bm->page_mask;
    const gh_mark_tables t = gh_mark_tables_of(k);
    uintptr_t ring[GH_RING];
    uint64_t ring_mask[GH_RING];  // of each one's page, or 0
    unsigned head = 0, tail = 0;
    uintptr_t *sp = k->sp, *bottom = k->w->top->obj;
    // Where sp may be with room for an object and for a run.
    uintptr_t *last = k->end - 2 * GH_MARK_ROOM;
    mark_run r = {0};
    uint64_t bytes = 0, words = 0;
    bool direct = true, more = true;
    uintptr_t before = 0;
    while (more && k->scan_work + words * GH_PTR_SIZE < work) {
        if (tail - head <= GH_REFILL) {
            size_t n = GH_RING - (tail - head);
            if ((size_t)(sp - bottom) < n) {
                n = (size_t)(sp - bottom);
            }
            size_t near = 0;
            for (const uintptr_t *end = sp - n; sp != end; tail++) {
                const uintptr_t in = *--sp;
                __builtin_prefetch((const void *)in);
                ring[tail % GH_RING] = in;
                ring_mask[tail % GH_RING] = __atomic_load_n(
                    &page_mask[(in - t.base) >> GH_PAGE_SHIFT], __ATOMIC_RELAXED);
                if (edges) {
                    near += gh_is_near(in, before);
                    before = in;
                }
            }
            direct = !edges || 2 * near >= n;
            if (tail == head) {
                if (r.bits != 0) {
                    sp = end_run(&r, sp, &bytes);  // on an empty buffer
                    continue;
                }
                k->sp = sp;
                more = gh_mark_pop_buf(k);
                sp = k->sp;
                bottom = k->w->top->obj;
                last = k->end - 2 * GH_MARK_ROOM;
                continue;
            }
        }
        unsigned run = tail - head > GH_REFILL ? tail - head - GH_REFILL : 1;
        if (edges && !direct) {
            k->sp = sp;
            const unsigned left = gh_scan_run(k, t, ring, ring_mask, head, run, &words, work,
                                              true, par_large, scan_object);
            head += run - left;
            run = left;
            sp = k->sp;
            bottom = k->w->top->obj;
            last = k->end - 2 * GH_MARK_ROOM;
        }
        for (; run > 0; run--) {
            if (k->scan_work + words * GH_PTR_SIZE >= work) {
                more = false;
                break;
            }
            gh_yield_point(k->h, GH_AT_SCAN);
            const uintptr_t v = ring[head % GH_RING];
            const uint64_t mask = ring_mask[head++ % GH_RING];
            if (GH_LIKELY(mask != 0 && sp <= last)) {
                words += 64 - gh_clz64(mask);
                sp = scan_words(k, t, (const uintptr_t *)v, mask, sp, &bytes, &r);
                GH_ASSERT(sp <= k->end);
                continue;
            }
            k->sp = sp;
            scan_object(k, v);
            sp = k->sp;
            bottom = k->w->top->obj;
            last = k->end - 2 * GH_MARK_ROOM;
        }
    }
    k->sp = sp;
    bytes += end_run_now(k, &r);
    k->bytes_marked += bytes;
    k->scan_work += words * GH_PTR_SIZE;
    while (tail != head) {
        queue(k, ring[--tail % GH_RING], gh_mark_room(k));
    }
}

static inline __attribute__((always_inline)) void
drain_either(gh_mark *k, uint64_t work)
{
    if (k->h->gcc.heap_marked < k->h->edges_from) {
        drain_loop(k, work, false);
    } else {
        drain_loop(k, work, true);
    }
}

#if GH_HAVE_BMI2
static __attribute__((noinline)) GH_BMI2 void
drain_bmi2(gh_mark *k, uint64_t work)
{
    drain_either(k, work);
}
#endif

static __attribute__((noinline)) void
drain_queue(gh_mark *k, uint64_t work)
{
#if GH_HAVE_BMI2
    if (k->h->mark_bmi2) {
        drain_bmi2(k, work);
        return;
    }
#endif
    drain_either(k, work);
}

static bool
queue_is_empty(const gh_p *p)
{
    const gh_workbuf *top = p->conc->work.top;
    return top->n == 0 && top->below == NULL;
}

bool
gh_par_drain(gh_p *p, uint64_t work)
{
    uint64_t done = 0;
    for (;;) {
        gh_par_shade_buffer(p);
        if (queue_is_empty(p) && !take_full(p)) {
            const uint64_t roots = mark_some_roots(p);
            if (roots == 0) {
                return true;
            }
            done += roots;
        }
        if (done >= work) {
            return false;
        }
        gh_mark k = open_p(p);
        drain_queue(&k, work - done);
        done += k.scan_work;
        close_p(p, &k);
        if (done >= work) {
            return false;
        }
    }
}

// ---- the end --------------------------------------------------------------------------------------

static void
drain_here(gh_p *p)
{
    while (!gh_par_drain(p, UINT64_MAX)) {
    }
}

// rescan scans every marked object that holds pointers, once, and every one with
// a finalizer.
static void
rescan(gh_p *p)
{
    gh_heap *h = p->heap;
    mark_specials(p, true);
    drain_here(p);
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
                    gh_mark k = open_p(p);
                    scan_object(&k, gh_mspan_obj_base(s, i));
                    close_p(p, &k);
                    drain_here(p);
                }
            }
        }
    }
}

void
gh_par_end(gh_p *p)
{
    gh_heap *h = p->heap;
    gh_conc *c = &h->conc;
    for (int32_t i = 0; i < h->procs; i++) {
        gh_mark_news(h->allp[i]->conc);
        drain_here(h->allp[i]);
        (void)gh_par_settle(h->allp[i]);
    }
    if (atomic_load(&c->overflowed)) {
        // As drain_all in mgcmark.c: until a pass finds nothing new.
        uint64_t before;
        do {
            atomic_store(&c->overflowed, false);
            before = h->bytes_marked;
            h->gcc.heap_scan_work = h->base_scanned;
            rescan(p);
            (void)gh_par_settle(p);
        } while (h->bytes_marked != before || atomic_load(&c->overflowed));
    }
    // Giving memory back takes time: the sweeper does it. Go: prepareFreeWorkbufs.
    gh_lock(&c->work_lock);
    for (int32_t i = 0; i < h->procs; i++) {
        gh_gcwork *w = &h->allp[i]->conc->work;
        while (w->empty != NULL) {
            gh_workbuf *b = w->empty;
            w->empty = b->below;
            keep_spare(h, w, b);
        }
    }
    gh_unlock(&c->work_lock);
    if (h->conc.bg == NULL) {
        while (gh_par_free_some(h)) {
        }
    }
}

bool
gh_par_free_some(gh_heap *h)
{
    gh_conc *c = &h->conc;
    gh_workbuf *first = NULL;
    gh_lock_heap(h);
    gh_lock(&c->work_lock);
    for (int i = 0; i < FREE_BATCH && c->spare != NULL; i++) {
        gh_workbuf *b = c->spare;
        c->spare = b->below;
        b->below = first;
        first = b;
    }
    gh_unlock(&c->work_lock);
    gh_gcwork_free_list(h, first);
    gh_unlock_heap(h);
    return first != NULL;
}

void
gh_par_fini(gh_heap *h)
{
    gh_gcwork_free_list(h, h->conc.full);
    gh_gcwork_free_list(h, h->conc.spare);
    h->conc.full = h->conc.spare = NULL;
}
