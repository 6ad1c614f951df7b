// calls.h: what the client is to be called about: a cycle that ended, an object
// that died.
//
// Layer 2. Includes goheap.h, lock.h. Go: mfinal.go (the queue of finalizers),
// mcleanup.go (that of cleanups).
//
// The core runs no code of a client. It keeps tokens, numbers that only the
// client understands, until the client takes them, at a time of its choice and
// without a P: nobody is inside the heap because of it, so that what is called
// may do anything to the heap.
//
// A call waits in the list of its kind. gh_calls_gather moves all that wait to
// the end of the list of what is due: cycles first, oldest first; then
// finalizers, the last queued first; then cleanups, the block that was queued last
// first. So what is queued while a client works through a batch belongs to
// the next batch, and nobody runs for ever.
//
// Queueing cannot fail: the record of a finalizer or cleanup is made with it,
// that of a cycle before the cycle begins.
//
// Locking: calls.lock guards all but n [lock:calls]; nothing is locked under it.
// [inv:calls.count] n is the length of all lists, and what was queued and not taken.

#ifndef CALLS_H
#define CALLS_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include <stdatomic.h>

#include "goheap.h"
#include "lock.h"

#define GH_CALL_KINDS 3

typedef struct gh_call_node {
    struct gh_call_node *next;
    gh_call call;
    uint32_t box[2];  // of a cleanup: handles, whoever takes the call drops them
} gh_call_node;

typedef struct gh_call_list {
    gh_call_node *first, *last;
} gh_call_list;

typedef struct gh_calls {
    gh_mutex lock;
    _Atomic size_t n;       // in all lists; read by anybody
    size_t ndue;
    gh_call_list due;
    gh_call_list waiting[GH_CALL_KINDS];
    gh_call_node *spare;    // for the cycle that runs or comes next
    bool cycles;            // are wanted
    uint64_t queued[GH_CALL_KINDS], taken[GH_CALL_KINDS];  // ever
} gh_calls;

void gh_calls_init(gh_calls *c);
void gh_calls_fini(gh_calls *c);

// gh_calls_reserve: before a cycle begins.
GH_NODISCARD gh_status gh_calls_reserve(gh_calls *c);
// gh_calls_cycle queues a call about cycle number i, if those are wanted.
void gh_calls_cycle(gh_calls *c, uint64_t i);
// gh_calls_push queues node, which is malloc's and the queue's from now on.
void gh_calls_push(gh_calls *c, gh_call_node *node);

// gh_calls_push_block queues n calls of one kind, from first to last in their
// order, before those that wait.
void gh_calls_push_block(gh_calls *c, gh_call_node *first, gh_call_node *last,
                         size_t n);

// What goheap.h declares for a heap, on its queue.
GH_NODISCARD gh_status gh_calls_set_cycles(gh_calls *c, bool on);
size_t gh_calls_waiting(const gh_calls *c);
size_t gh_calls_gather(gh_calls *c);
// box: GH_CALL_CLEANUP's handles, else 0.
bool gh_calls_take(gh_calls *c, gh_call *out, uint32_t box[2]);

// gh_calls_counts says how many were ever queued and taken, by kind.
void gh_calls_counts(gh_calls *c, uint64_t queued[GH_CALL_KINDS],
                     uint64_t taken[GH_CALL_KINDS]);

// gh_calls_count counts the lists, for verify.
size_t gh_calls_count(gh_calls *c);

#endif  // CALLS_H
