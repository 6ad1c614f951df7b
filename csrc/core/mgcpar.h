// mgcpar.h: marking by several threads at once, beside the program.
//
// Layer 6. Includes heap.h. Go: mgcmark.go (gcDrain, markroot), mgcwork.go
// (gcWork, balance, handoff), mwbbuf.go.
//
// Each P that marks has a queue of its own (mgcwork.h), where its holder pushes
// and pops without anybody else. What one has too much of goes to the heap's list
// of full buffers when another one is hungry; who finds nothing of its own takes
// from there [lock:work]. A mark bit is set by an atomic or: whoever turned it on
// queues the object, so each object is scanned by one marker and counted once
// [inv:par.once].
//
// Roots: what Ps, pins and specials hold is marked in the stop that begins the cycle.
// Slots are looked at afterwards, a stretch at a time by whoever is next, beside
// mutators that overwrite them: a slot holds what it held when the cycle began,
// or its overwriter has shaded that [inv:par.snapshot]. Blocks and handles
// made since hold only what was reachable then, or is new.
//
// The write barrier puts pointers into a buffer of the P and shades them when it
// is full or gh_par_flush is called. A pointer there is grey: marking is not over
// before every buffer is empty [inv:par.flushed].
//
// Memory order: a mutator fills a new object and then stores the pointer
// (release), a marker loads the pointer (acquire) and then looks at the object's
// page. Mark bits need no order: who finds one set does nothing.

#ifndef MGCPAR_H
#define MGCPAR_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

// gh_par_prepare makes sure of a queue for each P, before a cycle; gh_par_begin
// marks what Ps, pins and specials hold and readies the other roots, the world
// stopped.
GH_NODISCARD gh_status gh_par_prepare(gh_heap *h);
void gh_par_begin(gh_p *p);

// gh_par_mark_finalized scans an object that has a finalizer, and does not mark
// it; the world is stopped.
void gh_par_mark_finalized(gh_p *p, const gh_mspan *s, unsigned index);

// gh_par_drain marks as the holder of p until it has done work bytes of scan work and
// of roots or found nothing to do: which it returns.
bool gh_par_drain(gh_p *p, uint64_t work);
// gh_par_has_few_roots: no more than that many bytes of roots are still to be looked at,
// or counted; the world is stopped.
bool gh_par_has_few_roots(const gh_heap *h, uint64_t bytes);
// gh_par_settle adds p's sums to the heap's, and returns the scan work among it.
uint64_t gh_par_settle(gh_p *p);
// gh_par_shade is gh_shade: by way of the buffer, which gh_par_shade_buffer empties.
void gh_par_shade_buffer(gh_p *p);

static inline void
gh_par_shade(gh_p *p, uintptr_t v)
{
    gh_pconc *c = p->conc;
    if (v == 0) {
        return;
    }
    if (GH_UNLIKELY(c->nwb == GH_WB_ENTRIES)) {
        gh_par_shade_buffer(p);
    }
    c->wb[c->nwb++] = v;
}

// gh_par_flush shades what the barrier buffered and gives all grey objects of p
// to the heap. Whether it gave any.
bool gh_par_flush(gh_p *p);
// gh_par_share gives part of p's queue to who is hungry.
void gh_par_share(gh_p *p);

// gh_par_has_work: something waits in the heap's list, or roots do.
static inline bool
gh_par_has_work(const gh_heap *h)
{
    return atomic_load(&h->conc.has_full) || atomic_load(&h->conc.has_roots);
}

// gh_par_has_grey: p has queued or buffered something, after gh_par_flush; for
// assertions.
bool gh_par_has_grey(const gh_p *p);

// gh_par_end ends marking with the world stopped and nothing grey; what found no
// room in a queue is marked by rescans. Buffers become spare but one for each P.
void gh_par_end(gh_p *p);
// gh_par_free_some gives some spare buffers back; false if there are none. Go:
// freeSomeWbufs.
bool gh_par_free_some(gh_heap *h);

void gh_par_fini(gh_heap *h);

#endif  // MGCPAR_H
