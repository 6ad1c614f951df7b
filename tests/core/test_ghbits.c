// test_ghbits.c: bit counting and rounding, against loops and at the edges.

#include "check.h"
#include "ghbits.h"

static void
test_counting(void)
{
    CHECK_EQ(gh_ctz64(0), 64);  // the builtins leave 0 open; Go does not
    CHECK_EQ(gh_clz64(0), 64);
    CHECK_EQ(gh_popcount64(0), 0);
    CHECK_EQ(gh_popcount64(UINT64_MAX), 64);
    for (unsigned i = 0; i < 64; i++) {
        const uint64_t bit = (uint64_t)1 << i;
        CHECK_EQ(gh_ctz64(bit), i);
        CHECK_EQ(gh_clz64(bit), 63 - i);
        CHECK_EQ(gh_popcount64(bit), 1);
        CHECK_EQ(gh_ctz64(UINT64_MAX << i), i);
        CHECK_EQ(gh_clz64(UINT64_MAX >> i), i);
        CHECK_EQ(gh_popcount64(UINT64_MAX >> i), 64 - i);
    }
}

static void
test_rounding(void)
{
    for (uint64_t a = 1; a <= 64; a *= 2) {
        for (uint64_t n = 0; n <= 200; n++) {
            uint64_t up = n;
            while (up % a != 0) {
                up++;
            }
            CHECK_EQ(gh_align_up(n, a), up);
            CHECK_EQ(gh_align_down(n, a), n - n % a);
            CHECK_EQ(gh_div_round_up(n, a), up / a);
        }
    }
    CHECK_EQ(gh_div_round_up(8193, 8192), 2);
    CHECK_EQ(gh_div_round_up(7, 3), 3);
    // The top of the address space: the last multiple stays, beyond wraps.
    CHECK_EQ(gh_align_up(UINT64_MAX - 4095, 4096), UINT64_MAX - 4095);
    CHECK_EQ(gh_align_up(UINT64_MAX - 4094, 4096), 0);
    CHECK_EQ(gh_align_down(UINT64_MAX, 4096), UINT64_MAX - 4095);
}

static void
test_pow2(void)
{
    CHECK(!gh_is_pow2(0));
    CHECK(!gh_is_pow2(UINT64_MAX));
    for (unsigned i = 0; i < 64; i++) {
        const uint64_t bit = (uint64_t)1 << i;
        CHECK(gh_is_pow2(bit));
        CHECK(i == 0 || !gh_is_pow2(bit | 1));
    }
}

int
main(void)
{
    test_counting();
    test_rounding();
    test_pow2();
    return 0;
}
