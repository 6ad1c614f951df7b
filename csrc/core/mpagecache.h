// mpagecache.h: a P's own 64 pages.
//
// Layer 3. Includes mpagealloc.h. Go: mpagecache.go.
//
// A page cache owns the free pages of one aligned block of 64, so that its P can
// take small spans without the page allocator. For the latter they are all
// allocated; their scavenged bits travel along and come back with a flush.
//
// Locking: alloc belongs to the P; filling and flushing to the heap's holder
// [lock:world].

#ifndef MPAGECACHE_H
#define MPAGECACHE_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "mpagealloc.h"

typedef struct gh_page_cache {
    uint64_t base;   // address of the block; 0: none
    uint64_t cache;  // bit i: page i is free
    uint64_t scav;   // bit i: page i is scavenged
} gh_page_cache;

static inline bool
gh_page_cache_empty(const gh_page_cache *c)
{
    return c->cache == 0;
}

// gh_page_cache_alloc takes the lowest run of npages and returns its address,
// 0 if there is none; *scav_bytes says how much of it was scavenged.
uint64_t gh_page_cache_alloc(gh_page_cache *c, uint64_t npages,
                             uint64_t *scav_bytes);
// gh_page_cache_alloc_n is the same for more than one page.
uint64_t gh_page_cache_alloc_n(gh_page_cache *c, uint64_t npages,
                               uint64_t *scav_bytes);

// gh_page_cache_flush gives what is left back to p and empties the cache.
void gh_page_cache_flush(gh_page_cache *c, gh_pagealloc *p);

// gh_pagealloc_alloc_to_cache takes all free pages of the block that holds the
// first free page; an empty cache if there is none.
gh_page_cache gh_pagealloc_alloc_to_cache(gh_pagealloc *p);

#endif  // MPAGECACHE_H
