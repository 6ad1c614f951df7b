// mpagealloc.c: the page allocator. See mpagealloc.h.

#include "mpagealloc.h"

#include <stdio.h>

#define LEAF (GH_SUMMARY_LEVELS - 1u)

// Children of an entry, and so entries of a block below the root.
#define BLOCK ((uint64_t)1 << GH_SUMMARY_LEVEL_BITS)

#define ROOT_SHIFT (GH_HEAP_ADDR_BITS - GH_SUMMARY_L0_BITS)

// Chunk bitmaps are mapped in Go's pieces of 8192, 1 MiB.
#define CHUNK_GRANULE ((size_t)1 << 20)

// level_shift returns log2 of the bytes that an entry of the level covers.
static inline unsigned
level_shift(unsigned level)
{
    return ROOT_SHIFT - level * GH_SUMMARY_LEVEL_BITS;
}

// level_log_pages returns log2 of the pages that it covers.
static inline unsigned
level_log_pages(unsigned level)
{
    return level_shift(level) - GH_PAGE_SHIFT;
}

static inline uint64_t
level_index(const gh_pagealloc *p, unsigned level, uint64_t addr)
{
    return (addr - p->origin) >> level_shift(level);
}

static inline uint64_t
level_base(const gh_pagealloc *p, unsigned level, uint64_t i)
{
    return (i << level_shift(level)) + p->origin;
}

// ---- life -------------------------------------------------------------------

gh_status
gh_pagealloc_init(gh_pagealloc *p, gh_mem *mem, gh_persistent *persistent,
                  gh_sysstat *stat, uint64_t origin, uint64_t limit, bool test)
{
    GH_ASSERT(origin < limit);
    GH_ASSERT(origin % GH_PALLOC_CHUNK_BYTES == 0);
    GH_ASSERT(limit % GH_PALLOC_CHUNK_BYTES == 0);
    GH_ASSERT(limit - origin <= (uint64_t)1 << GH_HEAP_ADDR_BITS);
    *p = (gh_pagealloc){
        .test = test,
        .origin = origin,
        .limit = limit,
        .search_addr = GH_MAX_SEARCH_ADDR,
    };
    gh_status st = gh_addr_ranges_init(&p->in_use, persistent, stat);
    if (st != GH_OK) {
        return st;
    }
    // The root has an entry for each begun 16 GiB; below it the tree is whole.
    const uint64_t nroot
        = gh_div_round_up(limit - origin, (uint64_t)1 << ROOT_SHIFT);
    for (unsigned l = 0; l < GH_SUMMARY_LEVELS; l++) {
        p->nentries[l] = nroot << l * GH_SUMMARY_LEVEL_BITS;
        st = gh_sparse_init(&p->summary_table[l], mem, persistent, stat,
                            p->nentries[l] * sizeof(gh_palloc_sum),
                            GH_PHYS_PAGE_SIZE);
        if (st != GH_OK) {
            goto fail;
        }
        p->summary[l] = (gh_palloc_sum *)(void *)p->summary_table[l].base;
    }
    const uint64_t nchunks = (limit - origin) / GH_PALLOC_CHUNK_BYTES;
    st = gh_sparse_init(&p->chunk_table, mem, persistent, stat,
                        nchunks * sizeof(gh_palloc_data), CHUNK_GRANULE);
    if (st != GH_OK) {
        goto fail;
    }
    p->chunks = (gh_palloc_data *)(void *)p->chunk_table.base;
    st = gh_scav_index_init(&p->scav, mem, persistent, stat, nchunks);
    if (st != GH_OK) {
        goto fail;
    }
    p->sig = GH_PAGEALLOC_SIG;
    return GH_OK;

fail:
    p->sig = GH_PAGEALLOC_SIG;
    gh_pagealloc_fini(p);
    return st;
}

void
gh_pagealloc_fini(gh_pagealloc *p)
{
    GH_ASSERT(p->sig == GH_PAGEALLOC_SIG);
    p->sig = GH_SIG_DEAD;
    gh_scav_index_fini(&p->scav);
    gh_sparse_fini(&p->chunk_table);
    for (unsigned l = 0; l < GH_SUMMARY_LEVELS; l++) {
        gh_sparse_fini(&p->summary_table[l]);
    }
}

