// msize.h: from a size to its class, and what a class is.
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

// gh_class_nelems is the number of slots of a span of class spc. Green Tea's
// record takes 128 bytes of each span of 16..512-byte objects, and heap bits
// take a 64th of each scan span up to 512 bytes.
static inline unsigned
gh_class_nelems(uint8_t spc)
{
    const unsigned cls = gh_spanclass_sizeclass(spc);
    const unsigned size = gh_class_to_size[cls];
    unsigned bytes = gh_class_to_alloc_npages[cls] * (unsigned)GH_PAGE_SIZE;
    if (gh_heap_bits_in_span(size)) {
        if (!gh_spanclass_noscan(spc)) {
            bytes -= bytes / 64;
        }
        if (size >= 16) {
            bytes -= GH_INLINE_MARK_BYTES;
        }
    }
    return bytes / size;
}

#endif  // MSIZE_H
