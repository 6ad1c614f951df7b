// mpagealloc.h: the page allocator. Which pages of the window are free, and
// where is the first run of n of them.
//
// Layer 3. Includes mgcscavenge_index.h, mpallocbits.h, mranges.h, sparse.h.
// Go: mpagealloc.go, mpagealloc_64bit.go, mgcscavenge.go (pageAlloc.scavenge).
//
// The truth is in the bitmaps, one pair for each chunk of 512 pages (4 MiB).
// Above them stands a radix tree of summaries with five levels: an entry of the
// lowest summarises one chunk, an entry of each higher one eight entries of the
// level below; the highest has one for each 16 GiB of the window. A search goes
// from the top down and looks into one chunk at most. It is first fit by
// address. search_addr shortens it: no page below is free.
//
//   level  0       1      2        3       4
//   entry  16 GiB  2 GiB  256 MiB  32 MiB  4 MiB
//
// The allocator spans [origin, limit): addresses are numbers, and all indices
// are relative to origin. Go's covers the whole address space and is the only
// one; ours is as large as its heap's window [diff:pagealloc.window]. Tables are
// reserved in full by init and mapped where the heap grows.
//
// New memory counts as scavenged: Prepared, never touched. Allocating pages
// clears their scavenged bits and reports how many there were, so that the
// caller can move them from released to in use. Freeing leaves the bits clear.
//
// Nothing here throws for want of memory: grow and init return a status
// [diff:pagealloc.nomem]. Go's base randomisation is absent: no page is padding
// [diff:pagealloc.padding].
//
// Locking: the heap's holder [lock:world]. Go unlocks while the OS takes pages
// back; we don't.

#ifndef MPAGEALLOC_H
#define MPAGEALLOC_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "mgcscavenge_index.h"
#include "mpallocbits.h"
#include "mranges.h"
#include "sparse.h"

#define GH_PAGEALLOC_SIG 0x9a9eau

// Search address of an allocator without a free page.
#define GH_MAX_SEARCH_ADDR UINT64_MAX

// gh_release_fn gives nbytes from addr back to the OS and counts them. It
// returns false if the OS refuses, with nothing changed.
typedef bool (*gh_release_fn)(void *arg, uint64_t addr, uint64_t nbytes);

typedef struct gh_pagealloc {
    uint32_t sig;
    bool test;               // addresses are made up: never touched
    uint64_t origin, limit;  // multiples of a chunk

    // First page that may be free: an address in in_use, or
    // GH_MAX_SEARCH_ADDR [inv:pagealloc.search].
    uint64_t search_addr;
    // Chunks [start, end) is where grown ones lie. Equal: not grown yet.
    uint64_t start, end;

    // Each entry is the summary of what is below it [inv:pagealloc.summary];
    // zero where nothing was grown. Only entries of grown chunks, and their
    // ancestors with all children, may be touched; of level 0 all, from the
    // first growth on.
    gh_palloc_sum *summary[GH_SUMMARY_LEVELS];
    uint64_t nentries[GH_SUMMARY_LEVELS];
    gh_palloc_data *chunks;  // by chunk number; those in in_use may be touched

    gh_addr_ranges in_use;   // what was grown; never shrinks
    gh_scav_index scav;

    // Called by scavenge; NULL: nothing to tell.
    gh_release_fn release;
    void *release_arg;

    gh_sparse summary_table[GH_SUMMARY_LEVELS];
    gh_sparse chunk_table;
} gh_pagealloc;

// gh_pagealloc_init makes an allocator without memory over [origin, limit),
// both multiples of 4 MiB, at most 2^48 bytes apart. Its tables come from mem
// and count in *stat when mapped.
GH_NODISCARD gh_status gh_pagealloc_init(gh_pagealloc *p, gh_mem *mem,
                                         gh_persistent *persistent,
                                         gh_sysstat *stat, uint64_t origin,
                                         uint64_t limit, bool test);
void gh_pagealloc_fini(gh_pagealloc *p);

static inline uint64_t
gh_chunk_index(const gh_pagealloc *p, uint64_t addr)
{
    return (addr - p->origin) >> GH_LOG_PALLOC_CHUNK_BYTES;
}

static inline uint64_t
gh_chunk_base(const gh_pagealloc *p, uint64_t ci)
{
    return (ci << GH_LOG_PALLOC_CHUNK_BYTES) + p->origin;
}

// gh_chunk_page_index is the page of addr in its chunk. (origin is aligned.)
static inline unsigned
gh_chunk_page_index(uint64_t addr)
{
    return (unsigned)(addr % GH_PALLOC_CHUNK_BYTES / GH_PAGE_SIZE);
}

// gh_pagealloc_grow adds the memory [base, base + size), rounded out to chunks,
// none of it grown before, free and scavenged. On GH_ERR_NOMEM no page has been
// added; tables may have grown.
GH_NODISCARD gh_status gh_pagealloc_grow(gh_pagealloc *p, uint64_t base,
                                         uint64_t size);

// gh_pagealloc_alloc takes the first run of npages free pages and returns its
// address, 0 if there is none; *scav_bytes says how much of it was scavenged.
uint64_t gh_pagealloc_alloc(gh_pagealloc *p, uint64_t npages,
                            uint64_t *scav_bytes);

// gh_pagealloc_alloc_range takes npages from base, which are free, and returns
// how many bytes of them were scavenged. search_addr stays.
uint64_t gh_pagealloc_alloc_range(gh_pagealloc *p, uint64_t base,
                                  uint64_t npages);

// gh_pagealloc_free gives npages from base back. They are not scavenged.
void gh_pagealloc_free(gh_pagealloc *p, uint64_t base, uint64_t npages);

// gh_pagealloc_find searches the tree for npages: returns the address, 0 if
// there is none, and in *search_addr a good (not always the best) new one.
uint64_t gh_pagealloc_find(const gh_pagealloc *p, uint64_t npages,
                           uint64_t *search_addr);

// gh_pagealloc_update brings the summaries up to date after bits of npages from
// base changed; contig: all of them, to the value alloc. What the summaries said before must
// have been true, or that nothing is free.
void gh_pagealloc_update(gh_pagealloc *p, uint64_t base, uint64_t npages,
                         bool contig, bool alloc);

// gh_pagealloc_scavenge gives about nbytes of free pages back to the OS, the
// highest first, and returns how many bytes. force: dense chunks too.
uint64_t gh_pagealloc_scavenge(gh_pagealloc *p, uint64_t nbytes, bool force);

// gh_pagealloc_chunk_of returns the bitmaps of the chunk with addr; NULL if it
// was not grown.
const gh_palloc_data *gh_pagealloc_chunk_of(const gh_pagealloc *p,
                                            uint64_t addr);

// gh_pagealloc_check recomputes everything that follows from the bitmaps, and
// reports each difference in a line that starts with its tag. It returns
// whether there was none. O(grown chunks).
bool gh_pagealloc_check(const gh_pagealloc *p,
                        void (*report)(void *arg, const char *line), void *arg);

#endif  // MPAGEALLOC_H
