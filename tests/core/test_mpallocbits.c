// test_mpallocbits.c: the bitmaps of a chunk, each function against its
// definition written as a loop over pages, and the values of the allocator
// pages, 16.5.

#include <string.h>

#include "check.h"
#include "mpallocbits.h"

enum { PAGES = 512 };

static uint64_t random_state = 1;

static uint64_t
next(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = random_state;
    x ^= x >> 32;
    return x * 0x9e3779b97f4a7c15u;
}

// scatter makes a bitmap of runs of mean length about 1 << log.
static void
scatter(gh_palloc_bits *b, unsigned log)
{
    *b = (gh_palloc_bits){0};
    bool set = next() >> 63 != 0;
    for (unsigned i = 0; i < PAGES;) {
        unsigned n = 1 + (unsigned)(next() >> 40) % (2u << log);
        n = n < PAGES - i ? n : PAGES - i;
        if (set) {
            gh_palloc_bits_set_range(b, i, n);
        }
        set = !set;
        i += n;
    }
}

static void
test_ranges(void)
{
    for (int round = 0; round < 2000; round++) {
        gh_palloc_bits a, b;
        scatter(&a, (unsigned)round % 9);
        const unsigned i = (unsigned)(next() >> 32) % PAGES;
        const unsigned n = 1 + (unsigned)(next() >> 32) % (PAGES - i);
        unsigned count = 0;
        for (unsigned k = i; k < i + n; k++) {
            count += gh_palloc_bits_get(&a, k);
        }
        CHECK_EQ(gh_palloc_bits_popcnt_range(&a, i, n), count);
        b = a;
        gh_palloc_bits_set_range(&b, i, n);
        for (unsigned k = 0; k < PAGES; k++) {
            const bool within = k >= i && k < i + n;
            CHECK(gh_palloc_bits_get(&b, k)
                  == (within || gh_palloc_bits_get(&a, k)));
        }
        b = a;
        gh_palloc_bits_clear_range(&b, i, n);
        for (unsigned k = 0; k < PAGES; k++) {
            const bool within = k >= i && k < i + n;
            CHECK(gh_palloc_bits_get(&b, k)
                  == (!within && gh_palloc_bits_get(&a, k)));
        }
    }
    // At the borders of words.
    gh_palloc_bits b = {0};
    gh_palloc_bits_set_range(&b, 63, 66);
    CHECK_EQ(b.w[0], (uint64_t)1 << 63);
    CHECK_EQ(b.w[1], UINT64_MAX);
    CHECK_EQ(b.w[2], 1);
    gh_palloc_bits_clear_range(&b, 64, 64);
    CHECK_EQ(b.w[0], (uint64_t)1 << 63);
    CHECK_EQ(b.w[1], 0);
    CHECK_EQ(b.w[2], 1);
    gh_palloc_bits_set_range(&b, 0, PAGES);
    CHECK_EQ(gh_palloc_bits_popcnt_range(&b, 0, PAGES), PAGES);
}

// [alloc:P24]
static void
test_find_bit_range(void)
{
    CHECK_EQ(gh_find_bit_range64(0xff0f, 1), 0);
    CHECK_EQ(gh_find_bit_range64(0xff0f, 4), 0);
    CHECK_EQ(gh_find_bit_range64(0xff0f, 5), 8);
    CHECK_EQ(gh_find_bit_range64(0xff0f, 9), 64);
    CHECK_EQ(gh_find_bit_range64(UINT64_MAX, 64), 0);
    CHECK_EQ(gh_find_bit_range64(0x8000000000000001, 2), 64);
    CHECK_EQ(gh_find_bit_range64(0xf00000000000000f, 8), 64);
    CHECK_EQ(gh_find_bit_range64(0, 1), 64);
    CHECK_EQ(gh_find_bit_range64((uint64_t)1 << 63, 1), 63);
    for (int round = 0; round < 500; round++) {
        gh_palloc_bits b;
        scatter(&b, (unsigned)round % 6);
        for (unsigned n = 1; n <= 64; n++) {
            unsigned run = 0, want = 64;
            for (unsigned i = 0; i < 64 && want == 64; i++) {
                run = gh_palloc_bits_get(&b, i) ? run + 1 : 0;
                want = run == n ? i + 1 - n : want;
            }
            CHECK_EQ(gh_find_bit_range64(b.w[0], n), want);
        }
    }
}

