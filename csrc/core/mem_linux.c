// mem_linux.c: the table that asks Linux. See mem.h. Go: mem_linux.go.
//
// A reservation is one mapping without access, made NORESERVE so that its size
// does not count against overcommit. Parts of it become accessible, and
// inaccessible again, by mprotect: the mapping is never replaced, so neighbours
// in the same state stay one line of the process's map.

#define _GNU_SOURCE  // MAP_ANONYMOUS, MAP_NORESERVE, MADV_DONTNEED, MADV_HUGEPAGE

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

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

// huge_pages_off: the machine or this process is set to give none, which the advice
// itself doesn't say. Asked each time: it may change while the process runs.
static bool
huge_pages_off(void)
{
    if (prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1) {
        return true;
    }
    const int fd = open("/sys/kernel/mm/transparent_hugepage/enabled",
                        O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    char text[64] = {0};
    const ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    return n > 0 && strstr(text, "[never]") != NULL;
}

static int
linux_huge(void *ctx, void *v, size_t n)
{
    (void)ctx;
    if (huge_pages_off()) {
        return ENOTSUP;
    }
    return madvise(v, n, MADV_HUGEPAGE) == 0 ? 0 : errno;
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
        .huge = linux_huge,
    };
    return &ops;
}
