// goheap_inline.h: the fast paths of an allocation and of a pointer store, inlined,
// for the clients in this tree: replay, benchmarks.
//
// Layer 8. Includes malloc.h, mbarrier.h. It lays structs of the core open, so it goes with
// the library that it was built with and with no other.
//
// Each does what its namesake does: itself while that is short, else by calling it.
// gh_alloc_inline takes a slot of the P's span when that takes no more than a look
// at alloc_cache.

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
    return GH_LIKELY(gh_alloc_fast(m, slot, size)) ? GH_OK
                                                   : gh_alloc(m, slot, size);
}

// gh_new_inline does what gh_new does.
static inline gh_status
gh_new_inline(gh_mut *m, gh_slot *slot, const gh_type *t, uint64_t n)
{
    return GH_LIKELY(gh_new_fast(m, slot, t, n, false)) ? GH_OK
                                                        : gh_new(m, slot, t, n);
}

static inline void
gh_clear_inline(gh_mut *m, gh_slot *slot)
{
    if (GH_LIKELY(!m->slow)) {
        gh_word_put(&slot->word, 0);
    } else {
        gh_clear(m, slot);
    }
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
