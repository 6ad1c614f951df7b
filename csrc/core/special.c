// special.c: lists of specials, what fires in a sweep, and labels. See special.h.

#include "special.h"

#include <stdlib.h>
#include <string.h>

#include "mcleanup.h"
#include "mprof.h"

// ---- the list of a span -----------------------------------------------------------

gh_special **
gh_special_find(gh_mspan *s, uint64_t offset, gh_special_kind kind, bool *exists)
{
    gh_special **at = &s->specials;
    while (*at != NULL
           && ((*at)->offset < offset
               || ((*at)->offset == offset && (*at)->kind < kind))) {
        at = &(*at)->next;
    }
    *exists = *at != NULL && (*at)->offset == offset && (*at)->kind == kind;
    return at;
}

// set_page says in the bit of s's first page whether s has specials.
static void
set_page(gh_heap *h, const gh_mspan *s)
{
    gh_heap_arena *ha = gh_arena_of(h, s->base);
    const uintptr_t page =
        ((s->base - h->base) >> GH_PAGE_SHIFT) % GH_PAGES_PER_ARENA;
    const uint64_t bit = (uint64_t)1 << (page % 64);
    if (s->specials != NULL) {
        ha->page_specials[page / 64] |= bit;
    } else {
        ha->page_specials[page / 64] &= ~bit;
    }
}

void
gh_special_insert(gh_heap *h, gh_mspan *s, gh_special **at, gh_special *x)
{
    x->next = *at;
    *at = x;
    h->nspecials[x->kind]++;
    set_page(h, s);
}

gh_special *
gh_special_remove(gh_heap *h, gh_mspan *s, gh_special **at)
{
    gh_special *x = *at;
    *at = x->next;
    h->nspecials[x->kind]--;
    set_page(h, s);
    return x;
}

// ---- labels -------------------------------------------------------------------------

static uint32_t
hash_name(const char *name)
{
    uint32_t x = 2166136261u;  // FNV-1a
    for (; *name != 0; name++) {
        x = (x ^ (unsigned char)*name) * 16777619u;
    }
    return x;
}

static gh_label *
label_of_link(gh_label_link *link)
{
    return (gh_label *)((char *)link - offsetof(gh_label, link));
}

static gh_label_link **
bucket_of(const gh_labels *t, uint32_t hash)
{
    return &t->bucket[hash & (t->nbuckets - 1)];
}

// find returns the place that points at the label of that name, or at the end
// of its bucket; NULL if there is no table yet.
static gh_label_link **
find(const gh_labels *t, const char *name, uint32_t hash)
{
    if (t->nbuckets == 0) {
        return NULL;
    }
    gh_label_link **at = bucket_of(t, hash);
    while (*at != NULL
           && ((*at)->hash != hash
               || strcmp(label_of_link(*at)->name, name) != 0)) {
        at = &(*at)->next;
    }
    return at;
}

// grow makes room for one more label.
static gh_status
grow(gh_labels *t)
{
    if (t->n < t->nbuckets) {
        return GH_OK;
    }
    gh_labels more = {.nbuckets = t->nbuckets == 0 ? 64 : 2 * t->nbuckets,
                      .n = t->n};
    if (more.nbuckets == 0) {
        return GH_ERR_NOMEM;
    }
    more.bucket = calloc(more.nbuckets, sizeof(*more.bucket));
    if (more.bucket == NULL) {
        return GH_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < t->nbuckets; i++) {
        for (gh_label_link *l = t->bucket[i], *next; l != NULL; l = next) {
            next = l->next;
            gh_label_link **at = bucket_of(&more, l->hash);
            l->next = *at;
            *at = l;
        }
    }
    free(t->bucket);
    *t = more;
    return GH_OK;
}

