// mprof.h: the heap profile: which types and places the sampled objects are of.
//
// Layer 5. Includes heap.h. Go: mprof.go (memRecord, mProf_...), malloc.go
// (profilealloc, nextSample, fastexprand).
//
// Each P counts down the bytes of the slots that it hands out, from a number
// drawn from an exponential distribution around the rate, so that each byte
// allocated has the same chance to be sampled. While the rate is 0 nothing is
// counted: the countdown is on the way that allocations take while a P is slow.
//
// A sampled object has a special that leads to its bucket, one for each type,
// site (a number that the client sets) and slot size [diff:mprof.buckets]. A bucket's counts become
// visible with a delay, so that what is visible is as of one mark termination,
// with the frees of the sweep after it: with cycle C, allocations count for
// cycle C+2, frees in a sweep for C+1, and each mark termination adds one to C
// and publishes cycle C. gh_gc also publishes C+1, when it has swept.
//
// Buckets last as long as the heap. Where there is no memory for one, or for a
// special, the sample is lost.
//
// Locking: [lock:heap], or the world is stopped; the countdown is its P's.

#ifndef MPROF_H
#define MPROF_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

#define GH_PROF_TABLE 1024u  // lists of buckets, a power of two

typedef struct gh_mem_record {
    uint64_t allocs, frees, alloc_bytes, free_bytes;
} gh_mem_record;

typedef struct gh_bucket {
    struct gh_bucket *next;     // in its list
    struct gh_bucket *allnext;  // the one made before
    uint64_t size;
    uint32_t type, site;
    gh_mem_record active, future[3];
} gh_bucket;

struct gh_memprof {
    gh_bucket *table[GH_PROF_TABLE];
    gh_bucket *all;      // newest first
    uint32_t cycle;      // C, from 0 to GH_PROF_WRAP - 1
    bool flushed;        // future[C % 3] is published
};

// gh_cheaprand is Go's generator of 32 random bits, from a state of 64: wyrand.
uint32_t gh_cheaprand(uint64_t *state);

// gh_prof_step makes a step of q, drawn from 1 to 2^26: exponentially distributed
// with that mean. Go: fastexprand.
int64_t gh_prof_step(uint32_t q, int64_t mean);

// gh_prof_next_sample is how many bytes lie before the next sample at a rate.
int64_t gh_prof_next_sample(gh_heap *h);

// gh_prof_debit counts a new object of s at address v, whose P is slow.
void gh_prof_debit(gh_p *p, gh_mspan *s, uintptr_t v, uint32_t type);

// gh_prof_free counts the end of a sampled object.
void gh_prof_free(gh_heap *h, gh_bucket *b, uint64_t size);

// Go: mProf_NextCycle, mProf_Flush, mProf_PostSweep.
void gh_prof_next_cycle(gh_heap *h);
void gh_prof_flush(gh_heap *h);
void gh_prof_post_sweep(gh_heap *h);

#endif  // MPROF_H
