// mgcmark.h: marking, in one go or in pieces.
//
// Layer 6. Includes heap.h. Go: mgcmark.go.
//
// The marker tests and sets an object's bit when it finds the edge, in one
// packed bitmap, and queues only objects that are new and hold pointers; a
// short first-in first-out ring stands between queue and scan, and an object is
// prefetched when it enters the ring. Nothing recurses.
//
// Scan work is counted by object: up to the end of the last pointer word of
// each scanned object, or of each oblet of a large one. That is what Go counts
// without AVX-512; it depends neither on order nor on the machine. Green Tea can
// count otherwise (mgcmark_greenteagc.h).

#ifndef MGCMARK_H
#define MGCMARK_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

// gh_mark_init: see mark_bmi2 of the heap.
void gh_mark_init(gh_heap *h);

// gh_gc_mark marks everything reachable from the roots; adds to bytes_marked
// and to the controller's heap_scan_work.
void gh_gc_mark(gh_heap *h);

// The same in pieces, between which mutators may run behind the barrier:
// gh_gc_mark_roots greys what the roots hold, gh_gc_drain scans all that is grey.
void gh_gc_mark_roots(gh_heap *h);
void gh_gc_drain(gh_heap *h);
// gh_gc_drain_n scans until work bytes of scan work were done or nothing is grey;
// returns whether nothing is. What found no room in the queue does not count.
bool gh_gc_drain_n(gh_heap *h, uint64_t work);

// gh_gc_mark_finalized marks what the object at slot number index of s points at,
// for its new finalizer, as the marker did for those that it found.
void gh_gc_mark_finalized(gh_heap *h, const gh_mspan *s, unsigned index);

// gh_gc_scan_grey scans n grey objects, the longest grey first, and returns how
// many are left; of Green Tea's queues n entries, as they come. fn hears what was
// scanned and what became grey by it.
uint64_t gh_gc_scan_grey(gh_heap *h, uint64_t n, gh_step_fn fn, void *arg);
// gh_gc_queue_grey gives what gh_gc_scan_grey left to gh_gc_drain.
void gh_gc_queue_grey(gh_heap *h);
// gh_gc_is_grey reports whether an address in [from, limit) waits to be scanned.
bool gh_gc_is_grey(const gh_heap *h, uintptr_t from, uintptr_t limit);
// gh_gc_walk_grey shows every address that waits to be scanned, of a large object
// those of its pieces, in no promised order.
void gh_gc_walk_grey(const gh_heap *h, void (*fn)(void *arg, uintptr_t v),
                     void *arg);

// Globals, stacks and the dead weight are figures: scan work that a cycle counts
// and workers and assists pay with, as if it were done. gh_figures_begin readies
// a cycle's, gh_figures_take takes at most n bytes of what is left, and
// gh_figures_count adds a part to the heap's sums and returns its bytes.
void gh_figures_begin(gh_heap *h);
gh_figures gh_figures_take(gh_heap *h, uint64_t n);
uint64_t gh_figures_count(gh_heap *h, gh_figures part);
static inline bool
gh_figures_are_left(const gh_heap *h)
{
    const gh_figures *f = &h->figures_left;
    return (f->globals | f->stacks | f->base) != 0;
}

// gh_slot_ptr_mask returns the pointer bits of up to 64 words of the object at
// slot number index, from word number word of the slot on. For verify and
// introspection.
uint64_t gh_slot_ptr_mask(const gh_heap *h, const gh_mspan *s, unsigned index,
                          uint64_t word);
// gh_slot_word_is_pointer is the first of those bits.
bool gh_slot_word_is_pointer(const gh_heap *h, const gh_mspan *s, unsigned index,
                             uint64_t word);

#endif  // MGCMARK_H