// ---- growth -----------------------------------------------------------------

// map_tables makes everything that [base, limit) needs touchable.
static gh_status
map_tables(gh_pagealloc *p, uint64_t base, uint64_t limit)
{
    for (unsigned l = 0; l < GH_SUMMARY_LEVELS; l++) {
        // A search looks at the whole root, and at whole blocks below it.
        uint64_t lo = 0, hi = p->nentries[0];
        if (l > 0) {
            lo = gh_align_down(level_index(p, l, base), BLOCK);
            hi = gh_align_up(level_index(p, l, limit - 1) + 1, BLOCK);
        }
        gh_status st = gh_sparse_ensure(&p->summary_table[l],
                                        lo * sizeof(gh_palloc_sum),
                                        hi * sizeof(gh_palloc_sum));
        if (st != GH_OK) {
            return st;
        }
    }
    const uint64_t start = gh_chunk_index(p, base);
    const uint64_t end = gh_chunk_index(p, limit);
    gh_status st = gh_sparse_ensure(&p->chunk_table,
                                    start * sizeof(gh_palloc_data),
                                    end * sizeof(gh_palloc_data));
    if (st != GH_OK) {
        return st;
    }
    return gh_scav_index_reserve(&p->scav, start, end);
}

gh_status
gh_pagealloc_grow(gh_pagealloc *p, uint64_t base, uint64_t size)
{
    GH_ASSERT(p->sig == GH_PAGEALLOC_SIG);
    GH_ASSERT(size > 0);
    const uint64_t limit = gh_align_up(base + size, GH_PALLOC_CHUNK_BYTES);
    base = gh_align_down(base, GH_PALLOC_CHUNK_BYTES);
    GH_THROW_IF(base < p->origin || limit > p->limit,
                "page allocator grown beyond its window");

    gh_status st = map_tables(p, base, limit);
    if (st != GH_OK) {
        return st;
    }
    st = gh_addr_ranges_add(&p->in_use, (gh_addr_range){base, limit});
    if (st != GH_OK) {
        return st;
    }
    const uint64_t start = gh_chunk_index(p, base);
    const uint64_t end = gh_chunk_index(p, limit);
    gh_scav_index_grow(&p->scav, start, end);
    const bool first = p->start == p->end;
    if (first || start < p->start) {
        p->start = start;
    }
    if (first || end > p->end) {
        p->end = end;
    }
    // From here on it is like a free, but of scavenged pages.
    if (base < p->search_addr) {
        p->search_addr = base;
    }
    for (uint64_t ci = start; ci < end; ci++) {
        gh_palloc_bits_set_range(&p->chunks[ci].scavenged, 0,
                                 GH_PALLOC_CHUNK_PAGES);
    }
    gh_pagealloc_update(p, base, (limit - base) / GH_PAGE_SIZE, true, false);
    return GH_OK;
}

// ---- summaries --------------------------------------------------------------

// merge_around joins a block of summaries. Often only one has anything free, as high up
// where nothing else was grown: k says which one that may be.
static inline gh_palloc_sum
merge_around(const gh_palloc_sum *sums, unsigned k, unsigned log_max_pages)
{
    gh_palloc_sum others = 0;
    for (unsigned i = 0; i < k; i++) {
        others |= sums[i];
    }
    for (unsigned i = k + 1; i < BLOCK; i++) {
        others |= sums[i];
    }
    if (others != 0) {
        return gh_merge_summaries(sums, (unsigned)BLOCK, log_max_pages);
    }
    uint64_t start, most, end;
    gh_palloc_sum_unpack(sums[k], &start, &most, &end);
    return gh_palloc_sum_pack(k == 0 ? start : 0, most, k == BLOCK - 1 ? end : 0);
}

