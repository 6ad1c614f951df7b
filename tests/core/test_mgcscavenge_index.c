// test_mgcscavenge_index.c: which chunks are worth scavenging: records,
// density, generations, the two cursors.

#include "check.h"
#include "mgcscavenge_index.h"

enum { CHUNKS = 64, FIRST = 8, TOP = GH_PALLOC_CHUNK_PAGES - 1 };

typedef struct fixture {
    gh_mem mem;
    gh_mem_fault os;
    gh_sysstat other, stat;
    gh_persistent persistent;
    gh_scav_index s;
} fixture;

static void
setup_empty(fixture *f, uint64_t nchunks)
{
    *f = (fixture){0};
    gh_mem_init(&f->mem, gh_mem_fault_ops(), &f->os);
    gh_persistent_init(&f->persistent, &f->mem, &f->other);
    CHECK(gh_scav_index_init(&f->s, &f->mem, &f->persistent, &f->stat, nchunks)
          == GH_OK);
}

static void
grow(fixture *f, uint64_t from, uint64_t to)
{
    CHECK(gh_scav_index_reserve(&f->s, from, to) == GH_OK);
    gh_scav_index_grow(&f->s, from, to);
}

// setup makes chunks FIRST .. FIRST + CHUNKS - 1, of which a search finds none.
static void
setup(fixture *f)
{
    setup_empty(f, 1024);
    grow(f, FIRST, FIRST + CHUNKS);
}

static void
teardown(fixture *f)
{
    gh_scav_index_fini(&f->s);
    gh_persistent_fini(&f->persistent);
    CHECK_EQ(f->os.bytes, 0);
    CHECK_EQ(f->mem.mapped_ready, 0);
}

// churn allocates and frees pages [from, to), counted from the start of FIRST.
static void
churn(fixture *f, unsigned from, unsigned to)
{
    while (from < to) {
        const unsigned page = from % GH_PALLOC_CHUNK_PAGES;
        unsigned n = GH_PALLOC_CHUNK_PAGES - page;
        n = n < to - from ? n : to - from;
        const uint64_t ci = FIRST + from / GH_PALLOC_CHUNK_PAGES;
        gh_scav_index_alloc(&f->s, ci, n);
        gh_scav_index_free(&f->s, ci, page, n);
        from += n;
    }
}

// find checks that the search finds page of chunk FIRST + chunk, and marks that
// chunk empty.
static void
find(fixture *f, bool force, unsigned chunk, unsigned page)
{
    uint64_t ci;
    unsigned got;
    CHECK(gh_scav_index_find(&f->s, force, &ci, &got));
    CHECK_EQ(ci, FIRST + chunk);
    CHECK_EQ(got, page);
    gh_scav_index_set_empty(&f->s, ci);
}

static void
find_none(fixture *f, bool force)
{
    uint64_t ci = 77;
    unsigned page = 77;
    CHECK(!gh_scav_index_find(&f->s, force, &ci, &page));
    CHECK(ci == 77 && page == 77);
}

static void
test_packing(void)
{
    static const struct {
        gh_scav_chunk_data sc;
        uint64_t packed;
    } rows[] = {
        {{0, 0, 0, 0}, 0},
        {{512, 512, 1, 1918237402}, 0x7255fada06000200},
        {{12, 0, 0, UINT32_MAX}, 0xffffffff0000000c},
        {{0, 0, 63, 0}, 0xfc000000},
        {{0, 512, 0, 0}, 0x02000000},
        {{511, 1, 3, 5}, 0x50c0101ff},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_EQ(gh_scav_chunk_pack(rows[i].sc), rows[i].packed);
        const gh_scav_chunk_data sc = gh_scav_chunk_unpack(rows[i].packed);
        CHECK_EQ(sc.in_use, rows[i].sc.in_use);
        CHECK_EQ(sc.last_in_use, rows[i].sc.last_in_use);
        CHECK_EQ(sc.flags, rows[i].sc.flags);
        CHECK_EQ(sc.gen, rows[i].sc.gen);
    }
}

