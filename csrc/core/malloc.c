// malloc.c: mallocgc. See malloc.h.

#include "malloc.h"

#include "mbarrier.h"
#include "mcentral.h"
#include "mgc.h"
#include "mgcbg.h"
#include "mgcvirtual.h"
#include "mprof.h"
#include "safepoint.h"

// unlock_after_span is gh_unlock_heap once p has a new span: the trigger is looked at
// under the same lock.
static inline void
unlock_after_span(gh_p *p)
{
    if (GH_UNLIKELY(p->heap->concurrent)) {
        p->conc->trigger_met = gh_gc_should_start(p->heap);
        gh_runlock(&p->heap->heap_lock);
    }
}

// touch writes to each page of a fresh span. The barrier reads a word before it
// writes one: of a page that was never written the OS would first show zeros and
// then, on the write, interrupt every core that runs the program.
static void
touch(const gh_mspan *s)
{
    for (uintptr_t v = s->base; v < s->limit; v += GH_PHYS_PAGE_SIZE) {
        *(volatile uintptr_t *)v = 0;
    }
}

// Above that, an object is cleared when it is made: it should not push others out
// of the cache before it is used.
#define CLEAN_MAX 1024u

// A fetch is the free slots of a span that is likely the next, on their way to the cache.
typedef struct fetch {
    const char *base;      // of the slots of `free`
    uint64_t size;
    uint64_t free;         // of 64 slots, those not fetched yet
    const uint64_t *used, *end;  // bits of the slots after them
    uint64_t tail;         // of the last 64, those that are slots
} fetch;

// fetch_slot has one more arrive in the second-level cache, if there is one: the first of some
// CPUs waits for as many lines as clearing has under way already (performance.md).
static inline __attribute__((always_inline)) void
fetch_slot(fetch *f)
{
    if (f->free == 0) {
        if (f->used == f->end) {
            return;
        }
        f->base += 64 * f->size;
        f->free = ~*f->used++;
        if (f->used == f->end) {
            f->free &= f->tail;
        }
        if (f->free == 0) {
            return;
        }
    }
    const char *slot = f->base + gh_ctz64(f->free) * f->size;
    __builtin_prefetch(slot, 0, 2);
    if (f->size > 64) {
        __builtin_prefetch(slot + 64, 0, 2);
    }
    f->free &= f->free - 1;
}

// clear_slots clears those of 64 slots that free has bits of. Where the holes are is
// random, so of the common sizes each slot is cleared by itself: the same stores every
// time, and no stretch whose end has to be guessed. For each one of the next span is fetched.
static void
clear_slots(char *base, uint64_t size, uint64_t free, fetch *f)
{
#define CLEAR(n)                                                              \
    case n:                                                                   \
        for (; free != 0; free &= free - 1) {                                 \
            memset(base + (size_t)gh_ctz64(free) * (n), 0, n);                \
            fetch_slot(f);                                                    \
        }                                                                     \
        break
    switch (size) {
        CLEAR(8);
        CLEAR(16);
        CLEAR(24);
        CLEAR(32);
        CLEAR(48);
        CLEAR(64);
        CLEAR(80);
        CLEAR(96);
        CLEAR(112);
        CLEAR(128);
    default:
        for (; free != 0; free &= free - 1) {
            memset(base + gh_ctz64(free) * size, 0, size);
        }
    }
#undef CLEAR
}

// clear_all clears a span or an object, in parts for which libc's memset still uses
// vectors: at 2 KiB and over it turns to a string instruction, which may take three times
// as long on 8 KiB that are in the cache. The compiler does that itself where it knows the
// length, so it is not told.
static void
clear_all(char *base, size_t n)
{
    size_t part = 1024;
    __asm__("" : "+r"(part));
    for (; n >= part; base += part, n -= part) {
        memset(base, 0, part);
    }
    memset(base, 0, n);
}

