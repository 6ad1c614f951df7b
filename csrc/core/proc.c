// proc.c: Ps, and who holds one. See proc.h.

#include "proc.h"

#include <stdlib.h>
#include <string.h>

#include "cpustats.h"
#include "mbarrier.h"
#include "mcache.h"
#include "mcleanup.h"
#include "mgcbg.h"
#include "safepoint.h"

// A mutator that somebody waits for gives way at a poll after this long.
#define HAND_OVER_NS 10000000

static gh_status
new_p(gh_heap *h, int32_t id, gh_p **out)
{
    void *mem;
    gh_status st = gh_fixalloc_alloc(&h->cachealloc, &mem);
    if (st != GH_OK) {
        return st;
    }
    gh_p *p = mem;
    memset(p, 0, sizeof(*p));
    p->heap = h;
    p->id = id;
    gh_mcache_init(p);
    if (h->concurrent) {
        st = gh_conc_add_p(p);
        if (st != GH_OK) {
            gh_fixalloc_free(&h->cachealloc, p);
            return st;
        }
    }
    gh_set_slow(p);
    p->sig = GH_P_SIG;
    *out = p;
    return GH_OK;
}

static void
destroy_p(gh_heap *h, gh_p *p)
{
    gh_mcache_release_all(p);
    gh_page_cache_flush(&p->pcache, &h->pages);
    gh_cleanups_flush_p(h, p);
    if (h->concurrent) {
        gh_conc_remove_p(p);
    }
    p->sig = GH_SIG_DEAD;
    gh_fixalloc_free(&h->cachealloc, p);
}

gh_status
gh_procs_init(gh_heap *h, int32_t n)
{
    void *mem;
    gh_status st = gh_persistentalloc(&h->persistent,
                                      GH_MAX_PROCS * sizeof(h->allp[0]), 8,
                                      &h->other_sys, &mem);
    if (st != GH_OK) {
        return st;
    }
    h->allp = mem;
    gh_fixalloc_init(&h->cachealloc, sizeof(gh_p), NULL, NULL, &h->persistent,
                     &h->mcache_sys);
    return gh_procresize(h, n);
}

gh_status
gh_procresize(gh_heap *h, int32_t n)
{
    const int32_t old = h->procs;
    for (int32_t i = old; i < n; i++) {
        gh_status st = new_p(h, i, &h->allp[i]);
        if (st != GH_OK) {
            while (i-- > old) {
                destroy_p(h, h->allp[i]);
            }
            return st;
        }
    }
    for (int32_t i = n; i < old; i++) {
        destroy_p(h, h->allp[i]);
        h->allp[i] = NULL;
    }
    if (old > 0) {
        gh_cpu_mutator(h, 1);
        gh_cpu_total(h);
        gh_cpu_other_stop(h);
    }
    if (old > 0 && h->phase == GH_PHASE_OFF) {
        gh_limiter_reset_capacity(&h->limiter, (int64_t)h->clock_ns, n);
    }
    __atomic_store_n(&h->procs, n, __ATOMIC_RELEASE);
    if (h->last_p >= n) {
        // Who is about to take a P looks at it, stop or no stop.
        __atomic_store_n(&h->last_p, 0, __ATOMIC_RELAXED);
    }
    return GH_OK;
}

void
gh_slots_unlink(gh_heap *h, gh_slots *b)
{
    if (b->prev != NULL) {
        b->prev->next = b->next;
    } else {
        h->blocks = b->next;
    }
    if (b->next != NULL) {
        b->next->prev = b->prev;
    }
    b->sig = GH_SIG_DEAD;
}

void
gh_pin_unlink(gh_window *w, gh_pin *pin)
{
    if (pin->prev != NULL) {
        pin->prev->next = pin->next;
    } else {
        w->pins = pin->next;
    }
    if (pin->next != NULL) {
        pin->next->prev = pin->prev;
    }
}

static void
free_dead_pins(gh_p *p, bool marking)
{
    gh_heap *h = p->heap;
    gh_window *w = h->window;
    size_t n = 0;
    gh_lock(&w->lock);
    for (gh_pin *pin = w->pins, *next; pin != NULL; pin = next) {
        next = pin->next;
        if (pin->dead) {
            if (marking) {
                gh_barrier_slot(p, pin->slot.word);
            }
            gh_pin_unlink(w, pin);
            free(pin);
            n++;
        }
    }
    w->refs -= n;  // the heap's own reference stays
    gh_unlock(&w->lock);
}

