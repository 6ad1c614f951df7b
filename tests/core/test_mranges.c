// test_mranges.c: sorted sets of ranges, by hand and against an array of flags.

#include <string.h>

#include "check.h"
#include "mranges.h"

typedef struct fixture {
    gh_mem mem;
    gh_mem_fault os;
    gh_sysstat other, stat;
    gh_persistent persistent;
    gh_addr_ranges a;
} fixture;

static void
setup(fixture *f)
{
    *f = (fixture){0};
    gh_mem_init(&f->mem, gh_mem_fault_ops(), &f->os);
    gh_persistent_init(&f->persistent, &f->mem, &f->other);
    CHECK(gh_addr_ranges_init(&f->a, &f->persistent, &f->stat) == GH_OK);
}

static void
teardown(fixture *f)
{
    CHECK(gh_addr_ranges_check(&f->a));
    gh_persistent_fini(&f->persistent);
    CHECK_EQ(f->os.bytes, 0);
}

static void
add(fixture *f, uint64_t base, uint64_t limit)
{
    CHECK(gh_addr_ranges_add(&f->a, (gh_addr_range){base, limit}) == GH_OK);
    CHECK(gh_addr_ranges_check(&f->a));
}

static void
expect(const gh_addr_ranges *a, size_t n, const gh_addr_range *want)
{
    uint64_t total = 0;
    CHECK_EQ(a->len, n);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ(a->ranges[i].base, want[i].base);
        CHECK_EQ(a->ranges[i].limit, want[i].limit);
        total += want[i].limit - want[i].base;
    }
    CHECK_EQ(a->total_bytes, total);
}
#define EXPECT(a, ...)                                                         \
    expect(a, sizeof((gh_addr_range[]){__VA_ARGS__}) / sizeof(gh_addr_range),  \
           (gh_addr_range[]){__VA_ARGS__})

static void
test_one_range(void)
{
    const gh_addr_range r = {10, 14};
    CHECK_EQ(gh_addr_range_size(r), 4);
    CHECK_EQ(gh_addr_range_size((gh_addr_range){14, 10}), 0);
    CHECK(!gh_addr_range_contains(r, 9));
    CHECK(gh_addr_range_contains(r, 10));
    CHECK(gh_addr_range_contains(r, 13));
    CHECK(!gh_addr_range_contains(r, 14));
}

static void
test_joining(void)
{
    fixture f;
    setup(&f);
    CHECK_EQ(f.a.cap, 16);
    CHECK_EQ(f.stat.bytes, 16 * 16);
    add(&f, 100, 200);
    add(&f, 300, 400);
    EXPECT(&f.a, {100, 200}, {300, 400});
    add(&f, 200, 210);  // the one below grows
    EXPECT(&f.a, {100, 210}, {300, 400});
    add(&f, 290, 300);  // the one above grows
    EXPECT(&f.a, {100, 210}, {290, 400});
    add(&f, 250, 260);  // between them, touching none
    EXPECT(&f.a, {100, 210}, {250, 260}, {290, 400});
    add(&f, 500, 600);
    add(&f, 260, 290);  // three become one
    EXPECT(&f.a, {100, 210}, {250, 400}, {500, 600});
    add(&f, 0, 100);
    add(&f, 600, UINT64_MAX);
    EXPECT(&f.a, {0, 210}, {250, 400}, {500, UINT64_MAX});
    teardown(&f);
}

static void
test_searching(void)
{
    static const struct {
        uint64_t addr;
        size_t succ;
        uint64_t ge;  // 0: none
        bool contains;
    } rows[] = {
        {0, 0, 10, false},  {9, 0, 10, false},  {10, 1, 10, true},
        {19, 1, 19, true},  {20, 1, 30, false}, {29, 1, 30, false},
        {30, 2, 30, true},  {31, 2, 40, false}, {40, 3, 40, true},
        {49, 3, 49, true},  {50, 3, 0, false},  {UINT64_MAX, 3, 0, false},
    };
    fixture f;
    uint64_t ge;
    setup(&f);
    CHECK_EQ(gh_addr_ranges_find_succ(&f.a, 5), 0);
    CHECK(!gh_addr_ranges_contains(&f.a, 5));
    CHECK(!gh_addr_ranges_find_addr_greater_equal(&f.a, 0, &ge));
    add(&f, 10, 20);
    add(&f, 30, 31);
    add(&f, 40, 50);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_EQ(gh_addr_ranges_find_succ(&f.a, rows[i].addr), rows[i].succ);
        CHECK(gh_addr_ranges_contains(&f.a, rows[i].addr)
              == rows[i].contains);
        ge = 0;
        CHECK(gh_addr_ranges_find_addr_greater_equal(&f.a, rows[i].addr, &ge)
              == (rows[i].ge != 0));
        CHECK_EQ(ge, rows[i].ge);
    }
    teardown(&f);
}

