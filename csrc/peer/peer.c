// peer.c: the core's internals behind the C ABI of Go's own unit tests.
//
// Built only into libgoheap_peer.so, for tests/peer/run_peer.py. Every function
// of tests/peer/peer_abi.h that stands here calls the real thing; nothing is
// computed in this file. Parts that the core does not have are left out: the
// harness counts them as missing.
//
// Includes core headers, as a test of internals does. Memory that the tests
// lack is a reason to stop: they have no way to hear of it.

#define PEER_API __attribute__((visibility("default")))
#include "peer_abi.h"

#include <stdlib.h>
#include <string.h>

#include "bitcursor.h"
#include "fastlog2.h"
#include "ghassert.h"
#include "ghbits.h"
#include "ghconst.h"
#include "goheap.h"
#include "histogram.h"
#include "mem.h"
#include "mgclimit.h"
#include "mgcpacer.h"
#include "mgcscavenge.h"
#include "mgcscavenge_index.h"
#include "mheap_span.h"
#include "mpagealloc.h"
#include "mpagecache.h"
#include "mpallocbits.h"
#include "mranges.h"
#include "msize.h"
#include "persistentalloc.h"
#include "sparse.h"

static void
must(gh_status st)
{
    GH_THROW_IF(st != GH_OK, gh_status_name(st));
}

static void *
zalloc(size_t n)
{
    void *v = calloc(1, n);
    GH_THROW_IF(v == NULL, "peer: out of memory");
    return v;
}

// meta is what each part below needs to stand alone.
typedef struct {
    gh_mem mem;
    gh_sysstat stat, other;
    gh_persistent persistent;
} meta;

static void
meta_init(meta *m)
{
    gh_mem_init(&m->mem, NULL, NULL);
    gh_persistent_init(&m->persistent, &m->mem, &m->other);
}

// meta_fini also checks that the part gave back what it took.
static void
meta_fini(meta *m)
{
    gh_persistent_fini(&m->persistent);
    GH_THROW_IF(m->mem.mapped_ready != 0, "peer: memory leaked");
}

// ---- 0. general -------------------------------------------------------------

uint32_t
pr_abi_version(void)
{
    return PEER_ABI_VERSION;
}

bool
pr_const(const char *name, double *out)
{
    static const struct {
        const char *name;
        double value;
    } known[] = {
        {"PageSize", (double)GH_PAGE_SIZE},
        {"PallocChunkPages", GH_PALLOC_CHUNK_PAGES},
        {"PageAlloc64Bit", 1},
        {"PallocSumBytes", sizeof(gh_palloc_sum)},
        {"PageCachePages", GH_PAGE_CACHE_PAGES},
        {"DefaultHeapMinimum", (double)GH_HEAP_MINIMUM},
        {"MemoryLimitMinHeapGoalHeadroom", (double)GH_MEMORY_LIMIT_HEADROOM},
        {"GCBackgroundUtilization", GH_LIMITER_BACKGROUND},
        {"GCGoalUtilization", GH_GC_UTILIZATION},
        {"MemoryLimitHeapGoalHeadroomPercent", GH_MEMORY_LIMIT_HEADROOM_PERCENT},
        {"CapacityPerProc", (double)GH_LIMITER_CAPACITY_PER_PROC},
        {"GCCPULimiterUpdatePeriod", (double)GH_LIMITER_UPDATE_PERIOD_NS},
        {"ScavengePercent", GH_SCAV_PERCENT},
        {"TimeHistSubBucketBits", GH_TIME_HIST_SUB_BITS},
        {"TimeHistNumSubBuckets", GH_TIME_HIST_SUB_BUCKETS},
        {"TimeHistMinBucketBits", GH_TIME_HIST_MIN_BITS},
        {"TimeHistMaxBucketBits", GH_TIME_HIST_MAX_BITS},
        {"TimeHistNumBuckets", GH_TIME_HIST_BUCKETS},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(name, known[i].name) == 0) {
            *out = known[i].value;
            return true;
        }
    }
    return false;
}

// The tests' allocator begins at address 0, as Go's map of chunks does.
static const gh_pagealloc whole = {.origin = 0};

uint64_t
pr_chunk_index(uint64_t addr)
{
    return gh_chunk_index(&whole, addr);
}

uint64_t
pr_chunk_base(uint64_t chunk)
{
    return gh_chunk_base(&whole, chunk);
}

