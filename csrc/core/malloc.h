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
            const uintptr_t v = s->base + (uintptr_t)i * s->elemsize;
            GH_ASSERT(v != 0);
            if (v == 0) {
                __builtin_unreachable();  // who asks whether there was one asks once
            }
            return v;
        }
    }
    return 0;
}

// gh_objmeta_fits says whether the span can take an object of that type and length
// without a change of what it says of all.
static inline bool
gh_objmeta_fits(const gh_mspan *s, uint32_t type, uint64_t count)
{
    return s->meta_mode != GH_META_ONE
           || (s->one.type == type && s->one.count == (uint32_t)count);
}

// gh_note_objmeta notes type and length of an object that fits.
static inline void
gh_note_objmeta(gh_mspan *s, unsigned index, uint32_t type, uint64_t count)
{
    if (s->meta_mode == GH_META_EACH) {
        s->meta[index] = (gh_objmeta){type, (uint32_t)count};
    }
}

// gh_set_objmeta notes type and length of a new object, which has been counted,
// where that is kept.
void gh_set_objmeta_slow(gh_mspan *s, unsigned index, gh_objmeta m);

static inline void
gh_set_objmeta(gh_mspan *s, unsigned index, uint32_t type, uint64_t count)
{
    if (GH_LIKELY(gh_objmeta_fits(s, type, count))) {
        gh_note_objmeta(s, index, type, count);
    } else {
        gh_set_objmeta_slow(s, index, (gh_objmeta){type, (uint32_t)count});
    }
}

// gh_note_short_way: an object that goes by `way` has just been made of s, and its mask is
// the one that s has.
static inline void
gh_note_short_way(gh_mspan *s, uint32_t way)
{
    if (s->clean && s->meta_mode != GH_META_EACH) {
        s->short_way = way;
    }
}

// gh_objmeta_of is what is kept of object index of s; type GH_TYPE_UNKNOWN: nothing.
static inline gh_objmeta
gh_objmeta_of(const gh_mspan *s, unsigned index)
{
    const uint8_t mode = __atomic_load_n(&s->meta_mode, __ATOMIC_ACQUIRE);
    if (mode != GH_META_EACH) {
        return mode == GH_META_ONE ? s->one : (gh_objmeta){GH_TYPE_UNKNOWN, 0};
    }
    // Of a tiny block its P may be adding parts.
    return (gh_objmeta){s->meta[index].type,
                        __atomic_load_n(&s->meta[index].count, __ATOMIC_RELAXED)};
}

// gh_tiny_align is where a part of that size may begin in a tiny block, from off on.
static inline unsigned
gh_tiny_align(unsigned off, unsigned size)
{
    const unsigned align = size % 8 == 0   ? 8
                           : size % 4 == 0 ? 4
                           : size % 2 == 0 ? 2
                                           : 1;
    return (off + align - 1) & ~(align - 1);
}

// gh_tiny_part takes size bytes of the P's tiny block, which has them at off.
static inline uintptr_t
gh_tiny_part(gh_mcache *c, unsigned off, unsigned size)
{
    c->tiny_offset = off + size;
    c->tiny_allocs++;
    if (c->tiny_parts != NULL) {
        // Only the P that has the block writes it; others may look at it.
        __atomic_store_n(c->tiny_parts,
                         *c->tiny_parts | 1u << off | 1u << (16 + off + size - 1),
                         __ATOMIC_RELAXED);
    }
    return c->tiny + off;
}

// gh_tiny_block notes the first size bytes of a new block. The P keeps the block
// with more room left.
static inline void
gh_tiny_block(gh_mcache *c, gh_mspan *s, unsigned index, uintptr_t v,
              unsigned size)
{
    gh_set_objmeta(s, index, GH_TYPE_TINY_BLOCK, 1u | 1u << (16 + size - 1));
    if (size < c->tiny_offset || c->tiny == 0) {
        c->tiny = v;
        c->tiny_offset = size;
        c->tiny_parts = s->meta == NULL ? NULL : &s->meta[index].count;
    }
}

// The ways below do all of an allocation when it takes no more than a look at
// alloc_cache, and nothing (false) otherwise: the caller goes on with gh_alloc or
// gh_new. A P that is not slow has Go's size classes, samples nothing, and no cycle
// marks.