// free_dying shades what blocks and pins held that were freed while a cycle
// marked, and frees them.
static void
free_dying(gh_p *p)
{
    gh_heap *h = p->heap;
    const bool marking = h->phase == GH_PHASE_MARK;
    atomic_store(&h->has_dying, false);
    gh_lock(&h->roots_lock);
    for (gh_slots *b = h->blocks, *next; b != NULL; b = next) {
        next = b->next;
        if (!b->dead) {
            continue;
        }
        for (size_t i = 0; marking && !b->shaded && i < b->n; i++) {
            gh_barrier_slot(p, b->slot[i].word);
        }
        b->shaded = true;
        if (marking && h->concurrent) {
            atomic_store(&h->has_dying, true);
            continue;  // a worker may be looking at it
        }
        gh_slots_unlink(h, b);
        free(b);
    }
    gh_unlock(&h->roots_lock);
    free_dead_pins(p, marking);
}

void
gh_drain_handles(gh_p *p)
{
    gh_heap *h = p->heap;
    if (GH_UNLIKELY(h->concurrent)) {
        if (!gh_handles_has_pending(&h->handles)
            && !atomic_load_explicit(&h->has_dying, memory_order_relaxed)) {
            return;
        }
        gh_rlock(&h->heap_lock);
    }
    uint32_t id = gh_handles_take_pending(&h->handles);
    const bool marking = h->phase == GH_PHASE_MARK;
    while (id != 0) {
        gh_slot *slot = gh_handles_slot(&h->handles, id);
        if (GH_UNLIKELY(marking)) {
            gh_barrier_slot(p, slot->word);
        }
        gh_word_put(&slot->word, 0);
        id = gh_handles_release(&h->handles, id);
    }
    if (GH_UNLIKELY(atomic_load_explicit(&h->has_dying, memory_order_relaxed))) {
        free_dying(p);
    }
    gh_unlock_heap(h);
}

static bool
try_gate(gh_heap *h)
{
    uint32_t idle = 0;
    return atomic_compare_exchange_strong(&h->busy, &idle, 1);
}

static void
open_gate(gh_heap *h)
{
    atomic_store(&h->busy, 0);
    if (GH_UNLIKELY(atomic_load(&h->waiters) != 0)) {
        gh_lock(&h->lock);
        gh_cond_broadcast(&h->cond);
        gh_unlock(&h->lock);
    }
}

// wait_gate waits for at most ns, or as long as it takes if ns < 0; returns
// whether it came through.
static bool
wait_gate(gh_heap *h, int64_t ns)
{
    const int64_t end = ns < 0 ? 0 : gh_nanotime() + ns;
    gh_lock(&h->lock);
    atomic_fetch_add(&h->waiters, 1);
    bool through;
    while (!(through = try_gate(h))) {
        if (ns < 0) {
            gh_cond_wait(&h->cond, &h->lock);
        } else if (gh_nanotime() >= end) {
            break;
        } else {
            gh_cond_wait_until(&h->cond, &h->lock, end);
        }
    }
    atomic_fetch_sub(&h->waiters, 1);
    gh_unlock(&h->lock);
    return through;
}

// come_in is the rest of entering, once through the gate.
static gh_status
come_in(gh_heap *h, int32_t p, gh_mut **out)
{
    if (p == GH_ANY_P) {
        p = h->last_p;
    } else if (p < 0 || p >= h->procs) {
        open_gate(h);
        return GH_ERR_INVAL;
    }
    h->last_p = p;
    h->inside = h->allp[p];
    h->entered_ns = 0;
    // Only who is inside writes turn: no locked addition is needed.
    atomic_store_explicit(
        &h->turn, atomic_load_explicit(&h->turn, memory_order_relaxed) + 1,
        memory_order_relaxed);
    gh_drain_handles(h->inside);
    *out = h->inside;
    return GH_OK;
}

gh_status
gh_enter(gh_heap *h, int32_t p, gh_mut **out)
{
    if (GH_UNLIKELY(h->concurrent)) {
        return gh_conc_enter(h, p, -1, out);
    }
    if (!try_gate(h)) {
        (void)wait_gate(h, -1);
    }
    return come_in(h, p, out);
}

gh_status
gh_enter_until(gh_heap *h, int32_t p, int64_t ns, gh_mut **out)
{
    if (GH_UNLIKELY(h->concurrent)) {
        return gh_conc_enter(h, p, ns > 0 ? ns : 0, out);
    }
    if (!try_gate(h) && !wait_gate(h, ns > 0 ? ns : 0)) {
        return GH_AGAIN;
    }
    return come_in(h, p, out);
}

void
gh_around_cycles(gh_mut *m, void (*fn)(void *arg, bool begins), void *arg)
{
    m->around = fn;
    m->around_arg = arg;
}

gh_status
gh_try_enter(gh_heap *h, int32_t p, gh_mut **out)
{
    if (GH_UNLIKELY(h->concurrent)) {
        return gh_conc_enter(h, p, 0, out);
    }
    if (!try_gate(h)) {
        return GH_AGAIN;
    }
    return come_in(h, p, out);
}