void
gh_pagealloc_update(gh_pagealloc *p, uint64_t base, uint64_t npages,
                    bool contig, bool alloc)
{
    const uint64_t last = base + npages * GH_PAGE_SIZE - 1;
    const uint64_t sc = gh_chunk_index(p, base);
    const uint64_t ec = gh_chunk_index(p, last);
    gh_palloc_sum *leaf = p->summary[LEAF];

    if (sc == ec) {
        const gh_palloc_bits *bits = &p->chunks[sc].alloc;
        const gh_palloc_sum sum = contig && !alloc
            ? gh_palloc_bits_sum_after_free(bits, leaf[sc], gh_chunk_page_index(base),
                                            (unsigned)npages)
            : gh_palloc_bits_summarize(bits);
        GH_ASSERT_SLOW(sum == gh_palloc_bits_summarize(bits));
        if (sum == leaf[sc]) {
            return;
        }
        leaf[sc] = sum;
    } else {
        const gh_palloc_sum inner = alloc ? 0 : gh_free_chunk_sum();
        for (uint64_t ci = sc; ci <= ec; ci++) {
            leaf[ci] = contig && ci != sc && ci != ec
                ? inner
                : gh_palloc_bits_summarize(&p->chunks[ci].alloc);
        }
    }

    bool changed = true;
    for (unsigned l = LEAF; l > 0 && changed;) {
        const unsigned log_max_pages = level_log_pages(l);
        const gh_palloc_sum *below = p->summary[l];
        l--;
        changed = false;
        const uint64_t hi = level_index(p, l, last);
        for (uint64_t i = level_index(p, l, base); i <= hi; i++) {
            const gh_palloc_sum sum = merge_around(
                &below[i * BLOCK], (unsigned)(level_index(p, l + 1, last) % BLOCK), log_max_pages);
            if (sum != p->summary[l][i]) {
                p->summary[l][i] = sum;
                changed = true;
            }
        }
    }
}

// ---- search -----------------------------------------------------------------

// window is where the first free page must be; both ends are part of it.
typedef struct {
    uint64_t base, bound;
} window;

// found_free narrows w to the size bytes from addr, in which there is a free
// page, if they lie inside. Once the search has left the first entry with free
// pages they no longer do, and w stays.
static void
found_free(window *w, uint64_t addr, uint64_t size)
{
    const uint64_t bound = addr + size - 1;
    if (w->base <= addr && bound <= w->bound) {
        *w = (window){addr, bound};
        return;
    }
    GH_THROW_IF(addr <= w->bound && w->base <= bound,
                "page search: ranges partially overlap");
}

// find_mapped_addr returns the first address >= addr that was grown.
static uint64_t
find_mapped_addr(const gh_pagealloc *p, uint64_t addr)
{
    uint64_t mapped;
    if (!gh_addr_ranges_find_addr_greater_equal(&p->in_use, addr, &mapped)) {
        return GH_MAX_SEARCH_ADDR;
    }
    return mapped;
}

