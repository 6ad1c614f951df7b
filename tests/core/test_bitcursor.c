// test_bitcursor.c: writing bits at any position, against bit by bit; bytes
// outside stay untouched and are not read.

#include <stdbool.h>
#include <string.h>

#include "bitcursor.h"
#include "check.h"

static unsigned
bit(const uint8_t *p, uint64_t i)
{
    return (unsigned)p[i / 8] >> i % 8 & 1;
}

static void
test_by_hand(void)
{
    uint8_t dst[4] = {0, 0, 0, 0};
    gh_bitcursor_write(dst, 3, (const uint8_t[]){0x05}, 3);  // 1, 0, 1
    CHECK_EQ(dst[0], 0x28);
    gh_bitcursor_write(dst, 6, (const uint8_t[]){0xff, 0xff}, 12);
    CHECK_EQ(dst[0], 0xe8);
    CHECK_EQ(dst[1], 0xff);
    CHECK_EQ(dst[2], 0x03);
    gh_bitcursor_write(dst, 7, (const uint8_t[]){0x00}, 2);  // zeros write too
    CHECK_EQ(dst[0], 0x68);
    CHECK_EQ(dst[1], 0xfe);
    gh_bitcursor_write(dst, 24, (const uint8_t[]){0xab}, 8);
    CHECK_EQ(dst[3], 0xab);
    gh_bitcursor_write(dst, 0, NULL, 0);
    CHECK_EQ(dst[0], 0x68);
}

// Every position in a byte, every count up to 70, over all zeros and all ones.
// The buffers are as long as they must be, so that a sanitizer sees one byte
// read or written too many.
static void
test_all(void)
{
    uint64_t state = 5;
    for (unsigned off = 0; off < 24; off++) {
        for (unsigned cnt = 1; cnt <= 70; cnt++) {
            for (int fill = 0; fill <= 0xff; fill += 0xff) {
                const size_t in = (cnt + 7) / 8, out = (off + cnt + 7) / 8;
                uint8_t *data = malloc(in), *dst = malloc(out);
                CHECK(data != NULL && dst != NULL);
                for (size_t i = 0; i < in; i++) {
                    state = state * 6364136223846793005u + 1;
                    data[i] = (uint8_t)(state >> 56);
                }
                memset(dst, fill, out);
                gh_bitcursor_write(dst, off, data, cnt);
                for (unsigned i = 0; i < out * 8; i++) {
                    const bool within = i >= off && i < off + cnt;
                    CHECK_EQ(bit(dst, i),
                             within ? bit(data, i - off) : fill & 1);
                }
                free(data);
                free(dst);
            }
        }
    }
}

// Pieces of odd lengths put together one after the other.
static void
test_pieces(void)
{
    uint8_t whole[32], joined[32];
    uint64_t state = 9;
    for (size_t i = 0; i < sizeof(whole); i++) {
        state = state * 6364136223846793005u + 1;
        whole[i] = (uint8_t)(state >> 56);
    }
    for (unsigned step = 1; step <= 40; step++) {
        memset(joined, 0x55, sizeof(joined));
        for (unsigned at = 0; at < 8 * sizeof(whole); at += step) {
            const unsigned left = 8 * (unsigned)sizeof(whole) - at;
            const unsigned n = step < left ? step : left;
            uint8_t piece[5] = {0};
            for (unsigned i = 0; i < n; i++) {
                piece[i / 8] |= (uint8_t)(bit(whole, at + i) << i % 8);
            }
            if (n % 8 != 0) {  // what is beyond the end must not matter
                piece[n / 8] |= (uint8_t)(0xffu << n % 8);
            }
            gh_bitcursor_write(joined, at, piece, n);
        }
        CHECK(memcmp(whole, joined, sizeof(whole)) == 0);
    }
}

int
main(void)
{
    test_by_hand();
    test_all();
    test_pieces();
    return 0;
}
