// mem_linux.c: the table that asks Linux. See mem.h. Go: mem_linux.go.
//
// A reservation is one mapping without access, made NORESERVE so that its size
// does not count against overcommit. Parts of it become accessible, and
// inaccessible again, by mprotect: the mapping is never replaced, so neighbours
// in the same state stay one line of the process's map.

#define _GNU_SOURCE  // MAP_ANONYMOUS, MAP_NORESERVE, MADV_DONTNEED

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "ghassert.h"
#include "mem.h"

static void *
linux_reserve(void *ctx, size_t n)
{
    (void)ctx;
    void *v = mmap(NULL, n, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return v == MAP_FAILED ? NULL : v;
}

static int
linux_map(void *ctx, void *v, size_t n)
{
    (void)ctx;
    return mprotect(v, n, PROT_READ | PROT_WRITE) == 0 ? 0 : errno;
}

// MADV_DONTNEED is what Go 1.26 does by default: the pages read as zero when
// they are next touched, so nobody has to clear them.
static int
linux_unused(void *ctx, void *v, size_t n)
{
    (void)ctx;
    return madvise(v, n, MADV_DONTNEED) == 0 ? 0 : errno;
}

static int
linux_fault(void *ctx, void *v, size_t n)
{
    (void)ctx;
    if (mprotect(v, n, PROT_NONE) != 0) {
        return errno;
    }
    if (madvise(v, n, MADV_DONTNEED) != 0) {
        const int err = errno;
        // Nothing may have changed. It was accessible a moment ago.
        GH_THROW_IF(mprotect(v, n, PROT_READ | PROT_WRITE) != 0,
                    "cannot restore a mapping");
        return err;
    }
    return 0;
}

static void
linux_free(void *ctx, void *v, size_t n)
{
    (void)ctx;
    // Only a split beyond the limit of mappings can fail, and then the memory
    // would stay: as in Go, a reason to stop.
    GH_THROW_IF(munmap(v, n) != 0, "munmap failed");
}

uint64_t
gh_mem_address_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return UINT64_MAX;
    }
    return limit.rlim_cur;
}

const gh_mem_ops *
gh_mem_linux(void)
{
    static const gh_mem_ops ops = {
        .reserve = linux_reserve,
        .map = linux_map,
        .unused = linux_unused,
        .fault = linux_fault,
        .free = linux_free,
    };
    return &ops;
}
