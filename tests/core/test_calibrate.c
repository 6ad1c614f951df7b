// test_calibrate.c: every price is measured, finite and above zero. How large they
// are is the machine's business.

#include "check.h"
#include "calibrate.h"

#include <math.h>

int
main(void)
{
    gh_costs c = {0}, shipped;
    gh_costs_init(&shipped);
    CHECK(gh_calibrate(&c) == GH_OK);
    CHECK_EQ(c.struct_size, shipped.struct_size);
    const double prices[] = {c.alloc, c.scan_byte, c.sweep_page, c.page_fault,
                             c.stop};
    for (size_t i = 0; i < sizeof(prices) / sizeof(prices[0]); i++) {
        CHECK(isfinite(prices[i]) && prices[i] > 0 && prices[i] < 1e12);
    }
    CHECK(isfinite(c.alloc_byte) && c.alloc_byte >= 0);
    // A heap takes them.
    gh_options opt;
    gh_options_init(&opt);
    opt.costs = c;
    gh_heap *h;
    CHECK(gh_heap_new(&opt, &h) == GH_OK);
    gh_heap_free(h);
    return 0;
}