uint64_t
gh_pagealloc_find(const gh_pagealloc *p, uint64_t npages, uint64_t *search_addr)
{
    *search_addr = GH_MAX_SEARCH_ADDR;
    if (p->start == p->end) {
        return 0;
    }
    window w = {p->origin, level_base(p, 0, p->nentries[0]) - 1};
    uint64_t i = 0;  // the entry above whose children are looked at
    for (unsigned l = 0; l < GH_SUMMARY_LEVELS; l++) {
        const uint64_t first = l == 0 ? 0 : i * BLOCK;
        const uint64_t nentries = l == 0 ? p->nentries[0] : BLOCK;
        const gh_palloc_sum *entries = &p->summary[l][first];
        const unsigned log_max_pages = level_log_pages(l);
        const uint64_t full = (uint64_t)1 << log_max_pages;

        // Entries before the one with search_addr have nothing free.
        const uint64_t search_idx = level_index(p, l, p->search_addr) - first;
        uint64_t j = search_idx < nentries ? search_idx : 0;
        uint64_t run = 0;       // free pages that end where entry j begins
        uint64_t run_page = 0;  // the first of them, counted from the block's
        bool across = false;    // run now reaches into entry j far enough
        for (; j < nentries; j++) {
            const gh_palloc_sum sum = entries[j];
            if (sum == 0) {
                run = 0;
                continue;
            }
            found_free(&w, level_base(p, l, first + j), full * GH_PAGE_SIZE);
            if (run == 0) {
                run_page = j << log_max_pages;
            }
            const uint64_t start = gh_palloc_sum_start(sum);
            if (run + start >= npages) {
                across = true;
                break;
            }
            if (gh_palloc_sum_max(sum) >= npages) {
                break;
            }
            if (start == full) {
                run += full;
            } else {
                run = gh_palloc_sum_end(sum);
                run_page = ((j + 1) << log_max_pages) - run;
            }
        }
        if (across) {
            *search_addr = find_mapped_addr(p, w.base);
            return level_base(p, l, first) + run_page * GH_PAGE_SIZE;
        }
        if (j == nentries) {
            GH_THROW_IF(l > 0, "bad summary data");
            return 0;
        }
        i = first + j;
    }

    // The run lies inside one chunk.
    unsigned search_idx;
    const unsigned page = gh_palloc_bits_find(&p->chunks[i].alloc, npages, 0,
                                              &search_idx);
    GH_THROW_IF(page == GH_PAGE_NOT_FOUND, "bad summary data");
    const uint64_t chunk = gh_chunk_base(p, i);
    const uint64_t off = (uint64_t)search_idx * GH_PAGE_SIZE;
    found_free(&w, chunk + off, GH_PALLOC_CHUNK_BYTES - off);
    *search_addr = find_mapped_addr(p, w.base);
    return chunk + (uint64_t)page * GH_PAGE_SIZE;
}

// ---- taking and giving back -------------------------------------------------

// piece is the part of a range of pages that lies in one chunk.
typedef struct {
    uint64_t ci;
    unsigned page, npages;
} piece;

// next_piece cuts the first piece off [*base, *base + *npages); false at the
// end.
static bool
next_piece(const gh_pagealloc *p, uint64_t *base, uint64_t *npages, piece *out)
{
    if (*npages == 0) {
        return false;
    }
    const unsigned page = gh_chunk_page_index(*base);
    const uint64_t room = GH_PALLOC_CHUNK_PAGES - page;
    *out = (piece){
        .ci = gh_chunk_index(p, *base),
        .page = page,
        .npages = (unsigned)(*npages < room ? *npages : room),
    };
    *base += (uint64_t)out->npages * GH_PAGE_SIZE;
    *npages -= out->npages;
    return true;
}

uint64_t
gh_pagealloc_alloc_range(gh_pagealloc *p, uint64_t base, uint64_t npages)
{
    uint64_t scav = 0;
    uint64_t rest_base = base, rest = npages;
    piece c;
    while (next_piece(p, &rest_base, &rest, &c)) {
        gh_palloc_data *chunk = &p->chunks[c.ci];
        GH_ASSERT_SLOW(gh_palloc_bits_popcnt_range(&chunk->alloc, c.page,
                                                   c.npages) == 0);
        scav += gh_palloc_bits_popcnt_range(&chunk->scavenged, c.page,
                                            c.npages);
        gh_palloc_data_alloc_range(chunk, c.page, c.npages);
        gh_scav_index_alloc(&p->scav, c.ci, c.npages);
    }
    gh_pagealloc_update(p, base, npages, true, true);
    return scav * GH_PAGE_SIZE;
}

uint64_t
gh_pagealloc_alloc(gh_pagealloc *p, uint64_t npages, uint64_t *scav_bytes)
{
    GH_ASSERT(p->sig == GH_PAGEALLOC_SIG);
    GH_ASSERT(npages > 0);
    *scav_bytes = 0;
    const uint64_t ci = gh_chunk_index(p, p->search_addr);
    if (ci >= p->end) {
        return 0;
    }

    uint64_t addr, search_addr;
    const unsigned page = gh_chunk_page_index(p->search_addr);
    if (GH_PALLOC_CHUNK_PAGES - page >= npages
        && gh_palloc_sum_max(p->summary[LEAF][ci]) >= npages) {
        // It fits where the search begins: no need for the tree.
        unsigned new_idx;
        const unsigned i = gh_palloc_bits_find(&p->chunks[ci].alloc, npages,
                                               page, &new_idx);
        GH_THROW_IF(i == GH_PAGE_NOT_FOUND, "bad summary data");
        addr = gh_chunk_base(p, ci) + (uint64_t)i * GH_PAGE_SIZE;
        search_addr = gh_chunk_base(p, ci) + (uint64_t)new_idx * GH_PAGE_SIZE;
    } else {
        addr = gh_pagealloc_find(p, npages, &search_addr);
        if (addr == 0) {
            if (npages == 1) {
                p->search_addr = GH_MAX_SEARCH_ADDR;  // nothing free at all
            }
            return 0;
        }
    }
    *scav_bytes = gh_pagealloc_alloc_range(p, addr, npages);
    if (p->search_addr < search_addr) {
        p->search_addr = search_addr;
    }
    return addr;
}

