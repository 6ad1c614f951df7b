// watchdog.h: waits that take too long end the process, and say where everybody is.
//
// Layer 6. Includes heap.h. No Go ancestor (checkdead and schedtrace come nearest).
//
// A mutator or stopper of a concurrent heap waits in a loop between
// gh_watch_begin and gh_watch_end; all of those that wait at the moment are in a
// list. One that waits for a minute prints the state of the Ps, the workers, the
// cycle and the list, and aborts; so does who waits as long for heap_lock. With assertions
// off a wait is gh_cond_wait.

#ifndef WATCHDOG_H
#define WATCHDOG_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

// gh_watch is a wait; in the waiter's frame.
typedef struct gh_watch {
    struct gh_watch *next;
    const char *what;  // "waits " and what for
    int32_t p;         // which P the waiter has, or -1
    int64_t since;
} gh_watch;

#if GH_ASSERT_LEVEL >= 1

// All three with the heap's `lock` held.
void gh_watch_begin(gh_heap *h, gh_watch *w, const char *what, int32_t p);
void gh_watch_wait(gh_heap *h, const gh_watch *w);
void gh_watch_end(gh_heap *h, const gh_watch *w);
// gh_watch_heap_lock has waits for heap_lock watched from now on.
void gh_watch_heap_lock(gh_heap *h);

#else

static inline void
gh_watch_begin(gh_heap *h, gh_watch *w, const char *what, int32_t p)
{
    (void)h, (void)w, (void)what, (void)p;
}

static inline void
gh_watch_wait(gh_heap *h, const gh_watch *w)
{
    (void)w;
    gh_cond_wait(&h->cond, &h->lock);
}

static inline void
gh_watch_end(gh_heap *h, const gh_watch *w)
{
    (void)h, (void)w;
}

static inline void
gh_watch_heap_lock(gh_heap *h)
{
    (void)h;
}

#endif

#endif  // WATCHDOG_H
