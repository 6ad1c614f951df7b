// test_mprof.c: the heap profile: where samples fall, when they become visible, and
// what they are put down to.

#include "check.h"
#include "goheap.h"

#include <string.h>

#include "heap.h"
#include "mprof.h"

static void
say(void *arg, const char *line)
{
    (void)arg;
    (void)fprintf(stderr, "%s\n", line);
}

static gh_heap *
make(bool eager, uint64_t seed, gh_mut **m, gh_slots **b)
{
    gh_options opt;
    gh_options_init(&opt);
    opt.gogc = -1;
    opt.policy.eager_sweep = eager;
    opt.seed = seed;
    gh_heap *h;
    CHECK(gh_heap_new(&opt, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, m) == GH_OK);
    CHECK(gh_slots_new(h, 1000, b) == GH_OK);
    return h;
}

static void
end(gh_heap *h, gh_mut *m, gh_slots *b)
{
    CHECK(gh_verify(m, say, NULL) == 0);
    gh_slots_free(b);
    gh_leave(m);
    gh_heap_free(h);
}

// sums adds up the visible records.
static bool
add(void *arg, const gh_profile_record *r)
{
    gh_profile_record *sum = arg;
    sum->allocs += r->allocs;
    sum->frees += r->frees;
    sum->alloc_bytes += r->alloc_bytes;
    sum->free_bytes += r->free_bytes;
    return true;
}

static gh_profile_record
sums(gh_mut *m)
{
    gh_profile_record sum = {0};
    gh_profile_walk(m, add, &sum);
    return sum;
}

// [gc:81-85]
static void
test_scale(void)
{
    static const int64_t v[][5] = {
        {1, 16, 524288, 32768, 524296},    {1, 524288, 524288, 1, 829411},
        {10, 10240, 524288, 5125, 5248001}, {1, 1048576, 524288, 1, 1212696},
        {3, 96, 4096, 385, 12336},          {0, 16, 4096, 0, 0},
        {3, 0, 4096, 0, 0},                 {3, 96, 1, 3, 96},
        {3, 96, 0, 3, 96},
    };
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        int64_t count = v[i][0], size = v[i][1];
        gh_profile_scale(v[i][2], &count, &size);
        CHECK_EQ(count, v[i][3]);
        CHECK_EQ(size, v[i][4]);
    }
}

// [alloc:75] With rate 1 each allocation is sampled, a tiny
// block once; after another rate the next one still is, and then some.
static void
test_rates(void)
{
    gh_mut *m;
    gh_slots *b;
    gh_heap *h = make(true, 1, &m, &b);
    CHECK_EQ(gh_profile_rate(h), 0);
    CHECK(gh_alloc(m, gh_slots_at(b, 0), 100) == GH_OK);
    CHECK(!m->slow);
    CHECK(gh_profile_set_rate(m, -1) == GH_ERR_INVAL);
    CHECK(gh_profile_set_rate(m, 1) == GH_OK);
    CHECK(m->slow);
    for (size_t i = 1; i < 6; i++) {
        CHECK(gh_alloc(m, gh_slots_at(b, i), 100) == GH_OK);
        CHECK_EQ(m->mcache.next_sample, 0);
    }
    CHECK(gh_alloc(m, gh_slots_at(b, 6), 4) == GH_OK);
    CHECK(gh_alloc(m, gh_slots_at(b, 7), 4) == GH_OK);
    CHECK(gh_alloc(m, gh_slots_at(b, 8), 0) == GH_OK);
    CHECK(gh_alloc(m, gh_slots_at(b, 9), 50000) == GH_OK);
    gh_profile_record r = sums(m);
    CHECK_EQ(r.allocs, 7);
    CHECK_EQ(r.alloc_bytes, 5 * 112 + 16 + 57344);
    CHECK(gh_profile_set_rate(m, 524288) == GH_OK);
    CHECK(gh_alloc(m, gh_slots_at(b, 10), 100) == GH_OK);
    CHECK_EQ(m->mcache.prof_rate, 524288);
    CHECK(m->mcache.next_sample > 0);
    CHECK(gh_profile_set_rate(m, 0) == GH_OK);
    CHECK(m->slow);
    CHECK(gh_alloc(m, gh_slots_at(b, 11), 100) == GH_OK);  // Go's last one
    CHECK(!m->slow);
    CHECK(gh_alloc(m, gh_slots_at(b, 12), 100) == GH_OK);
    CHECK(gh_gc(m) == GH_OK);
    r = sums(m);
    CHECK_EQ(r.allocs, 9);
    CHECK_EQ(r.frees, 0);
    end(h, m, b);
}

