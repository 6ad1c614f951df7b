// test_mbitmap.c: alloc bits, mark bits, pointer bits. [alloc:...] are vectors
// of Go 1.26.8's behaviour, see csrc/design/vectors.md.

#include "check.h"
#include "heap.h"
#include "malloc.h"
#include "mbitmap.h"
#include "mgcmark.h"

static void
print_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t
low(unsigned n)
{
    return n == 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
}

// Masks of 1..64 words written at any place, against one byte a bit.
static void
test_ptr_bits(void)
{
    enum { WORDS = 640 };
    static uint64_t area[WORDS / 64 + 1];
    static uint8_t want[WORDS + 64];
    const uintptr_t window = 0x10000;
    gh_bitmaps b = {.ptr_bits = area, .window = window};
    uint64_t rnd = 1;
    for (unsigned step = 0; step < 200000; step++) {
        const unsigned n = 1 + (unsigned)(next_random(&rnd) % 64);
        const unsigned at = (unsigned)(next_random(&rnd) % (WORDS - 64));
        const uintptr_t p = window + at * GH_PTR_SIZE;
        if (step % 2 == 0) {
            const uint64_t mask = next_random(&rnd) & low(n);
            gh_ptr_bits_set(&b, p, n, mask);
            for (unsigned i = 0; i < n; i++) {
                want[at + i] = mask >> i & 1;
            }
        }
        const uint64_t got = gh_ptr_bits_get(&b, p, n);
        for (unsigned i = 0; i < 64; i++) {
            CHECK_EQ(got >> i & 1, i < n ? want[at + i] : 0);
        }
    }
}

// [alloc:67] The mask of one object, and of rows of elements.
static void
test_masks(void)
{
    const struct {
        gh_type t;
        uint64_t bytes, mask;
    } rows[] = {
        {{.size = 24, .ptrdata = 24, .mask0 = 5}, 24, 5},
        {{.size = 24, .ptrdata = 24, .mask0 = 5}, 72, 0x16d},
        {{.size = 24, .ptrdata = 8, .mask0 = 1}, 72, 0x49},
        {{.size = 8, .ptrdata = 8, .mask0 = 1}, 24, 7},
        {{.size = 8, .ptrdata = 8, .mask0 = 1}, 512, ~(uint64_t)0},
        {{.size = 512, .ptrdata = 512, .mask0 = (uint64_t)1 << 63}, 512,
         (uint64_t)1 << 63},
        {{.size = 256, .ptrdata = 8, .mask0 = 1}, 512, 1 + ((uint64_t)1 << 32)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_EQ(gh_heap_bits_small(&rows[i].t, rows[i].bytes), rows[i].mask);
    }
}

// The next free slot is the lowest at or after free_index, by the fast way and
// by the slow one, and [alloc:57]: behind a group of 64 the next one is loaded.
static void
test_next_free(void)
{
    uint64_t rnd = 7;
    for (unsigned round = 0; round < 3000; round++) {
        uint64_t bits[2][GH_BITS_MAX_WORDS] = {{0}};
        const unsigned n = 1 + (unsigned)(next_random(&rnd) % 1024);
        const unsigned dense = (unsigned)(next_random(&rnd) % 5);
        gh_bitmaps b = {.area = {bits[0], bits[1]}};
        gh_mspan s = {.elemsize = 8, .nelems = (uint16_t)n,
                      .nbits_words = (uint16_t)((n + 63) / 64)};
        for (unsigned i = 0; i < n; i++) {
            if (next_random(&rnd) % 4 < dense) {
                bits[0][i / 64] |= (uint64_t)1 << (i % 64);
            }
        }
        gh_mspan_refill_alloc_cache(&b, &s, 0);
        unsigned from = 0;
        for (;;) {
            unsigned want = from;
            while (want < n && (bits[0][want / 64] >> (want % 64) & 1) != 0) {
                want++;
            }
            unsigned got;
            s.base = 1;  // so that slot 0 is not address 0
            if (gh_next_free_fast(&s, &got) == 0) {
                got = gh_mspan_next_free_index(&b, &s);
            }
            CHECK_EQ(got, want);
            if (want == n) {
                CHECK_EQ(s.free_index, n);
                CHECK_EQ(gh_mspan_next_free_index(&b, &s), n);
                break;
            }
            from = want + 1;
            CHECK_EQ(s.free_index, from);
            if (from % 64 == 0 && from != n) {
                CHECK_EQ(s.alloc_cache, ~bits[0][from / 64]);
            }
        }
    }
}

// Runs of bit words: new ones are zero, freed ones are used again, and a
// refusal by the OS changes nothing.
static void
test_runs(void)
{
    gh_mem_fault fault = {0};
    gh_mem mem;
    gh_sysstat stat = {0};
    gh_mem_init(&mem, gh_mem_fault_ops(), &fault);
    gh_bitmaps b;
    const size_t window = (size_t)4 << 26;
    CHECK(gh_bitmaps_reserve(&b, &mem, 0x10000, window, true, &stat) == GH_OK);
    uint32_t w, first;
    for (uint64_t fail = 0; fail < 3; fail++) {
        fault.fail_from = fault.calls + fail;
        fault.fail_count = 1;
        CHECK(gh_bitmaps_alloc(&b, &mem, 1, &w) == GH_ERR_NOMEM);
        CHECK_EQ(b.mapped, 0);
        CHECK_EQ(b.used, 0);
        CHECK_EQ(stat.bytes, 0);
        CHECK_EQ(mem.mapped_ready, 0);
    }
    fault.fail_count = 0;
    CHECK(gh_bitmaps_alloc(&b, &mem, 65, &first) == GH_OK);
    CHECK_EQ(stat.bytes, mem.mapped_ready);
    CHECK(gh_bitmaps_alloc(&b, &mem, 1, &w) == GH_OK);
    CHECK_EQ(w, first + 2);
    CHECK_EQ(b.used, 3);
    b.area[0][first] = b.area[0][first + 1] = ~(uint64_t)0;
    b.area[1][first] = b.area[1][first + 1] = ~(uint64_t)0;
    gh_bitmaps_free(&b, first, 2);
    CHECK_EQ(b.used, 1);
    // Another length takes other words; the same length takes these.
    CHECK(gh_bitmaps_alloc(&b, &mem, 64, &w) == GH_OK);
    CHECK_EQ(w, first + 3);
    CHECK(gh_bitmaps_alloc(&b, &mem, 128, &w) == GH_OK);
    CHECK_EQ(w, first);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(b.area[0][w + i], 0);
        CHECK_EQ(b.area[1][w + i], 0);
    }
    // The area ends where the window's bits end.
    uint64_t n = 0;
    gh_status st;
    while ((st = gh_bitmaps_alloc(&b, &mem, 1024, &w)) == GH_OK) {
        b.area[1][w + 15] = 1;
        n++;
    }
    CHECK(st == GH_ERR_NOMEM);
    CHECK_EQ(b.used, 4 + n * 16);
    CHECK(w + 16 <= window / 8 / 64);
    gh_bitmaps_release(&b, &mem, window);
    CHECK_EQ(fault.bytes, 0);
}