// ---- 1. size classes --------------------------------------------------------

uint32_t
pr_num_size_classes(void)
{
    return gh_num_size_classes();
}

uint64_t
pr_class_size(uint32_t cls)
{
    return gh_size_class_get(cls).size;
}

uint32_t
pr_class_npages(uint32_t cls)
{
    return gh_size_class_get(cls).npages;
}

uint32_t
pr_class_divmagic(uint32_t cls)
{
    return gh_size_class_get(cls).divmagic;
}

uint32_t
pr_size_to_class(uint64_t size)
{
    return gh_size_to_class(size);
}

uint64_t
pr_roundupsize(uint64_t size, bool noscan)
{
    return gh_round_up_size(size, noscan);
}

uint64_t
pr_obj_index(uint32_t cls, uint64_t byte_off)
{
    const gh_mspan s = {.div_mul = gh_class_to_divmagic[cls]};
    return gh_mspan_obj_index(&s, byte_off);
}

// ---- 2. page bitmaps --------------------------------------------------------

_Static_assert(sizeof(gh_palloc_bits) == 8 * sizeof(uint64_t),
               "the tests' arrays of words are the core's bitmaps");

static const gh_palloc_bits *
bits_of(const uint64_t *b)
{
    return (const gh_palloc_bits *)(const void *)b;
}

uint32_t
pr_bits_find(const uint64_t *b, uint64_t npages, uint32_t search,
             uint32_t *new_search)
{
    return gh_palloc_bits_find(bits_of(b), npages, search, new_search);
}

void
pr_bits_set_range(uint64_t *b, uint32_t i, uint32_t n)
{
    gh_palloc_bits_set_range((gh_palloc_bits *)(void *)b, i, n);
}

void
pr_bits_clear_range(uint64_t *b, uint32_t i, uint32_t n)
{
    gh_palloc_bits_clear_range((gh_palloc_bits *)(void *)b, i, n);
}

uint32_t
pr_bits_popcnt_range(const uint64_t *b, uint32_t i, uint32_t n)
{
    return gh_palloc_bits_popcnt_range(bits_of(b), i, n);
}

uint64_t
pr_bits_summarize(const uint64_t *b)
{
    return gh_palloc_bits_summarize(bits_of(b));
}

uint64_t
pr_sum_pack(uint32_t start, uint32_t max, uint32_t end)
{
    return gh_palloc_sum_pack(start, max, end);
}

void
pr_sum_unpack(uint64_t sum, uint32_t *start, uint32_t *max, uint32_t *end)
{
    uint64_t s, m, e;
    gh_palloc_sum_unpack(sum, &s, &m, &e);
    *start = (uint32_t)s;
    *max = (uint32_t)m;
    *end = (uint32_t)e;
}

uint32_t
pr_find_bit_range64(uint64_t c, uint32_t n)
{
    return gh_find_bit_range64(c, n);
}

uint64_t
pr_fill_aligned(uint64_t x, uint32_t m)
{
    return gh_fill_aligned(x, m);
}

uint32_t
pr_data_find_scavenge_candidate(const uint64_t *d, uint32_t search,
                                uint64_t min, uint64_t max, uint32_t *n)
{
    return gh_palloc_data_find_scavenge_candidate(
        (const gh_palloc_data *)(const void *)d, search, min, max, n);
}

void
pr_data_alloc_range(uint64_t *d, uint32_t i, uint32_t n)
{
    gh_palloc_data_alloc_range((gh_palloc_data *)(void *)d, i, n);
}

// ---- 3. address ranges ------------------------------------------------------

struct pr_addrranges {
    meta meta;
    gh_addr_ranges a;
};

pr_addrranges *
pr_ar_new(void)
{
    pr_addrranges *a = zalloc(sizeof(*a));
    meta_init(&a->meta);
    must(gh_addr_ranges_init(&a->a, &a->meta.persistent, &a->meta.stat));
    return a;
}

pr_addrranges *
pr_ar_from(const uint64_t *base, const uint64_t *limit, uint64_t n)
{
    pr_addrranges *a = pr_ar_new();
    for (uint64_t i = 0; i < n; i++) {
        pr_ar_add(a, base[i], limit[i]);
    }
    return a;
}

void
pr_ar_destroy(pr_addrranges *a)
{
    meta_fini(&a->meta);
    free(a);
}

