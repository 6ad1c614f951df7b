// mbitmap.h: alloc bits, mark bits and pointer bits.
//
// Layer 4. Includes ghassert.h, ghbits.h, mem.h, mheap_span.h.
// Go: mbitmap.go, mheap.go (gcBits).
//
// Alloc and mark bits. A heap has two bit areas, A and B, each one bit for each
// possible 8-byte object of its window. A span owns the same words of both: one
// area holds its alloc bits, the other its mark bits, and sweeping the span
// exchanges them and clears the new mark bits. All spans are swept when marking
// begins, so all their mark bits are then in one area, packed: 16 bytes for a
// span of 64-byte objects, 125 KB for 64 MB of them. Go draws both bitmaps from
// arenas that live for two cycles; with pairs that live as long as the span,
// neither marking nor sweeping can run out of memory [diff:bitmap.pairs].
// Bits at and beyond nelems are zero [inv:bitmap.tail].
//
// Pointer bits. Go keeps one bit for each word of a span of objects <= 512 B in
// the span's own last bytes. Ours lie in an area beside the pages, one bit for
// each word of the window; the bytes at the span's end stay reserved, because
// they decide how many slots it has [diff:bitmap.beside]. So a marker touches
// fewer cache lines, and a payload need never be touched.
//
// Mostly all objects of a page have the same pointers. Then their mask is also
// in page_mask, and a marker reads that in place of their bits: 8 bytes for 8 KiB.
// 0 means that they differ, that there are none, or that bits are not where their
// pointers are noted [inv:bitmap.page_mask]. The pages of a span have the same, and
// its record repeats it, for the allocation. The
// first object of an empty span writes the bits of all its slots, so that what
// follows with the same mask writes nothing.
//
// Locking: a span's bits go with the span; the free lists with the heap's
// holder [lock:world].

#ifndef MBITMAP_H
#define MBITMAP_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include <string.h>

#include "ghassert.h"
#include "ghbits.h"
#include "mem.h"
#include "mheap_span.h"

#define GH_BITS_MAX_WORDS 16u  // 1024 objects

typedef struct gh_bitmaps {
    uint64_t *area[2];      // alloc and mark bits
    uint8_t mark_area;      // of every span that is swept
    uint64_t *ptr_bits;     // bit (address - window) / 8
    uint64_t *page_mask;    // by page number
    gh_objmeta *meta;       // 64 entries a bit word; NULL: not kept. Not in *stat
    uintptr_t window;
    uint32_t next;          // first word never handed out
    uint32_t mapped;        // words mapped in both areas
    uint32_t limit;         // words reserved
    uint32_t used;          // words owned by spans
    // Freed runs by length, linked through the first word of area A, which
    // holds the next run's index + 1.
    uint32_t free_head[GH_BITS_MAX_WORDS + 1];
    gh_sysstat *stat;       // not owned: gcMiscSys
} gh_bitmaps;

// gh_bitmaps_reserve takes the address space for a window of window_bytes.
GH_NODISCARD gh_status gh_bitmaps_reserve(gh_bitmaps *b, gh_mem *mem,
                                          uintptr_t window,
                                          size_t window_bytes, bool track_types,
                                          gh_sysstat *stat);
void gh_bitmaps_release(gh_bitmaps *b, gh_mem *mem, size_t window_bytes);
// gh_bitmaps_map_arena makes the pointer bits of one arena usable.
GH_NODISCARD gh_status gh_bitmaps_map_arena(gh_bitmaps *b, gh_mem *mem,
                                            size_t arena);
// gh_bitmaps_alloc finds bits for n objects: *word is the first word; all bits
// of both areas are zero.
GH_NODISCARD gh_status gh_bitmaps_alloc(gh_bitmaps *b, gh_mem *mem, unsigned n,
                                        uint32_t *word);
void gh_bitmaps_free(gh_bitmaps *b, uint32_t word, unsigned nwords);
// gh_bitmaps_trim gives the OS back what is kept of objects of words that no
// span owns. Without the memory to find them it does nothing.
void gh_bitmaps_trim(gh_bitmaps *b, gh_mem *mem);
// gh_ptr_bits_trim does so for the pointer bits of window bytes [from, to), in
// which there is no object.
void gh_ptr_bits_trim(gh_bitmaps *b, gh_mem *mem, uintptr_t from, uintptr_t to);

static inline uint64_t *
gh_mspan_alloc_bits(const gh_bitmaps *b, const gh_mspan *s)
{
    return b->area[s->alloc_area] + s->bits;
}

static inline uint64_t *
gh_mspan_mark_bits(const gh_bitmaps *b, const gh_mspan *s)
{
    return b->area[s->alloc_area ^ 1] + s->bits;
}

// gh_mspan_is_allocated answers for slot i of a swept span.
static inline bool
gh_mspan_is_allocated(const gh_bitmaps *b, const gh_mspan *s, unsigned i)
{
    if (i < s->free_index) {
        return true;
    }
    return (gh_mspan_alloc_bits(b, s)[i / 64] >> (i % 64) & 1) != 0;
}