// next_fetch is what to fetch while s is cleared: what is free of the span that p likely
// gets next, or, where others may take that one, of the rest of s. Below 32 bytes the
// CPU's own prefetch does as well: holes are on every line.
static fetch
next_fetch(const gh_p *p, const gh_mspan *s)
{
    if (s->elemsize < 32 || s->elemsize > 128) {
        return (fetch){0};
    }
    const gh_heap *h = p->heap;
    const gh_mspan *next = NULL;
    bool swept = true;
    unsigned from = 0;
    if (p->conc == NULL) {
        gh_mcentral *c = &p->heap->central[s->spanclass];
        next = gh_mcentral_partial_swept(h, c)->head;
        if (next == NULL) {
            swept = false;
            next = gh_mcentral_partial_unswept(h, c)->head;
        }
        if (next == NULL) {
            next = gh_mcentral_full_unswept(h, c)->head;
        }
    } else {
        next = gh_mcache_next_ahead(p, s->spanclass);
        if (next == NULL) {
            next = s;
            from = s->free_index / 64 + 1;
        }
    }
    if (next == NULL || from >= next->nbits_words) {
        return (fetch){0};
    }
    const uint64_t *used = swept ? gh_mspan_alloc_bits(&h->bm, next)
                                 : gh_mspan_mark_bits(&h->bm, next);
    return (fetch){
        .base = (const char *)next->base + from * 64 * next->elemsize - 64 * next->elemsize,
        .size = next->elemsize,
        .used = used + from,
        .end = used + next->nbits_words,
        .tail = ~(uint64_t)0 >> (next->nbits_words * 64 - next->nelems),
    };
}

// clean_span clears the free slots of a span that a P has just got, all at once.
static void
clean_span(const gh_p *p, gh_mspan *s)
{
    const gh_heap *h = p->heap;
    if (s->clean || s->elemsize > CLEAN_MAX || h->opt.debug.clobber_free) {
        return;  // who clobbers wants to see it until the slot is used
    }
    s->clean = true;
    if (h->opt.leaves) {
        return;
    }
    if (s->alloc_count == 0) {
        clear_all((char *)s->base, s->elemsize * s->nelems);
        return;
    }
    fetch f = next_fetch(p, s);
    const uint64_t *alloc = gh_mspan_alloc_bits(&h->bm, s);
    for (unsigned w = s->free_index / 64; w < s->nbits_words; w++) {
        const unsigned left = s->nelems - w * 64;
        uint64_t used = alloc[w];
        if (left < 64) {
            used |= ~(uint64_t)0 << left;
        }
        clear_slots((char *)gh_mspan_obj_base(s, w * 64), s->elemsize, ~used, &f);
    }
}

// Tiny blocks get parts one by one, so they are never said to be alike.
void
gh_set_objmeta_slow(gh_mspan *s, unsigned index, gh_objmeta m)
{
    GH_ASSERT(s->meta_mode == GH_META_ONE);
    s->short_way = 0;
    if (s->alloc_count == 1 && m.type != GH_TYPE_TINY_BLOCK) {
        s->one = m;
        return;
    }
    for (unsigned i = 0; i < s->nelems; i++) {
        s->meta[i] = s->one;
    }
    s->meta[index] = m;
    // Who reads of another object meanwhile finds it in either place.
    __atomic_store_n(&s->meta_mode, GH_META_EACH, __ATOMIC_RELEASE);
}

// refill_shared is gh_mcache_refill where others allocate beside p.
static gh_status
refill_shared(gh_p *p, uint8_t spc)
{
    if (gh_mcache_refill_ahead(p, spc)) {
        return GH_OK;
    }
    const bool waited = gh_rlock(&p->heap->heap_lock);
    gh_status st = gh_mcache_refill(p, spc);
    if (st == GH_OK) {
        gh_mcache_take_ahead(p, spc, waited);
    }
    unlock_after_span(p);
    return st;
}

// next_free_slow is next_free when a look at alloc_cache isn't enough.
static __attribute__((noinline)) gh_status
next_free_slow(gh_p *p, uint8_t spc, unsigned *index)
{
    gh_mspan *s = p->mcache.alloc[spc];
    unsigned i = gh_mspan_next_free_index(&p->heap->bm, s);
    if (i == s->nelems) {
        GH_THROW_IF(s->alloc_count != s->nelems,
                    "s.allocCount != s.nelems && freeIndex == s.nelems");
        gh_status st = GH_LIKELY(!p->heap->concurrent) ? gh_mcache_refill(p, spc)
                                                       : refill_shared(p, spc);
        if (st != GH_OK) {
            return st;
        }
        s = p->mcache.alloc[spc];
        clean_span(p, s);
        i = gh_mspan_next_free_index(&p->heap->bm, s);
        if (GH_UNLIKELY(p->heap->concurrent) && !s->needzero
            && s->alloc_count == 0 && p->heap->phase != GH_PHASE_OFF) {
            touch(s);
        }
    }
    GH_THROW_IF(i >= s->nelems, "freeIndex is not valid");
    s->alloc_count++;
    *index = i;
    return GH_OK;
}