static void
test_record(void)
{
    fixture f;
    setup(&f);
    gh_scav_index_alloc(&f.s, FIRST, 500);
    gh_scav_index_free(&f.s, FIRST, 0, 100);
    gh_scav_chunk_data sc = gh_scav_index_get(&f.s, FIRST);
    CHECK_EQ(sc.in_use, 400);
    CHECK_EQ(sc.last_in_use, 0);
    CHECK_EQ(sc.gen, 0);
    CHECK_EQ(sc.flags, GH_SCAV_CHUNK_HAS_FREE);
    // The first change in a generation remembers what was before it.
    gh_scav_index_next_gen(&f.s);
    CHECK_EQ(gh_scav_index_get(&f.s, FIRST).gen, 0);
    gh_scav_index_alloc(&f.s, FIRST, 50);
    gh_scav_index_alloc(&f.s, FIRST, 61);
    sc = gh_scav_index_get(&f.s, FIRST);
    CHECK_EQ(sc.in_use, 511);
    CHECK_EQ(sc.last_in_use, 400);
    CHECK_EQ(sc.gen, 1);
    CHECK_EQ(sc.flags, GH_SCAV_CHUNK_HAS_FREE);
    // Full: nothing free. A free brings the flag back.
    gh_scav_index_alloc(&f.s, FIRST, 1);
    CHECK_EQ(gh_scav_index_get(&f.s, FIRST).flags, 0);
    gh_scav_index_next_gen(&f.s);
    gh_scav_index_free(&f.s, FIRST, 511, 1);
    sc = gh_scav_index_get(&f.s, FIRST);
    CHECK_EQ(sc.in_use, 511);
    CHECK_EQ(sc.last_in_use, 512);
    CHECK_EQ(sc.flags, GH_SCAV_CHUNK_HAS_FREE);
    CHECK_EQ(gh_scav_index_get(&f.s, FIRST + 1).in_use, 0);
    teardown(&f);
}

// Pages become available; then all of them are found, from the top down: the
// first where the highest freed page is, further ones from their last page on.
static void
test_search_down(void)
{
    static const struct {
        unsigned from, to;
    } rows[] = {
        {3, 4}, {0, 1}, {9, 14}, {0, 512}, {511, 512}, {128, 640},
        {7 * 512 + 128, 8 * 512 + 129}, {6 * 512 + 11, 13 * 512 + 15},
        {0, 32 * 512}, {3 * 512, 35 * 512}, {0, 64 * 512}, {63 * 512, 64 * 512},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int force = 0; force <= 1; force++) {
            for (int times = 1; times <= 2; times++) {
                fixture f;
                setup(&f);
                find_none(&f, force);
                for (int k = 0; k < times; k++) {
                    churn(&f, rows[i].from, rows[i].to);
                }
                if (!force) {
                    find_none(&f, false);  // not before the next generation
                    gh_scav_index_next_gen(&f.s);
                }
                const unsigned last = rows[i].to - 1;
                find(&f, force, last / 512, last % 512);
                for (unsigned c = last / 512; c > rows[i].from / 512; c--) {
                    find(&f, force, c - 1, TOP);
                }
                find_none(&f, force);
                find_none(&f, force);
                teardown(&f);
            }
        }
    }
}

// A search that was raised again goes up again.
static void
test_interleaved(void)
{
    for (int force = 0; force <= 1; force++) {
        fixture f;
        setup(&f);
        for (unsigned c = 0; c < 32; c++) {
            churn(&f, c * 512, (c + 1) * 512);
            if (!force) {
                gh_scav_index_next_gen(&f.s);
            }
            find(&f, force, c, TOP);
        }
        find_none(&f, force);
        // Downwards: the cursor stays above what is freed, so each search
        // begins at the end of the chunk.
        for (unsigned c = 32; c-- > 0;) {
            churn(&f, c * 512 + 5, c * 512 + 7);
            if (!force) {
                gh_scav_index_next_gen(&f.s);
            }
            find(&f, force, c, TOP);
        }
        teardown(&f);
    }
}

// A search that finds nothing clears its cursor, unless that is marked: raised,
// and not lowered since. So it takes a search that moved down, and one that
// found nothing, until a free below raises the cursor to its own page.
static void
test_clearing(void)
{
    for (int force = 0; force <= 1; force++) {
        fixture f;
        setup(&f);
        for (unsigned c = 32; c-- > 0;) {
            churn(&f, c * 512 + 5, c * 512 + 7);
            if (!force) {
                gh_scav_index_next_gen(&f.s);
            }
            find(&f, force, c, c % 2 == 1 ? 6 : TOP);
            const gh_scav_cursor *cursor = force ? &f.s.force : &f.s.bg;
            CHECK(cursor->marked == (c % 2 == 1));
            find_none(&f, force);
            CHECK((cursor->pos == 0) == (c % 2 == 0));
        }
        teardown(&f);
    }
}

// A search that finds the same chunk again without set_empty starts from the
// same page: finding alone moves nothing.
static void
test_find_again(void)
{
    fixture f;
    uint64_t ci;
    unsigned page;
    setup(&f);
    churn(&f, 512 + 3, 512 + 9);
    churn(&f, 0, 10);
    for (int i = 0; i < 3; i++) {
        CHECK(gh_scav_index_find(&f.s, true, &ci, &page));
        CHECK_EQ(ci, FIRST + 1);
        CHECK_EQ(page, 8);
    }
    gh_scav_index_set_empty(&f.s, ci);
    for (int i = 0; i < 3; i++) {
        CHECK(gh_scav_index_find(&f.s, true, &ci, &page));
        CHECK_EQ(ci, FIRST);
        CHECK_EQ(page, TOP);
    }
    teardown(&f);
}

