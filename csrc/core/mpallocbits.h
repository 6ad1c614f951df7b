// mpallocbits.h: the bitmaps of one chunk of 512 pages, and their summaries.
//
// Layer 3. Includes ghassert.h, ghbits.h, ghconst.h.
// Go: mpallocbits.go, mpagealloc.go (pallocSum), mgcscavenge.go (fillAligned,
// findScavengeCandidate).
//
// Bit i % 64 of word i / 64 stands for page i. In the alloc bitmap 1 is
// allocated; in the scavenged bitmap 1 is given back to the OS.
//
// A summary says of a row of pages how many are free at its start, at its end,
// and in its longest free run. It is packed in 64 bits: 21 each, and bit 63
// alone for 2^21 in all three, the largest row that the tree knows.
//
// Pure arithmetic on what the caller passes. Locking: the caller's.

#ifndef MPALLOCBITS_H
#define MPALLOCBITS_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "ghassert.h"
#include "ghbits.h"
#include "ghconst.h"

#define GH_PALLOC_WORDS   (GH_PALLOC_CHUNK_PAGES / 64u)
#define GH_PAGE_NOT_FOUND UINT32_MAX

#define GH_LOG_MAX_PACKED_VALUE                                                \
    (GH_LOG_PALLOC_CHUNK_PAGES                                                 \
     + (GH_SUMMARY_LEVELS - 1u) * GH_SUMMARY_LEVEL_BITS)
#define GH_MAX_PACKED_VALUE ((uint64_t)1 << GH_LOG_MAX_PACKED_VALUE)

// gh_palloc_bits is Go's pageBits and pallocBits.
typedef struct gh_palloc_bits {
    uint64_t w[GH_PALLOC_WORDS];
} gh_palloc_bits;

typedef struct gh_palloc_data {
    gh_palloc_bits alloc;
    gh_palloc_bits scavenged;
} gh_palloc_data;

typedef uint64_t gh_palloc_sum;

_Static_assert(3 * GH_LOG_MAX_PACKED_VALUE == 63, "a summary fills 63 bits");
_Static_assert(sizeof(gh_palloc_data) == 128, "two cache lines, no padding");

// ---- summaries --------------------------------------------------------------

static inline gh_palloc_sum
gh_palloc_sum_pack(uint64_t start, uint64_t max, uint64_t end)
{
    if (max == GH_MAX_PACKED_VALUE) {
        return (gh_palloc_sum)1 << 63;
    }
    const uint64_t mask = GH_MAX_PACKED_VALUE - 1;
    return (start & mask) | (max & mask) << GH_LOG_MAX_PACKED_VALUE
        | (end & mask) << 2 * GH_LOG_MAX_PACKED_VALUE;
}

static inline uint64_t
gh_palloc_sum_field(gh_palloc_sum sum, unsigned field)
{
    if (sum >> 63 != 0) {
        return GH_MAX_PACKED_VALUE;
    }
    return sum >> field * GH_LOG_MAX_PACKED_VALUE & (GH_MAX_PACKED_VALUE - 1);
}

static inline uint64_t
gh_palloc_sum_start(gh_palloc_sum sum)
{
    return gh_palloc_sum_field(sum, 0);
}

static inline uint64_t
gh_palloc_sum_max(gh_palloc_sum sum)
{
    return gh_palloc_sum_field(sum, 1);
}

static inline uint64_t
gh_palloc_sum_end(gh_palloc_sum sum)
{
    return gh_palloc_sum_field(sum, 2);
}

static inline void
gh_palloc_sum_unpack(gh_palloc_sum sum, uint64_t *start, uint64_t *max,
                     uint64_t *end)
{
    *start = gh_palloc_sum_start(sum);
    *max = gh_palloc_sum_max(sum);
    *end = gh_palloc_sum_end(sum);
}

// gh_free_chunk_sum is the summary of a chunk without an allocated page.
static inline gh_palloc_sum
gh_free_chunk_sum(void)
{
    return gh_palloc_sum_pack(GH_PALLOC_CHUNK_PAGES, GH_PALLOC_CHUNK_PAGES,
                              GH_PALLOC_CHUNK_PAGES);
}