static void
test_removing(void)
{
    fixture f;
    setup(&f);
    CHECK_EQ(gh_addr_range_size(gh_addr_ranges_remove_last(&f.a, 1)), 0);
    gh_addr_ranges_remove_greater_equal(&f.a, 0);
    add(&f, 10, 20);
    add(&f, 30, 40);
    gh_addr_range cut = gh_addr_ranges_remove_last(&f.a, 3);
    CHECK(cut.base == 37 && cut.limit == 40);
    EXPECT(&f.a, {10, 20}, {30, 37});
    cut = gh_addr_ranges_remove_last(&f.a, 7);  // all of it, and no empty one
    CHECK(cut.base == 30 && cut.limit == 37);
    EXPECT(&f.a, {10, 20});
    cut = gh_addr_ranges_remove_last(&f.a, 99);  // at most one range
    CHECK(cut.base == 10 && cut.limit == 20);
    CHECK_EQ(f.a.len + f.a.total_bytes, 0);

    add(&f, 10, 20);
    add(&f, 30, 40);
    add(&f, 50, 60);
    gh_addr_ranges_remove_greater_equal(&f.a, 60);
    CHECK_EQ(f.a.total_bytes, 30);
    gh_addr_ranges_remove_greater_equal(&f.a, 35);
    EXPECT(&f.a, {10, 20}, {30, 35});
    gh_addr_ranges_remove_greater_equal(&f.a, 30);
    EXPECT(&f.a, {10, 20});
    gh_addr_ranges_remove_greater_equal(&f.a, 20);
    EXPECT(&f.a, {10, 20});
    gh_addr_ranges_remove_greater_equal(&f.a, 11);
    EXPECT(&f.a, {10, 11});
    gh_addr_ranges_remove_greater_equal(&f.a, 0);
    CHECK_EQ(f.a.len + f.a.total_bytes, 0);
    teardown(&f);
}

// Growth doubles, from either end; a refusal leaves set and figures alone.
static void
test_growth(void)
{
    fixture f;
    setup(&f);
    for (uint64_t i = 0; i < 40; i++) {
        add(&f, 1000 + 10 * i, 1003 + 10 * i);
        add(&f, 900 - 10 * i, 905 - 10 * i);
        CHECK_EQ(f.a.len, 2 * i + 2);
        CHECK_EQ(f.a.ranges[0].base, 900 - 10 * i);
        CHECK_EQ(f.a.ranges[f.a.len - 1].base, 1000 + 10 * i);
    }
    CHECK_EQ(f.a.cap, 128);
    CHECK_EQ(f.stat.bytes, 16 * (16 + 32 + 64 + 128));

    // Fill the chunk of persistentalloc until a growth has to ask the OS.
    f.os.fail_from = f.os.calls;
    f.os.fail_count = UINT64_MAX;
    uint64_t at = 5000;
    gh_addr_ranges before;
    do {
        before = f.a;
        at += 10;
    } while (gh_addr_ranges_add(&f.a, (gh_addr_range){at, at + 1}) == GH_OK);
    CHECK_EQ(f.a.len, f.a.cap);
    CHECK(memcmp(&before, &f.a, sizeof(before)) == 0);
    CHECK(!gh_addr_ranges_contains(&f.a, at));
    CHECK(gh_addr_ranges_check(&f.a));
    // What needs no room still works; later all of it does.
    add(&f, at - 9, at);
    CHECK(gh_addr_ranges_add(&f.a, (gh_addr_range){at + 2, at + 3})
          == GH_ERR_NOMEM);
    f.os.fail_count = 0;
    add(&f, at + 2, at + 3);
    teardown(&f);
}

