// goheap_inline.h: the fast paths of an allocation and of a pointer store, inlined,
// for the clients in this tree: replay, benchmarks.
//
// Layer 8. Includes malloc.h, mbarrier.h. It lays structs of the core open, so it goes with
// the library that it was built with and with no other.
//
// gh_alloc_inline does what gh_alloc does: it takes a slot of the P's span when
// that takes no more than a look at alloc_cache, and calls gh_alloc otherwise.

#ifndef GOHEAP_INLINE_H
#define GOHEAP_INLINE_H

#ifndef GH_CORE
#define GH_CORE
#define GH_CORE_FOR_INLINE
#endif

#include "malloc.h"
#include "mbarrier.h"

#ifdef GH_CORE_FOR_INLINE
#undef GH_CORE
#undef GH_CORE_FOR_INLINE
#endif

static inline gh_status
gh_alloc_inline(gh_mut *m, gh_slot *slot, uint64_t size)
{
    if (GH_LIKELY(size - GH_TINY_SIZE <= 1016 - GH_TINY_SIZE && !m->slow)) {
        const unsigned cls = gh_size_to_class8[(size + 7) / 8];
        gh_mspan *s = m->mcache.alloc[cls << 1 | 1];
        unsigned index;
        const uintptr_t v = gh_next_free_fast(s, &index);
        if (GH_LIKELY(v != 0)) {
            if (s->needzero) {
                // Up to 64 bytes of a size known here: stores instead of a call.
                const unsigned n = gh_class_to_size[cls];
                memset((void *)v, 0, n <= 64 ? n : s->elemsize);
            }
            gh_set_objmeta(s, index, GH_TYPE_BYTES, size);
            slot->word = v;
            return GH_OK;
        }
    }
    return gh_alloc(m, slot, size);
}

// gh_store_inline makes word, a pointer word of an object, hold v, through the
// barrier. Nothing is checked. Both may be plain pointers of the caller's as long as
// it neither allocates nor polls in between.
static inline void
gh_store_inline(gh_mut *m, uintptr_t *word, void *v)
{
    gh_word_write(m, word, (uintptr_t)v);
}

#endif  // GOHEAP_INLINE_H