// next_free returns a free slot of class spc; *refilled says whether a span had
// to be fetched. Go: mcache.nextFree.
static inline gh_status
next_free(gh_p *p, uint8_t spc, gh_mspan **span, unsigned *index,
          uintptr_t *out, bool *refilled)
{
    gh_mspan *s = p->mcache.alloc[spc];
    *span = s;
    *refilled = false;
    *out = gh_next_free_fast(s, index);
    if (GH_LIKELY(*out != 0)) {
        return GH_OK;
    }
    gh_status st = next_free_slow(p, spc, index);
    if (st != GH_OK) {
        return st;
    }
    *span = p->mcache.alloc[spc];
    *refilled = *span != s;
    *out = gh_mspan_obj_base(*span, *index);
    return GH_OK;
}

// cycle_around is a cycle between the two calls that the holder asked for.
static gh_status
cycle_around(gh_p *p)
{
    gh_outside(p, true);
    const gh_status st = gh_gc_cycle(p, false);
    gh_outside(p, false);
    return st;
}

// auto_cycle collects because the trigger was met. For want of memory the cycle
// may not begin: benign, counted in gc_skips, and tried again at the next test.
static void
auto_cycle(gh_p *p)
{
    if (p->heap->concurrent) {
        gh_bg_after_refill(p);
        return;
    }
    if (p->heap->opt.mode == GH_MODE_VIRTUAL) {
        gh_virtual_tick(p->heap, p);
        if (gh_gc_should_start(p->heap)) {
            gh_emit(p->heap, GH_EV_TRIGGER, p->id, 0, p->heap->gcc.heap_live, 0);
            if (gh_virtual_begin(p, false, GH_MARKING_BACKGROUND) != GH_OK) {
                GH_ASSERT(p->heap->phase == GH_PHASE_OFF);
            }
        }
        return;
    }
    gh_emit(p->heap, GH_EV_TRIGGER, p->id, 0, p->heap->gcc.heap_live, 0);
    if (cycle_around(p) != GH_OK) {
        GH_ASSERT(p->heap->phase == GH_PHASE_OFF);
    }
}

// publish tests the trigger, if the allocation calls for it, and then lets slot
// hold v.
static void
publish(gh_p *p, gh_slot *slot, uintptr_t v, bool test_trigger)
{
    if (GH_UNLIKELY(test_trigger)
        && (p->heap->opt.mode != GH_MODE_STW || gh_gc_should_start(p->heap))) {
        p->pending.word = v;
        auto_cycle(p);
        p->pending.word = 0;
    }
    gh_slot_write(p, slot, v);
}

// new_slowly does what a slow P does with a new object, whose data begins at v.
static __attribute__((noinline)) void
new_slowly(gh_p *p, gh_mspan *s, unsigned index, uintptr_t v, uint32_t type)
{
    gh_mark_new(p, s, index);
    gh_prof_debit(p, s, v, type);
}

static gh_status
alloc_tiny(gh_p *p, gh_slot *slot, unsigned size, uint32_t type)
{
    gh_mcache *c = &p->mcache;
    const unsigned off = gh_tiny_align(c->tiny_offset, size);
    if (c->tiny != 0 && off + size <= GH_TINY_SIZE) {
        gh_slot_write(p, slot, gh_tiny_part(c, off, size));
        return GH_OK;
    }
    gh_mspan *s;
    unsigned index;
    uintptr_t v;
    bool refilled;
    gh_status st = next_free(p, p->heap->sizes.tiny_spc, &s, &index, &v, &refilled);
    if (st != GH_OK) {
        return st;
    }
    if (GH_UNLIKELY(p->slow)) {
        new_slowly(p, s, index, v, type);
    }
    memset((void *)v, 0, GH_TINY_SIZE);
    gh_tiny_block(c, s, index, v, size);
    publish(p, slot, v, refilled);
    return GH_OK;
}

