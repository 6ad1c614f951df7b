// sparse.h: a table that is reserved whole and mapped where it is used.
//
// Layer 2. Includes mem.h, persistentalloc.h. No Go ancestor: Go's page
// allocator derives from its ranges in use which parts of its tables are mapped
// already (mpagealloc_64bit.go); a bitmap of mapped pieces answers the same and
// lets a growth that failed half-way be tried again [diff:sparse.mapped].
//
// Memory starts out zero and is never given back before gh_sparse_fini. A piece
// that has been mapped stays so, even when the step that needed it fails later:
// it is counted, and the next attempt finds it.
//
// Locking: whoever holds what embeds the table.

#ifndef SPARSE_H
#define SPARSE_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "mem.h"
#include "persistentalloc.h"

typedef struct gh_sparse {
    unsigned char *base;  // NULL: not initialised
    size_t bytes;         // reserved: a multiple of granule
    size_t granule;       // bytes mapped at once: a multiple of the OS page
    uint64_t *mapped;     // bit i: piece i is Ready
    gh_mem *mem;          // not owned
    gh_sysstat *stat;     // not owned; counts the mapped pieces
} gh_sparse;

// gh_sparse_init reserves a table of at least bytes bytes.
GH_NODISCARD gh_status gh_sparse_init(gh_sparse *t, gh_mem *mem,
                                      gh_persistent *persistent,
                                      gh_sysstat *stat, size_t bytes,
                                      size_t granule);
void gh_sparse_fini(gh_sparse *t);

// gh_sparse_ensure maps bytes [from, to) of the table, as far as they aren't.
GH_NODISCARD gh_status gh_sparse_ensure(gh_sparse *t, size_t from, size_t to);

// gh_sparse_is_mapped reports whether byte off may be touched.
bool gh_sparse_is_mapped(const gh_sparse *t, size_t off);

#endif  // SPARSE_H
