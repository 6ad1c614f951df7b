// gotype.c: types and their table. See gotype.h.

#include "gotype.h"

#include <string.h>

#include "ghassert.h"
#include "ghbits.h"

static bool
desc_is_valid(const gh_type_desc *d)
{
    if (!gh_is_pow2(d->align) || d->align > GH_PTR_SIZE) {
        return false;
    }
    if (d->size >= GH_MAX_ALLOC || d->ptrdata > d->size) {
        return false;
    }
    if (d->ptrdata == 0) {
        return true;
    }
    if (d->ptrdata % GH_PTR_SIZE != 0 || d->size % GH_PTR_SIZE != 0
        || d->mask == NULL) {
        return false;
    }
    // PtrBytes ends after the last pointer word, and no bit lies beyond.
    const uint64_t last = d->ptrdata / GH_PTR_SIZE - 1;
    return (d->mask[last / 64] >> (last % 64)) == 1;
}

static gh_status
table_reserve(gh_types *ts, gh_persistent *p, gh_sysstat *stat)
{
    if (ts->len < ts->cap) {
        return GH_OK;
    }
    // The old table stays behind in persistent memory, as Go's arrays do.
    const uint32_t cap = ts->cap == 0 ? 64 : ts->cap * 2;
    void *mem;
    gh_status st = gh_persistentalloc(p, cap * sizeof(ts->table[0]), 8, stat,
                                      &mem);
    if (st != GH_OK) {
        return st;
    }
    if (ts->len > 0) {
        memcpy(mem, ts->table, ts->len * sizeof(ts->table[0]));
    } else {
        ts->len = 2;  // 0: unknown, 1: bytes
    }
    ts->table = mem;
    ts->cap = cap;
    return GH_OK;
}

// one_spanclass leaves out what is combined with others, has a header, or is large.
static uint8_t
one_spanclass(const gh_type *t)
{
    const bool noscan = gh_type_noscan(t);
    const uint64_t least = noscan ? GH_TINY_SIZE : 1;
    const uint64_t most = noscan ? 1024 - 8 : GH_MIN_SIZE_FOR_MALLOC_HEADER;
    if (t->size < least || t->size > most) {
        return 0;
    }
    return gh_make_spanclass(gh_size_to_class(t->size), noscan);
}

gh_status
gh_gotype_new(gh_types *ts, gh_persistent *p, gh_sysstat *stat,
              const gh_type_desc *desc, const gh_type **out)
{
    if (!desc_is_valid(desc)) {
        return GH_ERR_INVAL;
    }
    gh_status st = table_reserve(ts, p, stat);
    if (st != GH_OK) {
        return st;
    }
    const char *name = desc->name == NULL ? "" : desc->name;
    const size_t name_bytes = strlen(name) + 1;
    const size_t mask_words = gh_div_round_up(desc->ptrdata / GH_PTR_SIZE, 64);
    void *mem;
    st = gh_persistentalloc(p, sizeof(gh_type) + mask_words * 8 + name_bytes, 8,
                            stat, &mem);
    if (st != GH_OK) {
        return st;
    }
    gh_type *t = mem;
    uint64_t *mask = (uint64_t *)(t + 1);
    if (mask_words > 0) {
        memcpy(mask, desc->mask, mask_words * 8);
    }
    memcpy(mask + mask_words, name, name_bytes);
    *t = (gh_type){
        .id = ts->len,
        .size = desc->size,
        .ptrdata = desc->ptrdata,
        .mask0 = mask_words > 0 ? mask[0] : 0,
        .mask = mask,
        .name = (const char *)(mask + mask_words),
        .user = desc->user,
        .align = desc->align,
    };
    t->one_spc = one_spanclass(t);
    t->sig = GH_TYPE_SIG;
    ts->table[ts->len++] = t;
    *out = t;
    return GH_OK;
}