static gh_status
alloc_small_noscan(gh_p *p, gh_slot *slot, uint8_t spc, uint32_t type,
                   uint64_t count)
{
    gh_mspan *s;
    unsigned index;
    uintptr_t v;
    bool refilled;
    gh_status st = next_free(p, spc, &s, &index, &v, &refilled);
    if (st != GH_OK) {
        return st;
    }
    if (!s->clean && !p->heap->opt.leaves) {
        clear_all((char *)v, s->elemsize);
    }
    if (GH_UNLIKELY(p->slow)) {
        new_slowly(p, s, index, v, type);
    }
    gh_set_objmeta(s, index, type, count);
    if (type == GH_TYPE_BYTES && count < GH_SHORT_BYTES) {
        gh_note_short_way(s, GH_SHORT_BYTES | (uint32_t)count);
    } else if (count == 1 && type != GH_TYPE_BYTES) {
        gh_note_short_way(s, type);
    }
    publish(p, slot, v, refilled);
    return GH_OK;
}

// scan_alloc_bytes is what a new object of n elements adds to the heap's
// scannable bytes. Of rows of plain pointers Go counts the first only.
static uint64_t
scan_alloc_bytes(const gh_type *t, uint64_t n)
{
    if (t->size == GH_PTR_SIZE) {
        return GH_PTR_SIZE;
    }
    return t->ptrdata + (n - 1) * t->size;
}

static gh_status
alloc_small_scan(gh_p *p, gh_slot *slot, uint8_t spc, const gh_type *t,
                 uint64_t n, uint64_t size)
{
    gh_mspan *s;
    unsigned index;
    uintptr_t v;
    bool refilled;
    gh_status st = next_free(p, spc, &s, &index, &v, &refilled);
    if (st != GH_OK) {
        return st;
    }
    if (!s->clean && !p->heap->opt.leaves) {
        memset((void *)v, 0, size);
    }
    gh_obj_ptr_bits_set(&p->heap->bm, s, v, gh_heap_bits_small(t, size));
    p->mcache.scan_alloc += scan_alloc_bytes(t, n);
    if (GH_UNLIKELY(p->slow)) {
        new_slowly(p, s, index, v, t->id);
    }
    gh_set_objmeta(s, index, t->id, n);
    if (t->one_spc == spc && n == 1 && s->mask == t->mask0) {
        gh_note_short_way(s, t->id);
    }
    publish(p, slot, v, refilled);
    return GH_OK;
}

static gh_status
alloc_small_header(gh_p *p, gh_slot *slot, uint8_t spc, const gh_type *t,
                   uint64_t n)
{
    gh_mspan *s;
    unsigned index;
    uintptr_t v;
    bool refilled;
    gh_status st = next_free(p, spc, &s, &index, &v, &refilled);
    if (st != GH_OK) {
        return st;
    }
    if (!s->clean && !p->heap->opt.leaves) {
        clear_all((char *)v, s->elemsize);
    }
    *gh_header_of(p->heap, v) = t;
    p->mcache.scan_alloc += s->elemsize;
    if (GH_UNLIKELY(p->slow)) {
        new_slowly(p, s, index, v + GH_MALLOC_HEADER_SIZE,
                   t->id);
    }
    gh_set_objmeta(s, index, t->id, n);
    publish(p, slot, v + GH_MALLOC_HEADER_SIZE, refilled);
    return GH_OK;
}

