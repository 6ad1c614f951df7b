// test_spill.c: arrays that outgrow memory, beside plain ones.

#include "spill.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "check.h"
#include "splitmix.h"

#define N (1u << 19)

// resident is how many bytes of the array this process has mapped in.
static size_t
resident(const gh_spill *s)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    CHECK(f != NULL);
    char line[512];
    unsigned long from, to, kb;
    size_t bytes = 0;
    bool in = false;
    while (fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            in = from >= (uintptr_t)s->at && to <= (uintptr_t)s->at + s->bytes;
        } else if (in && sscanf(line, "Rss: %lu kB", &kb) == 1) {
            bytes += kb << 10;
        }
    }
    fclose(f);
    return bytes;
}

static void
test_values(size_t keep, const char *dir)
{
    gh_spill s;
    gh_spill_init(&s, keep, dir);
    uint32_t *want = calloc(N, sizeof(*want));
    CHECK(want != NULL);
    uint64_t rng = 5;
    size_t n = 0;
    while (n < N) {
        CHECK(gh_spill_reserve(&s, (n + 1) * 4) == GH_OK);
        for (; n < N && (n + 1) * 4 <= s.bytes; n++) {
            uint32_t *at = gh_spill_touch(&s, n * 4);
            CHECK_EQ(*at, 0);
            *at = want[n] = (uint32_t)n;
            // Mostly one of the last, as frees are.
            const size_t back = n % 64 == 0 ? n + 1 : n < 999 ? n + 1 : 999;
            const size_t old = n - gh_splitmix64(&rng) % back;
            at = gh_spill_touch(&s, old * 4);
            CHECK_EQ(*at, want[old]);
            *at = want[old] = (uint32_t)gh_splitmix64(&rng);
        }
    }
    CHECK_EQ(s.fd >= 0, dir != NULL && keep < N * 4);
    if (s.fd >= 0) {
        CHECK(resident(&s) <= s.keep);
    }
    gh_spill_release(&s, 0, s.bytes);
    if (s.fd >= 0) {
        CHECK(resident(&s) < s.bytes / 4);
    }
    CHECK(memcmp(s.at, want, N * 4) == 0);
    gh_spill_fini(&s);
    free(want);
}

static void
test_refused(void)
{
    gh_spill s;
    gh_spill_init(&s, 1 << 16, "/nowhere/at/all");
    CHECK(gh_spill_reserve(&s, 1 << 16) == GH_OK);
    *(uint32_t *)gh_spill_touch(&s, 4) = 7;
    CHECK(gh_spill_reserve(&s, 1 << 20) == GH_ERR_NOMEM);
    CHECK_EQ(*(uint32_t *)gh_spill_touch(&s, 4), 7);
    CHECK_EQ(s.bytes, 1 << 16);
    CHECK(gh_spill_reserve(&s, SIZE_MAX) == GH_ERR_NOMEM);
    gh_spill_fini(&s);
    gh_spill_fini(&s);
}

int
main(void)
{
    test_values(1 << 20, NULL);
    test_values(1 << 30, "/tmp");
    test_values(1 << 20, "/tmp");
    test_values(1, "/tmp");
    test_refused();
    return 0;
}
