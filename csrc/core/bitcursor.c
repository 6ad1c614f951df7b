// bitcursor.c: writing bits at any position. See bitcursor.h.

#include "bitcursor.h"

// put replaces the bits of *p that are in mask by those of bits.
static void
put(uint8_t *p, unsigned bits, unsigned mask)
{
    *p = (uint8_t)((*p & ~mask) | (bits & mask));
}

void
gh_bitcursor_write(uint8_t *dst, uint64_t off, const uint8_t *data,
                   uint64_t cnt)
{
    uint8_t *p = dst + off / 8;
    const unsigned shift = (unsigned)(off % 8);
    // Each byte of data lands in at most two bytes of dst.
    while (cnt > 0) {
        const unsigned n = cnt < 8 ? (unsigned)cnt : 8;
        const unsigned bits = (unsigned)*data++ << shift;
        const unsigned mask = ((1u << n) - 1) << shift;
        put(p, bits, mask & 0xff);
        p++;
        if (mask >> 8 != 0) {
            put(p, bits >> 8, mask >> 8);
        }
        cnt -= n;
    }
}