// [gc:96] 100 objects are visible after the first cycle that
// somebody waited for; 50 more not before the next one.
static void
test_delay(bool eager)
{
    gh_mut *m;
    gh_slots *b;
    gh_heap *h = make(eager, 1, &m, &b);
    CHECK(gh_profile_set_rate(m, 1) == GH_OK);
    for (size_t i = 0; i < 100; i++) {
        CHECK(gh_alloc(m, gh_slots_at(b, i), 64) == GH_OK);
    }
    CHECK(gh_gc(m) == GH_OK);
    CHECK_EQ(sums(m).allocs, 100);
    for (size_t i = 100; i < 150; i++) {
        CHECK(gh_alloc(m, gh_slots_at(b, i), 64) == GH_OK);
    }
    for (size_t i = 0; i < 30; i++) {
        gh_clear(m, gh_slots_at(b, i));
    }
    CHECK_EQ(sums(m).allocs, 100);
    CHECK_EQ(sums(m).frees, 0);
    CHECK(gh_gc(m) == GH_OK);
    CHECK_EQ(sums(m).allocs, 150);
    CHECK_EQ(sums(m).frees, 30);
    CHECK_EQ(sums(m).free_bytes, 30 * 64);
    // A cycle that nobody waited for shows what the one before it left: none.
    for (size_t i = 0; i < 10; i++) {
        CHECK(gh_alloc(m, gh_slots_at(b, i), 64) == GH_OK);
    }
    for (uint64_t n = 0; n < 2; n++) {
        const uint64_t before = gh_cycles(h);
        CHECK(gh_profile_set_rate(m, 1) == GH_OK);
        (void)gh_set_gogc(m, 0);
        CHECK(gh_alloc(m, gh_slots_at(b, 200 + n), 2 << 20) == GH_OK);
        (void)gh_set_gogc(m, -1);
        CHECK_EQ(gh_cycles(h), before + 1);
        // With eager sweeping C grows by two: at once.
        CHECK_EQ(sums(m).allocs, eager ? 161 + n : (n == 0 ? 150 : 161));
    }
    end(h, m, b);
}

// Before any cycle all is visible, and then published.
static void
test_before(void)
{
    gh_mut *m;
    gh_slots *b;
    gh_heap *h = make(false, 1, &m, &b);
    gh_profile_record none = sums(m);
    CHECK_EQ(none.allocs, 0);
    CHECK(gh_profile_set_rate(m, 1) == GH_OK);
    CHECK(gh_alloc(m, gh_slots_at(b, 0), 64) == GH_OK);
    CHECK_EQ(sums(m).allocs, 1);
    CHECK(gh_alloc(m, gh_slots_at(b, 0), 64) == GH_OK);
    CHECK_EQ(sums(m).allocs, 1);  // there is something to show now
    CHECK(gh_gc(m) == GH_OK);
    CHECK_EQ(sums(m).allocs, 2);
    CHECK_EQ(sums(m).frees, 1);
    end(h, m, b);
}

typedef struct rows {
    gh_profile_record r[10];
    size_t n;
} rows;

static bool
keep(void *arg, const gh_profile_record *r)
{
    rows *x = arg;
    x->r[x->n++] = *r;
    return x->n < 10;
}

