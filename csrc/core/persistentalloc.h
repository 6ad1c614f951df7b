// persistentalloc.h: metadata memory that lives as long as its heap.
//
// Layer 2. Includes mem.h. Go: malloc.go (persistentalloc).
//
// Small requests are cut one after the other from chunks of 256 KiB; what does
// not fit in the rest of a chunk abandons that rest. Requests of 64 KiB or more
// are mappings of their own. Nothing is given back before gh_persistent_fini,
// which gives back everything: a heap can be closed, where Go's never is
// [diff:persistent.fini]. Go keeps one chunk for each P, so that Ps need no
// lock; we keep one for each heap [diff:persistent.shared].
//
// Accounting, as in Go: a chunk counts in other_sys when it is mapped, and each
// request moves its bytes from there to the caller's stat.
//
// Locking: the heap's holder [lock:world].

#ifndef PERSISTENTALLOC_H
#define PERSISTENTALLOC_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "mem.h"

#define GH_PERSISTENT_SIG 0x9e751u

// gh_persistent_direct notes one mapping of its own. It lies in a chunk.
typedef struct gh_persistent_direct {
    struct gh_persistent_direct *next;
    void *base;
    size_t bytes;       // mapped
    gh_sysstat *stat;   // charged
} gh_persistent_direct;

typedef struct gh_persistent {
    uint32_t sig;
    gh_mem *mem;                   // not owned
    gh_sysstat *other_sys;         // not owned
    unsigned char *base;           // current chunk; NULL: none yet
    size_t off;                    // its first free byte
    void *chunks;                  // newest; the first word links the older
    gh_persistent_direct *direct;  // newest first
    gh_persistent_direct *spare;   // a note whose mapping was refused
} gh_persistent;

// gh_persistent_init obtains no memory.
void gh_persistent_init(gh_persistent *p, gh_mem *mem, gh_sysstat *other_sys);

// gh_persistent_fini gives every chunk and every mapping back. The stats that
// were charged must still exist for the mappings; what was moved out of chunks
// stays counted there.
void gh_persistent_fini(gh_persistent *p);

// gh_persistentalloc stores in *out n zeroed bytes, aligned to align: a power
// of two up to 4096, or 0 for 8. It counts n (of a mapping: n rounded up to OS
// pages) in *stat. On GH_ERR_NOMEM no figure has changed.
GH_NODISCARD gh_status gh_persistentalloc(gh_persistent *p, size_t n,
                                          size_t align, gh_sysstat *stat,
                                          void **out);

#endif  // PERSISTENTALLOC_H
