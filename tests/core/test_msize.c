// test_msize.c: from a size to its class; slots per span; rounding up. Numbers
// are Go 1.26.8's. [alloc:...] are vectors, see csrc/design/vectors.md.

#include "check.h"
#include "goheap.h"
#include "msize.h"

#include <string.h>

// [alloc:3-17]
static void
test_classes(void)
{
    static const struct {
        uint64_t size;
        bool pointers;
        unsigned spanclass;
        uint64_t elemsize;
        bool header;
    } rows[] = {
        {17, false, 7, 24, false},      {24, false, 7, 24, false},
        {25, false, 9, 32, false},      {32, false, 9, 32, false},
        {33, false, 11, 48, false},     {504, false, 53, 512, false},
        {505, false, 53, 512, false},   {512, false, 53, 512, false},
        {513, false, 55, 576, false},   {520, false, 55, 576, false},
        {1016, false, 65, 1024, false}, {1017, false, 65, 1024, false},
        {1023, false, 65, 1024, false}, {1024, false, 65, 1024, false},
        {1025, false, 67, 1152, false}, {1152, false, 67, 1152, false},
        {1153, false, 69, 1280, false}, {28672, false, 133, 28672, false},
        {28673, false, 135, 32768, false}, {32752, false, 135, 32768, false},
        {32760, false, 135, 32768, false}, {32761, false, 1, 32768, false},
        {32768, false, 1, 32768, false}, {32769, false, 1, 40960, false},
        {33792, false, 1, 40960, false}, {40960, false, 1, 40960, false},
        {40961, false, 1, 49152, false}, {8, true, 2, 8, false},
        {16, true, 4, 16, false},       {24, true, 6, 24, false},
        {40, true, 10, 48, false},      {48, true, 10, 48, false},
        {504, true, 52, 512, false},    {512, true, 52, 512, false},
        {520, true, 54, 576, true},     {568, true, 54, 576, true},
        {576, true, 56, 640, true},     {1008, true, 64, 1024, true},
        {1016, true, 64, 1024, true},   {1024, true, 66, 1152, true},
        {1144, true, 66, 1152, true},   {1152, true, 68, 1280, true},
        {28664, true, 132, 28672, true}, {28672, true, 134, 32768, true},
        {32760, true, 134, 32768, true}, {32768, true, 0, 32768, false},
        {32776, true, 0, 40960, false},
        {1, false, 5, 16, false},       {15, false, 5, 16, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const gh_explanation e =
            gh_explain(rows[i].size, rows[i].pointers, NULL);
        CHECK_EQ(e.spanclass, rows[i].spanclass);
        CHECK_EQ(e.elemsize, rows[i].elemsize);
        CHECK_EQ(e.header, rows[i].header);
    }
}

// [alloc:26-32] [gc:74]
static void
test_nelems(void)
{
    static const unsigned rows[][3] = {
        {16, 504, 496}, {24, 336, 330}, {32, 252, 248}, {48, 168, 165},
        {64, 126, 124}, {112, 72, 70},  {128, 63, 62},  {144, 56, 55},
        {176, 45, 45},  {256, 31, 31},  {288, 28, 27},  {384, 21, 20},
        {448, 18, 17},  {480, 16, 16},  {512, 15, 15},  {576, 14, 14},
        {1024, 8, 8},   {4096, 2, 2},   {27264, 3, 3},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const gh_size_class c = gh_size_class_get(gh_size_to_class(rows[i][0]));
        CHECK_EQ(c.size, rows[i][0]);
        CHECK_EQ(c.nelems_noscan, rows[i][1]);
        CHECK_EQ(c.nelems_scan, rows[i][2]);
    }
    CHECK_EQ(gh_size_class_get(1).nelems_scan, 1008);
    CHECK_EQ(gh_size_class_get(1).nelems_noscan, 1024);
    static const unsigned scan[][2] = {
        {80, 99},  {96, 82},  {160, 49}, {192, 41}, {208, 38}, {224, 35},
        {240, 33}, {320, 24}, {352, 22}, {416, 19},
    };
    for (size_t i = 0; i < sizeof(scan) / sizeof(scan[0]); i++) {
        const gh_size_class c = gh_size_class_get(gh_size_to_class(scan[i][0]));
        CHECK_EQ(c.nelems_scan, scan[i][1]);
    }
}

// [alloc:2] Each table has the least class that holds the size.
static void
test_lookup_tables(void)
{
    CHECK_EQ(sizeof(gh_size_to_class8), 129);
    CHECK_EQ(sizeof(gh_size_to_class128), 249);
    unsigned c = 0;
    for (unsigned i = 0; i < 129; i++) {
        while (gh_class_to_size[c] < 8 * i) {
            c++;
        }
        CHECK_EQ(gh_size_to_class8[i], c);
    }
    for (unsigned i = 0; i < 249; i++) {
        while (gh_class_to_size[c] < 1024 + 128 * i) {
            c++;
        }
        CHECK_EQ(gh_size_to_class128[i], c);
    }
}

// [alloc:18,19,22] Span classes, and the pages of some classes.
static void
test_spans(void)
{
    CHECK_EQ(gh_make_spanclass(2, true), 5);
    CHECK_EQ(gh_make_spanclass(2, false), 4);
    CHECK_EQ(gh_make_spanclass(67, true), 135);
    CHECK_EQ(gh_make_spanclass(0, true), 1);
    static const unsigned rows[][3] = {
        {67, 4, 1}, {65, 10, 3}, {60, 9, 4},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const gh_size_class c = gh_size_class_get(rows[i][0]);
        CHECK_EQ(c.npages, rows[i][1]);
        CHECK_EQ(c.nelems_noscan, rows[i][2]);
    }
    static const unsigned pages[][2] = {
        {35, 2}, {41, 3}, {48, 4}, {49, 5}, {50, 6}, {52, 7}, {63, 8},
    };
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        CHECK_EQ(gh_size_class_get(pages[i][0]).npages, pages[i][1]);
    }
}

