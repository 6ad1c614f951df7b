// mbarrier.c: what a pointer write does while a cycle marks. See mbarrier.h.

#include "mbarrier.h"

void
gh_barrier_slot(gh_p *p, uintptr_t old)
{
    if (p->heap->phase != GH_PHASE_OFF && gh_has_deletion_half(p->heap)) {
        gh_shade(p, old);
    }
}

void
gh_barrier_word(gh_p *p, uintptr_t old, uintptr_t v)
{
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
