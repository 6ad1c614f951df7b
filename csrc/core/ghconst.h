// ghconst.h: the constants of Go's memory manager, and the relations between
// them that the code relies on.
//
// Layer 0. Includes nothing of the core.
// Go: internal/runtime/gc/malloc.go, runtime/malloc.go, mpagealloc.go, mgc.go,
// mgcpacer.go, mgcscavenge.go.

#ifndef GHCONST_H
#define GHCONST_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GH_PTR_SIZE 8u

// Pages and arenas.
#define GH_PAGE_SHIFT        13u
#define GH_PAGE_SIZE         ((size_t)1 << GH_PAGE_SHIFT)
#define GH_PHYS_PAGE_SIZE    ((size_t)4096)
#define GH_CACHE_LINE        64
#define GH_PHYS_HUGE_SIZE    ((size_t)2 << 20)
#define GH_HEAP_ARENA_SHIFT  26u
#define GH_HEAP_ARENA_BYTES  ((size_t)1 << GH_HEAP_ARENA_SHIFT)
#define GH_PAGES_PER_ARENA   (GH_HEAP_ARENA_BYTES / GH_PAGE_SIZE)
#define GH_HEAP_ADDR_BITS    48u

// The page allocator (mpagealloc.go).
#define GH_PALLOC_CHUNK_PAGES     512u
#define GH_LOG_PALLOC_CHUNK_PAGES 9u
#define GH_LOG_PALLOC_CHUNK_BYTES 22u
#define GH_PALLOC_CHUNK_BYTES     ((size_t)1 << GH_LOG_PALLOC_CHUNK_BYTES)
#define GH_SUMMARY_LEVELS         5u
#define GH_SUMMARY_LEVEL_BITS     3u
#define GH_SUMMARY_L0_BITS        14u
#define GH_PAGE_CACHE_PAGES       64u
#define GH_PAGES_PER_RECLAIMER_CHUNK 512u

// Objects.
#define GH_MAX_SMALL_SIZE             32768u
#define GH_MALLOC_HEADER_SIZE         8u
#define GH_MIN_SIZE_FOR_MALLOC_HEADER 512u  // exclusive: 512 has none
#define GH_TINY_SIZE                  16u
#define GH_TINY_SIZE_CLASS            2u
#define GH_TINY_SPAN_CLASS            5u    // class 2, noscan
#define GH_NUM_SIZE_CLASSES           68u
#define GH_NUM_SPAN_CLASSES           136u
#define GH_MAX_OBJS_PER_SPAN          1024u
#define GH_INLINE_MARK_BYTES          128u  // Green Tea's record, 16..512 B
#define GH_MAX_OBLET_BYTES            ((size_t)128 << 10)
#define GH_LARGE_CLEAR_CHUNK          ((size_t)256 << 10)
#define GH_MAX_ALLOC                  ((uint64_t)1 << GH_HEAP_ADDR_BITS)

// Off-heap memory.
#define GH_PERSISTENT_CHUNK   ((size_t)256 << 10)
#define GH_PERSISTENT_DIRECT  ((size_t)64 << 10)
#define GH_FIXALLOC_CHUNK     ((size_t)16 << 10)
#define GH_SPAN_SET_BLOCK     512u
#define GH_SPAN_BUDGET        100  // mcentral.cacheSpan: fruitless pops - 1

// The collector.
#define GH_WORKBUF_ALLOC      ((size_t)32 << 10)
// Green Tea: the smallest object that goes through its span, and the share of a
// span's objects, one in that many, from which on the page is scanned at once.
#define GH_GREENTEA_MIN_SIZE  ((uint64_t)16)
#define GH_GREENTEA_DENSE     8u

#define GH_HEAP_MINIMUM       ((uint64_t)4 << 20)  // at GOGC=100
#define GH_MIN_RUNWAY         ((uint64_t)64 << 10)
#define GH_SWEEP_MIN_DISTANCE ((uint64_t)1 << 20)
#define GH_BASE_FIRST_PAGES   64u  // of the dead weight: a large object,
#define GH_BASE_NOSCAN_PAGES  97u  // the last large one, without pointers,
#define GH_BASE_SMALL_PAGES   95u  // its small objects,
#define GH_BASE_LAST_PAGES    18u  // and those of them that are swept last
#define GH_MEMORY_LIMIT_HEADROOM_PERCENT 3u
#define GH_MEMORY_LIMIT_HEADROOM ((uint64_t)1 << 20)  // at least

// A heap's window offset 0 shows as this address, the first heap page of a Go
// program without a randomised base.
#define GH_ADDR_BASE ((uint64_t)0xc000000000)

_Static_assert(GH_PAGES_PER_ARENA % GH_PALLOC_CHUNK_PAGES == 0,
               "an arena is a whole number of chunks");
_Static_assert(GH_PALLOC_CHUNK_BYTES == GH_PALLOC_CHUNK_PAGES * GH_PAGE_SIZE,
               "chunk bytes and pages agree");
_Static_assert(GH_SUMMARY_L0_BITS
                   + (GH_SUMMARY_LEVELS - 1) * GH_SUMMARY_LEVEL_BITS
                   + GH_LOG_PALLOC_CHUNK_BYTES == GH_HEAP_ADDR_BITS,
               "the summary tree covers the address space");
_Static_assert(GH_PALLOC_CHUNK_PAGES % GH_PAGE_CACHE_PAGES == 0,
               "a page cache never spans chunks");
_Static_assert(GH_MAX_OBJS_PER_SPAN * 8 == GH_PAGE_SIZE,
               "an 8-byte class fills one page");

#endif  // GHCONST_H
