// mheap.h: spans from pages, and pages back from spans.
//
// Layer 5. Includes heap.h. Go: mheap.go.
//
// A request for n pages is served from the P's page cache when n < 16, else
// from the shared page allocator, first fit by address; when that has no run of
// n free pages the heap grows by whole 4 MiB chunks.
//
// The address window stands in for Go's arena hints: arenas are its 64 MiB
// frames, taken in order [diff:mheap.window].

#ifndef MHEAP_H
#define MHEAP_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

// gh_mheap_init reserves the window and its tables and makes the page
// allocator; gh_mheap_fini gives all of it back.
GH_NODISCARD gh_status gh_mheap_init(gh_heap *h);
void gh_mheap_fini(gh_heap *h);
// gh_mheap_abandon gives back what is large and was there from the beginning,
// and reads nothing that another thread may have left half done: for the child
// of a fork.
void gh_mheap_abandon(gh_heap *h);

// gh_mheap_alloc returns a span of npages in use for class spc, reclaiming
// pages first while sweeping is unfinished. Go: mheap.alloc.
GH_NODISCARD gh_status gh_mheap_alloc(gh_p *p, uint64_t npages, uint8_t spc,
                                      gh_mspan **out);
// gh_mheap_alloc_manual returns a span for the collector's own use.
GH_NODISCARD gh_status gh_mheap_alloc_manual(gh_p *p, uint64_t npages,
                                             gh_mspan **out);
void gh_mheap_free_manual(gh_heap *h, gh_mspan *s);
// gh_mheap_free_span takes back an empty, swept span in use. Go: freeSpan.
void gh_mheap_free_span(gh_heap *h, gh_mspan *s);

// gh_mheap_grow adds at least npages to the heap. Go: mheap.grow.
GH_NODISCARD gh_status gh_mheap_grow(gh_heap *h, uint64_t npages);

// gh_mheap_reclaim sweeps until npages have been freed or nothing is left.
void gh_mheap_reclaim(gh_heap *h, uint64_t npages);

// gh_mheap_scavenge gives up to nbytes of free pages back to the OS, from the
// top down. Go: mheap.scavengeAll for nbytes = UINT64_MAX.
uint64_t gh_mheap_scavenge(gh_heap *h, uint64_t nbytes);
// gh_mheap_trim gives back the tables' pages that describe nothing. No figure
// changes by it: they stay counted as what they are mapped as.
void gh_mheap_trim(gh_heap *h);

#endif  // MHEAP_H
