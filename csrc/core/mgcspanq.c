// mgcspanq.c: the queue of spans. See mgcspanq.h.

#include "mgcspanq.h"

struct gh_spmc {
    gh_spmc *next_made;           // in the owner's list of all
    _Atomic(gh_spmc *) newer;     // its successor
    _Atomic uint32_t head, tail;  // mod 2^32
    uint32_t cap;                 // a power of two
    _Atomic uintptr_t slot[];
};

static size_t
spmc_bytes(uint32_t cap)
{
    return gh_align_up(sizeof(gh_spmc) + cap * sizeof(uintptr_t),
                       GH_PHYS_PAGE_SIZE);
}

static gh_spmc *
new_spmc(gh_spanq *q, uint32_t cap)
{
    void *mem;
    if (gh_sys_alloc(q->mem, spmc_bytes(cap), q->stat, &mem) != GH_OK) {
        return NULL;
    }
    gh_spmc *r = mem;
    r->cap = cap;
    r->next_made = q->all;
    q->all = r;
    return r;
}

void
gh_spanq_init(gh_spanq *q, gh_mem *mem, gh_sysstat *stat)
{
    *q = (gh_spanq){.mem = mem, .stat = stat};
}

void
gh_spanq_free(gh_spanq *q)
{
    while (q->all != NULL) {
        gh_spmc *r = q->all;
        q->all = r->next_made;
        const size_t n = spmc_bytes(r->cap);
        gh_sys_free(q->mem, r, n, n, q->stat);
    }
    gh_spanq_init(q, q->mem, q->stat);
}

// try_spill moves n private entries to r, if they fit.
static bool
try_spill(gh_spanq *q, gh_spmc *r, uint32_t n)
{
    // Acquire: what consumers took is copied, so its place is free.
    const uint32_t h = atomic_load_explicit(&r->head, memory_order_acquire);
    const uint32_t t = atomic_load_explicit(&r->tail, memory_order_relaxed);
    if (t - h + n > r->cap) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        atomic_store_explicit(&r->slot[(t + i) & (r->cap - 1)],
                              q->ring[(q->head + i) % GH_SPANQ_RING],
                              memory_order_relaxed);
    }
    atomic_store_explicit(&r->tail, t + n, memory_order_release);
    q->head += n;
    return true;
}

// spill moves the n oldest private entries to the chain; false: no memory.
// Go: spanQueue.drain.
static bool
spill(gh_spanq *q, uint32_t n)
{
    GH_ASSERT(n <= q->tail - q->head);
    gh_spmc *r = q->newest;
    if (r != NULL && try_spill(q, r, n)) {
        q->puts = 0;
        return true;
    }
    uint32_t cap = GH_SPMC_FIRST_CAP;
    if (r != NULL) {
        cap = r->cap < GH_SPMC_MAX_CAP ? r->cap * 2 : GH_SPMC_MAX_CAP;
    }
    gh_spmc *fresh = new_spmc(q, cap);
    if (fresh == NULL) {
        return false;
    }
    q->puts = 0;
    const bool fits = try_spill(q, fresh, n);
    GH_ASSERT(fits);
    (void)fits;
    if (r == NULL) {
        atomic_store_explicit(&q->oldest, fresh, memory_order_release);
    } else {
        atomic_store_explicit(&r->newer, fresh, memory_order_release);
    }
    q->newest = fresh;
    return true;
}

// Loads in the order that steal asks for: acquire, each.
static gh_spmc *
load_ring(const _Atomic(gh_spmc *) *at)
{
    return atomic_load_explicit(at, memory_order_acquire);
}

static bool
chain_empty(const gh_spanq *q)
{
    for (gh_spmc *r = load_ring(&q->oldest); r != NULL;
         r = load_ring(&r->newer)) {
        if (atomic_load_explicit(&r->head, memory_order_acquire)
            != atomic_load_explicit(&r->tail, memory_order_acquire)) {
            return false;
        }
    }
    return true;
}

