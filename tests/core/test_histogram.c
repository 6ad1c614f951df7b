// test_histogram.c: every duration lies between the edges of what counts it.

#include "check.h"
#include "histogram.h"

#include <math.h>

static double edges[GH_TIME_HIST_EDGES];

// where records ns alone and returns the number of the count that rose.
static unsigned
where(int64_t ns)
{
    gh_time_histogram h = {0};
    uint64_t counts[GH_TIME_HIST_COUNTS];
    gh_time_histogram_record(&h, ns);
    gh_time_histogram_read(&h, counts);
    unsigned found = GH_TIME_HIST_COUNTS;
    for (unsigned i = 0; i < GH_TIME_HIST_COUNTS; i++) {
        if (counts[i] != 0) {
            CHECK_EQ(counts[i], 1);
            CHECK(found == GH_TIME_HIST_COUNTS);
            found = i;
        }
    }
    return found;
}

static void
check_between(int64_t ns)
{
    const unsigned i = where(ns);
    const double s = (double)ns / 1e9;
    CHECK(edges[i] <= s && s < edges[i + 1]);
}

static void
test_edges(void)
{
    CHECK_EQ(GH_TIME_HIST_BUCKETS, 40);
    CHECK_EQ(GH_TIME_HIST_EDGES, 163);
    CHECK(isinf(edges[0]) && edges[0] < 0);
    CHECK(isinf(edges[162]) && edges[162] > 0);
    for (unsigned i = 0; i + 1 < GH_TIME_HIST_EDGES; i++) {
        CHECK(edges[i] < edges[i + 1]);
    }
    // From Go's own test of them.
    CHECK(edges[1] == 0);
    CHECK(edges[2] == 0x40 / 1e9);
    CHECK(edges[8] == 0x1c0 / 1e9);
    CHECK(edges[9] == 0x200 / 1e9);
    CHECK(edges[10] == 0x280 / 1e9);
    CHECK(edges[81] == 0x8000000 / 1e9);
    CHECK(edges[108] == 0x380000000 / 1e9);
    CHECK(edges[161] == (double)((int64_t)1 << 47) / 1e9);
}

static void
test_places(void)
{
    CHECK_EQ(where(-1), 0);
    CHECK_EQ(where(INT64_MIN), 0);
    CHECK_EQ(where(0), 1);
    CHECK_EQ(where(63), 1);
    CHECK_EQ(where(64), 2);
    CHECK_EQ(where(255), 4);
    CHECK_EQ(where(256), 5);
    CHECK_EQ(where(((int64_t)1 << 47) - 1), 160);
    CHECK_EQ(where((int64_t)1 << 47), 161);
    CHECK_EQ(where(INT64_MAX), 161);
    for (int64_t ns = 0; ns < 5000; ns++) {
        check_between(ns);
    }
    for (unsigned bits = 12; bits < 47; bits++) {
        const int64_t base = (int64_t)1 << bits;
        for (int64_t j = 0; j < 8; j++) {
            check_between(base + base / 8 * j);
            check_between(base + base / 8 * j - 1);
        }
    }
}

static void
test_counts_add_up(void)
{
    gh_time_histogram h = {0};
    for (int i = 0; i < 1000; i++) {
        gh_time_histogram_record(&h, (int64_t)i * i * i * 1000 - 5);
    }
    uint64_t counts[GH_TIME_HIST_COUNTS], sum = 0;
    gh_time_histogram_read(&h, counts);
    for (unsigned i = 0; i < GH_TIME_HIST_COUNTS; i++) {
        sum += counts[i];
    }
    CHECK_EQ(sum, 1000);
    CHECK_EQ(counts[0], 1);
}

int
main(void)
{
    gh_time_histogram_edges(edges);
    test_edges();
    test_places();
    test_counts_add_up();
    return 0;
}
