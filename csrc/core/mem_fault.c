// mem_fault.c: a table that counts the calls to the OS and fails chosen ones.
// See goheap.h, gh_mem_fault. No Go ancestor.

#include <errno.h>

#include "mem.h"

// fails counts a call and says whether it is one that shall fail.
static bool
fails(gh_mem_fault *f)
{
    const uint64_t number = f->calls++;
    if (number < f->fail_from || number - f->fail_from >= f->fail_count) {
        return false;
    }
    f->failed++;
    return true;
}

static void *
fault_reserve(void *ctx, size_t n)
{
    gh_mem_fault *f = ctx;
    if (fails(f)) {
        return NULL;
    }
    void *v = gh_mem_linux()->reserve(NULL, n);
    if (v != NULL) {
        f->bytes += n;
    }
    return v;
}

static int
fault_map(void *ctx, void *v, size_t n)
{
    return fails(ctx) ? ENOMEM : gh_mem_linux()->map(NULL, v, n);
}

static int
fault_unused(void *ctx, void *v, size_t n)
{
    return fails(ctx) ? EAGAIN : gh_mem_linux()->unused(NULL, v, n);
}

static int
fault_fault(void *ctx, void *v, size_t n)
{
    return fails(ctx) ? ENOMEM : gh_mem_linux()->fault(NULL, v, n);
}

static void
fault_free(void *ctx, void *v, size_t n)
{
    gh_mem_fault *f = ctx;
    gh_mem_linux()->free(NULL, v, n);
    f->bytes -= n;
}

static int
fault_huge(void *ctx, void *v, size_t n)
{
    return fails(ctx) ? EINVAL : gh_mem_linux()->huge(NULL, v, n);
}

const gh_mem_ops *
gh_mem_fault_ops(void)
{
    static const gh_mem_ops ops = {
        .reserve = fault_reserve,
        .map = fault_map,
        .unused = fault_unused,
        .fault = fault_fault,
        .free = fault_free,
        .huge = fault_huge,
    };
    return &ops;
}
