// mgcspanq.h: Green Tea's queue of spans to scan.
//
// Layer 5. Includes ghassert.h, ghbits.h, mem.h. Go: mgcmark_greenteagc.go (spanQueue,
// spanSPMC).
//
// One queue for each worker. What it puts goes into a ring of 256 that nobody
// else sees; some of that spills into a chain of bigger rings that others may
// steal from: half of the private ring when it is full, and now and then a few so
// that there is something to steal. Each ring is first in, first out; a ring of
// the chain has one producer, the owner, and any number of consumers. A ring that
// is full gets a successor of twice its size.
//
// Entries are words other than 0; their meaning is the marker's.
//
// Memory is the OS's. Where it is refused, nothing is lost: a spill that isn't
// needed is left out, and a put that needs one says so [inv:gc.ends].
//
// Locking: put, get, flush and free belong to the owner; steal, of another's
// queue, to anybody, while no queue is freed. Order: the producer's release of
// tail publishes the slots below it; a consumer acquires head before tail, copies,
// and owns what it copied once it moved head by compare-and-swap. It may read
// slots that are being reused, so these are atomic words.

#ifndef MGCSPANQ_H
#define MGCSPANQ_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include <stdatomic.h>

#include "ghassert.h"
#include "ghbits.h"
#include "mem.h"

// Go's tuning values, which may move with its next version.
#define GH_SPANQ_RING         256u
#define GH_SPANQ_SPILL_PERIOD 64u   // puts between two looks
#define GH_SPANQ_SPILL_MAX    16u
#define GH_SPANQ_SPILL_MIN    4u    // not worth it up to here
#define GH_SPMC_FIRST_CAP     1024u
#define GH_SPMC_MAX_CAP       131072u

typedef struct gh_spmc gh_spmc;  // one ring of the chain

typedef struct gh_spanq {
    uint32_t head, tail;           // of ring; mod 2^32
    uint32_t puts;                 // since the last look or spill
    gh_spmc *newest;               // the one that is put to
    _Atomic(gh_spmc *) oldest;     // the one that is stolen from
    gh_spmc *all;                  // every ring ever made, for gh_spanq_free
    gh_mem *mem;
    gh_sysstat *stat;              // not owned: gcMiscSys
    uintptr_t ring[GH_SPANQ_RING];
} gh_spanq;

typedef enum gh_spanq_put_result {
    GH_SPANQ_KEPT,     // nobody else sees it
    GH_SPANQ_SPILLED,  // there is something new to steal
    GH_SPANQ_NOMEM,    // it is not in the queue
} gh_spanq_put_result;

void gh_spanq_init(gh_spanq *q, gh_mem *mem, gh_sysstat *stat);
// gh_spanq_free gives the chain's rings back and leaves the queue empty.
void gh_spanq_free(gh_spanq *q);

// gh_spanq_put_full is gh_spanq_put where the ring is full or a look is due.
gh_spanq_put_result gh_spanq_put_full(gh_spanq *q, uintptr_t v);

static inline gh_spanq_put_result
gh_spanq_put(gh_spanq *q, uintptr_t v)
{
    GH_ASSERT(v != 0);
    if (GH_UNLIKELY(q->tail - q->head == GH_SPANQ_RING
                    || q->puts == GH_SPANQ_SPILL_PERIOD - 1)) {
        return gh_spanq_put_full(q, v);
    }
    q->puts++;
    q->ring[q->tail++ % GH_SPANQ_RING] = v;
    return GH_SPANQ_KEPT;
}

// gh_spanq_get takes the oldest entry of the private ring, or else refills that
// from the chain; 0: the queue is empty.
uintptr_t gh_spanq_refill(gh_spanq *q);

static inline uintptr_t
gh_spanq_get(gh_spanq *q)
{
    if (GH_LIKELY(q->tail != q->head)) {
        return q->ring[q->head++ % GH_SPANQ_RING];
    }
    return gh_spanq_refill(q);
}

// gh_spanq_peek is the entry that gets follows after n others; 0 if it is not in
// the private ring.
static inline uintptr_t
gh_spanq_peek(const gh_spanq *q, uint32_t n)
{
    return q->tail - q->head > n ? q->ring[(q->head + n) % GH_SPANQ_RING] : 0;
}

// gh_spanq_steal moves entries of from's chain, half of them up to 128, to the
// private ring of q, which must be empty, and takes the first; 0: there are none.
uintptr_t gh_spanq_steal(gh_spanq *q, gh_spanq *from);
// gh_spanq_flush spills all that is private. GH_SPANQ_NOMEM: it stays.
gh_spanq_put_result gh_spanq_flush(gh_spanq *q);

// gh_spanq_len counts the entries, gh_spanq_each calls fn for each, in the order
// in which they were put in each ring. For the owner while nobody steals.
uint64_t gh_spanq_len(const gh_spanq *q);
void gh_spanq_each(const gh_spanq *q, void (*fn)(void *arg, uintptr_t v),
                   void *arg);

#endif  // MGCSPANQ_H
