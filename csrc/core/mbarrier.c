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

// use_buffer returns where p's barrier puts pointers, or NULL if it has no buffer.
// What was seen in another cycle is forgotten. With delays every store comes by here,
// where the yield points are: else those that follow go straight to the buffer until
// the phase changes.
static __attribute__((noinline)) gh_pconc *
use_buffer(gh_p *p)
{
    const gh_heap *h = p->heap;
    gh_pconc *c = p->conc;
    if (h->phase == GH_PHASE_OFF
        || h->opt.policy.barrier != GH_BARRIER_HYBRID) {
        return NULL;
    }
    if (c->seen_in != h->cycles_started) {
        c->seen_in = h->cycles_started;
        memset(c->seen, 0, sizeof(c->seen));
    }
    if (h->opt.debug.delays == 0) {
        p->wb = c;
    }
    return c;
}

void
gh_barrier_slot(gh_p *p, uintptr_t old)
{
    if (GH_LIKELY(p->wb != NULL)) {
        note(p, p->wb, old);
        return;
    }
    gh_heap *h = p->heap;
    gh_pconc *c = p->conc == NULL ? NULL : use_buffer(p);
    gh_yield_point(h, GH_AT_STORE);
    if (c != NULL) {
        note(p, c, old);
    } else if (h->phase != GH_PHASE_OFF && gh_has_deletion_half(h)) {
        gh_shade(p, old);
    }
    gh_yield_point(h, GH_AT_SHADED);
}

void
gh_barrier_word(gh_p *p, uintptr_t old, uintptr_t v)
{
    if (GH_LIKELY(p->wb != NULL)) {
        note(p, p->wb, old);
        note(p, p->wb, v);
        return;
    }
    gh_heap *h = p->heap;
    if (h->phase == GH_PHASE_OFF) {
        return;
    }
    gh_pconc *c = p->conc == NULL ? NULL : use_buffer(p);
    gh_yield_point(h, GH_AT_STORE);
    if (c != NULL) {
        note(p, c, old);
        note(p, c, v);
    } else {
        if (gh_has_deletion_half(h)) {
            gh_shade(p, old);
        }
        if (gh_has_insertion_half(h)) {
            gh_shade(p, v);
        }
    }
    gh_yield_point(h, GH_AT_SHADED);
}