gh_spanq_put_result
gh_spanq_put_full(gh_spanq *q, uintptr_t v)
{
    if (q->tail - q->head == GH_SPANQ_RING) {
        if (!spill(q, GH_SPANQ_RING / 2)) {
            return GH_SPANQ_NOMEM;
        }
        q->ring[q->tail++ % GH_SPANQ_RING] = v;
        return GH_SPANQ_SPILLED;
    }
    q->ring[q->tail++ % GH_SPANQ_RING] = v;
    q->puts = 0;
    uint32_t n = (q->tail - q->head) / 2;
    n = n < GH_SPANQ_SPILL_MAX ? n : GH_SPANQ_SPILL_MAX;
    // Benign if there is no memory: nothing has to spill yet.
    return n > GH_SPANQ_SPILL_MIN && chain_empty(q) && spill(q, n)
               ? GH_SPANQ_SPILLED
               : GH_SPANQ_KEPT;
}

gh_spanq_put_result
gh_spanq_flush(gh_spanq *q)
{
    const uint32_t n = q->tail - q->head;
    if (n == 0) {
        return GH_SPANQ_KEPT;
    }
    return spill(q, n) ? GH_SPANQ_SPILLED : GH_SPANQ_NOMEM;
}

// take moves half of r, rounded up, 128 at most, to q's private ring, which is
// empty, and returns the first; 0: r is empty. Go: spanQueue.refill.
static uintptr_t
take(gh_spanq *q, gh_spmc *r)
{
    GH_ASSERT(q->head == q->tail);
    uint32_t h = atomic_load_explicit(&r->head, memory_order_acquire);
    for (;;) {
        const uint32_t t =
            atomic_load_explicit(&r->tail, memory_order_acquire);
        uint32_t n = t - h;
        n -= n / 2;
        if (n == 0) {
            return 0;
        }
        if (n > r->cap) {
            // tail moved past a head that others have moved since.
            h = atomic_load_explicit(&r->head, memory_order_acquire);
            continue;
        }
        n = n < GH_SPANQ_RING / 2 ? n : GH_SPANQ_RING / 2;
        for (uint32_t i = 0; i < n; i++) {
            q->ring[i] = atomic_load_explicit(
                &r->slot[(h + i) & (r->cap - 1)], memory_order_relaxed);
        }
        // Release: the copies are made before the producer may reuse the slots.
        if (atomic_compare_exchange_strong_explicit(
                &r->head, &h, h + n, memory_order_acq_rel,
                memory_order_acquire)) {
            q->head = 1;
            q->tail = n;
            return q->ring[0];
        }
    }
}

uintptr_t
gh_spanq_steal(gh_spanq *q, gh_spanq *from)
{
    gh_spmc *r = load_ring(&from->oldest);
    while (r != NULL) {
        // Loaded before r is found empty: with a successor nothing more is put
        // to r, so that it is empty for good and may leave the chain.
        gh_spmc *newer = load_ring(&r->newer);
        const uintptr_t v = take(q, r);
        if (v != 0 || newer == NULL) {
            return v;
        }
        gh_spmc *expected = r;
        (void)atomic_compare_exchange_strong_explicit(
            &from->oldest, &expected, newer, memory_order_acq_rel,
            memory_order_acquire);
        r = newer;
    }
    return 0;
}

uintptr_t
gh_spanq_refill(gh_spanq *q)
{
    return gh_spanq_steal(q, q);
}

uint64_t
gh_spanq_len(const gh_spanq *q)
{
    uint64_t n = q->tail - q->head;
    for (gh_spmc *r = load_ring(&q->oldest); r != NULL;
         r = load_ring(&r->newer)) {
        n += atomic_load(&r->tail) - atomic_load(&r->head);
    }
    return n;
}

void
gh_spanq_each(const gh_spanq *q, void (*fn)(void *arg, uintptr_t v), void *arg)
{
    for (uint32_t i = q->head; i != q->tail; i++) {
        fn(arg, q->ring[i % GH_SPANQ_RING]);
    }
    for (gh_spmc *r = load_ring(&q->oldest); r != NULL;
         r = load_ring(&r->newer)) {
        const uint32_t t = atomic_load(&r->tail);
        for (uint32_t i = atomic_load(&r->head); i != t; i++) {
            fn(arg, atomic_load(&r->slot[i & (r->cap - 1)]));
        }
    }
}
