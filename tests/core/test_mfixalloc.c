// test_mfixalloc.c: objects of one size, recycled newest first.

#include <string.h>

#include "check.h"
#include "mfixalloc.h"

typedef struct fixture {
    gh_mem mem;
    gh_mem_fault os;
    gh_sysstat other, stat;
    gh_persistent persistent;
    gh_fixalloc fix;
    unsigned firsts;
} fixture;

static void
count_first(void *arg, void *object)
{
    fixture *f = arg;
    CHECK_EQ(*(uint64_t *)object, 0);  // new memory is zero
    f->firsts++;
}

static void
setup(fixture *f, size_t size)
{
    *f = (fixture){0};
    gh_mem_init(&f->mem, gh_mem_fault_ops(), &f->os);
    gh_persistent_init(&f->persistent, &f->mem, &f->other);
    gh_fixalloc_init(&f->fix, size, count_first, f, &f->persistent, &f->stat);
    CHECK_EQ(f->os.calls, 0);
}

static void
teardown(fixture *f)
{
    CHECK(gh_fixalloc_check(&f->fix));
    gh_fixalloc_fini(&f->fix);
    gh_persistent_fini(&f->persistent);
    CHECK_EQ(f->os.bytes, 0);
}

static void *
take(fixture *f)
{
    void *v;
    CHECK(gh_fixalloc_alloc(&f->fix, &v) == GH_OK);
    return v;
}

// Allocator pages, 1.7: an mspan of 160 bytes comes 102 to a chunk of 16320,
// an mcache of 2296 comes 7 to one of 16072.
static void
test_chunk_sizes(void)
{
    static const struct {
        size_t size, rounded, chunk;
        unsigned objects;
    } rows[] = {
        {160, 160, 16320, 102}, {2296, 2296, 16072, 7}, {1, 8, 16384, 2048},
        {9, 16, 16384, 1024},   {16384, 16384, 16384, 1},
        {8200, 8200, 8200, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fixture f;
        setup(&f, rows[i].size);
        CHECK_EQ(f.fix.size, rows[i].rounded);
        unsigned char *before = NULL;
        for (unsigned k = 0; k < rows[i].objects; k++) {
            unsigned char *v = take(&f);
            CHECK(before == NULL || v == before + rows[i].rounded);
            before = v;
            memset(v, 0xff, rows[i].rounded);
            CHECK_EQ(f.fix.total, rows[i].chunk);
            CHECK_EQ(f.stat.bytes, rows[i].chunk);
            CHECK_EQ(f.fix.inuse, (k + 1) * rows[i].rounded);
        }
        take(&f);
        CHECK_EQ(f.stat.bytes, 2 * rows[i].chunk);
        CHECK_EQ(f.firsts, rows[i].objects + 1);
        teardown(&f);
    }
}

static void
test_recycling(void)
{
    fixture f;
    setup(&f, 24);
    uint64_t *a = take(&f), *b = take(&f), *c = take(&f);
    a[1] = a[2] = 1;
    b[1] = b[2] = 2;
    c[1] = c[2] = 3;
    gh_fixalloc_free(&f.fix, a);
    gh_fixalloc_free(&f.fix, c);
    CHECK_EQ(f.fix.inuse, 24);
    CHECK(gh_fixalloc_check(&f.fix));
    CHECK(take(&f) == c);
    CHECK(c[0] == 0 && c[1] == 0 && c[2] == 0);
    f.fix.zero = false;  // spans: what stood there stays, but the link
    CHECK(take(&f) == a);
    CHECK(a[1] == 1 && a[2] == 1);
    CHECK(b[1] == 2 && b[2] == 2);
    CHECK(take(&f) == c + 3);
    CHECK_EQ(f.firsts, 4);  // not again for the recycled ones
    CHECK_EQ(f.fix.inuse, 4 * 24);
    teardown(&f);
}

static void
test_refusal(void)
{
    fixture f;
    void *v = &f;
    setup(&f, 64);
    f.os.fail_count = 1;
    CHECK(gh_fixalloc_alloc(&f.fix, &v) == GH_ERR_NOMEM);
    CHECK(v == &f);
    CHECK_EQ(f.fix.inuse + f.fix.total + f.stat.bytes + f.firsts, 0);
    CHECK(gh_fixalloc_check(&f.fix));
    v = take(&f);

    // Nothing new to be had; what is recycled still is.
    while (f.fix.chunk_left > 0) {
        take(&f);
    }
    gh_fixalloc_free(&f.fix, v);
    // persistentalloc has room for 14 more chunks before it asks the OS.
    f.os.fail_from = f.os.calls;
    f.os.fail_count = UINT64_MAX;
    CHECK(take(&f) == v);
    const unsigned per_chunk = 16384 / 64;
    unsigned more = 0;
    while (gh_fixalloc_alloc(&f.fix, &v) == GH_OK) {
        more++;
    }
    CHECK_EQ(more, 14 * per_chunk);  // the link costs a 15th
    CHECK_EQ(f.fix.inuse, f.fix.total);
    CHECK_EQ(f.fix.total, 15 * 16384);
    teardown(&f);
}

static void
test_check_sees(void)
{
    fixture f;
    setup(&f, 32);
    void *a = take(&f);
    take(&f);
    gh_fixalloc_free(&f.fix, a);
    CHECK(gh_fixalloc_check(&f.fix));
    f.fix.inuse += 32;
    CHECK(!gh_fixalloc_check(&f.fix));
    f.fix.inuse -= 32;
    ((gh_fixlink *)a)->next = a;  // what a double free makes of the list
    CHECK(!gh_fixalloc_check(&f.fix));
    ((gh_fixlink *)a)->next = NULL;
    teardown(&f);
}

int
main(void)
{
    test_chunk_sizes();
    test_recycling();
    test_refusal();
    test_check_sees();
    return 0;
}