gh_status
gh_enter_alone(gh_heap *h, int32_t p, gh_mut **out)
{
    if (GH_UNLIKELY(h->concurrent)) {
        return gh_conc_enter(h, p, 0, out);
    }
    GH_ASSERT(atomic_load(&h->busy) == 0);
    atomic_store_explicit(&h->busy, 1, memory_order_relaxed);
    return come_in(h, p, out);
}

void
gh_leave_alone(gh_mut *m)
{
    gh_heap *h = m->heap;
    if (GH_UNLIKELY(h->concurrent)) {
        gh_conc_leave(m);
        return;
    }
    GH_ASSERT(h->inside == m);
    GH_ASSERT(atomic_load(&h->waiters) == 0);
    h->inside = NULL;
    m->around = NULL;
    atomic_store_explicit(&h->busy, 0, memory_order_release);
}

void
gh_leave(gh_mut *m)
{
    gh_heap *h = m->heap;
    if (GH_UNLIKELY(h->concurrent)) {
        gh_conc_leave(m);
        return;
    }
    GH_ASSERT(h->inside == m);
    h->inside = NULL;
    m->around = NULL;
    open_gate(h);
}

bool
gh_poll(gh_mut *m)
{
    gh_heap *h = m->heap;
    if (GH_LIKELY(atomic_load_explicit(&h->waiters, memory_order_relaxed)
                  == 0)) {
        return false;
    }
    if (h->concurrent) {
        return gh_conc_poll(m);
    }
    // The clock is read only while somebody waits: the first such poll starts
    // the count.
    const int64_t now = gh_nanotime();
    if (h->entered_ns == 0) {
        h->entered_ns = now;
    }
    if (now - h->entered_ns < HAND_OVER_NS) {
        return false;
    }
    const uint64_t turn = atomic_load(&h->turn);
    m->parked++;
    h->inside = NULL;
    open_gate(h);
    gh_lock(&h->lock);
    atomic_fetch_add(&h->waiters, 1);
    // Stand back until somebody else has been in.
    while ((atomic_load(&h->waiters) > 1 && atomic_load(&h->turn) == turn)
           || !try_gate(h)) {
        gh_cond_wait(&h->cond, &h->lock);
    }
    atomic_fetch_sub(&h->waiters, 1);
    gh_unlock(&h->lock);
    m->parked--;
    h->inside = m;
    h->last_p = m->id;
    h->entered_ns = 0;
    atomic_fetch_add(&h->turn, 1);
    gh_drain_handles(m);
    return true;
}

gh_status
gh_switch_p(gh_mut **m, int32_t p)
{
    gh_heap *h = (*m)->heap;
    if (h->concurrent) {
        return gh_conc_switch(m, p);
    }
    if (p < 0 || p >= h->procs) {
        return GH_ERR_INVAL;
    }
    h->last_p = p;
    h->inside = h->allp[p];
    *m = h->inside;
    return GH_OK;
}

gh_heap *
gh_mut_heap(const gh_mut *m)
{
    return m->heap;
}

int32_t
gh_mut_p(const gh_mut *m)
{
    return m->id;
}

// may_resize: nobody counts on a P that would end.
static bool
may_resize(const gh_mut *m, int32_t procs)
{
    const gh_heap *h = m->heap;
    bool may = m->id < procs;
    for (int32_t i = procs; i < h->procs; i++) {
        may &= h->allp[i]->parked == 0
               && !(h->concurrent && h->conc.of[i]->stopped_held);
    }
    return may;
}

gh_status
gh_set_procs(gh_mut *m, int32_t procs)
{
    gh_heap *h = m->heap;
    if (procs < 1 || procs > GH_MAX_PROCS) {
        return GH_ERR_INVAL;
    }
    if (h->concurrent && h->phase != GH_PHASE_OFF && gh_is_stopper(m)) {
        return GH_ERR_STATE;  // no cycle ends in its stop
    }
    gh_stop_world(m);
    while (h->concurrent && h->phase != GH_PHASE_OFF) {
        gh_start_world(m);
        gh_bg_wait(m);
        gh_stop_world(m);
    }
    const gh_status st = may_resize(m, procs) ? gh_procresize(h, procs)
                                              : GH_ERR_STATE;
    gh_start_world(m);
    return st;
}

int32_t
gh_procs(const gh_heap *h)
{
    return __atomic_load_n(&h->procs, __ATOMIC_ACQUIRE);
}

void
gh_flush_p(gh_mut *m, int32_t p)
{
    gh_heap *h = m->heap;
    gh_stop_world(m);
    for (int32_t i = 0; i < h->procs; i++) {
        if (p == GH_ANY_P || p == i) {
            gh_mcache_release_all(h->allp[i]);
        }
    }
    gh_start_world(m);
}

void
gh_procs_fini(gh_heap *h)
{
    h->procs = 0;
    h->allp = NULL;
}
