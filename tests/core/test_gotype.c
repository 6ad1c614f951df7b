// test_gotype.c: types and their table: masks, rows of elements, refusals.

#include <string.h>

#include "check.h"
#include "gotype.h"

typedef struct fixture {
    gh_mem_fault fault;
    gh_mem mem;
    gh_sysstat stat;
    gh_persistent persistent;
    gh_types types;
} fixture;

static void
setup(fixture *f)
{
    *f = (fixture){0};
    gh_mem_init(&f->mem, gh_mem_fault_ops(), &f->fault);
    gh_persistent_init(&f->persistent, &f->mem, &f->stat);
}

static void
teardown(fixture *f)
{
    gh_persistent_fini(&f->persistent);
    CHECK_EQ(f->fault.bytes, 0);
}

static gh_status
make(fixture *f, const gh_type_desc *d, const gh_type **out)
{
    return gh_gotype_new(&f->types, &f->persistent, &f->stat, d, out);
}

// What a client passes in is copied; what it gets back says the same.
static void
test_copy(void)
{
    fixture f;
    setup(&f);
    char name[] = "pair";
    uint64_t mask[1] = {5};
    gh_type_desc d = {.name = name, .size = 24, .align = 8, .ptrdata = 24,
                      .mask = mask, .user = 77};
    const gh_type *t;
    CHECK(make(&f, &d, &t) == GH_OK);
    name[0] = 'X';
    mask[0] = 0;
    CHECK_EQ(gh_type_id(t), 2);
    CHECK(f.types.table[2] == t);
    gh_type_desc got;
    gh_type_get(t, &got);
    CHECK(strcmp(got.name, "pair") == 0);
    CHECK_EQ(got.size, 24);
    CHECK_EQ(got.align, 8);
    CHECK_EQ(got.ptrdata, 24);
    CHECK_EQ(got.mask[0], 5);
    CHECK_EQ(got.user, 77);
    CHECK(!gh_type_noscan(t));

    d = (gh_type_desc){.size = 13, .align = 1};
    CHECK(make(&f, &d, &t) == GH_OK);
    gh_type_get(t, &got);
    CHECK(strcmp(got.name, "") == 0);
    CHECK(got.mask == NULL);
    CHECK(gh_type_noscan(t));
    CHECK_EQ(gh_type_id(t), 3);
    d = (gh_type_desc){.size = 0, .align = 8};
    CHECK(make(&f, &d, &t) == GH_OK);
    CHECK(!gh_type_word_is_pointer(t, 0));
    teardown(&f);
}

// Word w of a row of elements, also where the mask has several words and where
// ptrdata ends before the element does.
static void
test_rows(void)
{
    fixture f;
    setup(&f);
    const uint64_t pip[1] = {5}, wide[2] = {1u | (uint64_t)1 << 63, 0x21};
    gh_type_desc d = {.size = 24, .align = 8, .ptrdata = 24, .mask = pip};
    const gh_type *t;
    CHECK(make(&f, &d, &t) == GH_OK);
    for (uint64_t w = 0; w < 300; w++) {
        CHECK_EQ(gh_type_word_is_pointer(t, w), w % 3 != 1);
    }
    d = (gh_type_desc){.size = 80 * 8, .align = 8, .ptrdata = 70 * 8,
                       .mask = wide};
    CHECK(make(&f, &d, &t) == GH_OK);
    for (uint64_t w = 0; w < 240; w++) {
        const uint64_t i = w % 80;
        CHECK_EQ(gh_type_word_is_pointer(t, w),
                 i == 0 || i == 63 || i == 64 || i == 69);
    }
    CHECK_EQ(t->mask0, wide[0]);
    teardown(&f);
}

static void
test_errors(void)
{
    fixture f;
    setup(&f);
    const uint64_t one[1] = {1}, two[1] = {2}, three[1] = {3}, zero[1] = {0};
    const uint64_t beyond[2] = {1, 2};
    const gh_type_desc bad[] = {
        {.size = 8, .align = 0},
        {.size = 8, .align = 3},
        {.size = 8, .align = 16},
        {.size = GH_MAX_ALLOC, .align = 8},
        {.size = 8, .align = 8, .ptrdata = 16, .mask = two},
        {.size = 16, .align = 8, .ptrdata = 4, .mask = one},
        {.size = 20, .align = 8, .ptrdata = 8, .mask = one},
        {.size = 8, .align = 8, .ptrdata = 8, .mask = NULL},
        {.size = 8, .align = 8, .ptrdata = 8, .mask = zero},
        {.size = 16, .align = 8, .ptrdata = 8, .mask = three},
        {.size = 16, .align = 8, .ptrdata = 16, .mask = one},
        {.size = 1024, .align = 8, .ptrdata = 65 * 8, .mask = beyond},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const gh_type *t = NULL;
        CHECK(make(&f, &bad[i], &t) == GH_ERR_INVAL);
        CHECK(t == NULL);
    }
    CHECK_EQ(f.types.len, 0);
    CHECK_EQ(f.mem.mapped_ready, 0);
    teardown(&f);
}

// The table moves when it grows; types don't. A refusal by the OS enters none.
static void
test_table(void)
{
    enum { N = 3000 };
    static const gh_type *all[N];
    const uint64_t mask[1] = {1};
    for (uint64_t fail = 0;; fail++) {
        fixture f;
        setup(&f);
        f.fault.fail_from = fail;
        f.fault.fail_count = 1;
        for (uint32_t i = 0; i < N; i++) {
            const gh_type_desc d = {.size = 8 + i * 8, .align = 8,
                                    .ptrdata = 8, .mask = mask};
            const uint32_t len = f.types.len;
            gh_status st = make(&f, &d, &all[i]);
            if (st != GH_OK) {
                CHECK(st == GH_ERR_NOMEM);
                CHECK(f.types.len == len || (len == 0 && f.types.len == 2));
                CHECK(make(&f, &d, &all[i]) == GH_OK);
            }
            CHECK_EQ(all[i]->id, i + 2);
        }
        for (uint32_t i = 0; i < N; i++) {
            CHECK(f.types.table[i + 2] == all[i]);
            CHECK_EQ(all[i]->size, 8 + i * 8);
        }
        const bool failed = f.fault.failed != 0;
        teardown(&f);
        if (!failed) {
            CHECK(fail >= 2);
            break;
        }
    }
}

int
main(void)
{
    test_copy();
    test_rows();
    test_errors();
    test_table();
    return 0;
}