static void
test_rows(void)
{
    gh_mut *m;
    gh_slots *b;
    gh_heap *h = make(true, 1, &m, &b);
    static const uint64_t mask[1] = {1};
    const gh_type_desc d = {.name = "node", .size = 24, .align = 8,
                            .ptrdata = 8, .mask = mask};
    const gh_type *t;
    CHECK(gh_type_new(m, &d, &t) == GH_OK);
    CHECK(gh_profile_set_rate(m, 1) == GH_OK);
    for (size_t i = 0; i < 3; i++) {
        CHECK(gh_new(m, gh_slots_at(b, i), t, 1) == GH_OK);
    }
    CHECK(gh_new(m, gh_slots_at(b, 3), t, 100) == GH_OK);
    CHECK_EQ(gh_profile_set_site(m, 7), 0);
    CHECK(gh_new(m, gh_slots_at(b, 4), t, 1) == GH_OK);
    CHECK(gh_alloc(m, gh_slots_at(b, 5), 24) == GH_OK);
    CHECK_EQ(gh_profile_set_site(m, 0), 7);
    // One is dropped, and one comes back for its finalizer first.
    bool set;
    CHECK(gh_finalizer_set(m, gh_slots_at(b, 1), false, 0, &set) == GH_OK);
    gh_clear(m, gh_slots_at(b, 0));
    gh_clear(m, gh_slots_at(b, 1));
    CHECK(gh_gc(m) == GH_OK);
    rows x = {0};
    gh_profile_walk(m, keep, &x);
    CHECK_EQ(x.n, 4);
    const gh_profile_record *r = &x.r[3];  // newest bucket first
    CHECK(r->type_id == gh_type_id(t) && r->site == 0 && r->size == 24);
    CHECK(r->allocs == 3 && r->alloc_bytes == 72 && r->frees == 1);
    CHECK(x.r[2].size == 2688 && x.r[2].allocs == 1);
    CHECK(x.r[1].site == 7 && x.r[1].type_id == gh_type_id(t));
    CHECK(x.r[0].site == 7 && x.r[0].type_id == GH_TYPE_BYTES);
    gh_call c;
    (void)gh_call_gather(h);
    CHECK(gh_call_take(h, &c));
    gh_handle_drop(h, c.handle);
    CHECK(gh_gc(m) == GH_OK);
    x.n = 0;
    gh_profile_walk(m, keep, &x);
    CHECK_EQ(x.r[3].frees, 2);
    end(h, m, b);
}

// [alloc:S2-S4] The generator.
static void
test_random(void)
{
    static const struct {
        uint64_t state;
        uint32_t want[5];
    } draws[] = {
        {0, {2405016974, 4283336045, 2403848868, 2442172256, 2974294238}},
        {1, {3791187244, 479898944, 787217119, 4275851146, 213167716}},
        {0x123456789abcdef0, {3663528704, 2637002528, 1383339975}},
    };
    for (size_t i = 0; i < sizeof(draws) / sizeof(draws[0]); i++) {
        uint64_t state = draws[i].state;
        for (size_t k = 0; k < 5 && draws[i].want[k] != 0; k++) {
            CHECK_EQ(gh_cheaprand(&state), draws[i].want[k]);
        }
    }
}

// [alloc:S5-S8] Steps of draws, and of a heap by its seed.
static void
test_step(void)
{
    static const struct {
        uint32_t q;
        uint64_t far, near;  // of mean 524288 and 4096
    } draws[] = {
        {1, 9448628, 73818},           {2, 9085219, 70979},
        {3, 8872639, 69318},           {1000, 5826992, 45524},
        {1u << 20, 2180453, 17035},    {1u << 25, 363409, 2840},
        {67108863, 1, 1},              {1u << 26, 1, 1},
        {24693556, 524180, 4096},
    };
    for (size_t i = 0; i < sizeof(draws) / sizeof(draws[0]); i++) {
        CHECK_EQ(gh_prof_step(draws[i].q, 524288), draws[i].far);
        CHECK_EQ(gh_prof_step(draws[i].q, 4096), draws[i].near);
    }
    const double most = (double)gh_prof_step(1, 524288) / 524288;
    CHECK(most > 18.02 && most < 18.03);
    static const struct {
        uint64_t seed;
        int64_t mean;
        uint64_t want[6];
    } runs[] = {
        {1, 524288, {65434, 1149056, 889566, 2352, 1574515, 19631}},
        {0, 4096, {2376, 12, 2378, 2313, 1506, 7482}},
    };
    for (size_t i = 0; i < 2; i++) {
        gh_mut *m;
        gh_slots *b;
        gh_heap *h = make(true, runs[i].seed, &m, &b);
        CHECK(gh_profile_set_rate(m, runs[i].mean) == GH_OK);
        for (size_t k = 0; k < 6; k++) {
            CHECK_EQ(gh_prof_next_sample(h), runs[i].want[k]);
        }
        end(h, m, b);
    }
}

