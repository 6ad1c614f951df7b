// sparse.c: a table that is reserved whole and mapped where it is used. See
// sparse.h.

#include "sparse.h"

#include "ghassert.h"
#include "ghbits.h"

static bool
piece_mapped(const gh_sparse *t, size_t i)
{
    return (t->mapped[i / 64] >> i % 64 & 1) != 0;
}

// run_end returns the end of the run of pieces in one state that begins at i.
static size_t
run_end(const gh_sparse *t, size_t i, size_t limit)
{
    const bool state = piece_mapped(t, i);
    do {
        i++;
    } while (i < limit && piece_mapped(t, i) == state);
    return i;
}

gh_status
gh_sparse_init(gh_sparse *t, gh_mem *mem, gh_persistent *persistent,
               gh_sysstat *stat, size_t bytes, size_t granule)
{
    GH_ASSERT(granule % GH_PHYS_PAGE_SIZE == 0);
    bytes = (bytes + granule - 1) / granule * granule;
    const size_t pieces = bytes / granule;
    void *bits, *base;
    gh_status st = gh_persistentalloc(persistent, (pieces + 63) / 64 * 8, 8,
                                      stat, &bits);
    if (st != GH_OK) {
        return st;
    }
    st = gh_sys_reserve_aligned(mem, bytes, GH_PHYS_PAGE_SIZE, &base);
    if (st != GH_OK) {
        return st;
    }
    *t = (gh_sparse){
        .base = base,
        .bytes = bytes,
        .granule = granule,
        .mapped = bits,
        .mem = mem,
        .stat = stat,
    };
    return GH_OK;
}

void
gh_sparse_fini(gh_sparse *t)
{
    if (t->base == NULL) {
        return;
    }
    const size_t pieces = t->bytes / t->granule;
    for (size_t i = 0, next; i < pieces; i = next) {
        next = run_end(t, i, pieces);
        unsigned char *v = t->base + i * t->granule;
        const size_t n = (next - i) * t->granule;
        if (piece_mapped(t, i)) {
            gh_sys_free(t->mem, v, n, n, t->stat);
        } else {
            gh_sys_unreserve(t->mem, v, n);
        }
    }
    *t = (gh_sparse){0};
}

gh_status
gh_sparse_ensure(gh_sparse *t, size_t from, size_t to)
{
    GH_ASSERT(from < to);
    GH_THROW_IF(to > t->bytes, "table index out of range");
    const size_t limit = (to + t->granule - 1) / t->granule;
    for (size_t i = from / t->granule, next; i < limit; i = next) {
        if (i % 64 == 0 && i + 64 <= limit && t->mapped[i / 64] == UINT64_MAX) {
            next = i + 64;
            continue;
        }
        next = run_end(t, i, limit);
        if (piece_mapped(t, i)) {
            continue;
        }
        unsigned char *v = t->base + i * t->granule;
        const size_t n = (next - i) * t->granule;
        gh_status st = gh_sys_map_ready(t->mem, v, n, t->stat);
        if (st != GH_OK) {
            return st;
        }
        for (size_t k = i; k < next; k++) {
            t->mapped[k / 64] |= (uint64_t)1 << k % 64;
        }
    }
    return GH_OK;
}

bool
gh_sparse_is_mapped(const gh_sparse *t, size_t off)
{
    return off < t->bytes && piece_mapped(t, off / t->granule);
}
