// test_mpagecache.c: a P's own 64 pages: taking from them, taking them from the
// page allocator, giving them back. test_mpagealloc.c has the vectors in the
// order of Go's run; here the page cache is looked at from inside.

#include "pages_fixture.h"
#include "mpagecache.h"

static void
use(fixture *f, uint64_t page, uint64_t npages)
{
    (void)gh_pagealloc_alloc_range(&f->p, BASE + page * GH_PAGE_SIZE, npages);
}

static unsigned
in_use(const fixture *f, unsigned chunk)
{
    return gh_scav_index_get(&f->p.scav, gh_chunk_index(&f->p, BASE) + chunk)
        .in_use;
}

// [alloc:P17,P22] And what a request leaves behind. page 64: there is none.
static void
test_alloc(void)
{
    static const struct {
        uint64_t cache, scav, npages;
        unsigned page, scavenged;
        uint64_t cache_after, scav_after;
    } rows[] = {
        {0xfffffff800000000, 0xfffffff800000000, 1, 35, 1,
         0xfffffff000000000, 0xfffffff000000000},
        {0xfffffff000000000, 0xfffffff000000000, 15, 36, 15,
         0xfff8000000000000, 0xfff8000000000000},
        {0xfff8000000000000, 0xfff8000000000000, 60, 64, 0,
         0xfff8000000000000, 0xfff8000000000000},
        {0xfffffffffffffffe, 0, 15, 1, 0, 0xffffffffffff0000, 0},
        {0xe000000000000000, 0, 15, 64, 0, 0xe000000000000000, 0},
        {0x400, 0, 1, 10, 0, 0, 0},
        {0x400, UINT64_MAX, 1, 10, 1, 0, 0xfffffffffffffbff},
        {0xf0f, 0x303, 4, 0, 2, 0xf00, 0x300},
        {0xf0f, 0x303, 5, 64, 0, 0xf0f, 0x303},
        {0xff0f, 0x5555, 5, 8, 3, 0xe00f, 0x4055},
        {UINT64_MAX, 0xff, 64, 0, 8, 0, 0},
        {UINT64_MAX, 0xff, 65, 64, 0, UINT64_MAX, 0xff},
        {0, UINT64_MAX, 1, 64, 0, 0, UINT64_MAX},
        {0, UINT64_MAX, 2, 64, 0, 0, UINT64_MAX},
        {(uint64_t)1 << 63, (uint64_t)1 << 63, 1, 63, 1, 0, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gh_page_cache c = {BASE, rows[i].cache, rows[i].scav};
        uint64_t scav = 12345;
        const uint64_t addr = gh_page_cache_alloc(&c, rows[i].npages, &scav);
        if (rows[i].page == 64) {
            CHECK_EQ(addr, 0);
        } else {
            CHECK_EQ(page_of(addr), rows[i].page);
        }
        CHECK_EQ(scav, rows[i].scavenged * GH_PAGE_SIZE);
        CHECK_EQ(c.cache, rows[i].cache_after);
        CHECK_EQ(c.scav, rows[i].scav_after);
        CHECK_EQ(c.base, BASE);
        CHECK(gh_page_cache_empty(&c) == (rows[i].cache_after == 0));
    }
}

// Which block: that of the first free page, in the chunk of the search address
// or, when that is full, in the next that is not.
static void
test_block(void)
{
    static const struct {
        unsigned used;  // pages from 0 on
        uint64_t base;  // page
        uint64_t cache;
    } rows[] = {
        {0, 0, UINT64_MAX},
        {1, 0, UINT64_MAX << 1},
        {63, 0, (uint64_t)1 << 63},
        {64, 64, UINT64_MAX},
        {500, 448, UINT64_MAX << 52},
        {511, 448, (uint64_t)1 << 63},
        {512, 512, UINT64_MAX},
        {1187, 1152, UINT64_MAX << 35},  // [alloc:P16]
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fixture f;
        setup(&f, 4);
        if (rows[i].used > 0) {
            use(&f, 0, rows[i].used);
        }
        gh_page_cache c = gh_pagealloc_alloc_to_cache(&f.p);
        CHECK_EQ(page_of(c.base), rows[i].base);
        CHECK_EQ(c.cache, rows[i].cache);
        CHECK_EQ(c.scav & c.cache, rows[i].cache);  // new memory is scavenged
        CHECK_EQ(page_of(f.p.search_addr), rows[i].base + 63);
        // For the page allocator the block is in use now, and not scavenged.
        const gh_palloc_data *d = gh_pagealloc_chunk_of(&f.p, c.base);
        const unsigned word = gh_chunk_page_index(c.base) / 64;
        CHECK_EQ(d->alloc.w[word], UINT64_MAX);
        CHECK_EQ(d->scavenged.w[word] & c.cache, 0);
        CHECK_EQ(in_use(&f, (unsigned)rows[i].base / 512),
                 rows[i].base % 512 + 64);
        CHECK(gh_pagealloc_check(&f.p, print_line, NULL));

        // And afterwards as before, but for the search address.
        gh_page_cache_flush(&c, &f.p);
        CHECK(gh_page_cache_empty(&c));
        CHECK_EQ(c.base, 0);
        CHECK_EQ(d->alloc.w[word], ~rows[i].cache);
        CHECK_EQ(d->scavenged.w[word], rows[i].cache);
        CHECK_EQ(in_use(&f, (unsigned)rows[i].base / 512),
                 rows[i].used % 512);
        CHECK_EQ(page_of(f.p.search_addr), rows[i].base);
        teardown(&f);
    }
}

static void
test_nothing_left(void)
{
    fixture f;
    setup(&f, 2);
    use(&f, 0, 1024);
    gh_page_cache c = gh_pagealloc_alloc_to_cache(&f.p);
    CHECK(gh_page_cache_empty(&c));
    CHECK_EQ(c.base, 0);
    CHECK_EQ(f.p.search_addr, GH_MAX_SEARCH_ADDR);  // learnt from the search
    c = gh_pagealloc_alloc_to_cache(&f.p);          // and believed
    CHECK(gh_page_cache_empty(&c));
    gh_page_cache_flush(&c, &f.p);  // of an empty one: nothing
    CHECK_EQ(f.p.search_addr, GH_MAX_SEARCH_ADDR);
    teardown(&f);

    // Not one chunk yet.
    setup(&f, 0);
    c = gh_pagealloc_alloc_to_cache(&f.p);
    CHECK(gh_page_cache_empty(&c));
    teardown(&f);
}

// Scavenged bits of pages that were in use are not the cache's business, and
// freed pages come as not scavenged.
static void
test_scavenged_bits(void)
{
    fixture f;
    uint64_t scav;
    setup(&f, 1);
    use(&f, 0, 40);
    gh_pagealloc_free(&f.p, BASE, 20);
    gh_page_cache c = gh_pagealloc_alloc_to_cache(&f.p);
    CHECK_EQ(c.cache, 0xffffff00000fffff);
    CHECK_EQ(c.scav, 0xffffff0000000000);
    CHECK_EQ(page_of(gh_page_cache_alloc(&c, 21, &scav)), 40);
    CHECK_EQ(scav, 21 * GH_PAGE_SIZE);
    gh_page_cache_flush(&c, &f.p);
    const gh_palloc_data *d = gh_pagealloc_chunk_of(&f.p, BASE);
    CHECK_EQ(d->alloc.w[0], 0x1ffffffffff00000);
    CHECK_EQ(d->scavenged.w[0], 0xe000000000000000);
    CHECK_EQ(in_use(&f, 0), 41);
    // A lower search address stays where it is.
    c = gh_pagealloc_alloc_to_cache(&f.p);
    gh_page_cache second = gh_pagealloc_alloc_to_cache(&f.p);
    CHECK_EQ(page_of(second.base), 64);
    gh_page_cache_flush(&c, &f.p);
    CHECK_EQ(page_of(f.p.search_addr), 0);
    gh_page_cache_flush(&second, &f.p);
    CHECK_EQ(page_of(f.p.search_addr), 0);
    teardown(&f);
}

// Random work through one cache, as a P does it. Each page has an owner at all
// times, and its scavenged bytes are reported once.
static void
test_against_model(void)
{
    enum { PAGES = 1024 };
    static bool used[PAGES], touched[PAGES];
    fixture f;
    gh_page_cache c = {0};
    uint64_t state = 3;
    setup(&f, 2);
    for (int step = 0; step < 30000; step++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const unsigned n = 1 + (unsigned)(state >> 40) % 15;
        const unsigned at = (unsigned)(state >> 20) % PAGES;
        if (state >> 60 < 8) {
            uint64_t scav, addr;
            if (gh_page_cache_empty(&c)) {
                c = gh_pagealloc_alloc_to_cache(&f.p);
            }
            addr = gh_page_cache_alloc(&c, n, &scav);
            if (addr == 0) {
                addr = gh_pagealloc_alloc(&f.p, n, &scav);
            }
            if (addr == 0) {
                continue;
            }
            unsigned fresh = 0;
            for (unsigned i = 0; i < n; i++) {
                const uint64_t k = page_of(addr) + i;
                CHECK(k < PAGES && !used[k]);
                fresh += !touched[k];
                used[k] = touched[k] = true;
            }
            CHECK_EQ(scav, fresh * GH_PAGE_SIZE);
        } else if (state >> 60 == 8) {
            gh_page_cache_flush(&c, &f.p);
        } else {
            unsigned k = 0;
            while (at + k < PAGES && k < n && used[at + k]) {
                used[at + k++] = false;
            }
            if (k > 0) {
                gh_pagealloc_free(&f.p, BASE + at * GH_PAGE_SIZE, k);
            }
        }
    }
    gh_page_cache_flush(&c, &f.p);
    for (unsigned i = 0; i < PAGES; i++) {
        const gh_palloc_data *d =
            gh_pagealloc_chunk_of(&f.p, BASE + i * GH_PAGE_SIZE);
        CHECK(gh_palloc_bits_get(&d->alloc, i % 512) == used[i]);
        CHECK(gh_palloc_bits_get(&d->scavenged, i % 512) == !touched[i]);
    }
    teardown(&f);
}

int
main(void)
{
    test_alloc();
    test_block();
    test_nothing_left();
    test_scavenged_bits();
    test_against_model();
    return 0;
}