void
gh_pagealloc_free(gh_pagealloc *p, uint64_t base, uint64_t npages)
{
    GH_ASSERT(p->sig == GH_PAGEALLOC_SIG);
    GH_ASSERT(npages > 0);
    if (base < p->search_addr) {
        p->search_addr = base;
    }
    uint64_t rest_base = base, rest = npages;
    piece c;
    while (next_piece(p, &rest_base, &rest, &c)) {
        gh_palloc_data *chunk = &p->chunks[c.ci];
        GH_ASSERT_SLOW(gh_palloc_bits_popcnt_range(&chunk->alloc, c.page,
                                                   c.npages) == c.npages);
        gh_palloc_data_free_range(chunk, c.page, c.npages);
        gh_scav_index_free(&p->scav, c.ci, c.page, c.npages);
    }
    gh_pagealloc_update(p, base, npages, true, false);
}

// ---- giving memory back to the OS -------------------------------------------

// scavenge_one looks in chunk ci, from page search_idx down, for a run of about
// max_bytes at most, and gives it back. It returns the bytes given back; 0 with
// *refused false if the chunk has nothing, which is noted.
static uint64_t
scavenge_one(gh_pagealloc *p, uint64_t ci, unsigned search_idx,
             uint64_t max_bytes, bool *refused)
{
    const uint64_t max_pages = max_bytes / GH_PAGE_SIZE
        + (max_bytes % GH_PAGE_SIZE != 0);
    const uint64_t min_pages = GH_PHYS_PAGE_SIZE > GH_PAGE_SIZE
        ? GH_PHYS_PAGE_SIZE / GH_PAGE_SIZE
        : 1;
    gh_palloc_data *chunk = &p->chunks[ci];
    unsigned n = 0, page = 0;
    *refused = false;
    if (gh_palloc_sum_max(p->summary[LEAF][ci]) >= min_pages) {
        page = gh_palloc_data_find_scavenge_candidate(chunk, search_idx,
                                                      min_pages, max_pages, &n);
    }
    if (n == 0) {
        gh_scav_index_set_empty(&p->scav, ci);
        return 0;
    }
    // Go allocates the pages meanwhile, because it lets go of its lock.
    const uint64_t addr = gh_chunk_base(p, ci) + (uint64_t)page * GH_PAGE_SIZE;
    const uint64_t nbytes = (uint64_t)n * GH_PAGE_SIZE;
    if (p->release != NULL && !p->release(p->release_arg, addr, nbytes)) {
        *refused = true;
        return 0;
    }
    gh_palloc_bits_set_range(&chunk->scavenged, page, n);
    return nbytes;
}

uint64_t
gh_pagealloc_scavenge(gh_pagealloc *p, uint64_t nbytes, bool force)
{
    GH_ASSERT(p->sig == GH_PAGEALLOC_SIG);
    uint64_t released = 0;
    bool refused = false;
    while (released < nbytes && !refused) {
        uint64_t ci;
        unsigned page;
        if (!gh_scav_index_find(&p->scav, force, &ci, &page)) {
            break;
        }
        released += scavenge_one(p, ci, page, nbytes - released, &refused);
    }
    return released;
}

// ---- looking and checking ---------------------------------------------------

