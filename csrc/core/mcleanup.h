// mcleanup.h: the queue of cleanups, in blocks.
//
// Layer 5. Includes heap.h. Go: mcleanup.go (cleanupBlock, cleanupQueue).
//
// A sweep puts what it frees into a block of the P that sweeps. A full block, of
// 20, goes to the queue at once; what is in blocks that are not full waits until
// the whole heap is swept, and goes then, put together. The queue gives the
// last block first, and a block from its beginning. So the cleanups of one
// object run in the reverse of the order in which they were added, those of one
// span by address, and with lazy sweeping one alone waits for the last span.
//
// The blocks are lists through the records here [diff:cleanup.intrusive].
//
// Locking: [lock:heap], or the world is stopped.

#ifndef MCLEANUP_H
#define MCLEANUP_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include "heap.h"

#define GH_CLEANUP_BLOCK 20u  // entries

// gh_cleanup_enqueue puts a cleanup whose object is freed into the block of the P
// that is held.
void gh_cleanup_enqueue(gh_heap *h, gh_call_node *node);

// gh_cleanups_flush: the last span is swept. Go: cleanupQueue.flush.
void gh_cleanups_flush(gh_heap *h);
// gh_cleanups_flush_p gives on the block of a P that ends.
void gh_cleanups_flush_p(gh_heap *h, gh_p *p);

// gh_cleanups_blocked counts those in blocks of Ps, for verify.
size_t gh_cleanups_blocked(const gh_heap *h);

// gh_cleanups_fini frees the blocks of a heap that ends.
void gh_cleanups_fini(gh_heap *h);

#endif  // MCLEANUP_H
