// digest.c: what a replay needs of a history, packed. See digest.h.

#include "digest.h"

// The longest event: a change of P, and a large object of a far type.
#define MAX_WORDS 8u
#define RELEASE   ((size_t)4 << 20)

void
gh_digest_init(gh_digest *d, size_t keep, const char *dir)
{
    *d = (gh_digest){.p = GH_DIGEST_NO_P};
    gh_spill_init(&d->words, keep, dir);
}

void
gh_digest_fini(gh_digest *d)
{
    gh_spill_fini(&d->words);
    gh_digest_init(d, d->words.keep, d->words.dir);
}

// room is where the next words go; NULL: nowhere. Those of the present block count
// in its header.
static uint32_t *
room(gh_digest *d)
{
    if (d->failed) {
        return NULL;
    }
    const size_t need = (d->n + MAX_WORDS) * sizeof(uint32_t);
    if (need > d->words.bytes) {
        if (gh_spill_reserve(&d->words, need) != GH_OK) {
            d->failed = true;
            return NULL;
        }
        d->released = 0;  // it may be another mapping
    }
    return (uint32_t *)(void *)d->words.at + d->n;
}

static void
wrote(gh_digest *d, size_t n)
{
    d->n += n;
    ((uint32_t *)(void *)d->words.at)[d->block] += (uint32_t)n;
}

static void
put_pair(uint32_t *at, uint64_t v)
{
    at[0] = (uint32_t)v;
    at[1] = (uint32_t)(v >> 32);
}

void
gh_digest_begin(gh_digest *d, uint64_t stamp)
{
    uint32_t *at = room(d);
    if (at == NULL) {
        return;
    }
    const size_t done = d->n * sizeof(uint32_t);
    if (done - d->released > RELEASE) {
        gh_spill_release(&d->words, d->released, done);
        d->released = done;
    }
    at[0] = 0;
    put_pair(at + 1, stamp);
    d->block = d->n;
    d->n += GH_DIGEST_HEADER;
}

void
gh_digest_object(gh_digest *d, gh_digest_kind kind, uint64_t event, uint8_t p,
                 uint8_t spanclass, uint32_t pages, uint32_t type)
{
    uint32_t *at = room(d);
    if (at == NULL) {
        return;
    }
    size_t n = 0;
    if (p != d->p) {
        at[n++] = gh_digest_word(GH_DIGEST_P, event, p, 0);
        d->p = p;
    }
    const bool is_far = type >= GH_DIGEST_FAR;
    at[n++] = gh_digest_word(kind, event, spanclass, is_far ? GH_DIGEST_FAR : type);
    if (is_far) {
        at[n++] = type;
    }
    if (spanclass >> 1 == 0) {
        at[n++] = pages;
    }
    wrote(d, n);
}

void
gh_digest_tiny(gh_digest *d, uint64_t event)
{
    uint32_t *at = room(d);
    if (at != NULL) {
        at[0] = gh_digest_word(GH_DIGEST_TINY, event, 0, 0);
        wrote(d, 1);
    }
}

void
gh_digest_gc_begin(gh_digest *d, uint64_t event, uint64_t stamp)
{
    uint32_t *at = room(d);
    if (at != NULL) {
        at[0] = gh_digest_word(GH_DIGEST_GC_BEGIN, event, 0, 0);
        put_pair(at + 1, stamp);
        wrote(d, 3);
    }
}

void
gh_digest_procs(gh_digest *d, uint64_t event, uint64_t n, uint64_t offset)
{
    uint32_t *at = room(d);
    if (at != NULL) {
        at[0] = gh_digest_word(GH_DIGEST_PROCS, event, 0, 0);
        put_pair(at + 1, n);
        put_pair(at + 3, offset);
        wrote(d, 5);
    }
}

void
gh_digest_end(gh_digest *d, uint64_t stamp)
{
    d->end_stamp = stamp;
    gh_spill_release(&d->words, 0, d->words.bytes);
}
