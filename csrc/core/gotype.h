// gotype.h: what the collector knows of a type: size, alignment, pointer mask.
//
// Layer 4. Includes goheap.h, ghconst.h, msize.h, persistentalloc.h.
// Go: type.go, internal/abi/type.go (Size, PtrBytes, GCData). Heap types carry
// their mask whole: there are no GC programs and no masks built on demand
// [diff:type.mask].
//
// A type is immutable after gh_gotype_new and lives as long as its heap.

#ifndef GOTYPE_H
#define GOTYPE_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "ghconst.h"
#include "goheap.h"
#include "msize.h"
#include "persistentalloc.h"

#define GH_TYPE_SIG 0x79e0u

struct gh_type {
    uint32_t sig;
    uint32_t id;       // position in the heap's table; from 2
    uint64_t size;     // bytes of one element
    uint64_t ptrdata;  // PtrBytes: ends after the last pointer word
    uint64_t mask0;    // mask[0], or 0: the whole mask of types <= 512 B
    const uint64_t *mask;
    const char *name;
    uintptr_t user;
    uint32_t align;
    uint8_t one_spc;   // Go's span class of one element, where gh_new_fast may make
                       // it; 0: nowhere
};

// gh_types is a heap's table of types, by id.
typedef struct gh_types {
    const gh_type **table;
    uint32_t len, cap;
} gh_types;

// gh_gotype_new checks desc, copies it into memory of p and enters it in ts.
GH_NODISCARD gh_status gh_gotype_new(gh_types *ts, gh_persistent *p,
                                     gh_sysstat *stat, const gh_type_desc *desc,
                                     const gh_type **out);

static inline bool
gh_type_noscan(const gh_type *t)
{
    return t->ptrdata == 0;
}

// gh_type_word_is_pointer answers for word w of an endless row of elements.
static inline bool
gh_type_word_is_pointer(const gh_type *t, uint64_t w)
{
    const uint64_t words = t->size / GH_PTR_SIZE;
    w = words <= 1 ? 0 : w % words;
    if (w * GH_PTR_SIZE >= t->ptrdata) {
        return false;
    }
    return (t->mask[w / 64] >> (w % 64) & 1) != 0;
}

#endif  // GOTYPE_H
