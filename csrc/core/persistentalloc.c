// persistentalloc.c: metadata memory that lives as long as its heap. See
// persistentalloc.h.

#include "persistentalloc.h"

#include "ghassert.h"
#include "ghbits.h"

void
gh_persistent_init(gh_persistent *p, gh_mem *mem, gh_sysstat *other_sys)
{
    *p = (gh_persistent){.mem = mem, .other_sys = other_sys};
    p->sig = GH_PERSISTENT_SIG;
}

void
gh_persistent_fini(gh_persistent *p)
{
    GH_ASSERT(p->sig == GH_PERSISTENT_SIG);
    p->sig = GH_SIG_DEAD;
    // The notes lie in chunks: mappings first.
    for (gh_persistent_direct *d = p->direct; d != NULL; d = d->next) {
        gh_sys_free(p->mem, d->base, d->bytes, d->bytes, d->stat);
    }
    while (p->chunks != NULL) {
        void *chunk = p->chunks;
        p->chunks = *(void **)chunk;
        // Its bytes are spread over stats by now, and cannot be taken back one
        // by one: the chunk leaves mapped_ready through a count of its own.
        gh_sysstat spread = {GH_PERSISTENT_CHUNK};
        gh_sys_free(p->mem, chunk, GH_PERSISTENT_CHUNK, GH_PERSISTENT_CHUNK,
                    &spread);
    }
    p->base = NULL;
    p->direct = NULL;
    p->spare = NULL;
}

// bump cuts n bytes from the current chunk, or from a new one.
static gh_status
bump(gh_persistent *p, size_t n, size_t align, void **out)
{
    size_t off = gh_align_up(p->off, align);
    if (p->base == NULL || off + n > GH_PERSISTENT_CHUNK) {
        if (GH_PERSISTENT_CHUNK > gh_sys_room(p->mem)) {
            return GH_ERR_NOMEM;
        }
        void *chunk;
        gh_status st = gh_sys_alloc(p->mem, GH_PERSISTENT_CHUNK, p->other_sys,
                                    &chunk);
        if (st != GH_OK) {
            return st;
        }
        *(void **)chunk = p->chunks;
        p->chunks = chunk;
        p->base = chunk;
        off = gh_align_up(sizeof(void *), align);
    }
    *out = p->base + off;
    p->off = off + n;
    return GH_OK;
}

// map_direct gives n bytes a mapping of their own.
static gh_status
map_direct(gh_persistent *p, size_t n, gh_sysstat *stat, void **out)
{
    if (p->spare == NULL) {
        void *note;
        gh_status st = bump(p, sizeof(gh_persistent_direct),
                            _Alignof(gh_persistent_direct), &note);
        if (st != GH_OK) {
            return st;
        }
        p->spare = note;
    }
    if (n > gh_sys_room(p->mem)) {
        return GH_ERR_NOMEM;
    }
    gh_status st = gh_sys_alloc(p->mem, n, stat, out);
    if (st != GH_OK) {
        return st;
    }
    gh_persistent_direct *d = p->spare;
    p->spare = NULL;
    *d = (gh_persistent_direct){
        .next = p->direct,
        .base = *out,
        .bytes = (size_t)gh_align_up(n, GH_PHYS_PAGE_SIZE),
        .stat = stat,
    };
    p->direct = d;
    return GH_OK;
}

gh_status
gh_persistentalloc(gh_persistent *p, size_t n, size_t align, gh_sysstat *stat,
                   void **out)
{
    GH_ASSERT(p->sig == GH_PERSISTENT_SIG);
    GH_THROW_IF(n == 0, "persistentalloc: size is 0");
    if (align == 0) {
        align = 8;
    }
    GH_THROW_IF(!gh_is_pow2(align), "persistentalloc: align is no power of 2");
    GH_THROW_IF(align > GH_PHYS_PAGE_SIZE,
                "persistentalloc: align is too large");

    if (n >= GH_PERSISTENT_DIRECT) {
        return map_direct(p, n, stat, out);
    }
    gh_status st = bump(p, n, align, out);
    if (st == GH_OK && stat != p->other_sys) {
        stat->bytes += n;
        p->other_sys->bytes -= n;
    }
    return st;
}
