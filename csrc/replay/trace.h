// trace.h: the columns of a GHTRACE1 recording, decoded piece by piece.
//
// A recording is a set of columns, each a run of bytes of its own. The owner of
// a column pushes raw bytes in (gh_column_feed), in pieces of any size, and the
// reader takes values out. Only what has been fed and not yet decoded is kept,
// so a recording of any length is read in a few buffers.
//
// Values are taken without looking where the bytes end, and that is sound:
// before a run of events the reader asks how many values are surely there
// (gh_column_ready), and the last piece of a column is followed by zero bytes,
// so that a column which ends too early shows up as a value that was read past
// the end (gh_column_overrun), never as a read of foreign memory
// [inv:column.padding].
//
// Client of goheap.h: nothing of the core but its status codes is used.

#ifndef GH_TRACE_H
#define GH_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "goheap.h"

// The longest LEB128 form of 64 bits, and as many bytes of padding.
#define GH_VARINT_MAX 10

typedef enum gh_enc {
    GH_ENC_U8,       // one byte a value
    GH_ENC_UVARINT,  // LEB128
    GH_ENC_DELTA,    // zigzag LEB128 of the difference to the value before
} gh_enc;

// [inv:column.padding] After end there are GH_VARINT_MAX zero bytes if last is
// set; p <= end + GH_VARINT_MAX at any time, and p <= end between events.
typedef struct gh_column {
    const uint8_t *p;    // next byte to decode
    const uint8_t *end;  // of what has been fed
    uint64_t prev;       // GH_ENC_DELTA: value before
    uint64_t base;       // bytes of the column before buf
    uint8_t *buf;        // owned
    size_t cap;
    gh_enc enc;
    bool last;           // all bytes have been fed
} gh_column;

// gh_enc_by_name finds an encoding; false if there is none of that name.
bool gh_enc_by_name(const char *name, gh_enc *out);

void gh_column_init(gh_column *c, gh_enc enc);
void gh_column_fini(gh_column *c);

// gh_column_feed appends n bytes; last says that they are the column's last
// ones. GH_ERR_STATE after the last piece. On an error nothing has changed.
GH_NODISCARD gh_status gh_column_feed(gh_column *c, const uint8_t *data,
                                      size_t n, bool last);

// gh_column_offset is the number of bytes decoded so far.
static inline uint64_t
gh_column_offset(const gh_column *c)
{
    return c->buf == NULL ? c->base : c->base + (uint64_t)(c->p - c->buf);
}

// gh_column_ready is how many values can be taken for sure; UINT64_MAX once
// all bytes are in, because then the padding answers.
static inline uint64_t
gh_column_ready(const gh_column *c)
{
    if (c->last) {
        return UINT64_MAX;
    }
    const uint64_t n = (uint64_t)(c->end - c->p);
    return c->enc == GH_ENC_U8 ? n : n / GH_VARINT_MAX;
}

// gh_column_overrun reports whether the last value taken wasn't there. No
// further one may be taken then.
static inline bool
gh_column_overrun(const gh_column *c)
{
    return c->p > c->end;
}

// The takers. Each needs gh_column_ready() > 0 and no overrun before.
static inline uint8_t
gh_column_u8(gh_column *c)
{
    return *c->p++;
}

bool gh_column_uvarint_long(gh_column *c, uint64_t *out);

// gh_column_uvarint returns false for a number of more than 64 bits.
static inline bool
gh_column_uvarint(gh_column *c, uint64_t *out)
{
    const uint8_t b = *c->p;
    if (b < 0x80) {
        c->p++;
        *out = b;
        return true;
    }
    const uint8_t b1 = c->p[1];
    if (b1 < 0x80) {
        c->p += 2;
        *out = (b & 0x7fu) | (uint64_t)b1 << 7;
        return true;
    }
    return gh_column_uvarint_long(c, out);
}

// gh_column_delta adds the next difference and returns the sum, modulo 2^64.
static inline bool
gh_column_delta(gh_column *c, uint64_t *out)
{
    uint64_t v;
    if (!gh_column_uvarint(c, &v)) {
        return false;
    }
    c->prev += (v >> 1) ^ (0 - (v & 1));
    *out = c->prev;
    return true;
}

#endif  // GH_TRACE_H
