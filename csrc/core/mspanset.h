// mspanset.h: a set of spans, first in, first out.
//
// Layer 4. Includes ghassert.h, mheap_span.h. Go: mspanset.go, type spanSet.
//
// Go's set is a lock-free queue of blocks; only its order is observable: pop
// takes what was pushed first. (Where threads contend the other two ends are used, too:
// mcentral.h.) Ours is a list through the spans themselves, so
// that a push can never fail for want of memory [diff:spanset.intrusive]. A
// span is in at most one set [inv:spanset.one].
//
// Locking: the heap's holder [lock:world].

#ifndef MSPANSET_H
#define MSPANSET_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "ghassert.h"
#include "mheap_span.h"

typedef struct gh_spanset {
    gh_mspan *head, *tail;
    size_t len;
} gh_spanset;

static inline void
gh_spanset_push(gh_spanset *set, gh_mspan *s)
{
    GH_ASSERT(s->set == NULL);
    s->set = set;
    s->next = NULL;
    s->prev = set->tail;
    if (set->tail == NULL) {
        set->head = s;
    } else {
        set->tail->next = s;
    }
    set->tail = s;
    set->len++;
}

// gh_spanset_push_front has s be popped first.
static inline void
gh_spanset_push_front(gh_spanset *set, gh_mspan *s)
{
    GH_ASSERT(s->set == NULL);
    s->set = set;
    s->prev = NULL;
    s->next = set->head;
    if (set->head == NULL) {
        set->tail = s;
    } else {
        set->head->prev = s;
    }
    set->head = s;
    set->len++;
}

// gh_spanset_remove takes s out of the set that it is in, if any. In Go a span
// that somebody else sweeps stays behind as a stale entry, which pop ignores.
static inline void
gh_spanset_remove(gh_mspan *s)
{
    gh_spanset *set = s->set;
    if (set == NULL) {
        return;
    }
    if (s->prev == NULL) {
        set->head = s->next;
    } else {
        s->prev->next = s->next;
    }
    if (s->next == NULL) {
        set->tail = s->prev;
    } else {
        s->next->prev = s->prev;
    }
    s->set = NULL;
    s->next = s->prev = NULL;
    set->len--;
}

// gh_spanset_pop and gh_spanset_pop_back return NULL when the set is empty.
static inline gh_mspan *
gh_spanset_pop(gh_spanset *set)
{
    gh_mspan *s = set->head;
    if (s != NULL) {
        GH_ASSERT(s->set == set);
        gh_spanset_remove(s);
    }
    return s;
}

static inline gh_mspan *
gh_spanset_pop_back(gh_spanset *set)
{
    gh_mspan *s = set->tail;
    if (s != NULL) {
        GH_ASSERT(s->set == set);
        gh_spanset_remove(s);
    }
    return s;
}

#endif  // MSPANSET_H
