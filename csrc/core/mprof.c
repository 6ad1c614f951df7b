// mprof.c: the heap profile. See mprof.h.

#include "mprof.h"

#include <math.h>
#include <stdlib.h>

#include "fastlog2.h"
#include "special.h"

// C wraps where a multiple of 3 does.
#define GH_PROF_WRAP (3u * (2u << 24))

// ---- where samples fall -------------------------------------------------------------

uint32_t
gh_cheaprand(uint64_t *state)
{
    *state += 0xa0761d6478bd642fu;
    const uint64_t a = *state, b = a ^ 0xe7037ed1a0b428dbu;
    // The product of a and b in two words, from four of their halves.
    const uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    const uint64_t t = a1 * b0 + (a0 * b0 >> 32);
    const uint64_t u = a0 * b1 + (uint32_t)t;
    const uint64_t hi = a1 * b1 + (t >> 32) + (u >> 32);
    return (uint32_t)(hi ^ (a * b));
}

#define SAMPLE_BITS 26u

int64_t
gh_prof_step(uint32_t q, int64_t mean)
{
    if (mean > 0x7000000) {
        mean = 0x7000000;
    }
    double qlog = gh_fastlog2((double)q) - (double)SAMPLE_BITS;
    if (qlog > 0) {
        qlog = 0;
    }
    const double minus_ln2 = -0.6931471805599453;
    return (int32_t)(qlog * (minus_ln2 * (double)mean)) + 1;
}

static int64_t
exprand(gh_heap *h, int64_t mean)
{
    const uint64_t r = gh_cheaprand(&h->random);
    return gh_prof_step((uint32_t)((r << SAMPLE_BITS) >> 32) + 1, mean);
}

int64_t
gh_prof_next_sample(gh_heap *h)
{
    if (h->prof_rate == 0) {
        return INT64_MAX;
    }
    return h->prof_rate == 1 ? 0 : exprand(h, h->prof_rate);
}

// ---- buckets ------------------------------------------------------------------------

// find_bucket finds the bucket or makes it; NULL if there is no memory for it.
static gh_bucket *
find_bucket(gh_heap *h, uint32_t type, uint32_t site, uint64_t size)
{
    if (h->prof == NULL) {
        void *mem;
        if (gh_persistentalloc(&h->persistent, sizeof(*h->prof), 8,
                               &h->buckhash_sys, &mem) != GH_OK) {
            return NULL;
        }
        h->prof = mem;
    }
    const uint64_t key = (((uint64_t)site << 32 | type) + size)
                         * 0x9e3779b97f4a7c15u;
    gh_bucket **at = &h->prof->table[key >> 54];
    for (gh_bucket *b = *at; b != NULL; b = b->next) {
        if (b->type == type && b->site == site && b->size == size) {
            return b;
        }
    }
    void *mem;
    if (gh_persistentalloc(&h->persistent, sizeof(gh_bucket), 8,
                           &h->buckhash_sys, &mem) != GH_OK) {
        return NULL;
    }
    gh_bucket *b = mem;
    *b = (gh_bucket){
        .next = *at,
        .allnext = h->prof->all,
        .size = size,
        .type = type,
        .site = site,
    };
    *at = b;
    h->prof->all = b;
    return b;
}

// record puts the object at v down to its bucket. Go: mProf_Malloc.
static void
record(gh_heap *h, gh_mspan *s, uintptr_t v, uint32_t type)
{
    const uint32_t site = __atomic_load_n(&h->prof_site, __ATOMIC_RELAXED);
    gh_bucket *b = find_bucket(h, type, site, s->elemsize);
    gh_profiled *x = malloc(sizeof(*x));
    if (b == NULL || x == NULL) {
        free(x);
        h->prof_lost++;
        return;
    }
    *x = (gh_profiled){
        .special = {.offset = v - s->base, .kind = GH_SPECIAL_PROFILE},
        .bucket = b,
    };
    bool exists;
    gh_special **at =
        gh_special_find(s, x->special.offset, GH_SPECIAL_PROFILE, &exists);
    GH_THROW_IF(exists, "setprofilebucket: profile already set");
    gh_special_insert(h, s, at, &x->special);
    gh_mem_record *r = &b->future[(h->prof->cycle + 2) % 3];
    r->allocs++;
    r->alloc_bytes += s->elemsize;
}

// sample takes the object at v and draws the next distance. Go: profilealloc.
static __attribute__((noinline)) void
sample(gh_p *p, gh_mspan *s, uintptr_t v, uint32_t type)
{
    gh_heap *h = p->heap;
    gh_lock_heap(h);
    p->mcache.prof_rate = h->prof_rate;
    p->mcache.next_sample = gh_prof_next_sample(h);
    gh_set_slow(p);
    record(h, s, v, type);
    gh_unlock_heap(h);
}

