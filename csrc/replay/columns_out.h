// columns_out.h: the columns of a GHTRACE1 recording, encoded piece by piece.
//
// The counterpart of trace.h: whoever makes a recording puts values in, the
// owner of the file takes the bytes out from time to time and empties the
// column. The encodings are those of trace.h.
//
// A put into a column that got no memory does nothing but set failed, so a maker
// looks once an event, not once a value.

#ifndef GH_COLUMNS_OUT_H
#define GH_COLUMNS_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "trace.h"

typedef struct gh_colout {
    uint8_t *buf;  // owned
    size_t n, cap;
    uint64_t count;  // values put, over all pieces
    uint64_t prev;   // GH_ENC_DELTA: value before
    bool failed;
} gh_colout;

static inline void
gh_colout_fini(gh_colout *c)
{
    free(c->buf);
    *c = (gh_colout){0};
}

// gh_colout_room makes place for one value.
static inline bool
gh_colout_room(gh_colout *c)
{
    if (c->cap - c->n >= GH_VARINT_MAX) {
        return true;
    }
    const size_t cap = c->cap == 0 ? 4096 : c->cap * 2;
    uint8_t *buf = cap > SIZE_MAX / 4 ? NULL : realloc(c->buf, cap);
    if (buf == NULL) {
        c->failed = true;
        return false;
    }
    c->buf = buf;
    c->cap = cap;
    return true;
}

static inline void
gh_colout_u8(gh_colout *c, uint8_t v)
{
    if (gh_colout_room(c)) {
        c->buf[c->n++] = v;
        c->count++;
    }
}

static inline void
gh_colout_uvarint(gh_colout *c, uint64_t v)
{
    if (!gh_colout_room(c)) {
        return;
    }
    while (v >= 0x80) {
        c->buf[c->n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    c->buf[c->n++] = (uint8_t)v;
    c->count++;
}

static inline void
gh_colout_delta(gh_colout *c, uint64_t v)
{
    const uint64_t d = v - c->prev;
    gh_colout_uvarint(c, d << 1 ^ (0 - (d >> 63)));
    c->prev = v;
}

#endif  // GH_COLUMNS_OUT_H
