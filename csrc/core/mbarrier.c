// mbarrier.c: what a pointer write does while a cycle marks. See mbarrier.h.

#include "mbarrier.h"

#include <string.h>

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
static __attribute__((noinline)) bool
use_buffer(gh_p *p)
{
    const gh_heap *h = p->heap;
    if (h->phase == GH_PHASE_OFF
        || h->opt.policy.barrier != GH_BARRIER_HYBRID) {
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
    if (p->heap->phase != GH_PHASE_OFF && gh_has_deletion_half(p->heap)) {
        gh_shade(p, old);
    }
}

void
gh_barrier_word(gh_p *p, uintptr_t old, uintptr_t v)
{
    if (GH_LIKELY(p->wb != NULL) || (p->conc != NULL && use_buffer(p))) {
        note(p, p->wb, old);
        note(p, p->wb, v);
        return;
    }
    if (p->heap->phase == GH_PHASE_OFF) {
        return;
    }
    if (gh_has_deletion_half(p->heap)) {
        gh_shade(p, old);
    }
    if (gh_has_insertion_half(p->heap)) {
        gh_shade(p, v);
    }
}
