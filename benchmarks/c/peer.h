// peer.h: other allocators behind one interface, chosen with -DPEER=PEER_...:
// mimalloc, jemalloc, the C library's own, and libgc, which frees by itself.

#ifndef PEER_H
#define PEER_H

#define PEER_MIMALLOC 1
#define PEER_JEMALLOC 2
#define PEER_LIBC     3
#define PEER_LIBGC    4

#ifdef PEER

#include "bench.h"

// peer_zeroed makes an object that may hold pointers, peer_data one that doesn't.
#if PEER == PEER_MIMALLOC
#include <mimalloc.h>
#define peer_init()    ((void)0)
#define peer_zeroed(n) mi_zalloc(n)
#define peer_data(n)   mi_malloc(n)
#define peer_free(p)   mi_free(p)
#elif PEER == PEER_JEMALLOC
#include <jemalloc/jemalloc.h>
#define peer_init()    ((void)0)
#define peer_zeroed(n) calloc(1, n)
#define peer_data(n)   malloc(n)
#define peer_free(p)   free(p)
#elif PEER == PEER_LIBC
#define peer_init()    ((void)0)
#define peer_zeroed(n) calloc(1, n)
#define peer_data(n)   malloc(n)
#define peer_free(p)   free(p)
#elif PEER == PEER_LIBGC
#include <gc/gc.h>
#define peer_init()    GC_INIT()
#define peer_zeroed(n) GC_MALLOC(n)
#define peer_data(n)   GC_MALLOC_ATOMIC(n)
#define peer_free(p)   ((void)(p))
#else
#error "no such peer"
#endif

static inline void
peer_answer(bench_time d, uint64_t check)
{
    printf("{\"cpu_s\": %.6f, \"wall_s\": %.6f, \"rss\": %llu, "
           "\"check\": %llu}\n", d.cpu, d.wall, (unsigned long long)bench_rss(),
           (unsigned long long)check);
}

#endif  // PEER

#endif  // PEER_H
