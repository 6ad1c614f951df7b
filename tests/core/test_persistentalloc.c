// test_persistentalloc.c: metadata memory that lives as long as its heap.
// Numbers are those of the allocator pages, 1.7: chunks of 256 KiB, their first
// word a link; 64 KiB or more are a mapping.

#include "check.h"
#include "persistentalloc.h"

#define CHUNK  GH_PERSISTENT_CHUNK
#define DIRECT GH_PERSISTENT_DIRECT

typedef struct fixture {
    gh_mem mem;
    gh_mem_fault os;
    gh_sysstat other, stat;
    gh_persistent p;
} fixture;

static void
setup(fixture *f)
{
    *f = (fixture){0};
    gh_mem_init(&f->mem, gh_mem_fault_ops(), &f->os);
    gh_persistent_init(&f->p, &f->mem, &f->other);
    CHECK_EQ(f->os.calls, 0);
}

static void
teardown(fixture *f)
{
    gh_persistent_fini(&f->p);
    CHECK_EQ(f->mem.mapped_ready, 0);
    CHECK_EQ(f->os.bytes, 0);
}

static unsigned char *
take(fixture *f, size_t n, size_t align)
{
    void *v;
    CHECK(gh_persistentalloc(&f->p, n, align, &f->stat, &v) == GH_OK);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ(((unsigned char *)v)[i], 0);
    }
    return v;
}

static void
test_bump(void)
{
    fixture f;
    setup(&f);
    unsigned char *first = take(&f, 1, 0);
    CHECK_EQ((uintptr_t)first % 4096, 8);  // after the link
    CHECK_EQ(f.stat.bytes, 1);
    CHECK_EQ(f.other.bytes, CHUNK - 1);
    CHECK_EQ(f.mem.mapped_ready, CHUNK);
    CHECK(take(&f, 3, 0) == first + 8);    // 0 means 8
    CHECK(take(&f, 3, 1) == first + 11);
    CHECK(take(&f, 1, 4096) == first + 4088);
    CHECK(take(&f, 8, 8) == first + 4096);
    CHECK_EQ(f.stat.bytes, 16);
    CHECK_EQ(f.other.bytes, CHUNK - 16);

    // A request that other_sys itself pays for moves nothing.
    void *v;
    CHECK(gh_persistentalloc(&f.p, 24, 8, &f.other, &v) == GH_OK);
    CHECK_EQ(f.other.bytes, CHUNK - 16);
    teardown(&f);
}

// The first request that does not fit abandons the rest of the chunk; one that
// fits exactly does not.
static void
test_chunks(void)
{
    fixture f;
    setup(&f);
    unsigned char *first = take(&f, DIRECT - 8, 8);
    for (unsigned i = 1; i < 4; i++) {
        CHECK(take(&f, DIRECT - 8, 8) == first + i * (DIRECT - 8));
    }
    CHECK(take(&f, 24, 8) == first + 4 * (DIRECT - 8));  // to the last byte
    CHECK_EQ(f.mem.mapped_ready, CHUNK);
    CHECK_EQ(f.other.bytes, 8);

    const unsigned char *second = take(&f, 1, 1);
    CHECK_EQ((uintptr_t)second % 4096, 8);
    CHECK_EQ(f.mem.mapped_ready, 2 * CHUNK);
    take(&f, DIRECT - 1, 1);
    take(&f, DIRECT - 1, 1);
    take(&f, DIRECT - 1, 1);
    CHECK_EQ(f.mem.mapped_ready, 2 * CHUNK);
    take(&f, DIRECT - 1, 1);  // 3 bytes and a link more than the chunk has
    CHECK_EQ(f.mem.mapped_ready, 3 * CHUNK);
    CHECK_EQ(f.stat.bytes + f.other.bytes, 3 * CHUNK);
    teardown(&f);
}

static void
test_direct(void)
{
    fixture f;
    setup(&f);
    take(&f, 8, 8);
    CHECK_EQ(f.os.bytes, CHUNK);
    const unsigned char *v = take(&f, DIRECT, 8);
    CHECK_EQ((uintptr_t)v % 4096, 0);
    CHECK_EQ(f.stat.bytes, 8 + DIRECT);
    CHECK_EQ(f.other.bytes, CHUNK - 8);  // a mapping bypasses it
    CHECK_EQ(f.os.bytes, CHUNK + DIRECT);
    take(&f, 69648, 8);  // a heapArena of Go: 17.004 OS pages
    CHECK_EQ(f.stat.bytes, 8 + DIRECT + 18 * 4096);
    CHECK_EQ(f.mem.mapped_ready, CHUNK + DIRECT + 18 * 4096);
    teardown(&f);
    CHECK_EQ(f.stat.bytes, 8);  // mappings leave it, pieces of chunks stay
}

static void
test_refusals(void)
{
    fixture f;
    void *v = NULL;
    setup(&f);
    for (unsigned i = 0; i < 2; i++) {  // reserve, then map
        f.os.fail_from = f.os.calls + i;
        f.os.fail_count = 1;
        CHECK(gh_persistentalloc(&f.p, 8, 8, &f.stat, &v) == GH_ERR_NOMEM);
        CHECK_EQ(f.stat.bytes + f.other.bytes + f.mem.mapped_ready, 0);
        CHECK_EQ(f.os.bytes, 0);
    }
    CHECK_EQ(f.os.failed, 2);
    const unsigned char *first = take(&f, 8, 8);
    for (unsigned i = 0; i < 2; i++) {
        f.os.fail_from = f.os.calls + i;
        CHECK(gh_persistentalloc(&f.p, DIRECT, 8, &f.stat, &v) == GH_ERR_NOMEM);
        CHECK_EQ(f.stat.bytes, 8);
        CHECK_EQ(f.other.bytes, CHUNK - 8);
        CHECK_EQ(f.mem.mapped_ready, CHUNK);
        CHECK_EQ(f.os.bytes, CHUNK);
    }
    CHECK_EQ(f.os.failed, 4);
    // The note of the refused mapping is kept for the next one: room for one.
    take(&f, DIRECT, 8);
    CHECK(take(&f, 8, 8) == first + 8 + sizeof(gh_persistent_direct));

    // Refused a second chunk, the first one still serves what fits.
    for (unsigned i = 0; i < 3; i++) {
        take(&f, DIRECT - 8, 8);
    }
    f.os.fail_from = f.os.calls;
    const uint64_t before = f.stat.bytes;
    CHECK(gh_persistentalloc(&f.p, DIRECT - 8, 8, &f.stat, &v)
          == GH_ERR_NOMEM);
    CHECK_EQ(f.stat.bytes, before);
    const uint64_t ready = f.mem.mapped_ready;
    take(&f, 1000, 8);
    CHECK_EQ(f.mem.mapped_ready, ready);
    teardown(&f);
}

int
main(void)
{
    test_bump();
    test_chunks();
    test_direct();
    test_refusals();
    return 0;
}