static gh_status
alloc_large(gh_p *p, gh_slot *slot, const gh_type *t, uint64_t n, uint64_t size)
{
    const bool noscan = t == NULL || gh_type_noscan(t);
    gh_mspan *s;
    gh_lock_heap(p->heap);
    gh_status st = gh_mcache_alloc_large(p, size, noscan, &s);
    unlock_after_span(p);
    if (st != GH_OK) {
        return st;
    }
    s->free_index = 1;
    s->free_index_for_scan = 1;
    s->alloc_count = 1;
    s->alloc_cache = 0;
    s->large_type = NULL;
    s->large_count = n;
    s->large_type_id = t == NULL ? GH_TYPE_BYTES : t->id;
    // The trigger is tested before the memory is cleared: until large_type is
    // set the object has no pointers.
    p->pending.word = s->base;
    if (GH_UNLIKELY(p->slow)) {
        new_slowly(p, s, 0, s->base, s->large_type_id);
    }
    if (p->heap->opt.mode != GH_MODE_STW || gh_gc_should_start(p->heap)) {
        auto_cycle(p);
    }
    if (s->needzero && !p->heap->opt.leaves) {
        memset((void *)s->base, 0, s->elemsize);
    }
    if (!noscan) {
        // A marker that sees the type sees zeros, or what the barrier shaded.
        __atomic_store_n(&s->large_type, t, __ATOMIC_RELEASE);
        p->mcache.scan_alloc += s->elemsize;
    }
    gh_slot_write(p, slot, s->base);
    p->pending.word = 0;
    return GH_OK;
}

// alloc_block is gh_alloc without the second try.
static inline gh_status
alloc_block(gh_mut *m, gh_slot *slot, uint64_t size)
{
    if (size == 0) {
        gh_slot_write(m, slot, gh_zerobase(m->heap));
        return GH_OK;
    }
    if (size > GH_MAX_SMALL_REQUEST) {
        return alloc_large(m, slot, NULL, size, size);
    }
    if (size < GH_TINY_SIZE && m->heap->opt.policy.tiny) {
        return alloc_tiny(m, slot, (unsigned)size, GH_TYPE_BYTES);
    }
    return alloc_small_noscan(m, slot,
                              gh_make_spanclass(gh_table_class(&m->heap->sizes, size),
                                                true),
                              GH_TYPE_BYTES, size);
}

// alloc_typed is gh_new without the second try.
static inline gh_status
alloc_typed(gh_mut *m, gh_slot *slot, const gh_type *t, uint64_t n)
{
    if (t->size != 0 && n >= GH_MAX_ALLOC / t->size) {
        return GH_ERR_NOMEM;
    }
    const uint64_t size = t->size * n;
    if (size == 0) {
        gh_slot_write(m, slot, gh_zerobase(m->heap));
        return GH_OK;
    }
    if (size > GH_MAX_SMALL_REQUEST) {
        return alloc_large(m, slot, t, n, size);
    }
    if (gh_type_noscan(t)) {
        if (size < GH_TINY_SIZE && m->heap->opt.policy.tiny) {
            return alloc_tiny(m, slot, (unsigned)size, t->id);
        }
        return alloc_small_noscan(
            m, slot,
            gh_make_spanclass(gh_table_class(&m->heap->sizes, size), true),
            t->id, n);
    }
    if (gh_heap_bits_in_span(size)) {
        return alloc_small_scan(
            m, slot,
            gh_make_spanclass(gh_table_class(&m->heap->sizes, size), false), t,
            n, size);
    }
    const unsigned cls =
        gh_table_class(&m->heap->sizes, size + GH_MALLOC_HEADER_SIZE);
    return alloc_small_header(m, slot, gh_make_spanclass(cls, false), t, n);
}

// collect_for_room runs a cycle because hard_limit refused memory; whether it is
// worth another try. Without a limit the OS has refused, and more work there
// would be wasted.
static __attribute__((noinline)) bool
collect_for_room(gh_mut *m)
{
    gh_heap *h = m->heap;
    if (h->mem.hard_limit == UINT64_MAX || gh_is_stopper(m)) {
        return false;
    }
    if (h->opt.mode != GH_MODE_STW ? gh_gc(m) != GH_OK
                                       : cycle_around(m) != GH_OK) {
        return false;
    }
    gh_sweep_all(m);
    return true;
}

// collect_now is gc_every's cycle, if this allocation's turn has come.
static void
collect_now(gh_mut *m)
{
    gh_heap *h = m->heap;
    if (__atomic_add_fetch(&h->allocs_asked, 1, __ATOMIC_RELAXED)
                % h->opt.debug.gc_every != 0
        || h->by_hand || gh_is_stopper(m)) {
        return;
    }
    gh_outside(m, true);
    // Benign if there is no memory for it: counted in gc_skips.
    if (gh_gc(m) != GH_OK) {
        GH_ASSERT(h->phase == GH_PHASE_OFF || h->concurrent);
    }
    gh_outside(m, false);
}

