// mem.c: the four states of memory and their books. See mem.h.

#include "mem.h"

#include "ghassert.h"
#include "ghbits.h"

static size_t
round_up_os_page(size_t n)
{
    return (n + GH_PHYS_PAGE_SIZE - 1) & ~(GH_PHYS_PAGE_SIZE - 1);
}

static void
count(uint64_t *figure, uint64_t grow)
{
    *figure += grow;
}

static void
uncount(uint64_t *figure, uint64_t shrink)
{
    GH_THROW_IF(*figure < shrink, "memory accounting below zero");
    *figure -= shrink;
}

void
gh_mem_init(gh_mem *m, const gh_mem_ops *ops, void *ctx)
{
    *m = (gh_mem){
        .ops = ops != NULL ? ops : gh_mem_linux(),
        .ctx = ctx,
        .hard_limit = UINT64_MAX,
    };
}

gh_status
gh_sys_alloc(gh_mem *m, size_t n, gh_sysstat *stat, void **out)
{
    GH_ASSERT(n > 0);
    n = round_up_os_page(n);
    if (n == 0) {
        return GH_ERR_NOMEM;  // wrapped
    }
    void *v = m->ops->reserve(m->ctx, n);
    if (v == NULL) {
        return GH_ERR_NOMEM;
    }
    if (m->ops->map(m->ctx, v, n) != 0) {
        m->ops->free(m->ctx, v, n);
        return GH_ERR_NOMEM;
    }
    count(&stat->bytes, n);
    count(&m->mapped_ready, n);
    *out = v;
    return GH_OK;
}

gh_status
gh_sys_reserve_aligned(gh_mem *m, size_t n, size_t align, void **out)
{
    GH_ASSERT(n > 0);
    GH_ASSERT(gh_is_pow2(align));
    n = round_up_os_page(n);
    if (align <= GH_PHYS_PAGE_SIZE) {
        align = 0;  // as it comes
    }
    if (n == 0 || n + align < n) {
        return GH_ERR_NOMEM;
    }
    unsigned char *v = m->ops->reserve(m->ctx, n + align);
    if (v == NULL) {
        return GH_ERR_NOMEM;
    }
    if (align != 0) {
        // Both ends around the aligned part go back.
        const size_t head = (size_t)(-(uintptr_t)v & (align - 1));
        if (head > 0) {
            m->ops->free(m->ctx, v, head);
        }
        if (align - head > 0) {
            m->ops->free(m->ctx, v + head + n, align - head);
        }
        v += head;
    }
    *out = v;
    return GH_OK;
}

gh_status
gh_sys_map(gh_mem *m, void *v, size_t n, gh_sysstat *stat)
{
    GH_ASSERT(n % GH_PHYS_PAGE_SIZE == 0);
    if (m->ops->map(m->ctx, v, n) != 0) {
        return GH_ERR_NOMEM;
    }
    count(&stat->bytes, n);
    return GH_OK;
}

gh_status
gh_sys_map_ready(gh_mem *m, void *v, size_t n, gh_sysstat *stat)
{
    if (n > gh_sys_room(m)) {
        return GH_ERR_NOMEM;
    }
    gh_status st = gh_sys_map(m, v, n, stat);
    if (st == GH_OK) {
        gh_sys_used(m, v, n, n);
    }
    return st;
}

gh_status
gh_sys_map_own(gh_mem *m, void *v, size_t n)
{
    GH_ASSERT(n % GH_PHYS_PAGE_SIZE == 0);
    if (n > gh_sys_room(m) || m->ops->map(m->ctx, v, n) != 0) {
        return GH_ERR_NOMEM;
    }
    m->own += n;
    if (m->hard_limit != UINT64_MAX) {
        m->hard_limit -= n;
    }
    return GH_OK;
}

void
gh_sys_used(gh_mem *m, void *v, size_t n, size_t prepared)
{
    (void)v;
    (void)n;
    GH_ASSERT(prepared <= n);
    count(&m->mapped_ready, prepared);
}

gh_status
gh_sys_unused(gh_mem *m, void *v, size_t n)
{
    GH_ASSERT(n % GH_PHYS_PAGE_SIZE == 0);
    if (m->ops->unused(m->ctx, v, n) != 0) {
        return GH_ERR_NOMEM;
    }
    uncount(&m->mapped_ready, n);
    return GH_OK;
}

void
gh_sys_trim(gh_mem *m, void *v, size_t n)
{
    GH_ASSERT(n % GH_PHYS_PAGE_SIZE == 0);
    (void)m->ops->unused(m->ctx, v, n);  // benign: the pages stay
}

gh_status
gh_sys_fault(gh_mem *m, void *v, size_t n)
{
    GH_ASSERT(n % GH_PHYS_PAGE_SIZE == 0);
    if (m->ops->fault(m->ctx, v, n) != 0) {
        return GH_ERR_NOMEM;
    }
    uncount(&m->mapped_ready, n);
    return GH_OK;
}

void
gh_sys_free(gh_mem *m, void *v, size_t n, size_t ready, gh_sysstat *stat)
{
    GH_ASSERT(ready <= n);
    n = round_up_os_page(n);
    m->ops->free(m->ctx, v, n);
    uncount(&stat->bytes, n);
    uncount(&m->mapped_ready, ready);
}

bool
gh_sys_huge(gh_mem *m, void *v, size_t n)
{
    GH_ASSERT((uintptr_t)v % GH_PHYS_HUGE_SIZE == 0);
    GH_ASSERT(n % GH_PHYS_HUGE_SIZE == 0);
    return m->ops->huge != NULL && m->ops->huge(m->ctx, v, n) == 0;
}

void
gh_sys_unreserve(gh_mem *m, void *v, size_t n)
{
    m->ops->free(m->ctx, v, round_up_os_page(n));
}
