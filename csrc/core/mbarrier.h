// mbarrier.h: every pointer that is written while a cycle marks.
//
// Layer 6. Includes heap.h and planted.h. Go: mbarrier.go, mwbbuf.go.
//
// While marking, a word of an object is written only after what it held and what
// it is to hold were shaded: Yuasa's deletion half and Dijkstra's insertion
// half, both always, as in Go. A root slot is treated like heap memory as far as
// the deletion half goes: what is overwritten or dropped is shaded
// [diff:barrier.slots]. What is put
// into a slot need not be: it came from a slot, from an object whose own words
// have the barrier, or is new and therefore marked.
//
// Shading marks an object and queues it if it has pointers. In the repeatable
// modes there is no buffer in between [diff:barrier.buffer]; in GH_MODE_CONCURRENT
// each P has one (mgcpar.h).

#ifndef MBARRIER_H
#define MBARRIER_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"
#include "planted.h"

// gh_shade marks what v points at, if anything. The phase is mark.
void gh_shade(gh_p *p, uintptr_t v);

// Policy may leave a half out, or both.
static inline bool
gh_has_deletion_half(const gh_heap *h)
{
    return h->opt.policy.barrier <= GH_BARRIER_DELETION;
}

static inline bool
gh_has_insertion_half(const gh_heap *h)
{
    return h->opt.policy.barrier == GH_BARRIER_HYBRID
           || h->opt.policy.barrier == GH_BARRIER_INSERTION;
}

// What is done before a slot or a word that holds old is made to hold v. Out of
// line: nothing unless a cycle marks.
void gh_barrier_slot(gh_p *p, uintptr_t old);
void gh_barrier_word(gh_p *p, uintptr_t old, uintptr_t v);

// gh_slot_write makes a root slot hold v.
static inline void
gh_slot_write(gh_p *p, gh_slot *slot, uintptr_t v)
{
    if (GH_UNLIKELY(p->slow)) {
        gh_barrier_slot(p, gh_word_load(&slot->word));
    }
    gh_word_put(&slot->word, v);
}

// gh_word_write makes a word of an object hold v.
static inline void
gh_word_write(gh_p *p, uintptr_t *word, uintptr_t v)
{
    if (GH_UNLIKELY(p->slow)) {
        gh_barrier_word(p, gh_word_load(word), v);
    }
    GH_PLANTED_STAND(NO_SAFE, p);
    gh_word_put(word, v);
}

// Declared here since allocation needs no more of that marker.
void gh_greentea_mark_new(gh_heap *h, const gh_mspan *s, unsigned index);

// gh_mark_news marks the new objects of c's P that wait for it: its holder does, or who
// has stopped the world. One that was reached meanwhile is marked, queued and counted
// already.
static inline void
gh_mark_news(gh_pconc *c)
{
    if (c->new_bits != 0) {
        // Workers set other bits of the word.
        const uint64_t old =
            __atomic_fetch_or(c->new_word, c->new_bits, __ATOMIC_RELAXED);
        c->bytes_marked += gh_popcount64(c->new_bits & ~old) * c->new_elemsize;
        c->new_bits = 0;
        c->new_word = NULL;  // in another cycle it may be another span's
    }
}

// gh_mark_new_beside is gh_mark_new where workers mark. The bits of one word are set
// together, by one atomic instruction in place of up to 64: before the barrier's buffer,
// in which new objects often are, is looked through, and in every stop of the world, so
// also in the one in which marking ends [inv:barrier.news]. Until then the object looks
// white to others: who reaches it marks it.
static inline void
gh_mark_new_beside(gh_p *p, const gh_mspan *s, unsigned index)
{
    gh_pconc *c = p->conc;
    uint64_t *word = &gh_mspan_mark_bits(&p->heap->bm, s)[index / 64];
    if (GH_PLANTED(ALLOC_WHITE)) {
        return;
    }
    if (GH_UNLIKELY(c->new_word != word)) {
        gh_mark_news(c);
        c->new_word = word;
        c->new_elemsize = s->elemsize;
    }
    c->new_bits |= (uint64_t)1 << (index % 64);
}

// gh_mark_new makes a new object black while a cycle marks: allocate-black.
// Go: gcmarknewobject.
static inline void
gh_mark_new(gh_p *p, gh_mspan *s, unsigned index)
{
    gh_heap *h = p->heap;
    if (h->phase == GH_PHASE_OFF) {
        return;
    }
    if (h->concurrent) {
        gh_mark_new_beside(p, s, index);
        return;
    }
    uint64_t *word = &gh_mspan_mark_bits(&h->bm, s)[index / 64];
    *word |= (uint64_t)1 << (index % 64);
    h->bytes_marked += s->elemsize;
    s->page_marked = true;
    if (GH_UNLIKELY(h->gt != NULL)) {
        gh_greentea_mark_new(h, s, index);
    }
}

#endif  // MBARRIER_H
