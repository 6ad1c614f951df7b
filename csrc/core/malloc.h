// malloc.h: mallocgc, the way of one allocation.
//
// Layer 7. Includes mcache.h. Go: malloc.go.
//
// Zero-size requests share one address. Below 16 bytes without pointers: the
// tiny block of the P. Up to 32760 bytes: a slot of a span class, from the P's
// span of it; scan objects above 512 bytes have their type in the slot's first
// word and begin 8 bytes later. Above: a span of its own.
//
// A new object is in `pending`, a root, until its slot holds it: a cycle that
// its own refill triggers sees it, and sees what the slot held before.

#ifndef MALLOC_H
#define MALLOC_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include <string.h>

#include "mcache.h"

// The type id of blocks that hold several tiny objects. Their count is two bit
// sets: bit i: a part begins at byte i; bit 16+i: a part ends with byte i.
#define GH_TYPE_TINY_BLOCK UINT32_MAX

// gh_next_free_fast returns the next free slot, 0 if it takes more than a look
// at alloc_cache. Go: nextFreeFast.
static inline uintptr_t
gh_next_free_fast(gh_mspan *s, unsigned *index)
{
    if (GH_LIKELY(s->alloc_cache != 0)) {
        const unsigned skip = (unsigned)__builtin_ctzll(s->alloc_cache);
        const unsigned i = s->free_index + skip;
        if (GH_LIKELY(i < s->nelems)) {
            const unsigned next = i + 1;
            if (GH_UNLIKELY(next % 64 == 0 && next != s->nelems)) {
                return 0;
            }
            s->alloc_cache = s->alloc_cache >> skip >> 1;
            s->free_index = (uint16_t)next;
            s->alloc_count++;
            *index = i;
            return s->base + (uintptr_t)i * s->elemsize;
        }
    }
    return 0;
}

// gh_set_objmeta notes type and length, where that is kept.
static inline void
gh_set_objmeta(gh_mspan *s, unsigned index, uint32_t type, uint64_t count)
{
    if (s->meta != NULL) {
        s->meta[index] = (gh_objmeta){type, (uint32_t)count};
    }
}

// GH_TYPE_ALL_POINTERS is the type of objects of which only "has pointers" is known.
#define GH_TYPE_ALL_POINTERS 2u

#endif  // MALLOC_H
