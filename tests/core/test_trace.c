// test_trace.c: the encodings of GHTRACE1 columns, and that a reader never
// leaves its bytes.

#include <string.h>

#include "check.h"
#include "trace.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

// start makes a column that has been fed all of data, and no more to come.
static gh_column
start(gh_enc enc, const void *data, size_t n)
{
    gh_column c;
    gh_column_init(&c, enc);
    CHECK(gh_column_feed(&c, data, n, true) == GH_OK);
    return c;
}

static void
test_names(void)
{
    gh_enc enc;
    CHECK(gh_enc_by_name("u8", &enc) && enc == GH_ENC_U8);
    CHECK(gh_enc_by_name("uvarint", &enc) && enc == GH_ENC_UVARINT);
    CHECK(gh_enc_by_name("delta-svarint", &enc) && enc == GH_ENC_DELTA);
    CHECK(!gh_enc_by_name("svarint", &enc));
    CHECK(!gh_enc_by_name("", &enc));
}

static void
test_u8(void)
{
    static const uint8_t data[] = {0, 1, 0x7f, 0x80, 0xff};
    gh_column c = start(GH_ENC_U8, data, sizeof(data));
    for (size_t i = 0; i < sizeof(data); i++) {
        CHECK_EQ(gh_column_offset(&c), i);
        CHECK_EQ(gh_column_u8(&c), data[i]);
        CHECK(!gh_column_overrun(&c));
    }
    CHECK_EQ(gh_column_u8(&c), 0);
    CHECK(gh_column_overrun(&c));
    gh_column_fini(&c);
}

static const struct {
    uint64_t value;
    uint8_t size;
    uint8_t bytes[GH_VARINT_MAX];
} leb128[] = {
    {0, 1, {0x00}},
    {1, 1, {0x01}},
    {127, 1, {0x7f}},
    {128, 2, {0x80, 0x01}},
    {300, 2, {0xac, 0x02}},
    {16383, 2, {0xff, 0x7f}},
    {16384, 3, {0x80, 0x80, 0x01}},
    {624485, 3, {0xe5, 0x8e, 0x26}},
    {UINT32_MAX, 5, {0xff, 0xff, 0xff, 0xff, 0x0f}},
    {INT64_MAX, 9, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}},
    {(uint64_t)1 << 63, 10,
     {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}},
    {UINT64_MAX, 10,
     {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}},
    // Longer than needed, and yet a number.
    {5, 3, {0x85, 0x80, 0x00}},
    {0, 10, {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00}},
};

static void
test_uvarint(void)
{
    for (size_t i = 0; i < COUNT(leb128); i++) {
        const size_t n = leb128[i].size;
        gh_column c = start(GH_ENC_UVARINT, leb128[i].bytes, n);
        uint64_t v = 99;
        CHECK(gh_column_uvarint(&c, &v));
        CHECK_EQ(v, leb128[i].value);
        CHECK_EQ(gh_column_offset(&c), n);
        CHECK(!gh_column_overrun(&c));
        gh_column_fini(&c);
        // Any byte fewer, and it reads past the end.
        for (size_t cut = 0; cut < n; cut++) {
            c = start(GH_ENC_UVARINT, leb128[i].bytes, cut);
            CHECK(gh_column_uvarint(&c, &v));
            CHECK(gh_column_overrun(&c));
            CHECK(c.p <= c.end + GH_VARINT_MAX);
            gh_column_fini(&c);
        }
    }
}

static void
test_too_long(void)
{
    static const uint8_t bad[][GH_VARINT_MAX + 1] = {
        // 2^64
        {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02},
        // an eleventh byte
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x00},
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        for (int delta = 0; delta < 2; delta++) {
            gh_column c = start(delta ? GH_ENC_DELTA : GH_ENC_UVARINT, bad[i],
                                sizeof(bad[i]));
            uint64_t v;
            CHECK(!(delta ? gh_column_delta(&c, &v)
                          : gh_column_uvarint(&c, &v)));
            CHECK_EQ(gh_column_offset(&c), 0);
            gh_column_fini(&c);
        }
    }
}

