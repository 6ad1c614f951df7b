// test_mpagealloc.c: the page allocator alone, over made-up addresses. The rows
// are what Go 1.26.8's own pageAlloc did on the same operations; page numbers
// are relative to the start, s is the page of the search address afterwards.
// [alloc:...] are vectors, see csrc/design/vectors.md.

#include "pages_fixture.h"
#include "mpagecache.h"

static uint64_t
search_page(const fixture *f)
{
    return (f->p.search_addr - BASE) / GH_PAGE_SIZE;
}

// sums checks a summary: of a chunk at the leaf level, of eight chunks above it.
static void
sums(const fixture *f, unsigned level, unsigned i, unsigned start, unsigned max,
     unsigned end)
{
    const uint64_t first = gh_chunk_index(&f->p, BASE);
    CHECK_EQ(f->p.summary[level][(level == 4 ? first : first / 8) + i],
             gh_palloc_sum_pack(start, max, end));
}

// take allocates npages and checks page and scavenged pages.
static void
take(fixture *f, uint64_t npages, uint64_t page, uint64_t scavenged)
{
    uint64_t scav = 0;
    const uint64_t addr = gh_pagealloc_alloc(&f->p, npages, &scav);
    CHECK(addr != 0);
    CHECK_EQ((addr - BASE) / GH_PAGE_SIZE, page);
    CHECK_EQ(scav / GH_PAGE_SIZE, scavenged);
}

static void
give(fixture *f, uint64_t page, uint64_t npages)
{
    gh_pagealloc_free(&f->p, BASE + page * GH_PAGE_SIZE, npages);
}

// [alloc:P1-P18]
static void
test_four_chunks(void)
{
    fixture f;
    uint64_t scav;
    setup(&f, 4);
    CHECK_EQ(search_page(&f), 0);
    sums(&f, 4, 0, 512, 512, 512);
    sums(&f, 3, 0, 2048, 2048, 0);
    take(&f, 1, 0, 1);
    CHECK_EQ(search_page(&f), 0);
    sums(&f, 4, 0, 0, 511, 511);
    take(&f, 3, 1, 3);
    CHECK_EQ(search_page(&f), 1);
    take(&f, 508, 4, 508);
    CHECK_EQ(search_page(&f), 4);
    sums(&f, 4, 0, 0, 0, 0);
    take(&f, 1, 512, 1);
    CHECK_EQ(search_page(&f), 512);
    take(&f, 513, 513, 513);
    CHECK_EQ(search_page(&f), 512);
    take(&f, 16, 1026, 16);
    take(&f, 64, 1042, 64);
    take(&f, 65, 1106, 65);
    CHECK_EQ(search_page(&f), 1106);
    give(&f, 1, 3);
    CHECK_EQ(search_page(&f), 1);
    sums(&f, 4, 0, 0, 3, 0);
    take(&f, 4, 1171, 4);
    take(&f, 2, 1, 0);
    take(&f, 1, 3, 0);
    CHECK_EQ(search_page(&f), 3);
    take(&f, 1, 1175, 1);
    CHECK_EQ(search_page(&f), 1175);
    give(&f, 500, 30);
    CHECK_EQ(search_page(&f), 500);
    sums(&f, 4, 0, 0, 12, 12);
    take(&f, 20, 500, 0);
    CHECK_EQ(search_page(&f), 500);
    take(&f, 11, 1176, 11);
    CHECK_EQ(search_page(&f), 512);  // and not 520: the window stops there
    take(&f, 10, 520, 0);
    CHECK_EQ(search_page(&f), 520);
    CHECK_EQ(gh_pagealloc_alloc(&f.p, 2000, &scav), 0);
    CHECK_EQ(search_page(&f), 520);

    gh_page_cache c = gh_pagealloc_alloc_to_cache(&f.p);
    CHECK_EQ((c.base - BASE) / GH_PAGE_SIZE, 1152);
    CHECK_EQ(c.cache, 0xfffffff800000000);
    CHECK_EQ(c.scav, 0xfffffff800000000);
    CHECK_EQ(search_page(&f), 1215);
    CHECK_EQ((gh_page_cache_alloc(&c, 1, &scav) - BASE) / GH_PAGE_SIZE, 1187);
    CHECK_EQ((gh_page_cache_alloc(&c, 15, &scav) - BASE) / GH_PAGE_SIZE, 1188);
    CHECK_EQ(scav / GH_PAGE_SIZE, 15);
    CHECK_EQ(gh_page_cache_alloc(&c, 60, &scav), 0);
    CHECK_EQ(c.cache, 0xfff8000000000000);
    gh_page_cache_flush(&c, &f.p);
    CHECK_EQ(search_page(&f), 1152);
    take(&f, 1, 1203, 1);
    teardown(&f);
}