// Steps are exponential, the same for the same seed.
static void
test_steps(void)
{
    gh_mut *m;
    gh_slots *b;
    uint64_t first[2];
    for (uint64_t seed = 1; seed < 4; seed++) {
        gh_heap *h = make(true, seed == 3 ? 1 : seed, &m, &b);
        CHECK(gh_profile_set_rate(m, 4096) == GH_OK);
        double sum = 0;
        uint64_t below = 0, hash = 0;
        enum { N = 100000 };
        for (int i = 0; i < N; i++) {
            const int64_t step = gh_prof_next_sample(h);
            CHECK(step >= 1 && step <= 4096 * 19);
            sum += (double)step;
            below += step < 2839;  // median: ln 2 of the mean
            hash = hash * 31 + (uint64_t)step;
        }
        CHECK(sum / N > 4000 && sum / N < 4200);
        CHECK(below > N / 2 - 1000 && below < N / 2 + 1000);
        if (seed == 3) {
            CHECK(hash == first[0] && hash != first[1]);
        } else {
            first[seed - 1] = hash;
        }
        CHECK(gh_profile_set_rate(m, INT64_MAX) == GH_OK);
        CHECK(gh_prof_next_sample(h) <= (int64_t)20 * 0x7000000);
        CHECK(gh_profile_set_rate(m, 0) == GH_OK);
        CHECK(gh_prof_next_sample(h) == INT64_MAX);
        end(h, m, b);
    }
}

// Over 20 seeds the scaled totals are what was allocated, within what the rate
// allows: a sum of n samples is off by sqrt(n).
static void
test_totals(void)
{
    gh_mut *m;
    gh_slots *b;
    enum { N = 40000, SIZE = 256, RATE = 4096 };
    double sum = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        gh_heap *h = make(true, seed, &m, &b);
        CHECK(gh_profile_set_rate(m, RATE) == GH_OK);
        for (size_t i = 0; i < N; i++) {
            CHECK(gh_alloc(m, gh_slots_at(b, i % 1000), SIZE) == GH_OK);
        }
        CHECK(gh_gc(m) == GH_OK);
        const gh_profile_record r = sums(m);
        int64_t count = (int64_t)r.allocs, bytes = (int64_t)r.alloc_bytes;
        gh_profile_scale(RATE, &count, &bytes);
        // 2500 samples: 2 % is one deviation.
        CHECK(count > N * 0.92 && count < N * 1.08);
        CHECK(bytes / SIZE == count || bytes / SIZE == count + 1
              || bytes / SIZE == count - 1);
        sum += (double)count;
        count = (int64_t)(r.allocs - r.frees);
        bytes = (int64_t)(r.alloc_bytes - r.free_bytes);
        gh_profile_scale(RATE, &count, &bytes);
        CHECK(count > 1000 * 0.4 && count < 1000 * 1.6);  // 62 samples: 13 %
        end(h, m, b);
    }
    CHECK(sum / 20 > N * 0.98 && sum / 20 < N * 1.02);
}

int
main(void)
{
    test_scale();
    test_rates();
    test_delay(true);
    test_delay(false);
    test_before();
    test_rows();
    test_random();
    test_step();
    test_steps();
    test_totals();
    return 0;
}