const gh_palloc_data *
gh_pagealloc_chunk_of(const gh_pagealloc *p, uint64_t addr)
{
    if (!gh_addr_ranges_contains(&p->in_use, addr)) {
        return NULL;
    }
    return &p->chunks[gh_chunk_index(p, addr)];
}

// checker collects differences.
typedef struct {
    const gh_pagealloc *p;
    void (*report)(void *arg, const char *line);
    void *arg;
    bool ok;
} checker;

static void
differs(checker *c, const char *what, uint64_t index, uint64_t have,
        uint64_t want)
{
    c->ok = false;
    if (c->report == NULL) {
        return;
    }
    char line[160];
    snprintf(line, sizeof(line), "%s %llu: %#llx, should be %#llx", what,
             (unsigned long long)index, (unsigned long long)have,
             (unsigned long long)want);
    c->report(c->arg, line);
}

static void
check_chunk(checker *c, uint64_t ci)
{
    const gh_pagealloc *p = c->p;
    const gh_palloc_data *d = &p->chunks[ci];
    const gh_palloc_sum sum = gh_palloc_bits_summarize(&d->alloc);
    if (p->summary[LEAF][ci] != sum) {
        differs(c, "[inv:pagealloc.summary] chunk", ci, p->summary[LEAF][ci],
                sum);
    }
    const unsigned allocated
        = gh_palloc_bits_popcnt_range(&d->alloc, 0, GH_PALLOC_CHUNK_PAGES);
    const unsigned in_use = gh_scav_index_get(&p->scav, ci).in_use;
    if (in_use != allocated) {
        differs(c, "[inv:scavindex.inuse] pages of chunk", ci, in_use,
                allocated);
    }
    for (unsigned k = 0; k < GH_PALLOC_WORDS; k++) {
        if ((d->alloc.w[k] & d->scavenged.w[k]) != 0) {
            differs(c, "[inv:pagealloc.scavenged] allocated pages of chunk",
                    ci, d->alloc.w[k] & d->scavenged.w[k], 0);
        }
        const uint64_t first = gh_chunk_base(p, ci) + k * 64 * GH_PAGE_SIZE;
        const uint64_t free = ~d->alloc.w[k];
        const uint64_t lowest = first + gh_ctz64(free) * GH_PAGE_SIZE;
        if (free != 0 && lowest < p->search_addr) {
            differs(c, "[inv:pagealloc.search] free page below in chunk", ci,
                    p->search_addr, lowest);
        }
    }
}

bool
gh_pagealloc_check(const gh_pagealloc *p,
                   void (*report)(void *arg, const char *line), void *arg)
{
    checker c = {.p = p, .report = report, .arg = arg, .ok = true};
    if (!gh_addr_ranges_check(&p->in_use)) {
        differs(&c, "[inv:ranges.sorted] ranges", p->in_use.len, 0, 1);
    }
    if (p->search_addr != GH_MAX_SEARCH_ADDR
        && !gh_addr_ranges_contains(&p->in_use, p->search_addr)) {
        differs(&c, "[inv:pagealloc.search] outside the heap", 0,
                p->search_addr, GH_MAX_SEARCH_ADDR);
    }
    for (size_t r = 0; r < p->in_use.len; r++) {
        const uint64_t base = p->in_use.ranges[r].base;
        const uint64_t last = p->in_use.ranges[r].limit - 1;
        const uint64_t ec = gh_chunk_index(p, last);
        for (uint64_t ci = gh_chunk_index(p, base); ci <= ec; ci++) {
            check_chunk(&c, ci);
        }
        for (unsigned l = LEAF; l > 0;) {
            const gh_palloc_sum *below = p->summary[l];
            const unsigned log_max_pages = level_log_pages(l);
            l--;
            const uint64_t hi = level_index(p, l, last);
            for (uint64_t i = level_index(p, l, base); i <= hi; i++) {
                const gh_palloc_sum sum = gh_merge_summaries(
                    &below[i * BLOCK], (unsigned)BLOCK, log_max_pages);
                if (p->summary[l][i] != sum) {
                    differs(&c, "[inv:pagealloc.summary] inner entry", i,
                            p->summary[l][i], sum);
                }
            }
        }
    }
    return c.ok;
}