// [alloc:20,21]
static void
test_magic_division(void)
{
    for (unsigned c = 1; c < GH_NUM_SIZE_CLASSES; c++) {
        const unsigned size = gh_class_to_size[c];
        const uint64_t n = gh_class_to_alloc_npages[c] * GH_PAGE_SIZE;
        for (uint64_t off = 0; off <= n; off++) {
            CHECK_EQ(off * gh_class_to_divmagic[c] >> 32, off / size);
        }
    }
    static const struct {
        unsigned size;
        uint32_t magic;
    } rows[] = {{24, 178956971}, {48, 89478486}, {32768, 131072},
                {9472, 453439}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const unsigned c = gh_size_to_class(rows[i].size);
        CHECK_EQ(gh_class_to_size[c], rows[i].size);
        CHECK_EQ(gh_class_to_divmagic[c], rows[i].magic);
    }
}

// [alloc:23,24]
static void
test_round_up(void)
{
    static const uint64_t noscan[][2] = {
        {1, 8}, {9, 16}, {17, 24}, {33, 48}, {513, 576}, {1017, 1024},
        {1025, 1152}, {32753, 32768}, {32761, 32768}, {32769, 40960},
        {40961, 49152},
    };
    static const uint64_t scan[][2] = {
        {512, 512}, {513, 568}, {520, 568}, {1016, 1016}, {1017, 1144},
        {1024, 1144}, {32752, 32760}, {32761, 32768},
    };
    for (size_t i = 0; i < sizeof(noscan) / sizeof(noscan[0]); i++) {
        CHECK_EQ(gh_round_up_size(noscan[i][0], true), noscan[i][1]);
    }
    for (size_t i = 0; i < sizeof(scan) / sizeof(scan[0]); i++) {
        CHECK_EQ(gh_round_up_size(scan[i][0], false), scan[i][1]);
    }
    CHECK_EQ(gh_round_up_size(UINT64_MAX, true), UINT64_MAX);
}