void
gh_prof_debit(gh_p *p, gh_mspan *s, uintptr_t v, uint32_t type)
{
    gh_mcache *c = &p->mcache;
    if (GH_LIKELY(c->prof_rate == p->heap->prof_rate)) {
        if (c->prof_rate == 0) {
            return;  // slow for another reason
        }
        c->next_sample -= (int64_t)s->elemsize;
        if (GH_LIKELY(c->next_sample >= 0)) {
            return;
        }
    }
    sample(p, s, v, type);
}

void
gh_prof_free(gh_heap *h, gh_bucket *b, uint64_t size)
{
    gh_mem_record *r = &b->future[(h->prof->cycle + 1) % 3];
    r->frees++;
    r->free_bytes += size;
}

// ---- what is visible -------------------------------------------------------------------

static void
publish(gh_bucket *b, unsigned i)
{
    gh_mem_record *from = &b->future[i];
    b->active.allocs += from->allocs;
    b->active.frees += from->frees;
    b->active.alloc_bytes += from->alloc_bytes;
    b->active.free_bytes += from->free_bytes;
    *from = (gh_mem_record){0};
}

static void
publish_all(gh_heap *h, unsigned i)
{
    for (gh_bucket *b = h->prof->all; b != NULL; b = b->allnext) {
        publish(b, i);
    }
}

void
gh_prof_next_cycle(gh_heap *h)
{
    if (h->prof != NULL) {
        h->prof->cycle = (h->prof->cycle + 1) % GH_PROF_WRAP;
        h->prof->flushed = false;
    }
}

void
gh_prof_flush(gh_heap *h)
{
    if (h->prof != NULL && !h->prof->flushed) {
        h->prof->flushed = true;
        publish_all(h, h->prof->cycle % 3);
    }
}

void
gh_prof_post_sweep(gh_heap *h)
{
    gh_lock_heap(h);
    if (h->prof != NULL) {
        publish_all(h, (h->prof->cycle + 1) % 3);
    }
    gh_unlock_heap(h);
}

// ---- what clients ask --------------------------------------------------------------------

gh_status
gh_profile_set_rate(gh_mut *m, int64_t rate)
{
    gh_heap *h = m->heap;
    if (rate < 0) {
        return GH_ERR_INVAL;
    }
    gh_stop_world(m);
    h->prof_rate = rate;
    for (int32_t i = 0; i < h->procs; i++) {
        gh_set_slow(h->allp[i]);
    }
    gh_start_world(m);
    return GH_OK;
}

int64_t
gh_profile_rate(const gh_heap *h)
{
    return h->prof_rate;
}

uint32_t
gh_profile_set_site(gh_mut *m, uint32_t site)
{
    return __atomic_exchange_n(&m->heap->prof_site, site, __ATOMIC_RELAXED);
}

// walk is gh_profile_walk with the world stopped.
static void
walk(gh_heap *h, bool (*fn)(void *arg, const gh_profile_record *r), void *arg)
{
    if (h->prof == NULL) {
        return;
    }
    gh_prof_flush(h);
    bool any = false;
    for (const gh_bucket *b = h->prof->all; b != NULL; b = b->allnext) {
        any = any || b->active.allocs != 0 || b->active.frees != 0;
    }
    if (!any) {
        // No cycle has ended: better all that there is than nothing.
        for (unsigned i = 0; i < 3; i++) {
            publish_all(h, i);
        }
    }
    for (const gh_bucket *b = h->prof->all; b != NULL; b = b->allnext) {
        const gh_profile_record r = {
            .type_id = b->type,
            .site = b->site,
            .size = b->size,
            .allocs = b->active.allocs,
            .frees = b->active.frees,
            .alloc_bytes = b->active.alloc_bytes,
            .free_bytes = b->active.free_bytes,
        };
        if (!fn(arg, &r)) {
            return;
        }
    }
}

void
gh_profile_walk(gh_mut *m, bool (*fn)(void *arg, const gh_profile_record *r),
                void *arg)
{
    gh_stop_world(m);
    walk(m->heap, fn, arg);
    gh_start_world(m);
}

// Go: runtime/pprof, scaleHeapSample.
void
gh_profile_scale(int64_t rate, int64_t *count, int64_t *size)
{
    if (*count == 0 || *size == 0) {
        *count = *size = 0;
        return;
    }
    if (rate <= 1) {
        return;
    }
    const double mean = (double)*size / (double)*count;
    const double scale = 1 / (1 - exp(-mean / (double)rate));
    *count = (int64_t)((double)*count * scale);
    *size = (int64_t)((double)*size * scale);
}
