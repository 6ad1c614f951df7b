// mfixalloc.h: fixed-size metadata allocator.
//
// A gh_fixalloc hands out objects of one size, cut from chunks that it asks of
// persistentalloc, and keeps freed objects on a list of its own, newest first.
// The heap's spans and Ps live here: metadata never comes from the heap that it
// describes.
//
// Layer 2. Includes persistentalloc.h. Go: mfixalloc.go, type fixalloc.
// We differ in one point: exhaustion is a status, where Go throws
// [diff:fixalloc.nomem].
//
// Locking: none of its own; whoever holds what embeds the gh_fixalloc.

#ifndef MFIXALLOC_H
#define MFIXALLOC_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "persistentalloc.h"

#define GH_FIXALLOC_SIG 0xf1a110c8u

// gh_fixlink overlays the first word of an object on the free list.
typedef struct gh_fixlink {
    struct gh_fixlink *next;
} gh_fixlink;

// gh_fixalloc_first runs once on each object, the first time it is handed out
// and never again when it is recycled.
typedef void (*gh_fixalloc_first)(void *arg, void *object);

// [inv:fixalloc.bytes] inuse + size * (length of free_list) + chunk_left is the
// number of bytes ever obtained, total.
typedef struct gh_fixalloc {
    uint32_t sig;
    bool zero;                // clear recycled objects; init sets it. Spans
                              // unset it: their sweepgen must survive
    size_t size;              // of one object, after rounding up
    size_t chunk_size;        // GH_FIXALLOC_CHUNK rounded down to size
    gh_fixlink *free_list;    // newest first
    unsigned char *chunk;     // rest of the current chunk
    size_t chunk_left;        // bytes in it; a multiple of size
    size_t inuse;             // bytes handed out and not freed
    size_t total;             // bytes obtained from source
    gh_persistent *source;    // not owned
    gh_sysstat *stat;         // not owned; charged by source
    gh_fixalloc_first first;  // may be NULL
    void *first_arg;
} gh_fixalloc;

// gh_fixalloc_init makes f ready to hand out objects of size bytes. It obtains
// no memory. size must not exceed GH_FIXALLOC_CHUNK.
void gh_fixalloc_init(gh_fixalloc *f, size_t size, gh_fixalloc_first first,
                      void *first_arg, gh_persistent *source, gh_sysstat *stat);

// gh_fixalloc_fini ends the use of f. Its memory stays with source.
void gh_fixalloc_fini(gh_fixalloc *f);

// gh_fixalloc_alloc stores a new object in *out. On GH_ERR_NOMEM, f is as it
// was before the call.
GH_NODISCARD gh_status gh_fixalloc_alloc(gh_fixalloc *f, void **out);

// gh_fixalloc_free takes back an object of f. Its first word is lost.
void gh_fixalloc_free(gh_fixalloc *f, void *object);

// gh_fixalloc_check reports whether [inv:fixalloc.bytes] holds. O(free list).
bool gh_fixalloc_check(const gh_fixalloc *f);

#endif  // MFIXALLOC_H
