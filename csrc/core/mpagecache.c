// mpagecache.c: a P's own 64 pages. See mpagecache.h.

#include "mpagecache.h"

_Static_assert(GH_PAGE_CACHE_PAGES == 64, "one word for each bitmap");

uint64_t
gh_page_cache_alloc(gh_page_cache *c, uint64_t npages, uint64_t *scav_bytes)
{
    *scav_bytes = 0;
    if (c->cache == 0) {
        return 0;
    }
    if (npages != 1) {
        return gh_page_cache_alloc_n(c, npages, scav_bytes);
    }
    const unsigned i = gh_ctz64(c->cache);
    const uint64_t bit = (uint64_t)1 << i;
    *scav_bytes = (c->scav & bit) != 0 ? GH_PAGE_SIZE : 0;
    c->cache &= ~bit;
    c->scav &= ~bit;
    return c->base + i * GH_PAGE_SIZE;
}

uint64_t
gh_page_cache_alloc_n(gh_page_cache *c, uint64_t npages, uint64_t *scav_bytes)
{
    *scav_bytes = 0;
    if (npages > GH_PAGE_CACHE_PAGES) {
        return 0;
    }
    const unsigned i = gh_find_bit_range64(c->cache, (unsigned)npages);
    if (i >= 64) {
        return 0;
    }
    const uint64_t mask = (UINT64_MAX >> (64 - npages)) << i;
    *scav_bytes = gh_popcount64(c->scav & mask) * GH_PAGE_SIZE;
    c->cache &= ~mask;
    c->scav &= ~mask;
    return c->base + i * GH_PAGE_SIZE;
}

void
gh_page_cache_flush(gh_page_cache *c, gh_pagealloc *p)
{
    if (gh_page_cache_empty(c)) {
        return;
    }
    const uint64_t ci = gh_chunk_index(p, c->base);
    const unsigned first = gh_chunk_page_index(c->base);
    gh_palloc_data *chunk = &p->chunks[ci];
    GH_ASSERT((chunk->alloc.w[first / 64] & c->cache) == c->cache);
    chunk->alloc.w[first / 64] &= ~c->cache;
    chunk->scavenged.w[first / 64] |= c->scav;
    // Page by page and upwards, as Go does: the highest page freed last.
    for (uint64_t rest = c->cache; rest != 0; rest &= rest - 1) {
        gh_scav_index_free(&p->scav, ci, first + gh_ctz64(rest), 1);
    }
    // Go takes the block's first page, whether it is free or not.
    if (c->base < p->search_addr) {
        p->search_addr = c->base;
    }
    gh_pagealloc_update(p, c->base, GH_PAGE_CACHE_PAGES, false, false);
    *c = (gh_page_cache){0};
}

gh_page_cache
gh_pagealloc_alloc_to_cache(gh_pagealloc *p)
{
    GH_ASSERT(p->sig == GH_PAGEALLOC_SIG);
    const gh_page_cache none = {0};
    uint64_t ci = gh_chunk_index(p, p->search_addr);
    if (ci >= p->end) {
        return none;
    }
    unsigned page;
    if (p->summary[GH_SUMMARY_LEVELS - 1][ci] != 0) {
        page = gh_palloc_bits_find1(&p->chunks[ci].alloc,
                                    gh_chunk_page_index(p->search_addr));
        GH_THROW_IF(page == GH_PAGE_NOT_FOUND, "bad summary data");
    } else {
        uint64_t unused;
        const uint64_t addr = gh_pagealloc_find(p, 1, &unused);
        if (addr == 0) {
            p->search_addr = GH_MAX_SEARCH_ADDR;
            return none;
        }
        ci = gh_chunk_index(p, addr);
        page = gh_chunk_page_index(addr);
    }

    const unsigned k = page / 64;
    gh_palloc_data *chunk = &p->chunks[ci];
    const gh_page_cache c = {
        .base = gh_chunk_base(p, ci) + (uint64_t)k * 64 * GH_PAGE_SIZE,
        .cache = ~chunk->alloc.w[k],
        .scav = chunk->scavenged.w[k],
    };
    chunk->alloc.w[k] |= c.cache;
    chunk->scavenged.w[k] &= ~(c.cache & c.scav);
    gh_pagealloc_update(p, c.base, GH_PAGE_CACHE_PAGES, false, true);
    gh_scav_index_alloc(&p->scav, ci, gh_popcount64(c.cache));
    // All of the block is taken now, and nothing is free below it. The page
    // after it may not have been grown; the last one of the block has.
    p->search_addr = c.base + (GH_PAGE_CACHE_PAGES - 1) * GH_PAGE_SIZE;
    return c;
}