static void
test_clone(void)
{
    fixture f;
    gh_addr_ranges b;
    setup(&f);
    CHECK(gh_addr_ranges_init(&b, &f.persistent, &f.stat) == GH_OK);
    for (uint64_t i = 0; i < 20; i++) {
        add(&f, 10 * i, 10 * i + 1 + i % 9);
    }
    CHECK(gh_addr_ranges_clone_into(&f.a, &b) == GH_OK);
    CHECK(b.ranges != f.a.ranges);
    expect(&b, f.a.len, f.a.ranges);
    // A smaller set uses the room that is there.
    const uint64_t charged = f.stat.bytes;
    gh_addr_ranges_remove_greater_equal(&f.a, 55);
    CHECK_EQ(b.len, 20);
    CHECK(gh_addr_ranges_clone_into(&f.a, &b) == GH_OK);
    expect(&b, f.a.len, f.a.ranges);
    CHECK_EQ(f.stat.bytes, charged);
    CHECK(gh_addr_ranges_check(&b));
    teardown(&f);
}

static void
test_check_sees(void)
{
    fixture f;
    setup(&f);
    add(&f, 10, 20);
    add(&f, 30, 40);
    f.a.total_bytes++;
    CHECK(!gh_addr_ranges_check(&f.a));
    f.a.total_bytes--;
    f.a.ranges[0] = (gh_addr_range){25, 35};  // the same size, overlapping
    CHECK(!gh_addr_ranges_check(&f.a));
    f.a.ranges[0] = (gh_addr_range){10, 20};
    teardown(&f);
}

// The answers for every address, after each of many changes.
static void
test_against_model(void)
{
    enum { SPACE = 300 };
    bool in[SPACE + 1] = {false};
    fixture f;
    uint64_t state = 7;
    setup(&f);
    for (int step = 0; step < 3000; step++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        unsigned at = (unsigned)(state >> 33) % SPACE;
        const unsigned n = 1 + (unsigned)(state >> 20) % 8;
        if (state >> 60 < 14) {
            while (at < SPACE && in[at]) {
                at++;
            }
            unsigned end = at;
            while (end < SPACE && end < at + n && !in[end]) {
                in[end++] = true;
            }
            if (end > at) {
                add(&f, at, end);
            }
        } else if (state >> 60 == 14) {
            const gh_addr_range cut = gh_addr_ranges_remove_last(&f.a, n);
            CHECK(gh_addr_range_size(cut) <= n);
            unsigned i = SPACE;
            while (i > 0 && !in[i - 1]) {
                i--;
            }
            CHECK(gh_addr_range_size(cut) == 0 || cut.limit == i);
            for (uint64_t k = cut.base; k < cut.limit; k++) {
                CHECK(in[k]);
                in[k] = false;
            }
        } else {
            at = at < SPACE / 2 ? at + SPACE / 2 : at;
            gh_addr_ranges_remove_greater_equal(&f.a, at);
            memset(in + at, 0, (SPACE - at) * sizeof(in[0]));
        }
        uint64_t total = 0, ge = 0;
        size_t runs = 0;
        for (unsigned i = SPACE; i-- > 0;) {
            total += in[i];
            runs += in[i] && !in[i + 1];
            ge = in[i] ? i : ge;
            uint64_t got = 0;
            CHECK(gh_addr_ranges_contains(&f.a, i) == in[i]);
            CHECK(gh_addr_ranges_find_addr_greater_equal(&f.a, i, &got)
                  == (total > 0));
            CHECK_EQ(got, total > 0 ? ge : 0);
        }
        CHECK_EQ(f.a.total_bytes, total);
        CHECK_EQ(f.a.len, runs);  // all that touch are joined
    }
    teardown(&f);
}

int
main(void)
{
    test_one_range();
    test_joining();
    test_searching();
    test_removing();
    test_growth();
    test_clone();
    test_check_sees();
    test_against_model();
    return 0;
}