static void
test_delta(void)
{
    static const struct {
        uint8_t size;
        uint8_t bytes[GH_VARINT_MAX];
        uint64_t value;  // after it
    } steps[] = {
        {1, {0x00}, 0},                    // 0
        {1, {0x02}, 1},                    // +1
        {1, {0x01}, 0},                    // -1
        {1, {0x7e}, 63},                   // +63
        {1, {0x7f}, (uint64_t)-1},         // -64
        {2, {0x80, 0x01}, 63},             // +64
        {2, {0xd8, 0x04}, 363},            // +300
        {3, {0xc7, 0x9f, 0x02}, (uint64_t)-18041},  // -18404
        // INT64_MAX and INT64_MIN as differences
        {10, {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
         (uint64_t)INT64_MAX - 18041},
        {10, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
         (uint64_t)-18042},
    };
    gh_column c;
    gh_column_init(&c, GH_ENC_DELTA);
    for (size_t i = 0; i < COUNT(steps); i++) {
        CHECK(gh_column_feed(&c, steps[i].bytes, steps[i].size,
                             i + 1 == COUNT(steps)) == GH_OK);
    }
    for (size_t i = 0; i < COUNT(steps); i++) {
        uint64_t v;
        CHECK(gh_column_delta(&c, &v));
        CHECK_EQ(v, steps[i].value);
    }
    CHECK(!gh_column_overrun(&c));
    CHECK(c.p == c.end);
    gh_column_fini(&c);
}

// What is ready is certain: pieces of any size give the same values.
static void
test_pieces(void)
{
    enum { VALUES = 300 };
    uint8_t data[VALUES * GH_VARINT_MAX];
    uint64_t want[VALUES];
    size_t n = 0;
    for (size_t i = 0; i < VALUES; i++) {
        want[i] = (uint64_t)i * i * i << (i % 40);
        uint64_t v = want[i];
        for (; v >= 0x80; v >>= 7) {
            data[n++] = (uint8_t)(v | 0x80);
        }
        data[n++] = (uint8_t)v;
    }
    for (size_t piece = 1; piece < 40; piece++) {
        gh_column c;
        gh_column_init(&c, GH_ENC_UVARINT);
        CHECK_EQ(gh_column_ready(&c), 0);
        size_t fed = 0;
        for (size_t i = 0; i < VALUES; i++) {
            while (gh_column_ready(&c) == 0) {
                const size_t k = n - fed < piece ? n - fed : piece;
                CHECK(gh_column_feed(&c, data + fed, k, fed + k == n) == GH_OK);
                fed += k;
            }
            uint64_t v;
            CHECK(gh_column_uvarint(&c, &v));
            CHECK(!gh_column_overrun(&c));
            CHECK_EQ(v, want[i]);
        }
        while (!c.last) {
            const size_t k = n - fed < piece ? n - fed : piece;
            CHECK(gh_column_feed(&c, data + fed, k, fed + k == n) == GH_OK);
            fed += k;
        }
        CHECK_EQ(gh_column_offset(&c), n);
        CHECK_EQ(gh_column_ready(&c), UINT64_MAX);
        CHECK(gh_column_feed(&c, data, 1, true) == GH_ERR_STATE);
        // No more is kept than a piece and what it left undecoded.
        CHECK(c.cap <= 2 * (piece + 2 * GH_VARINT_MAX));
        gh_column_fini(&c);
    }
}

static void
test_empty(void)
{
    gh_column c = start(GH_ENC_UVARINT, NULL, 0);
    CHECK_EQ(gh_column_ready(&c), UINT64_MAX);
    CHECK(!gh_column_overrun(&c));
    uint64_t v;
    CHECK(gh_column_uvarint(&c, &v));
    CHECK(gh_column_overrun(&c));
    gh_column_fini(&c);
    gh_column_init(&c, GH_ENC_U8);
    CHECK_EQ(gh_column_ready(&c), 0);
    CHECK(gh_column_feed(&c, NULL, 0, false) == GH_OK);
    CHECK_EQ(gh_column_ready(&c), 0);
    CHECK(gh_column_feed(&c, NULL, SIZE_MAX, false) == GH_ERR_NOMEM);
    CHECK(gh_column_feed(&c, (const uint8_t *)"\x07", 1, true) == GH_OK);
    CHECK_EQ(gh_column_u8(&c), 7);
    gh_column_fini(&c);
}

int
main(void)
{
    test_names();
    test_u8();
    test_uvarint();
    test_too_long();
    test_delta();
    test_pieces();
    test_empty();
    return 0;
}