// before_slow_alloc is what comes before an allocation of that many bytes of a P
// whose `slow` is set.
static __attribute__((noinline)) void
before_slow_alloc(gh_mut *m, uint64_t bytes)
{
    if (m->heap->opt.debug.gc_every != 0) {
        collect_now(m);
    }
    if (m->heap->concurrent) {
        gh_bg_charge(m, bytes);
    } else {
        gh_virtual_charge(m, bytes);
    }
}

static __attribute__((noinline)) gh_status
alloc_otherwise(gh_mut *m, gh_slot *slot, uint64_t size)
{
    if (GH_UNLIKELY(m->slow)) {
        before_slow_alloc(m, size < GH_TINY_SIZE ? size
                                                 : gh_table_round_up(&m->heap->sizes,
                                                                     size, true));
    }
    gh_status st = alloc_block(m, slot, size);
    if (GH_UNLIKELY(st == GH_ERR_NOMEM) && collect_for_room(m)) {
        st = alloc_block(m, slot, size);
    }
    return st;
}

// take_beside returns a slot of s while a cycle marks beside the program and there is no
// other reason to be slow, marked and paid for, or 0, and then nothing is done: somebody
// wants something of p's holder, p has no credit, or it takes more than a look at
// alloc_cache. That p's barrier has used its buffer says that nothing is delayed. It is
// what gh_bg_charge, next_free and new_slowly do where they have little to do.
static inline uintptr_t
take_beside(gh_p *p, gh_mspan *s, unsigned *index)
{
    gh_pconc *c = p->wb;
    const int64_t left = p->assist_bytes - (int64_t)s->elemsize;
    if (c == NULL || left < 0 || gh_conc_is_asked(p)) {
        return 0;
    }
    const uintptr_t v = gh_next_free_fast(s, index);
    if (v != 0) {
        p->assist_bytes = left;
        gh_mark_new_beside(p, s, *index);
    }
    return v;
}

// new_beside is gh_new_fast while a cycle marks beside the program.
static bool
new_beside(gh_p *p, gh_slot *slot, const gh_type *t, uint64_t n)
{
    const unsigned spc = t->one_spc;
    if (!p->only_marks || n != 1 || spc == 0) {
        return false;
    }
    gh_mspan *s = p->mcache.alloc[spc];
    if (s->short_way != t->id
        && (!s->clean || s->mask != t->mask0 || !gh_objmeta_fits(s, t->id, 1))) {
        return false;
    }
    unsigned index;
    const uintptr_t v = take_beside(p, s, &index);
    if (v == 0) {
        return false;
    }
    p->mcache.scan_alloc += t->ptrdata;
    gh_note_objmeta(s, index, t->id, 1);
    gh_slot_write(p, slot, v);
    return true;
}

// alloc_beside is gh_alloc_fast of 16 bytes and more, likewise.
static bool
alloc_beside(gh_p *p, gh_slot *slot, uint64_t size)
{
    if (size - GH_TINY_SIZE > 1024 - 8 - GH_TINY_SIZE || !p->only_marks) {
        return false;  // only then are the size classes Go's
    }
    gh_mspan *s = p->mcache.alloc[gh_size_to_class8[(size + 7) / 8] << 1 | 1];
    if (!s->clean || !gh_objmeta_fits(s, GH_TYPE_BYTES, size)) {
        return false;
    }
    unsigned index;
    const uintptr_t v = take_beside(p, s, &index);
    if (v == 0) {
        return false;
    }
    gh_note_objmeta(s, index, GH_TYPE_BYTES, size);
    gh_slot_write(p, slot, v);
    return true;
}

gh_status
gh_alloc(gh_mut *m, gh_slot *slot, uint64_t size)
{
    return GH_LIKELY(gh_alloc_fast(m, slot, size)) || alloc_beside(m, slot, size)
               ? GH_OK
               : alloc_otherwise(m, slot, size);
}

