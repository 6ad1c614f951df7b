// safepoint.h: the Ps of a concurrent heap: who holds one, and how all of them
// stop.
//
// Layer 6. Includes heap.h and planted.h. Go: proc.go (stopTheWorldWithSema,
// startTheWorldWithSema, forEachP, exitsyscall), runtime2.go (the status of a P).
//
// A P is IDLE, or HELD by one thread: a mutator between gh_enter and gh_leave, or
// a worker that marks. One compare-and-swap takes it, one store gives it back.
// Whoever stops the world claims the idle Ps (STOPPED) and waits until every
// other is given back or its holder stands still at a safepoint: a poll, an
// allocation that fetched a span or marks, a wait. Then it takes heap_lock, so
// that the threads without a P (sweeper, scavenger) stand too.
//
// Who wants something of a holder first raises `waiters` and then looks at the
// P's status; a holder first gives its P back and then looks at `waiters` (both
// seq_cst, a store and a load of different words on each side), so one of the
// two sees the other [inv:safepoint.seen]. At a poll a holder looks only for what
// concerns it: `lookers` counts what concerns all, a P's `wanted` who waits for that P
// alone. Entering costs what the gate of the
// repeatable modes costs; there is no asymmetric fence [diff:safepoint.fence].
//
// Nobody who waits here keeps a lock of the client's: gh_outside goes around
// each wait inside an operation. Who waits for a P has none, or, when it
// stopped or stands at a safepoint, one that the stopper treats as its own: so no
// two wait for each other.

#ifndef SAFEPOINT_H
#define SAFEPOINT_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"
#include "planted.h"

// gh_conc_init readies a heap before its first P; gh_conc_fini after its last.
GH_NODISCARD gh_status gh_conc_init(gh_heap *h);
void gh_conc_fini(gh_heap *h);
// gh_conc_add_p gives p, which is new, its other half.
GH_NODISCARD gh_status gh_conc_add_p(gh_p *p);
void gh_conc_remove_p(gh_p *p);

// The forms of gh_enter, gh_leave, gh_poll, gh_switch_p. ns: how long to wait for
// a P; 0: not at all, < 0: as long as it takes.
GH_NODISCARD gh_status gh_conc_enter(gh_heap *h, int32_t want, int64_t ns,
                                     gh_mut **out);
void gh_conc_leave(gh_mut *m);
bool gh_conc_poll(gh_mut *m);
GH_NODISCARD gh_status gh_conc_switch(gh_mut **m, int32_t p);

// gh_conc_is_asked: somebody wants something of p's holder, who is to poll.
static inline bool
gh_conc_is_asked(const gh_p *p)
{
    return atomic_load_explicit(&p->heap->conc.lookers, memory_order_relaxed) != 0
           || (!GH_PLANTED(POLL_BLIND)
               && atomic_load_explicit(&p->conc->wanted, memory_order_relaxed) != 0);
}

// gh_outside goes around a wait: begins true before, false after. Nests.
void gh_outside(gh_p *p, bool begins);

// gh_safepoint stands still while the world is stopped and hands on what p has
// marked if that is wanted. Unlike gh_poll it never gives the P to another
// mutator, so `pending` may be in use.
void gh_safepoint(gh_p *p);

// gh_is_stopper: p's holder has stopped the world. Only that holder writes p there,
// so it needs no order to see what it wrote.
static inline bool
gh_is_stopper(const gh_p *p)
{
    return atomic_load_explicit(&p->heap->conc.stopper, memory_order_relaxed)
           == p;
}

// gh_client is what a P knows of who holds it; kept in a frame while it is away.
typedef struct gh_client {
    void (*around)(void *arg, bool begins);
    void *arg;
    uint32_t outside;
} gh_client;

// gh_yield_begin gives p back for a wait, gh_yield_end takes the same P again.
void gh_yield_begin(gh_p *p, gh_client *c);
void gh_yield_end(gh_p *p, const gh_client *c);

// gh_flush_all has what every P has marked handed on to the heap, by its holder
// or, for idle ones, by the caller, who holds self: Go's ragged barrier. Returns
// whether there was anything.
bool gh_flush_all(gh_p *self);

// gh_claim_p takes a P for a worker: P number want, or any. wait: at most ns for
// its holder to give way at a safepoint, else only if one is idle. NULL: none.
gh_p *gh_claim_p(gh_heap *h, int32_t want, int64_t ns);
// gh_unclaim_p gives it back. gh_p_is_wanted: a mutator waits.
void gh_unclaim_p(gh_p *p);
// gh_p_is_idle: nobody has one of the Ps, so a core is likely free.
bool gh_p_is_idle(const gh_heap *h);
static inline bool
gh_p_is_wanted(const gh_heap *h)
{
    return __atomic_load_n(&h->conc.mutators_waiting, __ATOMIC_RELAXED) != 0;
}

#endif  // SAFEPOINT_H
