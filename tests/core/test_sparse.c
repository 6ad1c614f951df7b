// test_sparse.c: a table that is mapped where it is used, piece by piece.

#include <string.h>

#include "check.h"
#include "sparse.h"

#define PAGE GH_PHYS_PAGE_SIZE

typedef struct fixture {
    gh_mem mem;
    gh_mem_fault os;
    gh_sysstat other, notes, stat;
    gh_persistent persistent;
    gh_sparse t;
} fixture;

static gh_status
setup(fixture *f, size_t bytes, size_t granule)
{
    *f = (fixture){0};
    gh_mem_init(&f->mem, gh_mem_fault_ops(), &f->os);
    gh_persistent_init(&f->persistent, &f->mem, &f->other);
    void *v;
    CHECK(gh_persistentalloc(&f->persistent, 8, 8, &f->notes, &v) == GH_OK);
    return gh_sparse_init(&f->t, &f->mem, &f->persistent, &f->stat, bytes,
                          granule);
}

static void
teardown(fixture *f)
{
    gh_sparse_fini(&f->t);
    gh_sparse_fini(&f->t);  // once more does nothing
    CHECK(f->t.base == NULL);
    gh_persistent_fini(&f->persistent);
    CHECK_EQ(f->os.bytes, 0);
    CHECK_EQ(f->mem.mapped_ready, 0);
}

static void
test_init(void)
{
    fixture f;
    CHECK(setup(&f, 100 * PAGE + 1, 2 * PAGE) == GH_OK);
    CHECK_EQ(f.t.bytes, 102 * PAGE);
    CHECK_EQ(f.os.bytes, GH_PERSISTENT_CHUNK + 102 * PAGE);
    CHECK_EQ(f.stat.bytes, 8);  // the bitmap: 51 pieces
    for (size_t i = 0; i <= 102; i++) {
        CHECK(!gh_sparse_is_mapped(&f.t, i * PAGE));
    }
    teardown(&f);
}

static void
test_ensure(void)
{
    fixture f;
    const uint64_t bits = 8 * ((1000 + 63) / 64);
    CHECK(setup(&f, 1000 * PAGE, PAGE) == GH_OK);
    // One byte maps its piece, a range all that it touches.
    CHECK(gh_sparse_ensure(&f.t, 3 * PAGE + 5, 3 * PAGE + 6) == GH_OK);
    CHECK(!gh_sparse_is_mapped(&f.t, 3 * PAGE - 1));
    CHECK(gh_sparse_is_mapped(&f.t, 3 * PAGE));
    CHECK(gh_sparse_is_mapped(&f.t, 4 * PAGE - 1));
    CHECK(!gh_sparse_is_mapped(&f.t, 4 * PAGE));
    CHECK_EQ(f.stat.bytes, bits + PAGE);
    f.t.base[3 * PAGE] = 7;
    CHECK(gh_sparse_ensure(&f.t, 0, PAGE) == GH_OK);  // and not the next
    CHECK(!gh_sparse_is_mapped(&f.t, PAGE));

    // What is mapped is not mapped again, and keeps what it holds.
    uint64_t calls = f.os.calls;
    CHECK(gh_sparse_ensure(&f.t, PAGE, 6 * PAGE) == GH_OK);
    CHECK_EQ(f.os.calls, calls + 2);  // before and behind
    CHECK_EQ(f.t.base[3 * PAGE], 7);
    CHECK_EQ(f.stat.bytes, bits + 6 * PAGE);
    calls = f.os.calls;
    CHECK(gh_sparse_ensure(&f.t, 0, 6 * PAGE) == GH_OK);
    CHECK_EQ(f.os.calls, calls);

    // Over words of the bitmap; then the last piece.
    CHECK(gh_sparse_ensure(&f.t, 100 * PAGE, 300 * PAGE) == GH_OK);
    CHECK_EQ(f.os.calls, calls + 1);
    CHECK_EQ(f.stat.bytes, bits + 206 * PAGE);
    CHECK(gh_sparse_ensure(&f.t, 99 * PAGE, 301 * PAGE) == GH_OK);
    CHECK_EQ(f.os.calls, calls + 3);
    CHECK_EQ(f.stat.bytes, bits + 208 * PAGE);
    CHECK(gh_sparse_ensure(&f.t, 1000 * PAGE - 1, 1000 * PAGE) == GH_OK);
    CHECK(gh_sparse_is_mapped(&f.t, 1000 * PAGE - 1));
    CHECK(!gh_sparse_is_mapped(&f.t, 1000 * PAGE));
    CHECK_EQ(f.mem.mapped_ready, GH_PERSISTENT_CHUNK + 209 * PAGE);
    for (size_t i = 99 * PAGE; i < 301 * PAGE; i++) {
        CHECK_EQ(f.t.base[i], 0);
    }
    teardown(&f);
    CHECK_EQ(f.stat.bytes, bits);
}