// [gc:73] From 496 pages in use on, a chunk is left alone by the background
// search, when it is so now or was when the generation began.
static void
test_density(void)
{
    CHECK_EQ(GH_SCAV_CHUNK_HI_OCC_PAGES, 496);
    static const struct {
        unsigned before, now;  // pages in use
        bool same_gen;         // the change is of this generation
        bool found;
    } rows[] = {
        {500, 495, true, false}, {496, 495, true, false},
        {495, 494, true, true},  {500, 496, false, false},
        {500, 495, false, true}, {496, 400, false, true},
        {510, 497, true, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fixture f;
        setup(&f);
        // Something is freed in either generation, so the cursors are here.
        gh_scav_index_alloc(&f.s, FIRST, 511);
        gh_scav_index_free(&f.s, FIRST, rows[i].before, 511 - rows[i].before);
        gh_scav_index_next_gen(&f.s);
        gh_scav_index_free(&f.s, FIRST, 0, rows[i].before - rows[i].now);
        if (!rows[i].same_gen) {
            gh_scav_index_next_gen(&f.s);
        }
        uint64_t ci;
        unsigned page;
        CHECK(gh_scav_index_find(&f.s, false, &ci, &page) == rows[i].found);
        CHECK(gh_scav_index_find(&f.s, true, &ci, &page));  // takes any
        CHECK_EQ(ci, FIRST);
        teardown(&f);
    }
}

static void
test_reset(void)
{
    fixture f;
    setup(&f);
    churn(&f, 0, 512);
    gh_scav_index_next_gen(&f.s);
    churn(&f, 0, 512);
    gh_scav_index_reset_search_addrs(&f.s);
    find_none(&f, true);
    find_none(&f, false);
    gh_scav_index_next_gen(&f.s);  // the high-water mark went too
    find_none(&f, false);
    teardown(&f);
}

// Chunk 0 and its page 0 are places like any other.
static void
test_chunk_zero(void)
{
    fixture f;
    uint64_t ci;
    unsigned page;
    setup_empty(&f, 4);
    CHECK(!gh_scav_index_find(&f.s, true, &ci, &page));
    grow(&f, 0, 4);
    gh_scav_index_alloc(&f.s, 0, 1);
    gh_scav_index_free(&f.s, 0, 0, 1);
    gh_scav_index_next_gen(&f.s);
    for (int force = 0; force <= 1; force++) {
        CHECK(gh_scav_index_find(&f.s, force, &ci, &page));
        CHECK_EQ(ci, 0);
        CHECK_EQ(page, 0);
    }
    teardown(&f);
}

// Growth in two places maps the gap: searches walk over it.
static void
test_growth(void)
{
    fixture f;
    uint64_t ci;
    unsigned page;
    const uint64_t far = 512 * 10;  // a record is 8 bytes, an OS page holds 512
    setup_empty(&f, 1 << 16);
    grow(&f, far, far + 3);
    CHECK_EQ(f.s.min_chunk, far);
    CHECK_EQ(f.s.max_chunk, far + 3);
    gh_scav_index_alloc(&f.s, far + 2, 8);
    gh_scav_index_free(&f.s, far + 2, 4, 4);

    const gh_scav_index before = f.s;
    f.os.fail_from = f.os.calls;
    f.os.fail_count = 1;
    CHECK(gh_scav_index_reserve(&f.s, 100, 101) == GH_ERR_NOMEM);
    CHECK_EQ(f.os.failed, 1);
    CHECK_EQ(f.s.min_chunk, before.min_chunk);
    CHECK_EQ(f.s.max_chunk, before.max_chunk);

    grow(&f, 100, 101);
    CHECK_EQ(f.s.min_chunk, 100);
    CHECK_EQ(f.s.max_chunk, far + 3);
    for (uint64_t i = 100; i < far; i++) {
        CHECK_EQ(f.s.chunks[i], 0);
    }
    CHECK_EQ(gh_scav_index_get(&f.s, far + 2).in_use, 4);
    gh_scav_index_alloc(&f.s, 100, 2);
    gh_scav_index_free(&f.s, 100, 0, 2);
    CHECK(gh_scav_index_find(&f.s, true, &ci, &page));
    CHECK_EQ(ci, far + 2);
    CHECK_EQ(page, 7);
    gh_scav_index_set_empty(&f.s, ci);
    CHECK(gh_scav_index_find(&f.s, true, &ci, &page));
    CHECK_EQ(ci, 100);
    CHECK_EQ(page, TOP);
    teardown(&f);
}

int
main(void)
{
    test_packing();
    test_record();
    test_search_down();
    test_interleaved();
    test_clearing();
    test_find_again();
    test_density();
    test_reset();
    test_chunk_zero();
    test_growth();
    return 0;
}
