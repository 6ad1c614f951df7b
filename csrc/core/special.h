// special.h: what is attached to single objects.
//
// Layer 5. Includes heap.h. Go: mheap.go (special, addspecial, removespecial),
// mgcsweep.go.
//
// A span keeps a list of its specials, ordered by slot. The parts of a tiny
// block have one slot, and each its own specials; they go together.
// Sweeping drops those of
// objects that it frees, before the slots can be handed out again, so a special
// always belongs to the object that it was made for [inv:special.live].
//
// So far there is one kind: labels, names that a client gives to objects. A name
// is unique in its heap; a table finds it.
//
// Memory: malloc's, since specials come and go one by one.

#ifndef SPECIAL_H
#define SPECIAL_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

typedef enum gh_special_kind { GH_SPECIAL_LABEL = 1 } gh_special_kind;

struct gh_special {
    gh_special *next;  // of the span, by slot number
    uint32_t index;    // slot number
    uint8_t kind;      // gh_special_kind
};

typedef struct gh_label {
    gh_special special;  // first: a label is a special
    gh_label_link link;
    uintptr_t base;      // the object's start; of a tiny one, its part's
    char name[];
} gh_label;

// gh_specials_sweep drops the specials of unmarked objects of s, which is about
// to be swept.
void gh_specials_sweep(gh_heap *h, gh_mspan *s);

// gh_labels_fini frees the labels of a heap that ends.
void gh_labels_fini(gh_heap *h);

#endif  // SPECIAL_H
