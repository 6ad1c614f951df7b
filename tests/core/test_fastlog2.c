// test_fastlog2.c: the approximate logarithm, bit by bit as Go 1.26.8 has it.

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "fastlog2.h"

static uint64_t
bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

// [alloc:S1], with the digits that it leaves out, and points at the edges.
static void
test_values(void)
{
    static const struct {
        double x;
        uint64_t want;
    } rows[] = {
        {1, 0},
        {1.5, 0x3fe2b803473f7ad2},
        {3, 0x3ff95c01a39fbd69},
        {10, 0x400a934f0979a371},
        {1000, 0x4023ee7539f98b86},
        {12345678, 0x40378eb6afd78fdb},
        {67108863, 0x4039ffffffa2f046},
        {67108864, 0x403a000000000000},
        {0.1, 0xc00a9365f1e24ba5},
        {1.03125, 0x3fa6bad3758efd90},   // a table point
        {0x1.fffffffffffffp0, 0x3feffffff45e08bd},
        {0x1p-1022, 0xc08ff00000000000},
        {0x1.fffffffffffffp1023, 0x408ffffffffd1783},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_EQ(bits_of(gh_fastlog2(rows[i].x)), rows[i].want);
    }
}

// 100000 arguments as sampling draws them, 1 .. 2^26, folded into one number.
static void
test_fold(void)
{
    uint64_t state = 1, fold = 0;
    for (int i = 0; i < 100000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const double x = (double)((state >> 38) + 1);
        const double y = gh_fastlog2(x);
        CHECK(fabs(y - log2(x)) < 2e-4);
        fold = fold * 31 + bits_of(y);
    }
    CHECK_EQ(fold, 0x17f1b8cce8cc2ccc);
}

int
main(void)
{
    test_values();
    test_fold();
    return 0;
}