// A page of records goes back if every word of it is free, and only then; the
// books and the free lists stay, also where the OS refuses.
static void
test_trim(void)
{
    enum { WORDS = 40, PAGE_WORDS = 8 };
    gh_mem_fault fault = {0};
    gh_mem mem;
    gh_sysstat stat = {0};
    gh_mem_init(&mem, gh_mem_fault_ops(), &fault);
    gh_bitmaps b;
    const size_t window = (size_t)4 << 26;
    CHECK(gh_bitmaps_reserve(&b, &mem, 0x10000, window, true, &stat) == GH_OK);
    for (uint32_t i = 0, w; i < WORDS; i += 2) {
        CHECK(gh_bitmaps_alloc(&b, &mem, 128, &w) == GH_OK);
        CHECK_EQ(w, i);
    }
    memset(b.meta, 0x5a, WORDS * 64 * sizeof(gh_objmeta));
    // Words 10 and 34, 35 stay.
    for (uint32_t i = 0; i < WORDS; i += 2) {
        if (i != 10 && i != 34) {
            gh_bitmaps_free(&b, i, 2);
        }
    }
    const uint64_t ready = mem.mapped_ready, bytes = stat.bytes;
    for (uint64_t fail = 0; fail < 4; fail++) {
        fault.fail_from = fault.calls + fail;  // reserve, map, two runs
        fault.fail_count = 4;
        gh_bitmaps_trim(&b, &mem);
        CHECK_EQ(mem.mapped_ready, ready);
        CHECK_EQ(stat.bytes, bytes);
        CHECK_EQ(b.meta[0].type, fail < 3 ? 0x5a5a5a5au : 0);
    }
    fault.fail_count = 0;
    gh_bitmaps_trim(&b, &mem);
    CHECK_EQ(mem.mapped_ready, ready);
    CHECK_EQ(stat.bytes, bytes);
    for (uint32_t w = 0; w < WORDS; w++) {
        const bool kept = w / PAGE_WORDS == 1 || w / PAGE_WORDS == 4;
        CHECK_EQ(b.meta[w * 64 + 63].type, kept ? 0x5a5a5a5au : 0);
    }
    uint32_t w;
    CHECK(gh_bitmaps_alloc(&b, &mem, 128, &w) == GH_OK);
    CHECK_EQ(w, 38);  // the last that was freed
    gh_bitmaps_release(&b, &mem, window);
    CHECK_EQ(fault.bytes, 0);
}

