// mgcmark.h: marking with the world stopped.
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
// without AVX-512; it depends neither on order nor on the machine.

#ifndef MGCMARK_H
#define MGCMARK_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

// gh_gc_mark marks everything reachable from the roots; adds to bytes_marked
// and to the controller's heap_scan_work.
void gh_gc_mark(gh_heap *h);

// gh_slot_ptr_mask returns the pointer bits of up to 64 words of the object at
// slot number index, from word number word of the slot on. For verify and
// introspection.
uint64_t gh_slot_ptr_mask(const gh_heap *h, const gh_mspan *s, unsigned index,
                          uint64_t word);

#endif  // MGCMARK_H
