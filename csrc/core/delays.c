// delays.c: random delays at yield points. See delays.h.

#include "delays.h"

#include <stdio.h>

// Points until speeds are drawn anew.
#define EPOCH 256u

enum { FAST, YIELDS, SLOW, VERY_SLOW, SPEEDS };

// mix is splitmix64's output function.
static uint64_t
mix(uint64_t z)
{
    z += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void
gh_delay(gh_heap *h, gh_point at)
{
    const uint64_t seed = h->opt.debug.delays;
    const uint64_t n =
        atomic_fetch_add_explicit(&h->conc.points, 1, memory_order_relaxed);
    const uint64_t speed =
        mix(seed ^ mix(gh_thread_self() ^ mix(n / EPOCH))) % SPEEDS;
    const uint64_t r = mix(seed + mix(n ^ (uint64_t)at << 56));
    switch (speed) {
    case YIELDS:
        if (r % 8 == 0) {
            gh_sleep(0);
        }
        return;
    case SLOW:
        if (r % 32 == 0) {
            gh_sleep((int64_t)(r >> 32) % 50000);
        }
        return;
    case VERY_SLOW:
        if (r % 4 == 0) {
            gh_sleep((int64_t)(r >> 32) % 300000);
        }
        return;
    default:
        return;
    }
}

void
gh_delays_report(const gh_heap *h)
{
    if (h->opt.debug.delays != 0) {
        (void)fprintf(stderr, "delays: seed %llu, %llu points\n",
                      (unsigned long long)h->opt.debug.delays,
                      (unsigned long long)atomic_load(&h->conc.points));
    }
}