static inline bool
gh_mspan_is_marked(const gh_bitmaps *b, const gh_mspan *s, unsigned i)
{
    const uint64_t *word = &gh_mspan_mark_bits(b, s)[i / 64];
    return (__atomic_load_n(word, __ATOMIC_RELAXED) >> (i % 64) & 1) != 0;
}

// gh_mspan_refill_alloc_cache loads the group of 64 slots that contains index,
// shifted so that bit 0 is slot index.
static inline void
gh_mspan_refill_alloc_cache(const gh_bitmaps *b, gh_mspan *s, unsigned index)
{
    s->alloc_cache = ~gh_mspan_alloc_bits(b, s)[index / 64] >> (index % 64);
}

// gh_mspan_next_free_index finds the lowest free slot at or after free_index
// and moves past it; nelems when there is none. Go: mspan.nextFreeIndex.
unsigned gh_mspan_next_free_index(const gh_bitmaps *b, gh_mspan *s);

// gh_bits_clear clears n words, mostly one or two: for these the compiler's string
// instruction takes longer to begin than they take.
static inline void
gh_bits_clear(uint64_t *w, size_t n)
{
    for (; n > 2; n--) {
        w[n - 1] = 0;
        __asm__("" ::: "memory");  // so that it stays a loop
    }
    if (n == 2) {
        w[1] = 0;
    }
    w[0] = 0;
}

// gh_ptr_bits_get returns the pointer bits of the nwords <= 64 words from p on.
static inline uint64_t
gh_ptr_bits_get(const gh_bitmaps *b, uintptr_t p, unsigned nwords)
{
    const uintptr_t bit = (p - b->window) / GH_PTR_SIZE;
    const unsigned shift = (unsigned)(bit % 64);
    const uint64_t *w = b->ptr_bits + bit / 64;
    // The owner of a neighbour may be writing its own bits of the word.
    uint64_t mask = __atomic_load_n(&w[0], __ATOMIC_RELAXED) >> shift;
    if (shift + nwords > 64) {
        mask |= __atomic_load_n(&w[1], __ATOMIC_RELAXED) << (64 - shift);
    }
    return nwords == 64 ? mask : mask & (((uint64_t)1 << nwords) - 1);
}

// gh_ptr_bits_set writes them. mask has no bit at or above nwords.
static inline void
gh_ptr_bits_set(gh_bitmaps *b, uintptr_t p, unsigned nwords, uint64_t mask)
{
    const uintptr_t bit = (p - b->window) / GH_PTR_SIZE;
    const unsigned shift = (unsigned)(bit % 64);
    uint64_t *w = b->ptr_bits + bit / 64;
    const uint64_t keep = nwords == 64 ? ~(uint64_t)0
                                       : ((uint64_t)1 << nwords) - 1;
    // One P writes the words of a span; markers read them.
    __atomic_store_n(&w[0], (w[0] & ~(keep << shift)) | mask << shift,
                     __ATOMIC_RELAXED);
    if (shift + nwords > 64) {
        __atomic_store_n(&w[1],
                         (w[1] & ~(keep >> (64 - shift))) | mask >> (64 - shift),
                         __ATOMIC_RELAXED);
    }
}

static inline uint64_t *
gh_page_mask_at(const gh_bitmaps *b, uintptr_t p)
{
    return &b->page_mask[(p - b->window) >> GH_PAGE_SHIFT];
}

// gh_obj_ptr_bits returns the mask of the object of elemsize <= 512 bytes at p.
static inline uint64_t
gh_obj_ptr_bits(const gh_bitmaps *b, uintptr_t p, uint64_t elemsize)
{
    const uint64_t mask =
        __atomic_load_n(gh_page_mask_at(b, p), __ATOMIC_RELAXED);
    return GH_LIKELY(mask != 0)
               ? mask
               : gh_ptr_bits_get(b, p, (unsigned)(elemsize / GH_PTR_SIZE));
}

// gh_obj_ptr_bits_set makes mask that of the new object at p in s, which has
// been counted. Markers may read meanwhile: of an object that they scan neither
// its bits change, nor what its page says of it.
void gh_obj_ptr_bits_set_slow(gh_bitmaps *b, gh_mspan *s, uintptr_t p,
                              uint64_t mask);

static inline void
gh_obj_ptr_bits_set(gh_bitmaps *b, gh_mspan *s, uintptr_t p,
                    uint64_t mask)
{
    if (GH_UNLIKELY(s->mask != mask)) {
        gh_obj_ptr_bits_set_slow(b, s, p, mask);
    }
}

// gh_heap_bits_small is the mask of an object of data_size <= 512 bytes made of
// elements of type t. Go: mspan.writeHeapBitsSmall.
static inline uint64_t
gh_heap_bits_small(const gh_type *t, uint64_t data_size)
{
    if (t->size == data_size) {
        return t->mask0;
    }
    if (t->size == GH_PTR_SIZE) {
        const unsigned n = (unsigned)(data_size / GH_PTR_SIZE);
        return n == 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
    }
    uint64_t mask = 0;
    for (uint64_t off = 0; off < data_size; off += t->size) {
        mask |= t->mask0 << (off / GH_PTR_SIZE);
    }
    return mask;
}

#endif  // MBITMAP_H