// [alloc:P19,P20]
static void
test_one_chunk(void)
{
    fixture f;
    uint64_t scav;
    setup(&f, 1);
    take(&f, 512, 0, 512);
    CHECK_EQ(gh_pagealloc_alloc(&f.p, 1, &scav), 0);
    give(&f, 10, 1);
    CHECK_EQ(search_page(&f), 10);
    gh_page_cache c = gh_pagealloc_alloc_to_cache(&f.p);
    CHECK_EQ(c.base, BASE);
    CHECK_EQ(c.cache, 0x400);
    CHECK_EQ(c.scav, 0);
    CHECK_EQ(search_page(&f), 63);
    give(&f, 100, 2);
    take(&f, 2, 100, 0);
    CHECK_EQ(search_page(&f), 100);
    gh_page_cache_flush(&c, &f.p);
    teardown(&f);
}

// [alloc:P21-P23] Cached pages go before lower ones of the heap; requests that do not fit the
// cache leave it alone.
static void
test_cache_first(void)
{
    fixture f;
    uint64_t scav;
    setup(&f, 1);
    take(&f, 1, 0, 1);
    gh_page_cache c = gh_pagealloc_alloc_to_cache(&f.p);
    CHECK_EQ(c.cache, 0xfffffffffffffffe);
    CHECK_EQ(search_page(&f), 63);
    take(&f, 16, 64, 16);
    static const unsigned pages[] = {1, 16, 31, 46};
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ((gh_page_cache_alloc(&c, 15, &scav) - BASE) / GH_PAGE_SIZE,
                 pages[i]);
    }
    CHECK_EQ(gh_page_cache_alloc(&c, 15, &scav), 0);
    take(&f, 15, 80, 15);
    give(&f, 1, 15);
    CHECK_EQ((gh_page_cache_alloc(&c, 1, &scav) - BASE) / GH_PAGE_SIZE, 61);
    take(&f, 2, 1, 0);
    gh_page_cache_flush(&c, &f.p);
    teardown(&f);
}

// Random work against a plain array: first fit, by the definition.
static void
test_against_model(void)
{
    enum { PAGES = 3 * 512 };
    static bool used[PAGES];
    fixture f;
    uint64_t state = 1, scav;
    setup(&f, 3);
    for (int step = 0; step < 20000; step++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const unsigned n = 1 + (unsigned)(state >> 40) % 40;
        const unsigned at = (unsigned)(state >> 20) % PAGES;
        if ((state >> 60) % 2 == 0) {
            unsigned want = PAGES, run = 0;
            for (unsigned i = 0; i < PAGES && want == PAGES; i++) {
                run = used[i] ? 0 : run + 1;
                want = run == n ? i + 1 - n : want;
            }
            const uint64_t addr = gh_pagealloc_alloc(&f.p, n, &scav);
            CHECK_EQ(addr, want == PAGES ? 0 : BASE + want * GH_PAGE_SIZE);
            for (unsigned i = 0; want != PAGES && i < n; i++) {
                used[want + i] = true;
            }
        } else {
            unsigned k = 0;
            while (at + k < PAGES && k < n && used[at + k]) {
                used[at + k++] = false;
            }
            if (k > 0) {
                give(&f, at, k);
            }
        }
    }
    teardown(&f);
}

int
main(void)
{
    test_four_chunks();
    test_one_chunk();
    test_cache_first();
    test_against_model();
    return 0;
}
