// slots.h: root slots, the places outside the heap that keep objects alive.
//
// Layer 4. Includes ghassert.h, ghconst.h, goheap.h.
// No Go ancestor: they play the part of Go's globals [diff:roots.slots].
//
// Two kinds of container: blocks (gh_slots, any length, made by clients) and
// the handle table (chunks of single slots with a free list). Both are outside
// the heap's page accounting: they come from the C library's allocator, like a
// client's own memory, and enter no figure of MemStats.
//
// Dropping a handle must never wait, so it only pushes the slot's number on a
// lock-free list (pending). The next holder of a P drains it with the barrier
// (gh_handles_drain): until then the slot still holds its object.
//
// Locking: free list and block list belong to the heap's holder [lock:world];
// pending is atomic; blocks may be freed by anybody, see gh_slots_free.

#ifndef SLOTS_H
#define SLOTS_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include <stdatomic.h>

#include "ghassert.h"
#include "ghconst.h"
#include "goheap.h"

#define GH_SLOTS_SIG 0x51075u

struct gh_slots {
    uint32_t sig;
    _Atomic(gh_heap *) heap;  // NULL: it has ended
    // Freed while a cycle marked, and what it holds has been shaded; both guarded
    // by the heap's roots_lock.
    bool dead, shaded;
    gh_slots *next, *prev;  // list of the heap's blocks
    size_t n;
    gh_slot slot[];
};

#define GH_HANDLE_CHUNK 1024u

// What link says of a handle that is in use: whose it is. Larger than any number
// of a handle, but for the client's.
#define GH_HANDLE_CLIENTS   0u
#define GH_HANDLE_FINALIZER (UINT32_MAX - 1)  // of an object that waits for it
#define GH_HANDLE_CLEANUP   (UINT32_MAX - 2)  // of a cleanup's blocks
#define GH_HANDLE_PIN       (UINT32_MAX - 3)

typedef struct gh_handle_chunk {
    gh_slot slot[GH_HANDLE_CHUNK];
    // Number of the next handle on the free or pending list, 0: end. Of one that
    // is in use GH_HANDLE_...
    uint32_t link[GH_HANDLE_CHUNK];
} gh_handle_chunk;

// [inv:handles.count] live + length of the free list + length of the pending
// list is the number of handles ever made.
typedef struct gh_handles {
    // Readers without a P (drops, scalar fields) take the array as it is: when
    // it grows a new one is published whole and the old one stays, see old.
    _Atomic(gh_handle_chunk **) chunk;
    uint32_t nchunks, cap;
    uint32_t made;            // handles ever made; numbers 1..made
    uint32_t live;            // handed out and not dropped (as far as drained)
    uint32_t free;            // head of the free list, 0: empty
    _Atomic uint32_t pending; // head of the list of dropped handles
    void *old;                // outgrown arrays, freed with the table
} gh_handles;

GH_NODISCARD gh_status gh_handles_alloc(gh_handles *t, uint32_t *id);
void gh_handles_fini(gh_handles *t);

static inline gh_handle_chunk **
gh_handles_chunks(const gh_handles *t)
{
    return atomic_load_explicit(&t->chunk, memory_order_acquire);
}

static inline gh_slot *
gh_handles_slot(const gh_handles *t, uint32_t id)
{
    GH_ASSERT(id >= 1);
    return &gh_handles_chunks(t)[(id - 1) / GH_HANDLE_CHUNK]
                ->slot[(id - 1) % GH_HANDLE_CHUNK];
}

static inline uint32_t *
gh_handles_link(const gh_handles *t, uint32_t id)
{
    return &gh_handles_chunks(t)[(id - 1) / GH_HANDLE_CHUNK]
                ->link[(id - 1) % GH_HANDLE_CHUNK];
}

// gh_handle_kind says what holds the object of handle id: a person's handle, or a
// special's.
static inline gh_root_kind
gh_handle_kind(const gh_handles *t, uint32_t id)
{
    switch (__atomic_load_n(gh_handles_link(t, id), __ATOMIC_RELAXED)) {
    case GH_HANDLE_FINALIZER: return GH_ROOT_FINALIZER;
    case GH_HANDLE_CLEANUP: return GH_ROOT_CLEANUP;
    case GH_HANDLE_PIN: return GH_ROOT_PINNED;
    default: return GH_ROOT_HANDLE;
    }
}

// gh_handles_push_pending may be called by any thread.
void gh_handles_push_pending(gh_handles *t, uint32_t id);

static inline bool
gh_handles_has_pending(const gh_handles *t)
{
    return atomic_load_explicit(&t->pending, memory_order_relaxed) != 0;
}

// gh_handles_take_pending empties the pending list and returns its head.
static inline uint32_t
gh_handles_take_pending(gh_handles *t)
{
    if (!gh_handles_has_pending(t)) {
        return 0;
    }
    return atomic_exchange_explicit(&t->pending, 0, memory_order_acquire);
}

// gh_handles_release puts a cleared slot on the free list; returns the next
// number of the list it came from.
uint32_t gh_handles_release(gh_handles *t, uint32_t id);

#endif  // SLOTS_H
