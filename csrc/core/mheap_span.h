// mheap_span.h: mspan, a run of pages with one use.
//
// Layer 4. Includes ghconst.h, gotype.h. Go: mheap.go, type mspan.
//
// A span in use holds nelems slots of elemsize bytes of one span class. Slot i
// is allocated iff i < free_index or its alloc bit is set [inv:span.allocated].
// alloc_cache holds the complement of the alloc bits from free_index on.
//
// sweepgen, with h the heap's (Go's table, + 2 each cycle):
//   h-2  needs sweeping                  h-1  being swept
//   h    swept, ready                    h+1  cached before this sweep began,
//   h+3  swept, then cached                   still cached: stale
//
// Alloc and mark bits lie in the heap's two bit areas (mbitmap.h); which area
// is which flips at each sweep of the span (alloc_area).
//
// Locking: a cached span belongs to its P, any other to the heap's holder.

#ifndef MHEAP_SPAN_H
#define MHEAP_SPAN_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "ghconst.h"
#include "gotype.h"

typedef enum gh_span_state {
    GH_SPAN_DEAD = 0,
    GH_SPAN_IN_USE = 1,
    GH_SPAN_MANUAL = 2,
} gh_span_state;

// gh_objmeta is what track_types keeps of one object.
typedef struct gh_objmeta {
    uint32_t type;   // id
    uint32_t count;  // elements; bytes of a block
} gh_objmeta;

// Where a span has it. Mostly its objects are all alike, and the span says it once;
// the entries of `meta` are not even memory then. The first one that differs turns
// ONE to EACH, a sweep that leaves nothing turns it back [inv:span.meta].
typedef enum gh_meta_mode {
    GH_META_NONE = 0,  // not kept
    GH_META_ONE = 1,   // `one` is that of every object
    GH_META_EACH = 2,  // meta[i] is that of object i
} gh_meta_mode;

typedef struct gh_special gh_special;  // special.h

typedef struct gh_mspan {
    // What the allocation fast path reads and writes: one cache line.
    uintptr_t base;
    uint64_t alloc_cache;
    uint64_t elemsize;
    gh_objmeta *meta;              // nelems entries; NULL: not kept
    uint64_t mask;                 // page_mask of its pages: see mbitmap.h
    gh_objmeta one;
    uint16_t free_index;
    uint16_t nelems;
    uint16_t alloc_count;
    uint8_t meta_mode;             // gh_meta_mode
    uint8_t spanclass;
    uint32_t short_way;            // what is made of it without a further look, see below
    uint8_t state;                 // gh_span_state
    bool needzero;                 // slots may hold old bytes, Go's account of it
    bool clean;                    // free slots need no clearing any more
    uint8_t alloc_area;            // 0 or 1: which bit area holds alloc bits
    bool page_marked;              // scanned as a whole, or with new objects:
                                   // for the page reclaimer
    uint16_t alloc_count_before_cache;
    uint16_t free_index_for_scan;
    uint32_t sweepgen;

    uint16_t nbits_words;
    int16_t cached_by;             // P number; -1: none
    uint32_t div_mul;              // 0 for large: any offset is object 0
    uint32_t bits;                 // first word in both bit areas
    uint32_t large_type_id;
    uint64_t npages;
    uintptr_t limit;               // end of data; large: base + requested size
    const gh_type *large_type;     // NULL: no pointers (yet)
    uint64_t large_count;          // elements or bytes of a large object
    struct gh_spanset *set;        // the set it is in, NULL: none
    struct gh_mspan *next, *prev;  // in that set
    gh_special *specials;          // by slot number
} gh_mspan;

_Static_assert(sizeof(gh_mspan) == 160, "Go's: MSpanSys counts them");

// short_way is the id of a type of which one object can be made with nothing to be
// cleared and nothing to be noted, or GH_SHORT_BYTES + n for objects of n bytes; 0: that
// isn't known. It says that the span is clean, that its mask is the type's, and that type
// and length of the new object are those of all others, if kept [inv:span.short_way]. An
// allocation that goes the long way and finds that out says so; who changes one of the
// three says 0. It goes with alloc_cache: only the P that has the span cached looks at it.
#define GH_SHORT_BYTES (UINT32_C(1) << 31)

static inline uintptr_t
gh_mspan_obj_base(const gh_mspan *s, unsigned index)
{
    return s->base + (uintptr_t)index * s->elemsize;
}

// gh_mspan_obj_index is Go's objIndex: magic division, 0 for large spans.
static inline unsigned
gh_mspan_obj_index(const gh_mspan *s, uintptr_t p)
{
    return (unsigned)(((uint64_t)(p - s->base) * s->div_mul) >> 32);
}

#endif  // MHEAP_SPAN_H