// quick_p is the P of an allocation that is all of a stay inside; NULL: there is
// more to do on the way in than that.
static inline gh_p *
quick_p(gh_heap *h)
{
    GH_ASSERT(h->concurrent || atomic_load(&h->busy) == 0);
    const bool more =
        h->concurrent || gh_handles_has_pending(&h->handles)
        || gh_calls_waiting(&h->calls) != 0
        || atomic_load_explicit(&h->has_dying, memory_order_relaxed);
    return GH_UNLIKELY(more) ? NULL : h->allp[h->last_p];
}

uint64_t
gh_alloc_quick(gh_heap *h, uint32_t id, uint64_t size)
{
    gh_p *p = quick_p(h);
    if (p == NULL) {
        return 0;
    }
    gh_slot *slot = gh_handles_slot(&h->handles, id);
    return GH_LIKELY(gh_alloc_fast(p, slot, size)) ? gh_addr_show(h, slot->word) : 0;
}

uint64_t
gh_new_quick(gh_heap *h, uint32_t id, const gh_type *t)
{
    gh_p *p = quick_p(h);
    if (p == NULL) {
        return 0;
    }
    gh_slot *slot = gh_handles_slot(&h->handles, id);
    return GH_LIKELY(gh_new_fast(p, slot, t, 1, true)) ? gh_addr_show(h, slot->word) : 0;
}

static __attribute__((noinline)) gh_status
new_otherwise(gh_mut *m, gh_slot *slot, const gh_type *t, uint64_t n)
{
    if (GH_UNLIKELY(m->slow)) {
        before_slow_alloc(m, gh_table_round_up(&m->heap->sizes, t->size * n,
                                               gh_type_noscan(t)));
    }
    gh_status st = alloc_typed(m, slot, t, n);
    if (GH_UNLIKELY(st == GH_ERR_NOMEM) && collect_for_room(m)) {
        st = alloc_typed(m, slot, t, n);
    }
    return st;
}

gh_status
gh_new(gh_mut *m, gh_slot *slot, const gh_type *t, uint64_t n)
{
    return GH_LIKELY(gh_new_fast(m, slot, t, n, true)) || new_beside(m, slot, t, n)
               ? GH_OK
               : new_otherwise(m, slot, t, n);
}

gh_status
gh_alloc_spanclass(gh_mut *m, gh_slot *slot, uint8_t spanclass,
                   uint64_t elemsize, const gh_type *t)
{
    unsigned cls = gh_spanclass_sizeclass(spanclass);
    const bool noscan = gh_spanclass_noscan(spanclass);
    if (cls >= GH_NUM_SIZE_CLASSES) {
        return GH_ERR_INVAL;
    }
    if (cls == 0 ? elemsize == 0 || elemsize % GH_PAGE_SIZE != 0
                 : elemsize != gh_class_to_size[cls]) {
        return GH_ERR_INVAL;
    }
    if (cls != 0 && m->heap->opt.policy.num_size_classes != 0) {
        // The heap's own class for what fits into Go's.
        cls = gh_table_class(&m->heap->sizes, elemsize);
        spanclass = gh_make_spanclass(cls, noscan);
        elemsize = m->heap->sizes.size[cls];
    }
    if (GH_UNLIKELY(m->slow)) {
        before_slow_alloc(m, elemsize);
    }
    if (noscan) {
        return cls == 0 ? alloc_large(m, slot, NULL, elemsize, elemsize)
                        : alloc_small_noscan(m, slot, spanclass, GH_TYPE_BYTES,
                                             elemsize);
    }
    if (t == NULL || gh_type_noscan(t) || t->size == 0) {
        t = m->heap->types.table[GH_TYPE_ALL_POINTERS];
    }
    const bool header = cls != 0 && !gh_heap_bits_in_span(elemsize);
    const uint64_t room = elemsize - (header ? GH_MALLOC_HEADER_SIZE : 0);
    if (t->size > room) {
        return GH_ERR_INVAL;
    }
    const uint64_t n = room / t->size;
    if (cls == 0) {
        return alloc_large(m, slot, t, n, elemsize);
    }
    return header ? alloc_small_header(m, slot, spanclass, t, n)
                  : alloc_small_scan(m, slot, spanclass, t, n, n * t->size);
}

void
gh_count_tiny(gh_mut *m)
{
    m->mcache.tiny_allocs++;
}
