// mbarrier.c: what a pointer write does while a cycle marks. See mbarrier.h.

#include "mbarrier.h"

void
gh_barrier_slot(gh_p *p, uintptr_t old)
{
    if (p->heap->phase != GH_PHASE_OFF) {
        gh_shade(p, old);
    }
}

void
gh_barrier_word(gh_p *p, uintptr_t old, uintptr_t v)
{
    if (p->heap->phase != GH_PHASE_OFF) {
        gh_shade(p, old);
        gh_shade(p, v);
    }
}
