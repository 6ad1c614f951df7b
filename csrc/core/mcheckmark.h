// mcheckmark.h: a second opinion on what is reachable, and what becomes of
// objects that an unsound barrier lost.
//
// Layer 6. Includes heap.h. Go: mcheckmark.go.
//
// A tracer follows pointers from the roots by other code than the marker: one
// bit an object, one list, from the type masks. With the world stopped at mark
// termination all that it reaches must be marked. Debug's checkmark compares
// after each cycle and throws, as Go does.
//
// Under a barrier that is unsound (insertion, none) an object that is reached and
// not marked is lost: a collector would free it, and the program would go on with
// a pointer to whatever is made in its place. Here its slot goes into
// quarantine: it is marked after all, so it stays allocated, whole and unshared,
// and it is noted in h->lost. From then on whoever loads a pointer to it is
// told so (GH_ERR_LOST). So the heap is sound at all times, and nothing that a
// client does, through a buffer for example, writes into another object
// [inv:gc.lost]. Once nothing reaches a lost object, the next cycle frees it.
// Figures count it as live until then.
//
// Without memory for the second opinion every object stays for that cycle.
//
// Locking: the heap's holder [lock:world].

#ifndef MCHECKMARK_H
#define MCHECKMARK_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

typedef struct gh_traced {
    uintptr_t base;       // of the object's slot
    size_t parent;        // the item that led here; GH_TRACED_ROOT: a root
    gh_root_kind root;    // of such an item
} gh_traced;
#define GH_TRACED_ROOT SIZE_MAX

// gh_tracer: items before head are done, those behind wait. With keep they stay
// in the list, in the order of a breadth-first search.
typedef struct gh_tracer {
    gh_heap *h;
    uint64_t *seen;       // laid out as the mark bits
    gh_traced *item;
    size_t head, n, cap;
    bool keep;
    bool lost;            // no memory: what is in seen is not all
} gh_tracer;

// gh_tracer_init answers false if there is no memory. gh_tracer_fini in any case.
bool gh_tracer_init(gh_tracer *t, gh_heap *h, bool keep);
void gh_tracer_fini(gh_tracer *t);
// gh_tracer_roots traces all that the roots reach.
void gh_tracer_roots(gh_tracer *t);
// gh_tracer_grey traces the object that v points at, if any.
void gh_tracer_grey(gh_tracer *t, uintptr_t v);
// gh_tracer_object traces what the object that contains v reaches.
void gh_tracer_object(gh_tracer *t, uintptr_t v);

// gh_checkmark is what a cycle does when its marking is over.
void gh_checkmark(gh_heap *h);

// gh_barrier_unsound: this heap's barrier loses objects.
static inline bool
gh_barrier_unsound(const gh_heap *h)
{
    return h->opt.policy.barrier >= GH_BARRIER_INSERTION;
}

// gh_lost_find returns the note of the lost object that contains v, or NULL.
const gh_lost_object *gh_lost_find(const gh_heap *h, uintptr_t v);

// gh_lost_check answers GH_ERR_LOST for an address in a lost object, and
// remembers which.
gh_status gh_lost_check_slow(gh_heap *h, uintptr_t v);
static inline gh_status
gh_lost_check(gh_heap *h, uintptr_t v)
{
    return GH_LIKELY(h->lost.n == 0) ? GH_OK : gh_lost_check_slow(h, v);
}

// gh_shown_object returns the address shown for the object of the slot at base;
// *label is its label, or NULL.
uint64_t gh_shown_object(gh_heap *h, uintptr_t base, const char **label);

// gh_lost_report calls say with one line for each lost object: its name, its
// cycle, and a path from a root to it.
void gh_lost_report(gh_heap *h, void (*say)(void *arg, const char *line),
                    void *arg);

#endif  // MCHECKMARK_H
