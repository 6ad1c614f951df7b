// mbarrier.c: what a pointer write does while a cycle marks. See mbarrier.h.

#include "mbarrier.h"

#include <string.h>

#include "delays.h"
#include "mgcpar.h"
#include "planted.h"

// place_of is where c keeps v if v was stored lately. Objects side by side, of whatever
// size, get places of their own.
static inline uintptr_t *
place_of(gh_pconc *c, uintptr_t v)
{
    return &c->seen[(v >> 4 ^ v >> (4 + GH_WB_SEEN_BITS)) % GH_WB_SEEN];
}

// note shades v, unless p's holder did so lately in this cycle: programs store the
// same pointers again and again.
static inline void
note(gh_p *p, gh_pconc *c, uintptr_t v)
{
    uintptr_t *seen = place_of(c, v);
    if (*seen != v) {
        *seen = v;
        gh_par_shade(p, v);
    }
}

// note_quickly is note where that takes no more than a place in the buffer; false, and
// nothing done, if there is none. It calls nobody.
static inline bool
note_quickly(gh_pconc *c, uintptr_t v)
{
    if (v == 0) {
        return true;
    }
    uintptr_t *seen = place_of(c, v);
    if (*seen != v) {
        if (GH_UNLIKELY(c->nwb == GH_WB_ENTRIES)) {
            return false;
        }
        *seen = v;
        c->wb[c->nwb++] = v;
    }
    return true;
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

static __attribute__((noinline)) void
slot_otherwise(gh_p *p, uintptr_t old)
{
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
gh_barrier_slot(gh_p *p, uintptr_t old)
{
    gh_pconc *c = p->wb;
    if (GH_PLANTED(NO_SLOT)) {
        return;
    }
    if (GH_UNLIKELY(c == NULL || !note_quickly(c, old))) {
        slot_otherwise(p, old);
    }
}

static __attribute__((noinline)) void
word_otherwise(gh_p *p, uintptr_t old, uintptr_t v)
{
    gh_heap *h = p->heap;
    if (h->phase == GH_PHASE_OFF) {
        return;
    }
    gh_pconc *c = p->conc == NULL ? NULL : use_buffer(p);
    gh_yield_point(h, GH_AT_STORE);
    if (c != NULL) {
        if (!GH_PLANTED(NO_DEL)) {
            note(p, c, old);
        }
        if (!GH_PLANTED(NO_INS)) {
            note(p, c, v);
        }
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

void
gh_barrier_word(gh_p *p, uintptr_t old, uintptr_t v)
{
    gh_pconc *c = p->wb;
    if (GH_UNLIKELY(c == NULL || (!GH_PLANTED(NO_DEL) && !note_quickly(c, old))
                    || (!GH_PLANTED(NO_INS) && !note_quickly(c, v)))) {
        word_otherwise(p, old, v);
    }
}
