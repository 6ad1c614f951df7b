// special.c: labels. See special.h.

#include "special.h"

#include <stdlib.h>
#include <string.h>

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

void
gh_specials_sweep(gh_heap *h, gh_mspan *s)
{
    gh_special **at = &s->specials;
    while (*at != NULL) {
        gh_special *x = *at;
        if (gh_mspan_is_marked(&h->bm, s, x->index)) {
            at = &x->next;
            continue;
        }
        *at = x->next;
        drop(&h->labels, (gh_label *)x);
    }
}

void
gh_labels_fini(gh_heap *h)
{
    gh_labels *t = &h->labels;
    for (uint32_t i = 0; i < t->nbuckets; i++) {
        for (gh_label_link *l = t->bucket[i], *next; l != NULL; l = next) {
            next = l->next;
            free(label_of_link(l));
        }
    }
    free(t->bucket);
    *t = (gh_labels){0};
}

// place returns where in s's list the label of the object at base is, or where
// it is to go; index is its slot number.
static gh_special **
place(gh_mspan *s, uint32_t index, uintptr_t base)
{
    gh_special **at = &s->specials;
    while (*at != NULL
           && ((*at)->index < index
               || ((*at)->index == index && ((gh_label *)*at)->base < base))) {
        at = &(*at)->next;
    }
    return at;
}

// is_label_of: the special at a place belongs to the object at base.
static bool
is_label_of(const gh_special *x, uintptr_t base)
{
    return x != NULL && ((const gh_label *)x)->base == base;
}

// locate finds the object at a shown address.
static gh_status
locate(gh_heap *h, uint64_t addr, gh_mspan **span, uint32_t *index,
       uintptr_t *base)
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
    *index = o.index;
    *base = (uintptr_t)(o.addr - GH_ADDR_BASE) + h->base;
    return GH_OK;
}

gh_status
gh_label_set(gh_mut *m, uint64_t addr, const char *name)
{
    gh_heap *h = m->heap;
    gh_mspan *s;
    uint32_t index;
    uintptr_t base;
    gh_status st = locate(h, addr, &s, &index, &base);
    if (st != GH_OK) {
        return st;
    }
    gh_special **at = place(s, index, base);
    gh_label *old = is_label_of(*at, base) ? (gh_label *)*at : NULL;
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
            .special = {.index = index, .kind = GH_SPECIAL_LABEL},
            .link = {.hash = hash},
            .base = base,
        };
        memcpy(label->name, name, len);
    }
    if (old != NULL) {
        *at = old->special.next;
        drop(&h->labels, old);
    }
    if (label != NULL) {
        label->special.next = *at;
        *at = &label->special;
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
    uint32_t index;
    uintptr_t base;
    if (h->labels.n == 0 || locate(h, addr, &s, &index, &base) != GH_OK) {
        return NULL;
    }
    const gh_special *x = *place(s, index, base);
    return is_label_of(x, base) ? ((const gh_label *)x)->name : NULL;
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
