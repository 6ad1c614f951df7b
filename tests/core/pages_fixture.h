// pages_fixture.h: a page allocator alone, over made-up addresses.

#ifndef PAGES_FIXTURE_H
#define PAGES_FIXTURE_H

#include "check.h"
#include "mpagealloc.h"

#define BASE ((uint64_t)64 << 22)

typedef struct fixture {
    gh_mem mem;
    gh_sysstat other, stat;
    gh_persistent persistent;
    gh_pagealloc p;
} fixture;

static inline void
print_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

// setup makes one with so many chunks from BASE on.
static inline void
setup(fixture *f, unsigned chunks)
{
    *f = (fixture){0};
    gh_mem_init(&f->mem, NULL, NULL);
    gh_persistent_init(&f->persistent, &f->mem, &f->other);
    CHECK(gh_pagealloc_init(&f->p, &f->mem, &f->persistent, &f->stat, 0,
                            (uint64_t)1 << 36, true) == GH_OK);
    if (chunks > 0) {
        CHECK(gh_pagealloc_grow(&f->p, BASE, chunks * GH_PALLOC_CHUNK_BYTES)
              == GH_OK);
    }
}

static inline void
teardown(fixture *f)
{
    CHECK(gh_pagealloc_check(&f->p, print_line, NULL));
    gh_pagealloc_fini(&f->p);
    gh_persistent_fini(&f->persistent);
    CHECK_EQ(f->mem.mapped_ready, 0);
}

static inline uint64_t
page_of(uint64_t addr)
{
    return (addr - BASE) / GH_PAGE_SIZE;
}

#endif  // PAGES_FIXTURE_H