static gh_heap *
new_heap(gh_mut **m)
{
    gh_options o;
    gh_options_init(&o);
    o.gogc = -1;
    gh_heap *h;
    CHECK(gh_heap_new(&o, &h) == GH_OK);
    CHECK(gh_enter(h, GH_ANY_P, m) == GH_OK);
    return h;
}

static void
end(gh_heap *h, gh_mut *m)
{
    CHECK_EQ(gh_verify(m, print_line, NULL), 0);
    gh_leave(m);
    gh_heap_free(h);
}

static const gh_type *
new_type(gh_mut *m, uint64_t size, uint64_t ptrdata, const uint64_t *mask)
{
    const gh_type_desc d = {.size = size, .align = 8, .ptrdata = ptrdata,
                            .mask = mask};
    const gh_type *t;
    CHECK(gh_type_new(m, &d, &t) == GH_OK);
    return t;
}

// A cycle exchanges the two areas: what was marked is what is allocated, and
// the new mark bits are clear.
static void
test_exchange(void)
{
    gh_mut *m;
    gh_heap *h = new_heap(&m);
    gh_slots *b;
    enum { N = 126 };
    CHECK(gh_slots_new(h, N, &b) == GH_OK);
    for (unsigned i = 0; i < N; i++) {
        CHECK(gh_alloc(m, gh_slots_at(b, i), 64) == GH_OK);
    }
    const gh_mspan *s = gh_span_of(h, gh_slots_at(b, 0)->word);
    CHECK_EQ(s->nelems, N);  // [alloc:28]
    const unsigned area = s->alloc_area;
    uint64_t rnd = 3;
    for (unsigned round = 1; round < 6; round++) {
        for (unsigned i = 1; i < N; i++) {
            if (next_random(&rnd) % 4 == 0) {
                gh_clear(m, gh_slots_at(b, i));
            }
        }
        CHECK(gh_gc(m) == GH_OK);
        CHECK_EQ(s->alloc_area, area ^ (round & 1));
        CHECK_EQ(h->bm.mark_area, s->alloc_area ^ 1);
        const uint64_t *alloc = gh_mspan_alloc_bits(&h->bm, s);
        const uint64_t *mark = gh_mspan_mark_bits(&h->bm, s);
        unsigned live = 0;
        for (unsigned i = 0; i < N; i++) {
            const bool held = gh_slots_at(b, i)->word != 0;
            CHECK_EQ(alloc[i / 64] >> (i % 64) & 1, held);
            live += held;
        }
        CHECK_EQ(s->alloc_count, live);
        CHECK_EQ(mark[0] | mark[1], 0);
        CHECK_EQ(alloc[1] >> (N - 64), 0);
    }
    gh_slots_free(b);
    end(h, m);
}

// Pointer words of a slot, by path: in the span's bits, behind a header, large.
static void
test_slot_masks(void)
{
    gh_mut *m;
    gh_heap *h = new_heap(&m);
    gh_slots *b;
    CHECK(gh_slots_new(h, 4, &b) == GH_OK);
    gh_slot *x = gh_slots_at(b, 0);
    const uint64_t pip[1] = {5}, p[1] = {1};
    const gh_type *t = new_type(m, 24, 24, pip);
    const gh_type *u = new_type(m, 16, 8, p);
    unsigned i;

    // Six words in a slot of 80 bytes; slot 9 lies over words 90..99, so its
    // bits fall in two words of the bitmap.
    const gh_mspan *s = NULL;
    for (unsigned k = 0; k < 10; k++) {
        CHECK(gh_new(m, x, t, 3) == GH_OK);
        s = gh_find_object(h, x->word, &i);
        CHECK_EQ(s->elemsize, 80);
        CHECK_EQ(i, k);
        CHECK_EQ(gh_slot_ptr_mask(h, s, i, 0), 0x16d);
        CHECK_EQ(gh_slot_ptr_mask(h, s, i, 4), 0x16);
        CHECK_EQ(gh_slot_ptr_mask(h, s, i, 10), 0);
        CHECK(gh_is_pointer_word(h, x, 8));
        CHECK(!gh_is_pointer_word(h, x, 9));
        CHECK(!gh_is_pointer_word(h, x, 10));
    }
    // What a slot held before does not show: fewer pointers in the same slot.
    const uintptr_t at = x->word;
    gh_clear(m, x);
    CHECK(gh_gc(m) == GH_OK);
    CHECK(gh_new(m, x, u, 5) == GH_OK);
    while (x->word != at) {
        CHECK(gh_new(m, x, u, 5) == GH_OK);
    }
    s = gh_find_object(h, at, &i);
    CHECK_EQ(gh_slot_ptr_mask(h, s, i, 0), 0x155);

    // [alloc:31] One word each, all of them pointers.
    const gh_type *one = new_type(m, 8, 8, p);
    CHECK(gh_new(m, x, one, 1) == GH_OK);
    s = gh_find_object(h, x->word, &i);
    CHECK_EQ(s->nelems, 1008);
    CHECK_EQ(gh_slot_ptr_mask(h, s, i, 0), 1);

    // [alloc:13] 520 bytes: word 0 of the slot is the header, no pointer.
    CHECK(gh_new(m, x, u, 35) == GH_OK);
    s = gh_find_object(h, x->word, &i);
    CHECK_EQ(s->elemsize, 576);
    CHECK_EQ(x->word - gh_mspan_obj_base(s, i), 8);
    CHECK_EQ(gh_slot_ptr_mask(h, s, i, 0), 0xaaaaaaaaaaaaaaaau);
    CHECK_EQ(gh_slot_ptr_mask(h, s, i, 64), 0xaa);
    CHECK(gh_is_pointer_word(h, x, 68));
    CHECK(!gh_is_pointer_word(h, x, 69));

    // A large object: its type, from the span.
    CHECK(gh_new(m, x, u, 2500) == GH_OK);
    s = gh_find_object(h, x->word + 39999, &i);
    CHECK_EQ(i, 0);
    CHECK_EQ(s->div_mul, 0);
    CHECK_EQ(gh_slot_ptr_mask(h, s, 0, 4998), 0x5555555555555555u);
    CHECK(gh_find_object(h, x->word + 40000, &i) == NULL);
    CHECK(gh_alloc(m, x, 576) == GH_OK);
    s = gh_find_object(h, x->word, &i);
    CHECK_EQ(gh_slot_ptr_mask(h, s, i, 0), 0);
    gh_slots_free(b);
    end(h, m);
}

