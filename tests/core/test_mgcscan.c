// test_mgcscan.c: the kernels of Green Tea, held against their definition word
// by word and against each other.

#include <string.h>

#include "check.h"
#include "mgcscan.h"
#include "msize.h"

#define GUARD ((uintptr_t)0xdeadbeefdeadbeef)

static uint64_t
random_next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

// Every third is sparse, dense, or half and half; now and then all or none.
static uint64_t
random_word(uint64_t *x)
{
    const uint64_t r = random_next(x);
    switch (random_next(x) % 16) {
    case 0:
        return 0;
    case 1:
        return ~(uint64_t)0;
    case 2:
        return ~(uint64_t)0 << (r % 64);
    default:
        break;
    }
    switch (random_next(x) % 3) {
    case 0:
        return r & random_next(x) & random_next(x);
    case 1:
        return r | random_next(x) | random_next(x);
    default:
        return r;
    }
}

static gh_page_mask
random_mask(uint64_t *x)
{
    gh_page_mask m;
    for (unsigned i = 0; i < GH_PAGE_MASK_WORDS; i++) {
        m.w[i] = random_word(x);
    }
    return m;
}

static bool
get(const gh_page_mask *m, unsigned i)
{
    return (m->w[i / 64] >> (i % 64) & 1) != 0;
}

// Both kinds; the second is missing on a CPU without AVX-512.
static unsigned
all_kernels(const gh_scan_kernels *k[2])
{
    k[0] = gh_scan_kernels_portable();
    k[1] = gh_scan_kernels_avx512();
    return k[1] == NULL ? 1 : 2;
}

static void
check_expand(const gh_scan_kernels *k, unsigned obj_words,
             const gh_page_mask *objects)
{
    gh_page_mask words;
    memset(&words, 0x5a, sizeof(words));
    k->expand(obj_words, objects, &words);
    for (unsigned i = 0; i < GH_PAGE_WORDS; i++) {
        CHECK(get(&words, i) == get(objects, i / obj_words));
    }
    gh_page_mask same = *objects;
    k->expand(obj_words, &same, &same);
    CHECK(memcmp(&same, &words, sizeof(same)) == 0);
}

static void
check_scan(const gh_scan_kernels *k, const uintptr_t *page, unsigned obj_words,
           const gh_page_mask *objects, const gh_page_mask *pointers)
{
    static uintptr_t buf[GH_PAGE_WORDS + 8];
    for (unsigned i = 0; i < 8; i++) {
        buf[GH_PAGE_WORDS + i] = GUARD;
    }
    const unsigned n = k->scan_span(page, obj_words, objects, pointers, buf);
    unsigned want = 0;
    for (unsigned i = 0; i < GH_PAGE_WORDS; i++) {
        if (get(objects, i / obj_words) && get(pointers, i) && page[i] != 0) {
            CHECK(want < n);
            CHECK_EQ(buf[want], page[i]);
            want++;
        }
    }
    CHECK_EQ(n, want);
    for (unsigned i = 0; i < 8; i++) {
        CHECK_EQ(buf[GH_PAGE_WORDS + i], GUARD);
    }
}

// Objects of every number of words, so also of every size class that has
// pointer bits of its own.
static void
test_random_pages(void)
{
    static _Alignas(64) uintptr_t page[GH_PAGE_WORDS];
    const gh_scan_kernels *k[2];
    const unsigned kinds = all_kernels(k);
    uint64_t x = 88172645463325252u;
    for (unsigned obj_words = 1; obj_words <= GH_SCAN_MAX_OBJ_WORDS;
         obj_words++) {
        for (int round = 0; round < 150; round++) {
            const gh_page_mask objects = random_mask(&x);
            const gh_page_mask pointers = random_mask(&x);
            const gh_page_mask nil = random_mask(&x);
            for (unsigned i = 0; i < GH_PAGE_WORDS; i++) {
                page[i] = get(&nil, i) ? 0 : (uintptr_t)random_next(&x);
            }
            for (unsigned i = 0; i < kinds; i++) {
                check_expand(k[i], obj_words, &objects);
                check_scan(k[i], page, obj_words, &objects, &pointers);
            }
        }
    }
}

