// mbarrier.c: what a pointer write does while a cycle marks. See mbarrier.h.

#include "mbarrier.h"

void
gh_barrier_slot(gh_heap *h, uintptr_t old)
{
    if (h->phase != GH_PHASE_OFF) {
        gh_shade(h, old);
    }
}

void
gh_barrier_word(gh_heap *h, uintptr_t old, uintptr_t v)
{
    if (h->phase != GH_PHASE_OFF) {
        gh_shade(h, old);
        gh_shade(h, v);
    }
}
