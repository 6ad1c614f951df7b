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

// Both ways below do all of an allocation when it takes no more than a look at
// alloc_cache, and nothing (false) otherwise: the caller goes on with gh_alloc or
// gh_new. A P that is not slow has Go's size classes, samples nothing, and no cycle
// marks.

static inline bool
gh_alloc_fast(gh_p *p, gh_slot *slot, uint64_t size)
{
    if (GH_UNLIKELY(size - GH_TINY_SIZE > 1024 - 8 - GH_TINY_SIZE || p->slow)) {
        return false;
    }
    gh_mspan *s = p->mcache.alloc[gh_size_to_class8[(size + 7) / 8] << 1 | 1];
    unsigned index;
    const uintptr_t v = gh_next_free_fast(s, &index);
    if (GH_UNLIKELY(v == 0)) {
        return false;
    }
    if (GH_UNLIKELY(!s->clean)) {
        memset((void *)v, 0, s->elemsize);
    }
    gh_set_objmeta(s, index, GH_TYPE_BYTES, size);
    gh_word_put(&slot->word, v);
    return true;
}

static inline bool
gh_new_fast(gh_p *p, gh_slot *slot, const gh_type *t, uint64_t n)
{
    const unsigned spc = t->one_spc;
    if (GH_UNLIKELY(n != 1 || spc == 0 || p->slow)) {
        return false;
    }
    gh_mspan *s = p->mcache.alloc[spc];
    unsigned index;
    const uintptr_t v = gh_next_free_fast(s, &index);
    if (GH_UNLIKELY(v == 0)) {
        return false;
    }
    if (GH_UNLIKELY(!s->clean)) {
        memset((void *)v, 0, s->elemsize);
    }
    if (t->ptrdata != 0) {
        gh_obj_ptr_bits_set(&p->heap->bm, s, v, t->mask0);
        p->mcache.scan_alloc += t->ptrdata;
    }
    gh_set_objmeta(s, index, t->id, 1);
    gh_word_put(&slot->word, v);
    return true;
}

// GH_TYPE_ALL_POINTERS is the type of objects of which only "has pointers" is known.
#define GH_TYPE_ALL_POINTERS 2u

#endif  // MALLOC_H