// A page knows the mask of its objects while they have the same, and an object that
// is alone gives it its own; the bits of each are right whatever the page knows.
static void
test_page_mask(uint64_t size)
{
    gh_mut *m;
    gh_heap *h = new_heap(&m);
    enum { N = 40, PAGES = 64 };
    gh_slots *b;
    CHECK(gh_slots_new(h, N, &b) == GH_OK);
    const gh_type *t[2];
    for (unsigned k = 0; k < 2; k++) {
        t[k] = new_type(m, size, 8 + 8 * k, (const uint64_t[]){1 + k});
    }
    uint64_t rnd = size, model[PAGES] = {0};
    for (unsigned i = 0; i < 3000; i++) {
        const uint64_t r = next_random(&rnd);
        // Long runs of one type, then of the other, then of both.
        const unsigned kind = i / 500 % 3 == 2 ? (unsigned)(r >> 8 & 1)
                                               : i / 500 % 3;
        gh_slot *x = gh_slots_at(b, r % N);
        CHECK(gh_new(m, x, t[kind], 1) == GH_OK);
        unsigned at = 0;
        const gh_mspan *s = gh_find_object(h, x->word, &at);
        const uintptr_t page = (x->word - h->base) >> GH_PAGE_SHIFT;
        CHECK(page < PAGES);
        if (s->alloc_count == 1) {
            model[page] = 1 + kind;
        } else if (model[page] != 1 + kind) {
            model[page] = 0;
        }
        CHECK_EQ(*gh_page_mask_at(&h->bm, x->word), model[page]);
        CHECK_EQ(gh_slot_ptr_mask(h, s, at, 0), 1 + kind);
        CHECK_EQ(gh_obj_ptr_bits(&h->bm, x->word, size), 1 + kind);
        if (r >> 16 & 1) {
            gh_clear(m, gh_slots_at(b, r >> 20 & 31));
        }
        if (r >> 32 & 31 || i % 500 < 20) {
            continue;
        }
        if (r >> 40 & 1) {
            for (unsigned k = 0; k < N; k++) {
                gh_clear(m, gh_slots_at(b, k));  // pages become another's
            }
        }
        CHECK(gh_gc(m) == GH_OK);
        CHECK_EQ(gh_verify(m, print_line, NULL), 0);
    }
    gh_slot *x = gh_slots_at(b, 0);
    CHECK(gh_new(m, x, t[0], 1) == GH_OK);
    *gh_page_mask_at(&h->bm, x->word) = 4;
    CHECK(gh_verify(m, NULL, NULL) > 0);
    *gh_page_mask_at(&h->bm, x->word) = 0;
    gh_slots_free(b);
    end(h, m);
}

int
main(void)
{
    test_ptr_bits();
    for (uint64_t size = 16; size <= 512; size *= 2) {
        test_page_mask(size);
        test_page_mask(size == 16 ? 480 : size / 2 + size / 4);
    }
    test_masks();
    test_next_free();
    test_runs();
    test_trim();
    test_exchange();
    test_slot_masks();
    return 0;
}