static void
drop(gh_labels *t, gh_label *label)
{
    gh_label_link **at = bucket_of(t, label->link.hash);
    while (*at != &label->link) {
        GH_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = label->link.next;
    t->n--;
    free(label);
}

// label_of is the label of the object at base, which begins off bytes into s.
static gh_label *
label_of(gh_mspan *s, uint64_t off, gh_special ***at)
{
    bool exists;
    *at = gh_special_find(s, off, GH_SPECIAL_LABEL, &exists);
    return exists ? (gh_label *)**at : NULL;
}

// locate finds the object at a shown address.
static gh_status
locate(gh_heap *h, uint64_t addr, gh_mspan **span, uintptr_t *base)
{
    gh_object o;
    const gh_status st = gh_object_at_addr(h, addr, &o);
    if (st != GH_OK) {
        return st;
    }
    if (o.elemsize == 0) {
        return GH_ERR_BADPTR;  // every zero-size object is the same
    }
    *span = gh_span_of_unchecked(h, (uintptr_t)(o.span_base - GH_ADDR_BASE)
                                        + h->base);
    *base = (uintptr_t)(o.addr - GH_ADDR_BASE) + h->base;
    return GH_OK;
}

gh_status
gh_label_set(gh_mut *m, uint64_t addr, const char *name)
{
    gh_heap *h = m->heap;
    gh_mspan *s;
    uintptr_t base;
    gh_status st = locate(h, addr, &s, &base);
    if (st != GH_OK) {
        return st;
    }
    gh_special **at;
    gh_label *old = label_of(s, base - s->base, &at);
    gh_label *label = NULL;
    if (name != NULL) {
        const uint32_t hash = hash_name(name);
        gh_label_link **there = find(&h->labels, name, hash);
        if (there != NULL && *there != NULL) {
            return label_of_link(*there) == old ? GH_OK : GH_ERR_STATE;
        }
        st = grow(&h->labels);
        if (st != GH_OK) {
            return st;
        }
        const size_t len = strlen(name) + 1;
        label = malloc(sizeof(*label) + len);
        if (label == NULL) {
            return GH_ERR_NOMEM;
        }
        *label = (gh_label){
            .special = {.offset = base - s->base, .kind = GH_SPECIAL_LABEL},
            .link = {.hash = hash},
            .base = base,
        };
        memcpy(label->name, name, len);
    }
    if (old != NULL) {
        (void)gh_special_remove(h, s, at);
        drop(&h->labels, old);
    }
    if (label != NULL) {
        gh_special_insert(h, s, at, &label->special);
        gh_label_link **b = bucket_of(&h->labels, label->link.hash);
        label->link.next = *b;
        *b = &label->link;
        h->labels.n++;
    }
    return GH_OK;
}

const char *
gh_label_at(gh_heap *h, uint64_t addr)
{
    gh_mspan *s;
    uintptr_t base;
    gh_special **at;
    if (h->labels.n == 0 || locate(h, addr, &s, &base) != GH_OK) {
        return NULL;
    }
    const gh_label *x = label_of(s, base - s->base, &at);
    return x == NULL ? NULL : x->name;
}

gh_status
gh_label_find(gh_heap *h, const char *name, uint64_t *addr)
{
    gh_label_link **at = find(&h->labels, name, hash_name(name));
    if (at == NULL || *at == NULL) {
        return GH_ERR_BADPTR;
    }
    // An unswept span may still have the label of an object that is dead.
    gh_object o;
    const uintptr_t base = label_of_link(*at)->base;
    gh_status st = gh_object_at_addr(h, gh_addr_of_word(h, base), &o);
    if (st == GH_OK) {
        *addr = o.addr;
    }
    return st;
}

// ---- firing -----------------------------------------------------------------------------

// fire does what the end of x's object means for x, and frees it. x is in no
// list. Go: freeSpecial.
static void
fire(gh_heap *h, gh_mspan *s, gh_special *x)
{
    switch ((gh_special_kind)x->kind) {
    case GH_SPECIAL_FINALIZER: {
        // The object lives on, in the handle that waits for it.
        gh_callable *f = gh_callable_of(x);
        gh_handles_slot(&h->handles, f->node.call.handle)->word =
            s->base + (uintptr_t)x->offset;
        gh_calls_push(&h->calls, &f->node);
        break;
    }
    case GH_SPECIAL_CLEANUP:
        gh_cleanup_enqueue(h, &gh_callable_of(x)->node);
        break;
    case GH_SPECIAL_WEAK:
        *(uint64_t *)((gh_weak *)x)->box = 0;
        free(x);
        break;
    case GH_SPECIAL_PROFILE:
        gh_prof_free(h, ((gh_profiled *)x)->bucket, s->elemsize);
        free(x);
        break;
    case GH_SPECIAL_PIN:
        free(x);
        break;
    case GH_SPECIAL_LABEL:
        drop(&h->labels, (gh_label *)x);
        break;
    }
}

// has_finalizer: one of the specials from x on that lie below end.
static bool
has_finalizer(const gh_special *x, uint64_t end)
{
    for (; x != NULL && x->offset < end; x = x->next) {
        if (x->kind == GH_SPECIAL_FINALIZER) {
            return true;
        }
    }
    return false;
}

void
gh_specials_sweep(gh_heap *h, gh_mspan *s)
{
    gh_special **at = &s->specials;
    while (*at != NULL) {
        const unsigned i =
            gh_mspan_obj_index(s, s->base + (uintptr_t)(*at)->offset);
        if (gh_mspan_is_marked(&h->bm, s, i)) {
            at = &(*at)->next;
            continue;
        }
        const uint64_t end = (i + 1) * s->elemsize;
        const bool revived = has_finalizer(*at, end);
        if (revived) {
            gh_mspan_mark_bits(&h->bm, s)[i / 64] |= (uint64_t)1 << (i % 64);
        }
        while (*at != NULL && (*at)->offset < end) {
            if (revived && (*at)->kind != GH_SPECIAL_FINALIZER
                && (*at)->kind != GH_SPECIAL_WEAK) {
                at = &(*at)->next;  // it is about an object that is freed
                continue;
            }
            fire(h, s, gh_special_remove(h, s, at));
        }
    }
}

static void
free_list(gh_special *x)
{
    for (gh_special *next; x != NULL; x = next) {
        next = x->next;
        if (x->kind == GH_SPECIAL_FINALIZER || x->kind == GH_SPECIAL_CLEANUP) {
            free(gh_callable_of(x));
        } else {
            free(x);  // a special is the first thing in the others
        }
    }
}

void
gh_specials_fini(gh_heap *h)
{
    for (size_t w = 0; w < h->narenas * (GH_PAGES_PER_ARENA / 64); w++) {
        uint64_t bits = h->arenas[w / (GH_PAGES_PER_ARENA / 64)]
                            ->page_specials[w % (GH_PAGES_PER_ARENA / 64)];
        for (; bits != 0; bits &= bits - 1) {
            gh_mspan *s = h->spans[w * 64 + gh_ctz64(bits)];
            free_list(s->specials);
            s->specials = NULL;
        }
    }
    free(h->labels.bucket);
    h->labels = (gh_labels){0};
    gh_cleanups_fini(h);
}