// Where the bitmap ends with a whole word, what lies behind it says nothing.
static void
test_beyond(void)
{
    fixture f;
    CHECK(setup(&f, 64 * PAGE, PAGE) == GH_OK);
    void *behind;
    CHECK(gh_persistentalloc(&f.persistent, 8, 8, &f.notes, &behind) == GH_OK);
    CHECK(behind == f.t.mapped + 1);
    *(uint64_t *)behind = UINT64_MAX;
    CHECK(gh_sparse_ensure(&f.t, 0, 64 * PAGE) == GH_OK);
    CHECK(gh_sparse_is_mapped(&f.t, 64 * PAGE - 1));
    CHECK(!gh_sparse_is_mapped(&f.t, 64 * PAGE));
    teardown(&f);
}

// Each call of each step refused once: what was mapped before it stays and is
// counted, and trying again completes the step.
static void
test_refusals(void)
{
    fixture f;
    for (unsigned i = 0; i < 3; i++) {
        CHECK(setup(&f, 200 * PAGE, PAGE) == GH_OK);
        const uint64_t before = f.stat.bytes;
        CHECK(gh_sparse_ensure(&f.t, 10 * PAGE, 20 * PAGE) == GH_OK);
        CHECK(gh_sparse_ensure(&f.t, 30 * PAGE, 40 * PAGE) == GH_OK);
        // Three gaps: 5..10, 20..30, 40..80.
        static const uint64_t mapped[] = {20, 25, 35};
        f.os.fail_from = f.os.calls + i;
        f.os.fail_count = 1;
        CHECK(gh_sparse_ensure(&f.t, 5 * PAGE, 80 * PAGE) == GH_ERR_NOMEM);
        CHECK_EQ(f.os.failed, 1);
        CHECK_EQ(f.stat.bytes, before + mapped[i] * PAGE);
        CHECK_EQ(f.mem.mapped_ready,
                 GH_PERSISTENT_CHUNK + mapped[i] * PAGE);
        CHECK(gh_sparse_is_mapped(&f.t, 5 * PAGE) == (i > 0));
        CHECK(gh_sparse_is_mapped(&f.t, 20 * PAGE) == (i > 1));
        CHECK(!gh_sparse_is_mapped(&f.t, 40 * PAGE));
        CHECK(gh_sparse_ensure(&f.t, 5 * PAGE, 80 * PAGE) == GH_OK);
        CHECK_EQ(f.stat.bytes, before + 75 * PAGE);
        memset(f.t.base + 5 * PAGE, 1, 75 * PAGE);
        teardown(&f);
    }
}

static void
test_init_refused(void)
{
    fixture f;
    CHECK(setup(&f, PAGE, PAGE) == GH_OK);
    gh_sparse other = {0};
    const uint64_t ready = f.mem.mapped_ready, os = f.os.bytes;
    f.os.fail_from = f.os.calls;
    f.os.fail_count = 1;
    CHECK(gh_sparse_init(&other, &f.mem, &f.persistent, &f.stat, 64 * PAGE,
                         PAGE) == GH_ERR_NOMEM);
    CHECK(other.base == NULL);
    CHECK_EQ(f.mem.mapped_ready, ready);
    CHECK_EQ(f.os.bytes, os);
    gh_sparse_fini(&other);
    teardown(&f);
}

int
main(void)
{
    test_init();
    test_ensure();
    test_beyond();
    test_refusals();
    test_init_refused();
    return 0;
}
