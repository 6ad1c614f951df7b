// special.h: what is attached to single objects: finalizers, weak handles,
// cleanups, pins, labels.
//
// Layer 5. Includes heap.h. Go: mheap.go (special, addspecial, removespecial,
// freeSpecial), mgcsweep.go.
//
// A span keeps a list of its specials, ordered by the byte they belong to and
// then by kind. Any byte of an object may have some; the parts of a tiny block
// have one slot between them, and what is attached to them goes together.
//
// Sweeping comes before the slots can be handed out again, and it fires the
// specials of unmarked objects, so a special always belongs to the object that
// it was made for [inv:special.live]. An unmarked object with a finalizer is
// marked again: its finalizers and weak handles fire and the rest stays. Of any
// other all fire. Whoever looks at the list of a span, to change it or to
// believe it, sweeps the span first (gh_ensure_swept); but for labels, which ask
// whether the object lives.
//
// A bit for each page says that the span that begins there has specials, so
// that the marker finds them: see gh_heap_arena.
//
// Memory: malloc's, since specials come and go one by one, outside the heap's
// figures like root slots [diff:special.memory]. Firing allocates nothing: the
// record of a finalizer or cleanup becomes the record of the call.
//
// Locking: [lock:heap], or the world is stopped.

#ifndef SPECIAL_H
#define SPECIAL_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

// Go's numbers, which order the specials of one byte; and one of ours.
typedef enum gh_special_kind {
    GH_SPECIAL_FINALIZER = 2,
    GH_SPECIAL_WEAK = 3,
    GH_SPECIAL_PROFILE = 4,
    GH_SPECIAL_PIN = 6,
    GH_SPECIAL_CLEANUP = 7,
    GH_SPECIAL_LABEL = 11,
} gh_special_kind;

struct gh_special {
    gh_special *next;  // of the span
    uint64_t offset;   // of its byte in the span
    uint8_t kind;      // gh_special_kind
};

typedef struct gh_label {
    gh_special special;  // first: a label is a special
    gh_label_link link;
    uintptr_t base;      // the object's start; of a tiny one, its part's
    char name[];
} gh_label;

// gh_callable is a finalizer or a cleanup. node is first: the queue frees it.
// The handle of a finalizer is nil until it fires.
typedef struct gh_callable {
    gh_call_node node;
    gh_special special;
    uint64_t id;         // of a cleanup
} gh_callable;

typedef struct gh_weak {
    gh_special special;
    uintptr_t box;       // 16 bytes of the heap, kept alive from here
} gh_weak;

// gh_profiled is of an object that the heap profile sampled.
typedef struct gh_profiled {
    gh_special special;
    struct gh_bucket *bucket;
} gh_profiled;

typedef struct gh_pinned {
    gh_special special;
    uint64_t n;          // pins
} gh_pinned;

static inline gh_callable *
gh_callable_of(gh_special *x)
{
    return (gh_callable *)((char *)x - offsetof(gh_callable, special));
}

// gh_special_find returns the place in s's list of the special of that kind at
// that byte, or where one is to go; *exists says which.
gh_special **gh_special_find(gh_mspan *s, uint64_t offset, gh_special_kind kind,
                             bool *exists);
// gh_special_insert puts x, whose offset and kind are set, at a place that
// gh_special_find returned: before what is there.
void gh_special_insert(gh_heap *h, gh_mspan *s, gh_special **at, gh_special *x);
// gh_special_remove takes the special at a place out of the list.
gh_special *gh_special_remove(gh_heap *h, gh_mspan *s, gh_special **at);

// gh_specials_sweep fires the specials of unmarked objects of s, which is about
// to be swept, and marks those again that have a finalizer.
void gh_specials_sweep(gh_heap *h, gh_mspan *s);

// gh_specials_fini frees the specials of a heap that ends; nothing fires.
void gh_specials_fini(gh_heap *h);

#endif  // SPECIAL_H