// [alloc:P25], and round trips.
static void
test_packing(void)
{
    const uint64_t top = (uint64_t)1 << 21;
    CHECK_EQ(gh_palloc_sum_pack(1, 2, 3), 0xc0000400001);
    CHECK_EQ(gh_palloc_sum_pack(512, 512, 512), 0x8000040000200);
    CHECK_EQ(gh_free_chunk_sum(), 0x8000040000200);
    CHECK_EQ(gh_palloc_sum_pack(top, top, top), (uint64_t)1 << 63);
    CHECK_EQ(gh_palloc_sum_start((uint64_t)1 << 63), top);
    CHECK_EQ(gh_palloc_sum_max((uint64_t)1 << 63), top);
    CHECK_EQ(gh_palloc_sum_end((uint64_t)1 << 63), top);
    const uint64_t rows[][3] = {
        {0, 0, 0}, {1, 2, 3}, {top - 1, top - 1, top - 1}, {0, top - 1, 0},
        {top - 1, top - 1, 0}, {0, 7, top - 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t s, m, e;
        gh_palloc_sum_unpack(
            gh_palloc_sum_pack(rows[i][0], rows[i][1], rows[i][2]), &s, &m, &e);
        CHECK_EQ(s, rows[i][0]);
        CHECK_EQ(m, rows[i][1]);
        CHECK_EQ(e, rows[i][2]);
    }
}

// by_hand summarises n pages that are given as flags, 1 for allocated.
static gh_palloc_sum
by_hand(const bool *used, unsigned n)
{
    unsigned start = 0, most = 0, run = 0;
    while (start < n && !used[start]) {
        start++;
    }
    for (unsigned i = 0; i < n; i++) {
        run = used[i] ? 0 : run + 1;
        most = run > most ? run : most;
    }
    return gh_palloc_sum_pack(start, most, run);
}

static void
test_summaries(void)
{
    static bool used[8 * PAGES];
    gh_palloc_bits b = {0};
    CHECK_EQ(gh_palloc_bits_summarize(&b), gh_free_chunk_sum());
    // [alloc:P2,P4,P8] Leaf summaries of the first chunk.
    gh_palloc_bits_set_range(&b, 0, 1);
    CHECK_EQ(gh_palloc_bits_summarize(&b), gh_palloc_sum_pack(0, 511, 511));
    gh_palloc_bits_set_range(&b, 1, 511);
    CHECK_EQ(gh_palloc_bits_summarize(&b), 0);
    gh_palloc_bits_clear_range(&b, 1, 3);
    CHECK_EQ(gh_palloc_bits_summarize(&b), gh_palloc_sum_pack(0, 3, 0));
    // The longest run that lies within a word: 62.
    gh_palloc_bits_set_range(&b, 0, PAGES);
    gh_palloc_bits_clear_range(&b, 65, 62);
    CHECK_EQ(gh_palloc_bits_summarize(&b), gh_palloc_sum_pack(0, 62, 0));
    gh_palloc_bits_clear_range(&b, 0, 61);  // and a run that ends at a border
    CHECK_EQ(gh_palloc_bits_summarize(&b), gh_palloc_sum_pack(61, 62, 0));

    for (int round = 0; round < 2000; round++) {
        gh_palloc_sum sums[8];
        const unsigned log = (unsigned)round % 11;
        for (unsigned c = 0; c < 8; c++) {
            scatter(&b, log);
            if (log >= 9) {  // whole chunks
                memset(&b, next() >> 62 == 0 ? 0xff : 0, sizeof(b));
            }
            for (unsigned i = 0; i < PAGES; i++) {
                used[c * PAGES + i] = gh_palloc_bits_get(&b, i);
            }
            sums[c] = gh_palloc_bits_summarize(&b);
            CHECK_EQ(sums[c], by_hand(used + c * PAGES, PAGES));
        }
        for (unsigned n = 1; n <= 8; n++) {
            CHECK_EQ(gh_merge_summaries(sums, n, 9), by_hand(used, n * PAGES));
        }
    }
}

// Every kind of range that is freed: one page to all, from the first on, to the last, beside
// free ones or not.
static void
test_sum_after_free(void)
{
    unsigned whole = 0, grown = 0, same = 0;
    for (int round = 0; round < 40000; round++) {
        gh_palloc_bits b;
        scatter(&b, (unsigned)round % 10);
        unsigned i = (unsigned)(next() >> 32) % PAGES;
        unsigned n = 1 + (unsigned)(next() >> 32) % (PAGES - i) % (1u << round % 9);
        if (round % 7 == 0) {
            i = 0;
        } else if (round % 7 == 1) {
            i = PAGES - n;
        }
        if (round % 11 == 0) {
            i = 0;
            n = PAGES;
        }
        if (round % 5 == 0) {  // nothing else is used near it
            gh_palloc_bits_clear_range(&b, i / 2, PAGES - i / 2 - (PAGES - i - n) / 2);
        }
        gh_palloc_bits_set_range(&b, i, n);
        const gh_palloc_sum before = gh_palloc_bits_summarize(&b);
        gh_palloc_bits_clear_range(&b, i, n);
        const gh_palloc_sum after = gh_palloc_bits_summarize(&b);
        CHECK_EQ(gh_palloc_bits_sum_after_free(&b, before, i, n), after);
        whole += after == gh_free_chunk_sum();
        same += after == before;
        grown += gh_palloc_sum_max(after) > gh_palloc_sum_max(before);
    }
    CHECK(whole > 100 && same > 1000 && grown > 1000);  // it was worth comparing
}

// The largest row: eight free children of 2^18 pages turn into bit 63; one page
// less and the fields are plain.
static void
test_merge_full(void)
{
    const uint64_t part = (uint64_t)1 << 18;
    gh_palloc_sum sums[8];
    for (unsigned i = 0; i < 8; i++) {
        sums[i] = gh_palloc_sum_pack(part, part, part);
    }
    CHECK_EQ(gh_merge_summaries(sums, 8, 18), (uint64_t)1 << 63);
    sums[7] = gh_palloc_sum_pack(part - 1, part - 1, 0);
    CHECK_EQ(gh_merge_summaries(sums, 8, 18),
             gh_palloc_sum_pack(8 * part - 1, 8 * part - 1, 0));
}

static void
test_find(void)
{
    for (int round = 0; round < 3000; round++) {
        gh_palloc_bits b;
        scatter(&b, (unsigned)round % 9);
        unsigned first = 0;  // the first free page
        while (first < PAGES && gh_palloc_bits_get(&b, first)) {
            first++;
        }
        // Any hint up to the first free page is a legal one.
        const unsigned hint =
            first == 0 ? 0
                       : (unsigned)(next() >> 32)
                             % (first < PAGES ? first + 1 : PAGES);
        const unsigned first_or_none =
            first < PAGES ? first : GH_PAGE_NOT_FOUND;
        for (unsigned n = 1; n <= PAGES; n += n < 70 ? 1 : 37) {
            unsigned run = 0, want = GH_PAGE_NOT_FOUND;
            for (unsigned i = 0; i < PAGES && want == GH_PAGE_NOT_FOUND; i++) {
                run = gh_palloc_bits_get(&b, i) ? 0 : run + 1;
                want = run == n ? i + 1 - n : want;
            }
            unsigned seen;
            CHECK_EQ(gh_palloc_bits_find(&b, n, hint, &seen), want);
            CHECK_EQ(seen, first_or_none);
            if (n <= 64) {
                CHECK_EQ(gh_palloc_bits_find_small_n(&b, n, hint, &seen), want);
                CHECK_EQ(seen, first_or_none);
            }
        }
        CHECK_EQ(gh_palloc_bits_find1(&b, hint), first_or_none);
    }
    // The whole word of the hint is searched, its lower part too.
    gh_palloc_bits b = {0};
    CHECK_EQ(gh_palloc_bits_find1(&b, 100), 64);
}

static void
test_both_bitmaps(void)
{
    gh_palloc_data d = {0};
    gh_palloc_bits_set_range(&d.scavenged, 0, PAGES);
    gh_palloc_data_alloc_range(&d, 10, 100);
    CHECK_EQ(gh_palloc_bits_popcnt_range(&d.alloc, 0, PAGES), 100);
    CHECK_EQ(gh_palloc_bits_popcnt_range(&d.alloc, 10, 100), 100);
    CHECK_EQ(gh_palloc_bits_popcnt_range(&d.scavenged, 0, PAGES), 412);
    CHECK_EQ(gh_palloc_bits_popcnt_range(&d.scavenged, 10, 100), 0);
    gh_palloc_data_free_range(&d, 20, 30);
    CHECK_EQ(gh_palloc_bits_popcnt_range(&d.alloc, 0, PAGES), 70);
    CHECK_EQ(gh_palloc_bits_popcnt_range(&d.alloc, 20, 30), 0);
    CHECK_EQ(gh_palloc_bits_popcnt_range(&d.scavenged, 0, PAGES), 412);
    gh_palloc_data_alloc_all(&d);
    CHECK_EQ(gh_palloc_bits_popcnt_range(&d.alloc, 0, PAGES), PAGES);
    CHECK_EQ(gh_palloc_bits_popcnt_range(&d.scavenged, 0, PAGES), 0);
    gh_palloc_data_free_all(&d);
    CHECK_EQ(gh_palloc_bits_popcnt_range(&d.alloc, 0, PAGES), 0);
}

static void
test_fill_aligned(void)
{
    CHECK_EQ(gh_fill_aligned(0x10, 4), 0xf0);
    CHECK_EQ(gh_fill_aligned(0x8000000000000001, 8), 0xff000000000000ff);
    CHECK_EQ(gh_fill_aligned(0x100, 64), UINT64_MAX);
    CHECK_EQ(gh_fill_aligned(0xdeadbeef, 1), 0xdeadbeef);
    for (int round = 0; round < 3000; round++) {
        const uint64_t x = next() & next() & next() & next();
        for (unsigned m = 1; m <= 64; m *= 2) {
            uint64_t want = 0;
            for (unsigned i = 0; i < 64; i++) {
                for (unsigned k = i / m * m; k < i / m * m + m; k++) {
                    want |= (x >> k & 1) << i;
                }
            }
            CHECK_EQ(gh_fill_aligned(x, m), want);
        }
    }
}

// candidate_by_hand is the definition, group by group: the highest run of
// groups whose pages are all free and not scavenged, from the word of
// search_idx on downwards.
static unsigned
candidate_by_hand(const gh_palloc_data *d, unsigned search_idx, unsigned min,
                  unsigned max, unsigned *n)
{
    bool open[PAGES];
    for (unsigned i = 0; i < PAGES; i++) {
        open[i] = true;
        for (unsigned k = i / min * min; k < i / min * min + min; k++) {
            open[i] = open[i] && !gh_palloc_bits_get(&d->alloc, k)
                && !gh_palloc_bits_get(&d->scavenged, k);
        }
    }
    unsigned end = (search_idx / 64 + 1) * 64;
    while (end > 0 && !open[end - 1]) {
        end--;
    }
    unsigned low = end;
    while (low > 0 && open[low - 1]) {
        low--;
    }
    max = max == 0 ? min : (max + min - 1) / min * min;
    unsigned start = end - low > max ? end - max : low;
    // 2 MiB are 256 pages. A cut inside a huge page that lies whole in the run
    // would break it; one in a page that the run's end cuts already would not.
    const unsigned below = start / 256 * 256;
    if ((start + 255) / 256 * 256 <= end && below >= low) {
        start = below;
    }
    *n = end - start;
    return end == 0 ? 0 : start;
}

static void
test_scavenge_candidate(void)
{
    gh_palloc_data d = {0};
    unsigned n;
    // Nothing taken: one page breaks no huge page, so a whole one goes.
    CHECK_EQ(gh_palloc_data_find_scavenge_candidate(&d, 511, 1, 1, &n), 256);
    CHECK_EQ(n, 256);
    CHECK_EQ(gh_palloc_data_find_scavenge_candidate(&d, 511, 64, 512, &n), 0);
    CHECK_EQ(n, 512);
    // A single page that is left, and not with groups of two.
    gh_palloc_bits_set_range(&d.alloc, 0, 40);
    gh_palloc_bits_set_range(&d.scavenged, 0, 41);
    gh_palloc_bits_set_range(&d.alloc, 42, PAGES - 42);
    CHECK_EQ(gh_palloc_data_find_scavenge_candidate(&d, 511, 1, 512, &n), 41);
    CHECK_EQ(n, 1);
    CHECK(gh_palloc_data_has_scavenge_candidate(&d, 1));
    CHECK_EQ(gh_palloc_data_find_scavenge_candidate(&d, 511, 2, 512, &n), 0);
    CHECK_EQ(n, 0);
    CHECK(!gh_palloc_data_has_scavenge_candidate(&d, 2));

    unsigned found = 0;
    for (int round = 0; round < 4000; round++) {
        scatter(&d.alloc, (unsigned)round % 10);
        scatter(&d.scavenged, (unsigned)(round / 10) % 10);
        if (round % 4 == 0) {
            d.scavenged = (gh_palloc_bits){0};
        }
        const unsigned from = (unsigned)(next() >> 32) % PAGES;
        const unsigned max = (unsigned)(next() >> 32) % (PAGES + 1)
            >> (unsigned)(next() >> 60) % 10;
        for (unsigned min = 1; min <= 64; min *= 2) {
            unsigned want_n;
            const unsigned want =
                candidate_by_hand(&d, from, min, max, &want_n);
            const unsigned got =
                gh_palloc_data_find_scavenge_candidate(&d, from, min, max, &n);
            CHECK_EQ(n, want_n);
            CHECK_EQ(got, want);
            candidate_by_hand(&d, PAGES - 1, min, max, &want_n);
            CHECK(gh_palloc_data_has_scavenge_candidate(&d, min)
                  == (want_n > 0));
            found += n > 0;
        }
    }
    CHECK(found > 10000);  // it was worth comparing
}

int
main(void)
{
    test_ranges();
    test_find_bit_range();
    test_packing();
    test_summaries();
    test_sum_after_free();
    test_merge_full();
    test_find();
    test_both_bitmaps();
    test_fill_aligned();
    test_scavenge_candidate();
    return 0;
}