void
pr_ar_add(pr_addrranges *a, uint64_t base, uint64_t limit)
{
    must(gh_addr_ranges_add(&a->a, (gh_addr_range){base, limit}));
}

uint64_t
pr_ar_len(const pr_addrranges *a)
{
    return a->a.len;
}

void
pr_ar_get(const pr_addrranges *a, uint64_t i, uint64_t *base, uint64_t *limit)
{
    *base = a->a.ranges[i].base;
    *limit = a->a.ranges[i].limit;
}

uint64_t
pr_ar_total_bytes(const pr_addrranges *a)
{
    return a->a.total_bytes;
}

uint64_t
pr_ar_find_succ(const pr_addrranges *a, uint64_t addr)
{
    return gh_addr_ranges_find_succ(&a->a, addr);
}

bool
pr_ar_contains(const pr_addrranges *a, uint64_t addr)
{
    return gh_addr_ranges_contains(&a->a, addr);
}

bool
pr_ar_find_greater_equal(const pr_addrranges *a, uint64_t addr, uint64_t *out)
{
    return gh_addr_ranges_find_addr_greater_equal(&a->a, addr, out);
}

void
pr_ar_remove_last(pr_addrranges *a, uint64_t nbytes, uint64_t *base,
                  uint64_t *limit)
{
    const gh_addr_range r = gh_addr_ranges_remove_last(&a->a, nbytes);
    *base = r.base;
    *limit = r.limit;
}

void
pr_ar_remove_greater_equal(pr_addrranges *a, uint64_t addr)
{
    gh_addr_ranges_remove_greater_equal(&a->a, addr);
}

// ---- 4. scavenge index ------------------------------------------------------

#define NCHUNKS ((uint64_t)1 << (GH_HEAP_ADDR_BITS - GH_LOG_PALLOC_CHUNK_BYTES))

struct pr_scavindex {
    gh_scav_index *s;   // own, or a page allocator's
    gh_scav_index own;
    meta meta;
};

pr_scavindex *
pr_si_new(uint64_t min_chunk, uint64_t max_chunk)
{
    pr_scavindex *s = zalloc(sizeof(*s));
    s->s = &s->own;
    meta_init(&s->meta);
    must(gh_scav_index_init(&s->own, &s->meta.mem, &s->meta.persistent,
                            &s->meta.stat, NCHUNKS));
    // A test that found nothing has chunk 0 for it, and calls that empty.
    must(gh_scav_index_reserve(&s->own, 0, 1));
    must(gh_scav_index_reserve(&s->own, min_chunk, max_chunk));
    gh_scav_index_grow(&s->own, min_chunk, max_chunk);
    return s;
}

void
pr_si_destroy(pr_scavindex *s)
{
    gh_scav_index_fini(&s->own);
    meta_fini(&s->meta);
    free(s);
}

void
pr_si_alloc(pr_scavindex *s, uint64_t chunk, uint32_t npages)
{
    gh_scav_index_alloc(s->s, chunk, npages);
}

void
pr_si_free(pr_scavindex *s, uint64_t chunk, uint32_t page, uint32_t npages)
{
    gh_scav_index_free(s->s, chunk, page, npages);
}

uint64_t
pr_si_find(pr_scavindex *s, bool force, uint32_t *page)
{
    uint64_t ci;
    if (!gh_scav_index_find(s->s, force, &ci, page)) {
        *page = 0;
        return 0;
    }
    return ci;
}

void
pr_si_next_gen(pr_scavindex *s)
{
    gh_scav_index_next_gen(s->s);
}

void
pr_si_set_empty(pr_scavindex *s, uint64_t chunk)
{
    gh_scav_index_set_empty(s->s, chunk);
}

void
pr_si_reset_search_addrs(pr_scavindex *s)
{
    gh_scav_index_reset_search_addrs(s->s);
}

bool
pr_scavchunk_roundtrip(uint32_t gen, uint16_t in_use, uint16_t last_in_use,
                       uint8_t flags)
{
    const gh_scav_chunk_data a = {
        .gen = gen,
        .in_use = in_use,
        .last_in_use = last_in_use,
        .flags = flags,
    };
    const gh_scav_chunk_data b = gh_scav_chunk_unpack(gh_scav_chunk_pack(a));
    return a.gen == b.gen && a.in_use == b.in_use
        && a.last_in_use == b.last_in_use && a.flags == b.flags;
}