// A table of a policy's own: Go's sizes give Go's table; any legal size divides
// exactly; spans are the fewest pages with at most an eighth of tail.
static void
test_own_table(void)
{
    gh_size_table go, t;
    CHECK(gh_size_table_init(&go, NULL, 0));
    CHECK_EQ(go.tiny_spc, GH_TINY_SPAN_CLASS);
    CHECK(gh_size_table_init(&t, gh_class_to_size + 1, GH_NUM_SIZE_CLASSES - 1));
    CHECK(memcmp(&t, &go, sizeof(t)) == 0);
    for (unsigned spc = 2; spc < GH_NUM_SPAN_CLASSES; spc++) {
        CHECK_EQ(go.nelems[spc], gh_class_nelems((uint8_t)spc));
    }
    for (uint64_t n = 1; n <= GH_MAX_SMALL_SIZE; n++) {
        CHECK_EQ(gh_table_class(&go, n), gh_size_to_class(n));
    }
    for (unsigned size = 8; size < 32768; size += size < 1024 ? 8 : 128) {
        const uint16_t low[3] = {(uint16_t)size, 512, 32768};
        const uint16_t high[3] = {512, (uint16_t)size, 32768};
        const uint16_t *sizes = size < 512 ? low : high;
        const uint16_t two[2] = {512, 32768};
        CHECK(size == 512 ? gh_size_table_init(&t, two, 2)
                          : gh_size_table_init(&t, sizes, 3));
        const unsigned cls = gh_table_class(&t, size);
        CHECK_EQ(t.size[cls], size);
        const uint64_t span = t.npages[cls] * GH_PAGE_SIZE;
        for (unsigned pages = 1; pages <= t.npages[cls]; pages++) {
            const unsigned tail = pages * (unsigned)GH_PAGE_SIZE % size;
            CHECK((tail <= pages * GH_PAGE_SIZE / 8) == (pages == t.npages[cls]));
        }
        for (uint64_t k = 1; k * size <= span; k++) {
            CHECK_EQ((k * size - 1) * t.divmagic[cls] >> 32, k - 1);
            CHECK_EQ(k * size * t.divmagic[cls] >> 32, k);
        }
        CHECK(t.nelems[cls << 1] >= 1 && t.nelems[cls << 1] <= 1024);
        for (uint64_t n = 1; n <= GH_MAX_SMALL_SIZE; n += n < 1100 ? 1 : 97) {
            const unsigned c = gh_table_class(&t, n);
            CHECK(t.size[c] >= n && t.size[c - 1] < n);
        }
    }
}

static void
test_refused_tables(void)
{
    static const uint16_t rows[][4] = {
        {8, 512, 32768, 32768},   // does not rise
        {512, 8, 16, 32768},      // nor this
        {12, 16, 512, 32768},     // no multiple of 8
        {16, 512, 1160, 32768},   // none of 128
        {16, 496, 1024, 32768},   // without 512
        {16, 32, 512, 16384},     // another end
        {0, 16, 512, 32768},      // nothing
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        gh_size_table t;
        CHECK(!gh_size_table_init(&t, rows[i], 4));
        gh_policy policy;
        gh_policy_init(&policy);
        policy.num_size_classes = 4;
        memcpy(policy.size_class, rows[i], sizeof(rows[i]));
        gh_size_class out[68];
        CHECK_EQ(gh_size_classes_get(&policy, out), 0);
    }
    gh_policy policy;
    gh_policy_init(&policy);
    policy.num_size_classes = 3;
    policy.size_class[0] = 256;
    policy.size_class[1] = 512;
    policy.size_class[2] = 32768;
    gh_options opt;
    gh_options_init(&opt);
    opt.policy = policy;
    gh_heap *h;
    CHECK(gh_heap_new(&opt, &h) == GH_ERR_INVAL);  // tiny blocks have no class
    opt.policy.tiny = false;
    CHECK(gh_heap_new(&opt, &h) == GH_OK);
    gh_heap_free(h);
}

int
main(void)
{
    test_own_table();
    test_refused_tables();
    test_classes();
    test_lookup_tables();
    test_spans();
    test_nelems();
    test_magic_division();
    test_round_up();
    return 0;
}
