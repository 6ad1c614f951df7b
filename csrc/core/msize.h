// msize.h: from a size to its class, and what a class is.
//
// The table is Go's, sizeclasses.h, or a policy's own: then a span is the fewest
// pages that waste at most an eighth of themselves in the tail, as Go derives its
// own. Each heap keeps one gh_size_table, so that both cost the same.
//
// Layer 2. Includes ghassert.h, ghbits.h, ghconst.h, sizeclasses.h.
// Go: msize.go, sizeclasses.go, mheap.go (spanClass).

#ifndef MSIZE_H
#define MSIZE_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "ghassert.h"
#include "ghbits.h"
#include "ghconst.h"
#include "sizeclasses.h"

// The largest request that is not a large object, header or not.
#define GH_MAX_SMALL_REQUEST (GH_MAX_SMALL_SIZE - GH_MALLOC_HEADER_SIZE)

static inline uint8_t
gh_make_spanclass(unsigned sizeclass, bool noscan)
{
    return (uint8_t)(sizeclass << 1 | (noscan ? 1 : 0));
}

static inline unsigned
gh_spanclass_sizeclass(uint8_t spc)
{
    return spc >> 1;
}

static inline bool
gh_spanclass_noscan(uint8_t spc)
{
    return (spc & 1) != 0;
}

// gh_size_to_class: size is 1..32768, header included.
static inline unsigned
gh_size_to_class(uint64_t size)
{
    GH_ASSERT(size >= 1);
    GH_ASSERT(size <= GH_MAX_SMALL_SIZE);
    if (size <= 1024 - 8) {
        return gh_size_to_class8[(size + 7) / 8];
    }
    // 1017..1024: the rounding of a negative difference wraps to entry 0.
    return gh_size_to_class128[gh_div_round_up(size - 1024, 128)];
}

// gh_heap_bits_in_span: objects of this size carry no malloc header.
static inline bool
gh_heap_bits_in_span(uint64_t size)
{
    return size <= GH_MIN_SIZE_FOR_MALLOC_HEADER;
}

// gh_slots_of_span is the number of slots of size bytes in a span. Green Tea's
// record takes 128 bytes of each span of 16..512-byte objects, and heap bits take
// a 64th of each scan span up to 512 bytes.
static inline unsigned
gh_slots_of_span(unsigned size, unsigned npages, bool noscan)
{
    unsigned bytes = npages * (unsigned)GH_PAGE_SIZE;
    if (gh_heap_bits_in_span(size)) {
        if (!noscan) {
            bytes -= bytes / 64;
        }
        if (size >= 16) {
            bytes -= GH_INLINE_MARK_BYTES;
        }
    }
    return bytes / size;
}

// gh_class_nelems is the number of slots of a span of Go's class spc.
static inline unsigned
gh_class_nelems(uint8_t spc)
{
    const unsigned cls = gh_spanclass_sizeclass(spc);
    return gh_slots_of_span(gh_class_to_size[cls],
                            gh_class_to_alloc_npages[cls],
                            gh_spanclass_noscan(spc));
}

typedef struct gh_size_table {
    uint32_t n;                            // classes, with class 0
    uint8_t tiny_spc;                      // span class of tiny blocks; 0: none
    uint8_t npages[GH_NUM_SIZE_CLASSES];
    uint8_t to_class8[129];                // as gh_size_to_class8
    uint8_t to_class128[249];
    uint16_t size[GH_NUM_SIZE_CLASSES];    // 0 beyond the last class
    uint16_t nelems[GH_NUM_SPAN_CLASSES];
    uint32_t divmagic[GH_NUM_SIZE_CLASSES];
} gh_size_table;

// gh_size_table_init makes the table of n sizes, or of Go's if n is 0. False: they
// are no size classes. Valid ones rise, are multiples of 8 up to 1024 and of 128
// above, have 512 among them, where heap bits end, and end with 32768.
bool gh_size_table_init(gh_size_table *t, const uint16_t *sizes, uint32_t n);

// gh_table_class is gh_size_to_class for a table.
static inline unsigned
gh_table_class(const gh_size_table *t, uint64_t size)
{
    GH_ASSERT(size >= 1);
    GH_ASSERT(size <= GH_MAX_SMALL_SIZE);
    if (size <= 1024 - 8) {
        return t->to_class8[(size + 7) / 8];
    }
    return t->to_class128[gh_div_round_up(size - 1024, 128)];
}

// gh_table_round_up is what an object of size bytes gets.
uint64_t gh_table_round_up(const gh_size_table *t, uint64_t size, bool noscan);

#endif  // MSIZE_H
