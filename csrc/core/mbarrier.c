// mbarrier.c: what a pointer write does while a cycle marks. See mbarrier.h.

#include "mbarrier.h"

#include <string.h>

#include "delays.h"
#include "mgcpar.h"

// note shades v, unless p's holder did so lately in this cycle: programs store the
// same pointers again and again.
static inline void
note(gh_p *p, gh_pconc *c, uintptr_t v)
{
    // Objects side by side, of whatever size, get places of their own.
    uintptr_t *seen =
        &c->seen[(v >> 4 ^ v >> (4 + GH_WB_SEEN_BITS)) % GH_WB_SEEN];
    if (GH_UNLIKELY(*seen != v)) {
        *seen = v;
        gh_par_shade(p, v);
    }
}

// use_buffer has p's barrier use the buffer until the phase changes, if it may.
// There are no yield points on that way.
static __attribute__((noinline)) bool
use_buffer(gh_p *p)
{
    const gh_heap *h = p->heap;
    if (h->phase == GH_PHASE_OFF
        || h->opt.policy.barrier != GH_BARRIER_HYBRID
        || h->opt.debug.delays != 0) {
        return false;
    }
    memset(p->conc->seen, 0, sizeof(p->conc->seen));
    p->wb = p->conc;
    return true;
}

void
gh_barrier_slot(gh_p *p, uintptr_t old)
{
    if (GH_LIKELY(p->wb != NULL) || (p->conc != NULL && use_buffer(p))) {
        note(p, p->wb, old);
        return;
    }
    gh_heap *h = p->heap;
    gh_yield_point(h, GH_AT_STORE);
    if (h->phase != GH_PHASE_OFF && gh_has_deletion_half(h)) {
        gh_shade(p, old);
    }
    gh_yield_point(h, GH_AT_SHADED);
}

void
gh_barrier_word(gh_p *p, uintptr_t old, uintptr_t v)
{
    if (GH_LIKELY(p->wb != NULL) || (p->conc != NULL && use_buffer(p))) {
        note(p, p->wb, old);
        note(p, p->wb, v);
        return;
    }
    gh_heap *h = p->heap;
    if (h->phase == GH_PHASE_OFF) {
        return;
    }
    gh_yield_point(h, GH_AT_STORE);
    if (gh_has_deletion_half(h)) {
        gh_shade(p, old);
    }
    if (gh_has_insertion_half(h)) {
        gh_shade(p, v);
    }
    gh_yield_point(h, GH_AT_SHADED);
}