// gh_tiny_fast is for 1 to 15 bytes. That the P has a block means that the heap
// combines such objects.
static inline bool
gh_tiny_fast(gh_p *p, gh_slot *slot, unsigned size)
{
    gh_mcache *c = &p->mcache;
    if (GH_UNLIKELY(c->tiny == 0 || p->slow)) {
        return false;
    }
    const unsigned off = gh_tiny_align(c->tiny_offset, size);
    if (off + size <= GH_TINY_SIZE) {
        gh_word_put(&slot->word, gh_tiny_part(c, off, size));
        return true;
    }
    gh_mspan *s = c->alloc[gh_size_to_class8[GH_TINY_SIZE / 8] << 1 | 1];
    unsigned index;
    const uintptr_t v = gh_next_free_fast(s, &index);
    if (GH_UNLIKELY(v == 0)) {
        return false;
    }
    if (GH_UNLIKELY(!s->clean)) {
        memset((void *)v, 0, GH_TINY_SIZE);
    }
    gh_tiny_block(c, s, index, v, size);
    gh_word_put(&slot->word, v);
    return true;
}

static inline bool
gh_alloc_fast(gh_p *p, gh_slot *slot, uint64_t size)
{
    if (size - 1 < GH_TINY_SIZE - 1) {
        return gh_tiny_fast(p, slot, (unsigned)size);
    }
    if (GH_UNLIKELY(size - GH_TINY_SIZE > 1024 - 8 - GH_TINY_SIZE || p->slow)) {
        return false;
    }
    gh_mspan *s = p->mcache.alloc[gh_size_to_class8[(size + 7) / 8] << 1 | 1];
    unsigned index;
    if (GH_LIKELY(s->short_way == (GH_SHORT_BYTES | (uint32_t)size))) {
        const uintptr_t v = gh_next_free_fast(s, &index);
        if (GH_UNLIKELY(v == 0)) {
            return false;
        }
        gh_word_put(&slot->word, v);
        return true;
    }
    if (!gh_objmeta_fits(s, GH_TYPE_BYTES, size)) {
        return false;
    }
    const uintptr_t v = gh_next_free_fast(s, &index);
    if (GH_UNLIKELY(v == 0)) {
        return false;
    }
    if (!s->clean) {
        memset((void *)v, 0, s->elemsize);
    }
    gh_note_objmeta(s, index, GH_TYPE_BYTES, size);
    gh_word_put(&slot->word, v);
    return true;
}

// gh_new_fast makes one of a type. any_mask: also where the span has objects of other
// masks, which takes a call; a constant. Without, it calls nobody, and where it is
// inlined no register is saved for that.
static inline __attribute__((always_inline)) bool
gh_new_fast(gh_p *p, gh_slot *slot, const gh_type *t, uint64_t n,
            const bool any_mask)
{
    const unsigned spc = t->one_spc;
    if (GH_UNLIKELY(n != 1 || p->slow)) {
        return false;
    }
    // Of class 0 there is never a span here, so nothing is short.
    gh_mspan *s = p->mcache.alloc[spc];
    unsigned index;
    if (GH_LIKELY(s->short_way == t->id)) {
        const uintptr_t v = gh_next_free_fast(s, &index);
        if (GH_UNLIKELY(v == 0)) {
            return false;
        }
        p->mcache.scan_alloc += t->ptrdata;
        gh_word_put(&slot->word, v);
        return true;
    }
    if (spc == 0 || !s->clean || !gh_objmeta_fits(s, t->id, 1)
        || (!any_mask && s->mask != t->mask0)) {
        return false;
    }
    const uintptr_t v = gh_next_free_fast(s, &index);
    if (GH_UNLIKELY(v == 0)) {
        return false;
    }
    if (any_mask && t->ptrdata != 0) {
        gh_obj_ptr_bits_set(&p->heap->bm, s, v, t->mask0);
    }
    gh_note_objmeta(s, index, t->id, 1);
    p->mcache.scan_alloc += t->ptrdata;
    gh_word_put(&slot->word, v);
    return true;
}

// GH_TYPE_ALL_POINTERS is the type of objects of which only "has pointers" is known.
#define GH_TYPE_ALL_POINTERS 2u

#endif  // MALLOC_H
