// mgcscavenge_index.h: which chunks are worth scavenging.
//
// Layer 3. Includes ghassert.h, mpallocbits.h, sparse.h.
// Go: mgcscavenge.go (scavengeIndex, scavChunkData).
//
// One record for each chunk: how many of its pages are allocated now, how many
// were when the generation began, and whether there may be anything to scavenge
// at all. Pages in a P's page cache count as allocated. A generation is one GC
// cycle. The background scavenger leaves chunks alone that are, or were at the
// start of the generation, dense: 496 of 512 pages or more; a forced search
// takes any.
//
// Two cursors, one for each kind of search, remember the highest page that may
// have something; searches go downwards. A search only lowers its cursor. free
// raises the forced one at once, the background one at the next generation, to
// the highest page freed since. A raised cursor is marked: the search that
// first sees it may lower it only to what it has really looked at.
//
// Go never maps chunk 0 and lets address 0 mean "nothing"; a heap's window here
// begins with chunk 0, so positions are page numbers + 1 [diff:scavindex.zero].
//
// Locking: the page allocator's. Go's find may run beside the others; ours may
// not [lock:world].

#ifndef MGCSCAVENGE_INDEX_H
#define MGCSCAVENGE_INDEX_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "ghassert.h"
#include "mpallocbits.h"
#include "sparse.h"

// A chunk with this many pages allocated is dense: 96.875 %.
#define GH_SCAV_CHUNK_HI_OCC_PAGES (GH_PALLOC_CHUNK_PAGES * 31u / 32u)

#define GH_SCAV_CHUNK_HAS_FREE 1u  // flag

// gh_scav_chunk_data is the record of one chunk, unpacked. All zero is right
// for a chunk that is new.
typedef struct gh_scav_chunk_data {
    uint16_t in_use;       // pages allocated: 0..512
    uint16_t last_in_use;  // when gen began
    uint8_t flags;         // 6 bits
    uint32_t gen;          // of the last change
} gh_scav_chunk_data;

uint64_t gh_scav_chunk_pack(gh_scav_chunk_data sc);
gh_scav_chunk_data gh_scav_chunk_unpack(uint64_t v);

// gh_scav_cursor is the highest page that may have something to scavenge.
typedef struct gh_scav_cursor {
    uint64_t pos;  // page number + 1; 0: nothing anywhere
    bool marked;   // raised, and not yet seen by a search
} gh_scav_cursor;

typedef struct gh_scav_index {
    gh_sparse table;
    uint64_t *chunks;      // packed records by chunk number
    uint64_t min_chunk;    // [min_chunk, max_chunk) may be touched;
    uint64_t max_chunk;    // equal: nothing yet
    gh_scav_cursor bg;     // managed by find and next_gen
    gh_scav_cursor force;  // managed by find and free
    uint64_t free_hwm;     // highest position freed in this generation
    uint32_t gen;
} gh_scav_index;

// gh_scav_index_init makes an index for nchunks chunks, of which none may be
// touched yet.
GH_NODISCARD gh_status gh_scav_index_init(gh_scav_index *s, gh_mem *mem,
                                          gh_persistent *persistent,
                                          gh_sysstat *stat, uint64_t nchunks);
void gh_scav_index_fini(gh_scav_index *s);

// gh_scav_index_reserve maps the records that growing to chunks [from, to) will
// need; gh_scav_index_grow then takes note and cannot fail.
GH_NODISCARD gh_status gh_scav_index_reserve(gh_scav_index *s, uint64_t from,
                                             uint64_t to);
void gh_scav_index_grow(gh_scav_index *s, uint64_t from, uint64_t to);

// gh_scav_index_find stores in *ci the highest chunk that may have pages to
// scavenge and in *page where in it to start looking, downwards. Returns false
// if there is none.
bool gh_scav_index_find(gh_scav_index *s, bool force, uint64_t *ci,
                        unsigned *page);

// gh_scav_index_alloc and _free note that npages of a chunk were allocated or
// freed; page is the first one freed.
void gh_scav_index_alloc(gh_scav_index *s, uint64_t ci, unsigned npages);
void gh_scav_index_free(gh_scav_index *s, uint64_t ci, unsigned page,
                        unsigned npages);

// gh_scav_index_next_gen begins a generation: once for each GC cycle.
void gh_scav_index_next_gen(gh_scav_index *s);

// gh_scav_index_set_empty notes that chunk ci has nothing to scavenge until
// something is freed into it.
void gh_scav_index_set_empty(gh_scav_index *s, uint64_t ci);

// gh_scav_index_reset_search_addrs makes both searches start from nothing.
void gh_scav_index_reset_search_addrs(gh_scav_index *s);

static inline gh_scav_chunk_data
gh_scav_index_get(const gh_scav_index *s, uint64_t ci)
{
    return gh_scav_chunk_unpack(s->chunks[ci]);
}

#endif  // MGCSCAVENGE_INDEX_H