// gh_merge_summaries joins n neighbouring summaries, each of
// 1 << log_max_pages pages.
gh_palloc_sum gh_merge_summaries(const gh_palloc_sum *sums, unsigned n,
                                 unsigned log_max_pages);

// ---- bitmaps ----------------------------------------------------------------

static inline bool
gh_palloc_bits_get(const gh_palloc_bits *b, unsigned i)
{
    return (b->w[i / 64] >> i % 64 & 1) != 0;
}

// Ranges are [i, i + n), n > 0, within the chunk.
void gh_palloc_bits_set_range(gh_palloc_bits *b, unsigned i, unsigned n);
void gh_palloc_bits_clear_range(gh_palloc_bits *b, unsigned i, unsigned n);
unsigned gh_palloc_bits_popcnt_range(const gh_palloc_bits *b, unsigned i,
                                     unsigned n);

// gh_palloc_bits_summarize summarises the zero bits.
gh_palloc_sum gh_palloc_bits_summarize(const gh_palloc_bits *b);
// gh_palloc_bits_sum_after_free is that, too, if the range [i, i + n) was cleared since
// it was `before`: only the run of zeros around the range can be new.
gh_palloc_sum gh_palloc_bits_sum_after_free(const gh_palloc_bits *b, gh_palloc_sum before,
                                            unsigned i, unsigned n);

// gh_palloc_bits_find returns the first page of the first run of npages zero
// bits, from the 64-page block of search_idx on; GH_PAGE_NOT_FOUND if there is
// none. Below search_idx nothing is free. *new_search_idx is the first zero bit
// that was seen, or GH_PAGE_NOT_FOUND.
unsigned gh_palloc_bits_find(const gh_palloc_bits *b, uint64_t npages,
                             unsigned search_idx, unsigned *new_search_idx);
// The three ways to find: one page, up to 64, more.
unsigned gh_palloc_bits_find1(const gh_palloc_bits *b, unsigned search_idx);
unsigned gh_palloc_bits_find_small_n(const gh_palloc_bits *b, uint64_t npages,
                                     unsigned search_idx,
                                     unsigned *new_search_idx);
unsigned gh_palloc_bits_find_large_n(const gh_palloc_bits *b, uint64_t npages,
                                     unsigned search_idx,
                                     unsigned *new_search_idx);

// gh_find_bit_range64 returns the index of the first run of n ones in c,
// 1 <= n <= 64; 64 or more if there is none.
unsigned gh_find_bit_range64(uint64_t c, unsigned n);

// ---- a chunk: both bitmaps --------------------------------------------------

// Allocating a page says that it is no longer with the OS; freeing one leaves
// its scavenged bit, which is clear.
void gh_palloc_data_alloc_range(gh_palloc_data *d, unsigned i, unsigned n);
void gh_palloc_data_alloc_all(gh_palloc_data *d);
void gh_palloc_data_free_range(gh_palloc_data *d, unsigned i, unsigned n);
void gh_palloc_data_free_all(gh_palloc_data *d);

// gh_fill_aligned sets all bits of each aligned group of m bits of x in which
// any bit is set. m is a power of two up to 64.
uint64_t gh_fill_aligned(uint64_t x, unsigned m);

// gh_palloc_data_find_scavenge_candidate returns the highest run of pages at or
// below search_idx that are free and not scavenged, and its length in *n; 0 and
// *n = 0 if there is none. The run is a multiple of min pages, aligned to min
// (a power of two up to 64). At most max pages are taken, from its upper end,
// but a huge page is taken whole rather than broken.
unsigned gh_palloc_data_find_scavenge_candidate(const gh_palloc_data *d,
                                                unsigned search_idx,
                                                uint64_t min, uint64_t max,
                                                unsigned *n);

// gh_palloc_data_has_scavenge_candidate reports whether the search above finds
// anything in the whole chunk.
bool gh_palloc_data_has_scavenge_candidate(const gh_palloc_data *d,
                                           uint64_t min);

#endif  // MPALLOCBITS_H