// ---- 5. page allocator ------------------------------------------------------

struct pr_pagealloc {
    meta meta;
    gh_pagealloc p;
    pr_scavindex scav;
};

pr_pagealloc *
pr_pa_new(bool test)
{
    pr_pagealloc *p = zalloc(sizeof(*p));
    meta_init(&p->meta);
    must(gh_pagealloc_init(&p->p, &p->meta.mem, &p->meta.persistent,
                           &p->meta.stat, 0, (uint64_t)1 << GH_HEAP_ADDR_BITS,
                           test));
    p->scav.s = &p->p.scav;
    return p;
}

void
pr_pa_destroy(pr_pagealloc *p)
{
    gh_pagealloc_fini(&p->p);
    meta_fini(&p->meta);
    free(p);
}

void
pr_pa_grow(pr_pagealloc *p, uint64_t base, uint64_t size)
{
    must(gh_pagealloc_grow(&p->p, base, size));
}

uint64_t *
pr_pa_chunk(pr_pagealloc *p, uint64_t chunk)
{
    const uint64_t addr = gh_chunk_base(&p->p, chunk);
    if (gh_pagealloc_chunk_of(&p->p, addr) == NULL) {
        return NULL;
    }
    return p->p.chunks[chunk].alloc.w;
}

pr_scavindex *
pr_pa_scavindex(pr_pagealloc *p)
{
    return &p->scav;
}

void
pr_pa_update(pr_pagealloc *p, uint64_t base, uint64_t npages, bool contig,
             bool alloc)
{
    gh_pagealloc_update(&p->p, base, npages, contig, alloc);
}

uint64_t
pr_pa_alloc(pr_pagealloc *p, uint64_t npages, uint64_t *scav_bytes)
{
    return gh_pagealloc_alloc(&p->p, npages, scav_bytes);
}

void
pr_pa_free(pr_pagealloc *p, uint64_t base, uint64_t npages)
{
    gh_pagealloc_free(&p->p, base, npages);
}

static pr_pagecache
cache_out(const gh_page_cache *c)
{
    return (pr_pagecache){c->base, c->cache, c->scav};
}

static gh_page_cache
cache_in(const pr_pagecache *c)
{
    return (gh_page_cache){c->base, c->cache, c->scav};
}

pr_pagecache
pr_pa_alloc_to_cache(pr_pagealloc *p)
{
    const gh_page_cache c = gh_pagealloc_alloc_to_cache(&p->p);
    return cache_out(&c);
}

void
pr_pa_bounds(pr_pagealloc *p, uint64_t *start_chunk, uint64_t *end_chunk)
{
    *start_chunk = p->p.start;
    *end_chunk = p->p.end;
}

uint64_t
pr_pa_inuse_len(pr_pagealloc *p)
{
    return p->p.in_use.len;
}

void
pr_pa_inuse_get(pr_pagealloc *p, uint64_t i, uint64_t *base, uint64_t *limit)
{
    *base = p->p.in_use.ranges[i].base;
    *limit = p->p.in_use.ranges[i].limit;
}

uint64_t
pr_pa_scavenge(pr_pagealloc *p, uint64_t nbytes)
{
    return gh_pagealloc_scavenge(&p->p, nbytes, true);
}

uint64_t
pr_pagecache_alloc(pr_pagecache *c, uint64_t npages, uint64_t *scav_bytes)
{
    gh_page_cache in = cache_in(c);
    const uint64_t addr = gh_page_cache_alloc(&in, npages, scav_bytes);
    *c = cache_out(&in);
    return addr;
}

void
pr_pagecache_flush(pr_pagecache *c, pr_pagealloc *p)
{
    gh_page_cache in = cache_in(c);
    gh_page_cache_flush(&in, &p->p);
    *c = cache_out(&in);
}

bool
pr_pagecache_empty(const pr_pagecache *c)
{
    const gh_page_cache in = cache_in(c);
    return gh_page_cache_empty(&in);
}

// ---- 9. small parts ---------------------------------------------------------

double
pr_fastlog2(double x)
{
    return gh_fastlog2(x);
}

void
pr_bitcursor_write(uint8_t *ptr, uint64_t off, const uint8_t *data,
                   uint64_t cnt)
{
    gh_bitcursor_write(ptr, off, data, cnt);
}