// Spans as the collector has them: as many objects as a span of the class
// holds, alone and all together, every word a pointer.
static void
test_every_class(void)
{
    static _Alignas(64) uintptr_t page[GH_PAGE_WORDS];
    for (unsigned i = 0; i < GH_PAGE_WORDS; i++) {
        page[i] = i + 1;
    }
    gh_page_mask all;
    memset(&all, 0xff, sizeof(all));
    const gh_scan_kernels *k[2];
    const unsigned kinds = all_kernels(k);
    unsigned classes = 0;
    for (unsigned c = 1; gh_heap_bits_in_span(gh_class_to_size[c]); c++) {
        CHECK_EQ(gh_class_to_alloc_npages[c], 1);
        const unsigned obj_words = gh_class_to_size[c] / GH_PTR_SIZE;
        const unsigned nelems = gh_class_nelems(gh_make_spanclass(c, false));
        for (unsigned i = 0; i < kinds; i++) {
            gh_page_mask full = {{0}};
            for (unsigned obj = 0; obj < nelems; obj++) {
                gh_page_mask one = {{0}};
                one.w[obj / 64] = (uint64_t)1 << (obj % 64);
                full.w[obj / 64] |= one.w[obj / 64];
                check_expand(k[i], obj_words, &one);
                check_scan(k[i], page, obj_words, &one, &all);
            }
            check_expand(k[i], obj_words, &full);
            check_scan(k[i], page, obj_words, &full, &all);
            check_scan(k[i], page, obj_words, &all, &all);
        }
        classes++;
    }
    CHECK_EQ(classes, 26);
}

static void
check_filter(const gh_scan_kernels *k, const uintptr_t *in, size_t n)
{
    uintptr_t buf[140];
    CHECK(n + 8 <= sizeof(buf) / sizeof(buf[0]));
    memcpy(buf, in, n * sizeof(in[0]));
    for (unsigned i = 0; i < 8; i++) {
        buf[n + i] = GUARD;
    }
    const size_t got = k->filter_nil(buf, n);
    size_t want = 0;
    for (size_t i = 0; i < n; i++) {
        if (in[i] != 0) {
            CHECK(want < got);
            CHECK_EQ(buf[want], in[i]);
            want++;
        }
    }
    CHECK_EQ(got, want);
    for (unsigned i = 0; i < 8; i++) {
        CHECK_EQ(buf[n + i], GUARD);
    }
}

static void
test_filter(void)
{
    const gh_scan_kernels *k[2];
    const unsigned kinds = all_kernels(k);
    uint64_t x = 1181783497276652981u;
    for (size_t n = 0; n <= 130; n++) {
        for (int round = 0; round < 60; round++) {
            uintptr_t in[130];
            const uint64_t nil = random_word(&x);
            for (size_t i = 0; i < n; i++) {
                // Words whose low or high half alone is zero are not nil.
                static const uint64_t parts[] = {
                    ~(uint64_t)0, 0xffffffff, ~(uint64_t)0xffffffff, 1,
                };
                const uint64_t v = random_next(&x) | 1u | (uint64_t)1 << 63;
                in[i] = (nil >> (i % 64) & 1) != 0
                            ? 0
                            : (uintptr_t)(v & parts[random_next(&x) % 4]);
            }
            for (unsigned i = 0; i < kinds; i++) {
                check_filter(k[i], in, n);
            }
        }
    }
    for (unsigned i = 0; i < kinds; i++) {
        CHECK_EQ(k[i]->filter_nil(NULL, 0), 0);
    }
}

static void
test_choice(void)
{
    const gh_scan_kernels *best = gh_scan_kernels_best();
    CHECK(best == gh_scan_kernels_avx512()
          || best == gh_scan_kernels_portable());
    CHECK(gh_scan_kernels_avx512() == NULL
          || best == gh_scan_kernels_avx512());
}

int
main(void)
{
    test_random_pages();
    test_every_class();
    test_filter();
    test_choice();
    return 0;
}
